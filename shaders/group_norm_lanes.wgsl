//! group_norm_direct.wgsl for drivers that load and store lane by lane, 64 bits as fast as 32: two channels at a time.
#import group_walk
#import pairs


@group(0) @binding(0) var<storage, read> x: array<u64>; // [n, hw, c / 2]
@group(0) @binding(1) var<storage, read> gamma: array<u64>; // [c / 2]
@group(0) @binding(2) var<storage, read> beta: array<u64>; // [c / 2]
@group(0) @binding(3) var<storage, read> dy: array<u64>; // [n, hw, c / 2]
@group(0) @binding(4) var<storage, read> saved: array<vec2<f32>>; // [n, groups]: μ, r
@group(0) @binding(5) var<storage, read_write> y: array<u64>; // [n, hw, c / 2]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>; // [n, groups]
@group(0) @binding(7) var<storage, read_write> dx: array<u64>; // [n, hw, c / 2]
@group(0) @binding(8) var<storage, read_write> part_gamma: array<u64>; // [n, c / 2]
@group(0) @binding(9) var<storage, read_write> part_beta: array<u64>; // [n, c / 2]
@group(0) @binding(10) var<storage, read> parts_gamma: array<u64>; // [n, c / 2]
@group(0) @binding(11) var<storage, read> parts_beta: array<u64>; // [n, c / 2]
@group(0) @binding(12) var<storage, read_write> dgamma: array<u64>; // [c / 2]
@group(0) @binding(13) var<storage, read_write> dbeta: array<u64>; // [c / 2]

fn total(v: vec2<f32>) -> f32 {
    return v.x + v.y;
}

fn sigmoid(u: vec2<f32>) -> vec2<f32> {
    return vec2(accurate_sigmoid(u.x), accurate_sigmoid(u.y));
}

fn slope_of_silu(u: vec2<f32>) -> vec2<f32> {
    return vec2(silu_slope(u.x), silu_slope(u.y));
}
