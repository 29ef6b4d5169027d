//! Nearest code: codes[m] = argmin_k ‖z_m − e_k‖², ties to the lowest k.
//! The squared distance is summed as Σ (z − e)², not expanded: no cancellation, the same order for every k.
#import grid

struct Params { rows: u32, d: u32, k: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> z: array<f32>; // [rows, d]
@group(0) @binding(1) var<storage, read> codebook: array<f32>; // [k, d]
@group(0) @binding(2) var<storage, read_write> codes: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> distance: array<f32>; // [rows, k]
@group(0) @binding(4) var<storage, read> dy: array<f32>; // [rows, k]
@group(0) @binding(5) var<storage, read_write> dz: array<f32>; // [rows, d]
@group(0) @binding(6) var<storage, read_write> partial: array<f32>; // [parts, k, d]

fn squared_distance(row: u32, code: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < p.d; i += 1u) {
        let v = z[row * p.d + i] - codebook[code * p.d + i];
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

// de[k] = 2 Σ_m dy[m, k] (e_k − z_m): one workgroup row of y per 1,024 rows, summed afterwards.
@compute @workgroup_size(64)
fn distances_backward_codebook(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = wid.x * 64u + lid;
    if at >= p.k * p.d {
        return;
    }
    let k = divide(at, p.d);
    let column = at - k * p.d;
    var sum = 0.0;
    for (var row = 1024u * wid.y; row < min(1024u * (wid.y + 1u), p.rows); row += 1u) {
        sum = fma(dy[row * p.k + k], codebook[at] - z[row * p.d + column], sum);
    }
    partial[wid.y * p.k * p.d + at] = 2.0 * sum;
}
