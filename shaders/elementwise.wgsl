//! Functions of one element, and arithmetic of two tensors with broadcasting.
//!   unary            y = f(x)
//!   unary_backward   dx = dy f'(x)
//!   binary           y = a op b, shapes broadcast over up to four merged dimensions
//!   binary_same      the same for equal shapes
//! OP picks f or op; the driver folds the switch. Four elements an invocation.
#import grid
#import accurate

override OP: u32 = 0;
// In binary: the last merged dimension divides by four.
override FOURS: bool = false;

struct Params { count: u32, scale: f32, shift: f32 }
struct Broadcast { sizes: vec4<u32>, a: vec4<u32>, b: vec4<u32>, count: u32 }
var<immediate> p: Params;
var<immediate> broadcast: Broadcast;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [count]; dx in unary_backward
@group(0) @binding(3) var<storage, read> a: array<f32>; // [a shape that broadcasts to [count]]
@group(0) @binding(4) var<storage, read> b: array<f32>; // [a shape that broadcasts to [count]]
@group(0) @binding(5) var<storage, read_write> c: array<f32>; // [count]

// The standard normal law's density and distribution function.
fn density(v: f32) -> f32 { return 0.3989422804 * exp(-0.5 * v * v); }
fn distribution(v: f32) -> f32 { return 0.5 + 0.5 * accurate_erf(0.7071067812 * v); }

fn value(v: f32) -> f32 {
    switch OP {
        case 0u: { return p.scale * v + p.shift; }
        case 1u: { return exp(v); }
        case 2u: { return accurate_log(v); }
        case 3u: { return v * v; }
        case 4u: { return v * accurate_sigmoid(v); } // SiLU
        case 5u: { return v * distribution(v); } // GELU, the exact one
        case 6u: { return max(v, 0.0); } // ReLU
        case 7u: { return select(exp(min(v, 0.0)) - 1.0, v, v > 0.0); } // ELU, α = 1
        case 8u: { return accurate_tanh(v); }
        default: { return accurate_sigmoid(v); }
    }
}

fn derivative(v: f32) -> f32 {
    switch OP {
        case 0u: { return p.scale; }
        case 1u: { return exp(v); }
        case 2u: { return 1.0 / v; }
        case 3u: { return 2.0 * v; }
        case 4u: { return silu_slope(v); }
        case 5u: { return distribution(v) + v * density(v); }
        case 6u: { return select(0.0, 1.0, v > 0.0); }
        case 7u: { return select(exp(min(v, 0.0)), 1.0, v > 0.0); }
        case 8u: {
            // sech², through exp(−2|v|): 1 − tanh² would cancel.
            let e = exp(-2.0 * abs(v));
            return 4.0 * e / ((1.0 + e) * (1.0 + e));
        }
        default: { return accurate_sigmoid(v) * accurate_sigmoid(-v); }
    }
}

fn combine(left: f32, right: f32) -> f32 {
    switch OP {
        case 0u: { return left + right; }
        case 1u: { return left - right; }
        case 2u: { return left * right; }
        default: { return left / right; }
    }
}

@compute @workgroup_size(64)
fn unary(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        y[i] = value(x[i]);
    }
}

@compute @workgroup_size(64)
fn unary_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        y[i] = dy[i] * derivative(x[i]);
    }
}

@compute @workgroup_size(64)
fn binary_same(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        c[i] = combine(a[i], b[i]);
    }
}

// Where a and b have element i of the result.
fn places(i: u32) -> vec2<u32> {
    var rest = i;
    var at_a = 0u;
    var at_b = 0u;
    for (var dim = 3; dim >= 0; dim -= 1) {
        let q = divide(rest, broadcast.sizes[dim]);
        let r = rest - q * broadcast.sizes[dim];
        at_a += r * broadcast.a[dim];
        at_b += r * broadcast.b[dim];
        rest = q;
    }
    return vec2(at_a, at_b);
}

@compute @workgroup_size(64)
fn binary(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    let end = min(first + 4u, broadcast.count);
    if FOURS {
        let at = places(first);
        for (var i = first; i < end; i += 1u) {
            c[i] = combine(a[at.x + (i - first) * broadcast.a[3]], b[at.y + (i - first) * broadcast.b[3]]);
        }
        return;
    }
    for (var i = first; i < end; i += 1u) {
        let at = places(i);
        c[i] = combine(a[at.x], b[at.y]);
    }
}
