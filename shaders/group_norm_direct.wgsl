//! Group normalisation as in group_norm.wgsl without barriers, for CPU drivers: an invocation walks over a whole group.
//!   backward_input    also leaves each sample's part of dγ and dβ
//!   backward_affine   their sums over the samples
//! Grid: one invocation per (n, group); backward_affine: one per element. An element is a channel, or two or four of them for
//! drivers that load and store lane by lane.
#import group_walk
#import ones

@group(0) @binding(0) var<storage, read> x: array<Element>; // [n, hw, c]
@group(0) @binding(1) var<storage, read> gamma: array<Element>; // [c]
@group(0) @binding(2) var<storage, read> beta: array<Element>; // [c]
@group(0) @binding(3) var<storage, read> dy: array<Element>; // [n, hw, c]
@group(0) @binding(4) var<storage, read> saved: array<vec2<f32>>; // [n, groups]: μ, r
@group(0) @binding(5) var<storage, read_write> y: array<Element>; // [n, hw, c]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>; // [n, groups]
@group(0) @binding(7) var<storage, read_write> dx: array<Element>; // [n, hw, c]
@group(0) @binding(8) var<storage, read_write> part_gamma: array<Element>; // [n, c]
@group(0) @binding(9) var<storage, read_write> part_beta: array<Element>; // [n, c]
@group(0) @binding(10) var<storage, read> parts_gamma: array<Element>; // [n, c]
@group(0) @binding(11) var<storage, read> parts_beta: array<Element>; // [n, c]
@group(0) @binding(12) var<storage, read_write> dgamma: array<Element>; // [c]
@group(0) @binding(13) var<storage, read_write> dbeta: array<Element>; // [c]
