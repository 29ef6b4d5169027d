//! Softmax, log-softmax and cross-entropy over the last dimension, scaled logits s x.
//!   forward          y = exp(s x − m) / Σ exp(s x − m), or with LOG  y = s x − m − log Σ
//!   backward         dx = s y (dy − Σ dy y), or with LOG  dx = s (dy − exp(y) Σ dy)
//!   cross_entropy    loss[row] = −log softmax(x)[target]
//!   cross_entropy_backward   dx = dloss (softmax(x) − onehot)
//! One invocation a row while rows are short: code laws have tens to hundreds of entries. The kernels called fours are those of
//! rows that come in whole vec4s.
#import grid
#import fours
#import accurate

override LOG: bool = false;

// Of row r only the first min(seen, r % period + reach) entries count, as forward_fours alone knows; the others are minus infinity.
struct Params { rows: u32, k: u32, scale: f32, seen: u32, period: u32, reach: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, k]; y in backward
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [rows, k]; [rows] in cross_entropy_backward
@group(0) @binding(2) var<storage, read> target_code: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, k]; [rows] in cross_entropy
@group(0) @binding(4) var<storage, read> x4: array<Element>; // [rows, k / 4]; y in backward
@group(0) @binding(5) var<storage, read> dy4: array<Element>; // [rows, k / 4]
@group(0) @binding(6) var<storage, read_write> y4: array<Element>; // [rows, k / 4]
const LANES = vec4(0u, 1u, 2u, 3u);
const LEAST = vec4(-0x1.fffffep+127f);

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
    let first = row * p.k;
    let norm = log_sum(first);
    for (var i = 0u; i < p.k; i += 1u) {
        let log_y = (p.scale * x[first + i] - norm.x) - norm.y;
        y[first + i] = select(exp(log_y), log_y, LOG);
    }
}

@compute @workgroup_size(64)
fn forward_fours(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * (p.k / 4u);
    let entries = min(p.seen, row - divide(row, p.period) * p.period + p.reach);
    let seen = vec4(entries);
    let elements = (entries + 3u) / 4u;
    var tops = LEAST;
    for (var i = 0u; i < elements; i += 1u) {
        tops = max(tops, select(LEAST, p.scale * values(x4[first + i]), 4u * i + LANES < seen));
    }
    let top = max(max(tops.x, tops.y), max(tops.z, tops.w));
    var sums = vec4(0.0);
    for (var i = 0u; i < elements; i += 1u) {
        sums += select(vec4(0.0), exp(p.scale * values(x4[first + i]) - top), 4u * i + LANES < seen);
    }
    let norm = accurate_log(total(sums));
    for (var i = 0u; i < elements; i += 1u) {
        let log_y = (p.scale * values(x4[first + i]) - top) - norm;
        y4[first + i] = element(select(vec4(0.0), select(exp(log_y), log_y, LOG), 4u * i + LANES < seen));
    }
    for (var i = elements; i < p.k / 4u; i += 1u) {
        y4[first + i] = Element();
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
fn backward_fours(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.rows {
        return;
    }
    let first = row * (p.k / 4u);
    let end = first + p.k / 4u;
    var sums = vec4(0.0);
    for (var i = first; i < end; i += 1u) {
        sums += values(dy4[i]) * select(values(x4[i]), vec4(1.0), LOG);
    }
    let sum = total(sums);
    for (var i = first; i < end; i += 1u) {
        let saved = values(x4[i]);
        if LOG {
            y4[i] = element(p.scale * (values(dy4[i]) - exp(saved) * sum));
        } else {
            y4[i] = element(p.scale * (saved * (values(dy4[i]) - sum)));
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
