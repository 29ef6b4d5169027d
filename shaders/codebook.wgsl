//! Codes: their distances, and their running averages.
//!   distances   distance[m, k] = ‖z_m − e_k‖², with its gradients to z and to the codebook
//! The squared distance is summed as Σ (z − e)², not expanded: no cancellation, the same order for every k.
//!   ema         counts ← γ counts + (1 − γ) n_k,  sums ← γ sums + (1 − γ) m_k,  codebook ← sums / counts, where n_k and
//!               m_k are number and sum of a batch's vectors with code k (van den Oord et al. 2017, appendix A.1).
//!               A code without any keeps its place to the bit, also when its count has faded to 0.
#import grid

struct Params { rows: u32, d: u32, k: u32, part: u32 }
struct Ema { k: u32, d: u32, decay: f32 }
var<immediate> p: Params;
var<immediate> average: Ema;
@group(0) @binding(0) var<storage, read> z: array<f32>; // [rows, d]
@group(0) @binding(1) var<storage, read> codebook: array<f32>; // [k, d]
@group(0) @binding(2) var<storage, read_write> distance: array<f32>; // [rows, k]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [rows, k]
@group(0) @binding(4) var<storage, read_write> dz: array<f32>; // [rows, d]
@group(0) @binding(5) var<storage, read_write> partial: array<f32>; // [parts, k, d]
@group(0) @binding(6) var<storage, read> batch_counts: array<f32>; // [k]: n_k
@group(0) @binding(7) var<storage, read> batch_sums: array<f32>; // [k, d]: m_k
@group(0) @binding(8) var<storage, read_write> counts: array<f32>; // [k]
@group(0) @binding(9) var<storage, read_write> sums: array<f32>; // [k, d]
@group(0) @binding(10) var<storage, read_write> entries: array<f32>; // [k, d]: the codebook

fn squared_distance(row: u32, code: u32) -> f32 {
    let at = row * p.d;
    let e = code * p.d;
    let whole = p.d - p.d % 4u;
    var sum = 0.0;
    for (var i = 0u; i < whole; i += 4u) {
        let v = vec4(z[at + i], z[at + i + 1u], z[at + i + 2u], z[at + i + 3u])
            - vec4(codebook[e + i], codebook[e + i + 1u], codebook[e + i + 2u], codebook[e + i + 3u]);
        sum = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, sum))));
    }
    for (var i = whole; i < p.d; i += 1u) {
        let v = z[at + i] - codebook[e + i];
        sum = fma(v, v, sum);
    }
    return sum;
}

// distance[m, k] = ‖z_m − e_k‖²
@compute @workgroup_size(64)
fn distances(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.k {
        return;
    }
    let row = divide(at, p.k);
    distance[at] = squared_distance(row, at - row * p.k);
}

// dz[m] = 2 Σ_k dy[m, k] (z_m − e_k)
@compute @workgroup_size(64)
fn distances_backward_z(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.d {
        return;
    }
    let row = divide(at, p.d);
    let column = at - row * p.d;
    var sum = 0.0;
    for (var k = 0u; k < p.k; k += 1u) {
        sum = fma(dy[row * p.k + k], z[at] - codebook[k * p.d + column], sum);
    }
    dz[at] = 2.0 * sum;
}

// de[k] = 2 Σ_m dy[m, k] (e_k − z_m): rows are split over y into parts, whose planes are summed afterwards.
@compute @workgroup_size(64)
fn distances_backward_codebook(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = wid.x * 64u + lid;
    if at >= p.k * p.d {
        return;
    }
    let k = divide(at, p.d);
    let column = at - k * p.d;
    var sum = 0.0;
    for (var row = p.part * wid.y; row < min(p.part * (wid.y + 1u), p.rows); row += 1u) {
        sum = fma(dy[row * p.k + k], codebook[at] - z[row * p.d + column], sum);
    }
    partial[wid.y * p.k * p.d + at] = 2.0 * sum;
}

// One workgroup a code: all its lanes have read its count before one of them changes it.
@compute @workgroup_size(64)
fn ema(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = linear_index(wid, grid, 0u, 1u);
    let code = min(index, average.k - 1u);
    let hits = batch_counts[code];
    let count = average.decay * counts[code] + (1.0 - average.decay) * hits;
    storageBarrier();
    if index != code {
        return;
    }
    for (var at = code * average.d + lid; at < (code + 1u) * average.d; at += 64u) {
        let sum = average.decay * sums[at] + (1.0 - average.decay) * batch_sums[at];
        sums[at] = sum;
        if hits > 0.0 {
            entries[at] = sum / count;
        }
    }
    if lid == 0u {
        counts[code] = count;
    }
}
