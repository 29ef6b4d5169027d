//! Group normalisation as in group_norm.wgsl without barriers, for CPU drivers: an invocation walks over a whole group.
//!   backward_input    also leaves each sample's part of dγ and dβ
//!   backward_affine   their sums over the samples
//! Grid: one invocation per (n, group); backward_affine: one per channel.
#import group_walk
#import ones


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

fn total(v: f32) -> f32 {
    return v;
}

fn sigmoid(u: f32) -> f32 {
    return accurate_sigmoid(u);
}

fn slope_of_silu(u: f32) -> f32 {
    return silu_slope(u);
}
