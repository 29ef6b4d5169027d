//! Softmax, log-softmax and cross-entropy over the last dimension, scaled logits s x.
//!   forward          y = exp(s x − m) / Σ exp(s x − m), or with LOG  y = s x − m − log Σ
//!   backward         dx = s y (dy − Σ dy y), or with LOG  dx = s (dy − exp(y) Σ dy)
//!   cross_entropy    loss[row] = −log softmax(x)[target]
//!   cross_entropy_backward   dx = dloss (softmax(x) − onehot)
//! One invocation a row while rows are short: code laws have tens to hundreds of entries.
#import grid
#import fours
#import accurate

override LOG: bool = false;

// Of row r only the first min(valid_len, r % period + causal_offset) entries count in forward; the others are minus infinity.
struct Params { rows: u32, k: u32, scale: f32, valid_len: u32, period: u32, causal_offset: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, k]
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [rows]
@group(0) @binding(2) var<storage, read> target_code: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows] in cross_entropy, [rows, k] in its backward
@group(0) @binding(4) var<storage, read> logits: array<Element>; // [rows, k]; y in backward
@group(0) @binding(5) var<storage, read> dlaw: array<Element>; // [rows, k]
@group(0) @binding(6) var<storage, read_write> law: array<Element>; // [rows, k]; dx in backward
const LEAST = Values(-0x1.fffffep+127f);

// (maximum, log Σ exp(s x − maximum)) of a row.
fn log_sum(first: u32) -> vec2<f32> {
    var top = p.scale * x[first];
    for (var i = 1u; i < p.k; i += 1u) {
        top = max(top, p.scale * x[first + i]);
    }
    var sum = 0.0;
    for (var i = 0u; i < p.k; i += 1u) {
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
    let width = p.k / PER_ELEMENT;
    let first = row * width;
    let seen = min(p.valid_len, row - divide(row, p.period) * p.period + p.causal_offset);
    let elements = (seen + PER_ELEMENT - 1u) / PER_ELEMENT;
    var tops = LEAST;
    for (var i = 0u; i < elements; i += 1u) {
        tops = max(tops, select(LEAST, p.scale * values(logits[first + i]), among(i, seen)));
    }
    let top = largest(tops);
    var sums = Values();
    for (var i = 0u; i < elements; i += 1u) {
        sums += select(Values(), exp(p.scale * values(logits[first + i]) - top), among(i, seen));
    }
    let norm = accurate_log(total(sums));
    for (var i = 0u; i < elements; i += 1u) {
        let log_y = (p.scale * values(logits[first + i]) - top) - norm;
        law[first + i] = element(select(Values(), select(exp(log_y), log_y, LOG), among(i, seen)));
    }
    for (var i = elements; i < width; i += 1u) {
        law[first + i] = Element();
    }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let width = p.k / PER_ELEMENT;
    let first = row * width;
    let end = first + width;
    var sums = Values();
    for (var i = first; i < end; i += 1u) {
        sums += values(dlaw[i]) * select(values(logits[i]), Values(1.0), LOG);
    }
    let sum = total(sums);
    for (var i = first; i < end; i += 1u) {
        let saved = values(logits[i]);
        if LOG {
            law[i] = element(p.scale * (values(dlaw[i]) - exp(saved) * sum));
        } else {
            law[i] = element(p.scale * (saved * (values(dlaw[i]) - sum)));
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
    let norm = log_sum(first);
    y[row] = norm.y - (p.scale * x[first + min(target_code[row], p.k - 1u)] - norm.x);
}

@compute @workgroup_size(64)
fn cross_entropy_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * p.k;
    let norm = log_sum(first);
    for (var i = 0u; i < p.k; i += 1u) {
        let hot = select(0.0, 1.0, i == min(target_code[row], p.k - 1u));
        y[first + i] = p.scale * dy[row] * (exp((p.scale * x[first + i] - norm.x) - norm.y) - hot);
    }
}
