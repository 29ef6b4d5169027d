//! Functions of one element, and arithmetic of two tensors with broadcasting.
//!   unary            y = f(x)
//!   unary_backward   dx = dy f'(x)
//!   binary_same      y = a op b, of equal shapes
//!   binary           the same, shapes broadcast over up to four merged dimensions, of which the last divides by four
//! OP picks f or op; the driver folds the switch. Four numbers an invocation; ..._each, for other sizes, have one.
#import grid
#import fours
#import accurate

override OP: u32 = 0;

struct Params { count: u32, scale: f32, shift: f32 }
struct Broadcast { sizes: vec4<u32>, a: vec4<u32>, b: vec4<u32>, count: u32 }
var<immediate> p: Params;
var<immediate> broadcast: Broadcast;
@group(0) @binding(0) var<storage, read> x: array<Element>; // [count / 4]
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [count / 4]
@group(0) @binding(2) var<storage, read> a: array<Element>; // [a shape that broadcasts to [count / 4]]
@group(0) @binding(3) var<storage, read> b: array<Element>; // [a shape that broadcasts to [count / 4]]
@group(0) @binding(4) var<storage, read_write> y: array<Element>; // [count / 4]; dx in unary_backward
@group(0) @binding(5) var<storage, read> x_each: array<f32>; // [count]
@group(0) @binding(6) var<storage, read> dy_each: array<f32>; // [count]
@group(0) @binding(7) var<storage, read> a_each: array<f32>; // [a shape that broadcasts to [count]]
@group(0) @binding(8) var<storage, read> b_each: array<f32>; // [a shape that broadcasts to [count]]
@group(0) @binding(9) var<storage, read_write> y_each: array<f32>; // [count]; dx in unary_backward_each

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

fn combine(left: Values, right: Values) -> Values {
    switch OP {
        case 0u: { return left + right; }
        case 1u: { return left - right; }
        case 2u: { return left * right; }
        default: { return left / right; }
    }
}

@compute @workgroup_size(64)
fn unary(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count / 4u {
        let v = values(x[i]);
        y[i] = element(vec4(value(v.x), value(v.y), value(v.z), value(v.w)));
    }
}

@compute @workgroup_size(64)
fn unary_each(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y_each[i] = value(x_each[i]);
    }
}

@compute @workgroup_size(64)
fn unary_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count / 4u {
        let v = values(x[i]);
        y[i] = element(values(dy[i]) * vec4(derivative(v.x), derivative(v.y), derivative(v.z), derivative(v.w)));
    }
}

@compute @workgroup_size(64)
fn unary_backward_each(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y_each[i] = dy_each[i] * derivative(x_each[i]);
    }
}

@compute @workgroup_size(64)
fn binary_same(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count / 4u {
        y[i] = element(combine(values(a[i]), values(b[i])));
    }
}

// Where a and b have number i of the result.
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
    let i = linear_index(wid, grid, lid, 64u);
    if i >= broadcast.count / 4u {
        return;
    }
    let at = places(4u * i);
    // Of an operand that runs on there are four, of one that does not it is the same four times.
    var left = vec4(a_each[at.x]);
    if broadcast.a[3] == 1u {
        left = values(a[at.x / 4u]);
    }
    var right = vec4(b_each[at.y]);
    if broadcast.b[3] == 1u {
        right = values(b[at.y / 4u]);
    }
    y[i] = element(combine(left, right));
}

@compute @workgroup_size(64)
fn binary_each(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < broadcast.count {
        let at = places(i);
        y_each[i] = combine(vec4(a_each[at.x]), vec4(b_each[at.y])).x;
    }
}
