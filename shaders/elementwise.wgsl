//! Functions of one element.
//!   unary            y = f(x)
//!   unary_backward   dx = dy f'(x)
//! OP picks f; the driver folds the switch. Four numbers an invocation; ..._each, for other sizes, have one.
#import grid
#import fours
#import accurate

override OP: u32 = 0;

struct Params { count: u32, scale: f32, shift: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<Element>; // [count / 4]
@group(0) @binding(1) var<storage, read> dy: array<Element>; // [count / 4]
@group(0) @binding(2) var<storage, read_write> y: array<Element>; // [count / 4]; dx in unary_backward
@group(0) @binding(3) var<storage, read> x_each: array<f32>; // [count]
@group(0) @binding(4) var<storage, read> dy_each: array<f32>; // [count]
@group(0) @binding(5) var<storage, read_write> y_each: array<f32>; // [count]; dx in unary_backward_each

// The standard normal law's density and distribution function.
fn density(v: f32) -> f32 { return 0.3989422804 * exp(-0.5 * v * v); }
fn distribution(v: f32) -> f32 { return 0.5 + 0.5 * accurate_erf(0.7071067812 * v); }

// What a function without a case gives, so that no test passes.
const UNKNOWN: f32 = 3.4e38;

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
        case 9u: { return accurate_sigmoid(v); }
        default: { return UNKNOWN; }
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
        case 9u: { return accurate_sigmoid(v) * accurate_sigmoid(-v); }
        default: { return UNKNOWN; }
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
