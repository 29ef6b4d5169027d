//! Softmax, log-softmax and cross-entropy over the last dimension, scaled logits s x.
//!   forward          y = exp(s x − m) / Σ exp(s x − m), or with LOG  y = s x − m − log Σ
//!   backward         dx = s y (dy − Σ dy y), or with LOG  dx = s (dy − exp(y) Σ dy)
//!   cross_entropy    loss[row] = −log softmax(x)[target]
//!   cross_entropy_backward   dx = dloss (softmax(x) − onehot)
//! One invocation a row while rows are short: code laws have tens to hundreds of entries.
#import grid
#import accurate

override LOG: bool = false;

// Of row r only the first min(seen, r % period + reach) entries count; the others are minus infinity.
struct Params { rows: u32, k: u32, scale: f32, seen: u32, period: u32, reach: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, k]; y in backward
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [rows, k]; [rows] in cross_entropy_backward
@group(0) @binding(2) var<storage, read> target_code: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, k]; [rows] in cross_entropy

fn entries(row: u32) -> u32 {
    return min(p.seen, row - divide(row, p.period) * p.period + p.reach);
}

// (maximum, log Σ exp(s x − maximum)) of a row's first entries.
fn log_sum(first: u32, entries: u32) -> vec2<f32> {
    var top = p.scale * x[first];
    for (var i = 1u; i < entries; i += 1u) {
        top = max(top, p.scale * x[first + i]);
    }
    var sum = 0.0;
    for (var i = 0u; i < entries; i += 1u) {
        sum += exp(p.scale * x[first + i] - top);
    }
    return vec2(top, accurate_log(sum));
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    let seen = entries(row);
    let norm = log_sum(first, seen);
    for (var i = 0u; i < seen; i += 1u) {
        let log_y = (p.scale * x[first + i] - norm.x) - norm.y;
        y[first + i] = select(exp(log_y), log_y, LOG);
    }
    // Of softmax alone: no logarithm is asked for with unseen entries.
    for (var i = seen; i < p.k; i += 1u) {
        y[first + i] = 0.0;
    }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    var sum = 0.0;
    for (var i = first; i < first + p.k; i += 1u) {
        sum += dy[i] * select(x[i], 1.0, LOG);
    }
    for (var i = first; i < first + p.k; i += 1u) {
        if LOG {
            y[i] = p.scale * (dy[i] - exp(x[i]) * sum);
        } else {
            y[i] = p.scale * (x[i] * (dy[i] - sum));
        }
    }
}

@compute @workgroup_size(64)
fn cross_entropy(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    let norm = log_sum(first, p.k);
    y[row] = norm.y - (p.scale * x[first + min(target_code[row], p.k - 1u)] - norm.x);
}

@compute @workgroup_size(64)
fn cross_entropy_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    let norm = log_sum(first, p.k);
    for (var i = 0u; i < p.k; i += 1u) {
        let hot = select(0.0, 1.0, i == min(target_code[row], p.k - 1u));
        y[first + i] = p.scale * dy[row] * (exp((p.scale * x[first + i] - norm.x) - norm.y) - hot);
    }
}
