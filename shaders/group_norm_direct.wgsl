//! Group normalisation as in group_norm.wgsl without barriers, for CPU drivers: an invocation walks over a whole group.
//!   backward_input    also leaves each sample's part of dγ and dβ
//!   backward_affine   their sums over the samples
//! Grid: one invocation per (n, group); backward_affine: one per channel.
#import grid
#import accurate

override SILU: bool = false;

struct Params { batch: u32, hw: u32, channels: u32, groups: u32, eps: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, hw, c]
@group(0) @binding(1) var<storage, read> gamma: array<f32>; // [c]
@group(0) @binding(2) var<storage, read> beta: array<f32>; // [c]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [n, hw, c]
@group(0) @binding(4) var<storage, read> saved: array<vec2<f32>>; // [n, groups]: μ, r
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [n, hw, c]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>; // [n, groups]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // [n, hw, c]
@group(0) @binding(8) var<storage, read_write> part_gamma: array<f32>; // [n, c]
@group(0) @binding(9) var<storage, read_write> part_beta: array<f32>; // [n, c]
@group(0) @binding(10) var<storage, read> parts_gamma: array<f32>; // [n, c]
@group(0) @binding(11) var<storage, read> parts_beta: array<f32>; // [n, c]
@group(0) @binding(12) var<storage, read_write> dgamma: array<f32>; // [c]
@group(0) @binding(13) var<storage, read_write> dbeta: array<f32>; // [c]

// A group of a sample: its number, its first channel, and where in memory it begins.
struct Slab { number: u32, first: u32, at: u32 }

fn slab_of(i: u32) -> Slab {
    let n = divide(i, p.groups);
    let first = width() * (i - n * p.groups);
    return Slab(i, first, n * p.hw * p.channels + first);
}

// Channels of a group.
fn width() -> u32 {
    return p.channels / p.groups;
}

// Mean over the group's positions and channels of sums over positions.
fn group_mean(sums: f32) -> f32 {
    return sums / f32(p.hw * width());
}

fn activation(u: f32) -> f32 {
    if SILU {
        return u * accurate_sigmoid(u);
    }
    return u;
}

// Gradient of u = γ x̂ + β, given that of y.
fn before_activation(dy: f32, u: f32) -> f32 {
    if SILU {
        return dy * silu_slope(u);
    }
    return dy;
}

@compute @workgroup_size(8)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let own = slab_of(linear_index(wid, grid, lid, 8u));
    if own.number >= p.batch * p.groups {
        return;
    }
    var sums = 0.0;
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            sums += x[own.at + i * p.channels + c];
        }
    }
    let mean = group_mean(sums);
    var squares = 0.0;
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            let v = x[own.at + i * p.channels + c] - mean;
            squares += v * v;
        }
    }
    let rstd = 1.0 / sqrt(group_mean(squares) + p.eps);
    for (var c = 0u; c < width(); c += 1u) {
        let scale = gamma[own.first + c];
        let shift = beta[own.first + c];
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            y[at] = activation(scale * ((x[at] - mean) * rstd) + shift);
        }
    }
    stats[own.number] = vec2(mean, rstd);
}

@compute @workgroup_size(8)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let own = slab_of(linear_index(wid, grid, lid, 8u));
    if own.number >= p.batch * p.groups {
        return;
    }
    let mean = saved[own.number].x;
    let rstd = saved[own.number].y;
    let sample = divide(own.at, p.hw * p.channels) * p.channels;
    var sums = 0.0;
    var products = 0.0;
    for (var c = 0u; c < width(); c += 1u) {
        let scale = gamma[own.first + c];
        let shift = beta[own.first + c];
        var g_sum = 0.0;
        var g_xhat = 0.0;
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            let xhat = (x[at] - mean) * rstd;
            let g = before_activation(dy[at], scale * xhat + shift);
            g_sum += g;
            g_xhat += g * xhat;
            let scaled = scale * g;
            sums += scaled;
            products += scaled * xhat;
            // Read again below, by this invocation alone.
            dx[at] = scaled;
        }
        part_gamma[sample + own.first + c] = g_xhat;
        part_beta[sample + own.first + c] = g_sum;
    }
    let mean_g = group_mean(sums);
    let mean_product = group_mean(products);
    for (var c = 0u; c < width(); c += 1u) {
        for (var i = 0u; i < p.hw; i += 1u) {
            let at = own.at + i * p.channels + c;
            let xhat = (x[at] - mean) * rstd;
            dx[at] = rstd * (dx[at] - mean_g - xhat * mean_product);
        }
    }
}

@compute @workgroup_size(8)
fn backward_affine(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 8u);
    if at >= p.channels {
        return;
    }
    var sum_gamma = 0.0;
    var sum_beta = 0.0;
    for (var n = 0u; n < p.batch; n += 1u) {
        sum_gamma += parts_gamma[n * p.channels + at];
        sum_beta += parts_beta[n * p.channels + at];
    }
    dgamma[at] = sum_gamma;
    dbeta[at] = sum_beta;
}
