//! Optimiser steps over flat arenas: parameters, gradients, moments and averages of all tensors side by side.
//!   collect   copies up to seven gradients into the arena of gradients
//!   clip      scale = min(1, limit / ‖g‖) from partial sums of squares; the norm is kept for the log
//!   adam      Adam with decoupled weight decay (Loshchilov & Hutter 2019) and the running average of the weights
//!   ema       y = decay a + (1 − decay) b
#import grid
#import fours

struct Collect { ends: array<u32, 7>, starts: array<u32, 7>, total: u32 }
struct Clip { parts: u32, limit: f32 }
struct Adam { count: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, decay: f32, correction1: f32, correction2: f32, ema: f32 } // count of elements
struct Ema { count: u32, decay: f32 }
var<immediate> c: Collect;
var<immediate> l: Clip;
var<immediate> p: Adam;
var<immediate> e: Ema;
@group(0) @binding(0) var<storage, read> g0: array<f32>; // [size of gradient 0]
@group(0) @binding(1) var<storage, read> g1: array<f32>; // [size of gradient 1]
@group(0) @binding(2) var<storage, read> g2: array<f32>; // [size of gradient 2]
@group(0) @binding(3) var<storage, read> g3: array<f32>; // [size of gradient 3]
@group(0) @binding(4) var<storage, read> g4: array<f32>; // [size of gradient 4]
@group(0) @binding(5) var<storage, read> g5: array<f32>; // [size of gradient 5]
@group(0) @binding(6) var<storage, read> g6: array<f32>; // [size of gradient 6]
@group(0) @binding(7) var<storage, read_write> arena: array<f32>; // [all parameters, each at a multiple of 64]
@group(0) @binding(8) var<storage, read> squares: array<f32>; // [parts]
@group(0) @binding(9) var<storage, read_write> norm: array<f32>; // [2]: ‖g‖, scale
@group(0) @binding(10) var<storage, read> gradient: array<Element>; // [count / 4]
@group(0) @binding(11) var<storage, read> clip_scale: array<f32>; // [2]: ‖g‖, scale
@group(0) @binding(12) var<storage, read_write> weight: array<Element>; // [count / 4]
@group(0) @binding(13) var<storage, read_write> first_moment: array<Element>; // [count / 4]
@group(0) @binding(14) var<storage, read_write> second_moment: array<Element>; // [count / 4]
@group(0) @binding(15) var<storage, read_write> average: array<Element>; // [count / 4]
@group(0) @binding(16) var<storage, read> a: array<f32>; // [count]
@group(0) @binding(17) var<storage, read> b: array<f32>; // [count]
@group(0) @binding(18) var<storage, read_write> y: array<f32>; // [count]

@compute @workgroup_size(64)
fn collect(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= c.total {
        return;
    }
    var source = 0u;
    for (var i = 0u; i < 6u; i += 1u) {
        source += select(0u, 1u, at >= c.ends[i]);
    }
    var begin = 0u;
    if source > 0u {
        begin = c.ends[source - 1u];
    }
    let i = at - begin;
    var v = 0.0;
    switch source {
        case 0u: { v = g0[i]; }
        case 1u: { v = g1[i]; }
        case 2u: { v = g2[i]; }
        case 3u: { v = g3[i]; }
        case 4u: { v = g4[i]; }
        case 5u: { v = g5[i]; }
        default: { v = g6[i]; }
    }
    arena[c.starts[source] + i] = v;
}

@compute @workgroup_size(1)
fn clip() {
    var sum = 0.0;
    for (var i = 0u; i < l.parts; i += 1u) {
        sum += squares[i];
    }
    let length = sqrt(sum);
    norm[0] = length;
    norm[1] = select(1.0, l.limit / length, l.limit > 0.0 && length > l.limit);
}

@compute @workgroup_size(64)
fn adam(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.count {
        return;
    }
    let g = values(gradient[i]) * clip_scale[1];
    let m = p.beta1 * values(first_moment[i]) + (1.0 - p.beta1) * g;
    let v = p.beta2 * values(second_moment[i]) + (1.0 - p.beta2) * g * g;
    first_moment[i] = element(m);
    second_moment[i] = element(v);
    let step = (m * p.correction1) / (sqrt(v * p.correction2) + p.eps);
    let old = values(weight[i]);
    let w = old - p.lr * (step + p.decay * old);
    weight[i] = element(w);
    average[i] = element(p.ema * values(average[i]) + (1.0 - p.ema) * w);
}

@compute @workgroup_size(64)
fn ema(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= e.count {
        return;
    }
    y[i] = e.decay * a[i] + (1.0 - e.decay) * b[i];
}
