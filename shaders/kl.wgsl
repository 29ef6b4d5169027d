//! Kullback-Leibler divergence of two laws given by logits a and b, P = softmax(a), Q = softmax(b), per row:
//!   forward    kl = Σ P (log P − log Q); saves of each law the largest logit and log Σ exp(logit − largest)
//!   backward   da = dkl P (log P − log Q − kl),  db = dkl (Q − P)
//! Grid: one invocation a row; backward: one an entry.
#import grid
#import accurate

struct Params { rows: u32, k: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>; // [rows, k]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [rows, k]
@group(0) @binding(2) var<storage, read> saved: array<vec4<f32>>; // [rows]: largest and log of the sum of a, of b
@group(0) @binding(3) var<storage, read> saved_kl: array<f32>; // [rows]
@group(0) @binding(4) var<storage, read> dkl: array<f32>; // [rows]
@group(0) @binding(5) var<storage, read_write> norms: array<vec4<f32>>; // [rows]
@group(0) @binding(6) var<storage, read_write> kl: array<f32>; // [rows]
@group(0) @binding(7) var<storage, read_write> da: array<f32>; // [rows, k]
@group(0) @binding(8) var<storage, read_write> db: array<f32>; // [rows, k]

// (log P, log Q) of an entry: in two steps, as the sum of both norms would round away what is left of a large logit.
fn logs(i: u32, norm: vec4<f32>) -> vec2<f32> {
    return (vec2(a[i], b[i]) - norm.xz) - norm.yw;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    let end = first + p.k;
    var top = vec2(a[first], b[first]);
    for (var i = first; i < end; i += 1u) {
        top = max(top, vec2(a[i], b[i]));
    }
    var sum = vec2(0.0);
    for (var i = first; i < end; i += 1u) {
        sum += exp(vec2(a[i], b[i]) - top);
    }
    let norm = vec4(top.x, accurate_log(sum.x), top.y, accurate_log(sum.y));
    var divergence = 0.0;
    for (var i = first; i < end; i += 1u) {
        let log_laws = logs(i, norm);
        divergence += exp(log_laws.x) * (log_laws.x - log_laws.y);
    }
    norms[row] = norm;
    // Rounding may leave less than nothing of equal laws; max() might make 0 of a NaN, which training must see.
    kl[row] = select(divergence, 0.0, divergence < 0.0);
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.rows * p.k {
        return;
    }
    let row = divide(i, p.k);
    let log_laws = logs(i, saved[row]);
    let laws = exp(log_laws);
    da[i] = dkl[row] * (laws.x * ((log_laws.x - log_laws.y) - saved_kl[row]));
    db[i] = dkl[row] * (laws.y - laws.x);
}
