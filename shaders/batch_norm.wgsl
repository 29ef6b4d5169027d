//! Batch normalisation in inference mode (Ioffe & Szegedy 2015): μ and σ² are given constants, each channel apart.
//!   forward           y = γ x̂ + β,  x̂ = (x − μ) r,  r = 1/√(σ² + ε)
//!   backward_input    dx = γ r dy
//!   backward_affine   dγ = Σ_rows dy x̂,  dβ = Σ_rows dy; rows are split over y into parts, whose planes are summed afterwards
//! Grid: one invocation an element; backward_affine: one per channel and part.
#import grid

struct Params { rows: u32, c: u32, part: u32, eps: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, c]
@group(0) @binding(1) var<storage, read> gamma: array<f32>; // [c]
@group(0) @binding(2) var<storage, read> beta: array<f32>; // [c]
@group(0) @binding(3) var<storage, read> mean: array<f32>; // [c]
@group(0) @binding(4) var<storage, read> variance: array<f32>; // [c]
@group(0) @binding(5) var<storage, read> dy: array<f32>; // [rows, c]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [rows, c]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // [rows, c]
@group(0) @binding(8) var<storage, read_write> dgamma: array<f32>; // [parts, c]
@group(0) @binding(9) var<storage, read_write> dbeta: array<f32>; // [parts, c]

fn rstd(channel: u32) -> f32 {
    return 1.0 / sqrt(variance[channel] + p.eps);
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.c {
        return;
    }
    let channel = at - divide(at, p.c) * p.c;
    y[at] = gamma[channel] * ((x[at] - mean[channel]) * rstd(channel)) + beta[channel];
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.c {
        return;
    }
    let channel = at - divide(at, p.c) * p.c;
    dx[at] = gamma[channel] * rstd(channel) * dy[at];
}

@compute @workgroup_size(64)
fn backward_affine(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let channel = wid.x * 64u + lid;
    if channel >= p.c {
        return;
    }
    let centre = mean[channel];
    var sums = vec2(0.0);
    for (var row = wid.y * p.part; row < min((wid.y + 1u) * p.part, p.rows); row += 1u) {
        let g = dy[row * p.c + channel];
        sums += vec2(g * (x[row * p.c + channel] - centre), g);
    }
    dgamma[wid.y * p.c + channel] = rstd(channel) * sums.x;
    dbeta[wid.y * p.c + channel] = sums.y;
}
