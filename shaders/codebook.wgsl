//! Codes and their distances.
//!   nearest     codes[m] = argmin_k ‖z_m − e_k‖², ties to the lowest k
//!   distances   distance[m, k] = ‖z_m − e_k‖², with its gradients to z and to the codebook
//! The squared distance is summed as Σ (z − e)², not expanded: no cancellation, the same order for every k.
#import grid

struct Params { rows: u32, d: u32, k: u32, part: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> z: array<f32>; // [rows, d]
@group(0) @binding(1) var<storage, read> codebook: array<f32>; // [k, d]
@group(0) @binding(2) var<storage, read_write> codes: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> distance: array<f32>; // [rows, k]
@group(0) @binding(4) var<storage, read> dy: array<f32>; // [rows, k]
@group(0) @binding(5) var<storage, read_write> dz: array<f32>; // [rows, d]
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // [parts, k, d]

// In fours: `nearest` loops over codes as well, and one driver counts the rounds of all loops in sum.
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

@compute @workgroup_size(64)
fn nearest(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    var best = squared_distance(row, 0u);
    var code = 0u;
    for (var k = 1u; k < p.k; k += 1u) {
        let d = squared_distance(row, k);
        if d < best {
            best = d;
            code = k;
        }
    }
    codes[row] = code;
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
