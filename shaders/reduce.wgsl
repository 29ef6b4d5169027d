//! Sums over the middle dimension: y[o, i] = scale Σ_r x[o, r, i].
//!   serial   one invocation an output: many outputs
//!   fours    one invocation four neighbouring outputs, where inner and count divide by 4
//!   tree     one workgroup an output: few outputs; strided partial sums, then a fixed tree
//!   columns  one workgroup 32 neighbouring outputs, likewise, where inner and count divide by 4. Grid: x over inner, y over outer
//!   parts    y[o, i] = Σ_r x[r, o, i] + bias[i] + residual[o, i]: what a product in parts ends with; one invocation four
//!            neighbours, where inner divides by 4
//!   spread   the gradient of both: y[o, r, i] = scale x[o, i]
//! SQUARE sums x². The last row may be short: x has `count` elements. The host splits r so that no invocation loops more than 32,768 times.
#import grid
#import fours

override SQUARE: bool = false;
override BIAS: bool = false;
override RESIDUAL: bool = false;

struct Params { outer: u32, middle: u32, inner: u32, count: u32, scale: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [outer, middle, inner]; [outer, inner] in spread
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [outer, inner]; [outer, middle, inner] in spread
@group(0) @binding(2) var<storage, read> x4: array<Element>; // [outer, middle, inner / 4]
@group(0) @binding(3) var<storage, read_write> y4: array<Element>; // [outer, inner / 4]
@group(0) @binding(4) var<storage, read> bias: array<Element>; // [inner / 4]
@group(0) @binding(5) var<storage, read> residual: array<Element>; // [outer, inner / 4]
var<workgroup> sh_sum: array<f32, 64>;

// Rows from element `first` on of a matrix of `count` elements, `inner` a row; the last of all may be short.
fn rows_of(first: u32, inner: u32, count: u32) -> u32 {
    return min(p.middle, (max(count, first) - first + inner - 1u) / inner);
}

fn term(at: u32) -> f32 {
    let v = x[at];
    return select(v, v * v, SQUARE);
}

fn terms(v: vec4<f32>) -> vec4<f32> {
    return select(v, v * v, SQUARE);
}

@compute @workgroup_size(64)
fn serial(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.outer * p.inner {
        return;
    }
    let o = divide(at, p.inner);
    let first = o * p.middle * p.inner + (at - o * p.inner);
    var sum = 0.0;
    let rows = rows_of(first, p.inner, p.count);
    for (var r = 0u; r < rows; r += 1u) {
        sum += term(first + r * p.inner);
    }
    y[at] = p.scale * sum;
}

@compute @workgroup_size(64)
fn fours(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let inner = p.inner / 4u;
    if at >= p.outer * inner {
        return;
    }
    let o = divide(at, inner);
    let first = o * p.middle * inner + (at - o * inner);
    let rows = rows_of(first, inner, p.count / 4u);
    var sum = vec4(0.0);
    for (var r = 0u; r < rows; r += 1u) {
        sum += terms(values(x4[first + r * inner]));
    }
    y4[at] = element(p.scale * sum);
}

@compute @workgroup_size(64)
fn tree(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, 0u, 1u);
    let inside = at < p.outer * p.inner;
    var sum = 0.0;
    if inside {
        let o = at / p.inner;
        let first = o * p.middle * p.inner + at % p.inner;
        let rows = rows_of(first, p.inner, p.count);
        for (var r = lid; r < rows; r += 64u) {
            sum += term(first + r * p.inner);
        }
    }
    sh_sum[lid] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lid < half {
            sh_sum[lid] += sh_sum[lid + half];
        }
    }
    if lid == 0u && inside {
        y[at] = p.scale * sh_sum[0];
    }
}

@compute @workgroup_size(64)
fn parts(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let inner = p.inner / 4u;
    let count = p.outer * inner;
    if at >= count {
        return;
    }
    var sum = values(x4[at]);
    for (var r = 1u; r < p.middle; r += 1u) {
        sum += values(x4[r * count + at]);
    }
    if BIAS {
        sum += values(bias[at - divide(at, inner) * inner]);
    }
    if RESIDUAL {
        sum += values(residual[at]);
    }
    y4[at] = element(sum);
}

var<workgroup> sh_columns: array<vec4<f32>, 256>;

@compute @workgroup_size(8, 32)
fn columns(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let inner = p.inner / 4u;
    let column = wid.x * 8u + local.x;
    let first = wid.y * p.middle * inner + column;
    var sum = vec4(0.0);
    if column < inner {
        let rows = rows_of(first, inner, p.count / 4u);
        for (var r = local.y; r < rows; r += 32u) {
            sum += terms(values(x4[first + r * inner]));
        }
    }
    let own = local.y * 8u + local.x;
    sh_columns[own] = sum;
    for (var half = 128u; half > 4u; half /= 2u) {
        workgroupBarrier();
        if own < half {
            sh_columns[own] += sh_columns[own + half];
        }
    }
    if own < 8u && column < inner {
        y4[wid.y * inner + column] = element(p.scale * sh_columns[own]);
    }
}

@compute @workgroup_size(64)
fn spread(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.outer * p.middle * p.inner {
        return;
    }
    let o = divide(at, p.middle * p.inner);
    let i = at - divide(at, p.inner) * p.inner;
    y[at] = p.scale * x[o * p.inner + i];
}
