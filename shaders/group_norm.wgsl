//! Group normalisation (Wu & He 2018), channels last.
//!   forward           y = γ x̂ + β,  x̂ = (x − μ_g) r_g,  r_g = 1/√(σ²_g + ε); saves μ and r
//!   backward_input    dx = r_g (g − mean_g(g) − x̂ mean_g(g x̂)),  g = γ dy
//!   backward_affine   dγ = Σ dy x̂,  dβ = Σ dy over n and positions
//! With SILU y = silu(γ x̂ + β): dy is first multiplied by silu'(γ x̂ + β), made again from what was saved.
//! Grid: one workgroup per (n, group); backward_affine: one per channel. Layer norm is hw = 1, groups = 1.
//! The variance is the mean of (x − μ)², never E[x²] − μ²: no cancellation.
#import grid
#import accurate

override SILU: bool = false;

struct Params { batch: u32, hw: u32, channels: u32, groups: u32, eps: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, hw, c]
@group(0) @binding(1) var<storage, read> gamma: array<f32>; // [c]
@group(0) @binding(2) var<storage, read> beta: array<f32>; // [c]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [n, hw, c]
@group(0) @binding(4) var<storage, read> saved: array<f32>; // [n, groups, 2]: μ, r
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [n, hw, c]
@group(0) @binding(6) var<storage, read_write> stats: array<f32>; // [n, groups, 2]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // [n, hw, c]
@group(0) @binding(8) var<storage, read_write> dgamma: array<f32>; // [c]
@group(0) @binding(9) var<storage, read_write> dbeta: array<f32>; // [c]
var<workgroup> sh_sum: array<vec2<f32>, 64>;

// Sum over the workgroup in a fixed order; every lane gets it.
fn workgroup_sum(v: vec2<f32>, lid: u32) -> vec2<f32> {
    sh_sum[lid] = v;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lid < half {
            sh_sum[lid] += sh_sum[lid + half];
        }
    }
    workgroupBarrier();
    let sum = sh_sum[0];
    workgroupBarrier(); // the next sum writes only after every lane has read this one
    return sum;
}

// Element i of group `slab` (= n * groups + group) in memory, and its channel.
fn element(slab: u32, i: u32) -> vec2<u32> {
    let width = p.channels / p.groups;
    let n = slab / p.groups;
    let channel = (slab - n * p.groups) * width + i % width;
    return vec2((n * p.hw + i / width) * p.channels + channel, channel);
}

fn activation(u: f32) -> f32 {
    if SILU {
        return u * accurate_sigmoid(u);
    }
    return u;
}

// Gradient of γ x̂ + β, given that of y.
fn before_activation(dy: f32, xhat: f32, channel: u32) -> f32 {
    if SILU {
        return dy * silu_slope(gamma[channel] * xhat + beta[channel]);
    }
    return dy;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let slab = linear_index(wid, grid, 0u, 1u);
    let count = select(0u, p.hw * (p.channels / p.groups), slab < p.batch * p.groups);
    let scale = 1.0 / f32(max(count, 1u));
    var sum = 0.0;
    for (var i = lid; i < count; i += 64u) {
        sum += x[element(slab, i).x];
    }
    let mean = scale * workgroup_sum(vec2(sum, 0.0), lid).x;
    var squares = 0.0;
    for (var i = lid; i < count; i += 64u) {
        let v = x[element(slab, i).x] - mean;
        squares += v * v;
    }
    let rstd = 1.0 / sqrt(scale * workgroup_sum(vec2(squares, 0.0), lid).x + p.eps);
    for (var i = lid; i < count; i += 64u) {
        let at = element(slab, i);
        y[at.x] = activation(gamma[at.y] * ((x[at.x] - mean) * rstd) + beta[at.y]);
    }
    if lid == 0u && count > 0u {
        stats[2u * slab] = mean;
        stats[2u * slab + 1u] = rstd;
    }
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let slab = linear_index(wid, grid, 0u, 1u);
    let inside = slab < p.batch * p.groups;
    let count = select(0u, p.hw * (p.channels / p.groups), inside);
    let mean = saved[select(0u, 2u * slab, inside)];
    let rstd = saved[select(0u, 2u * slab + 1u, inside)];
    var sums = vec2(0.0);
    for (var i = lid; i < count; i += 64u) {
        let at = element(slab, i);
        let xhat = (x[at.x] - mean) * rstd;
        let g = gamma[at.y] * before_activation(dy[at.x], xhat, at.y);
        sums += vec2(g, g * xhat);
    }
    let means = workgroup_sum(sums, lid) / f32(max(count, 1u));
    for (var i = lid; i < count; i += 64u) {
        let at = element(slab, i);
        let xhat = (x[at.x] - mean) * rstd;
        let g = gamma[at.y] * before_activation(dy[at.x], xhat, at.y);
        dx[at.x] = rstd * (g - means.x - xhat * means.y);
    }
}

@compute @workgroup_size(64)
fn backward_affine(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let channel = wid.x;
    let group = channel / (p.channels / p.groups);
    var sums = vec2(0.0);
    for (var row = lid; row < p.batch * p.hw; row += 64u) {
        let slab = 2u * ((row / p.hw) * p.groups + group);
        let at = row * p.channels + channel;
        let xhat = (x[at] - saved[slab]) * saved[slab + 1u];
        let g = before_activation(dy[at], xhat, channel);
        sums += vec2(g * xhat, g);
    }
    let total = workgroup_sum(sums, lid);
    if lid == 0u {
        dgamma[channel] = total.x;
        dbeta[channel] = total.y;
    }
}
