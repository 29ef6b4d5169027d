//! Arithmetic of two tensors, y = a op b, an element an invocation. OP picks op; the driver folds the switch.
//!   same        equal shapes
//!   broadcast   shapes broadcast over up to four merged dimensions, of which the last comes in whole elements
#import grid
#import fours

override OP: u32 = 0;

struct Same { count: u32 } // of elements
struct Broadcast { sizes: vec4<u32>, a: vec4<u32>, b: vec4<u32>, count: u32 } // sizes and strides in numbers, count of elements
var<immediate> p: Same;
var<immediate> broad: Broadcast;
@group(0) @binding(0) var<storage, read> a: array<Element>; // [a shape that broadcasts to y's]
@group(0) @binding(1) var<storage, read> b: array<Element>; // [a shape that broadcasts to y's]
@group(0) @binding(2) var<storage, read_write> y: array<Element>; // [count]
@group(0) @binding(3) var<storage, read> a_each: array<f32>; // as a
@group(0) @binding(4) var<storage, read> b_each: array<f32>; // as b

fn combine(left: Values, right: Values) -> Values {
    switch OP {
        case 0u: { return left + right; }
        case 1u: { return left - right; }
        case 2u: { return left * right; }
        default: { return left / right; }
    }
}

@compute @workgroup_size(64)
fn same(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y[i] = element(combine(values(a[i]), values(b[i])));
    }
}

// Where a and b have number i of the result.
fn places(i: u32) -> vec2<u32> {
    var rest = i;
    var at_a = 0u;
    var at_b = 0u;
    for (var dim = 3; dim >= 0; dim -= 1) {
        let q = divide(rest, broad.sizes[dim]);
        let r = rest - q * broad.sizes[dim];
        at_a += r * broad.a[dim];
        at_b += r * broad.b[dim];
        rest = q;
    }
    return vec2(at_a, at_b);
}

@compute @workgroup_size(64)
fn broadcast(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= broad.count {
        return;
    }
    let at = places(PER_ELEMENT * i);
    // An operand that runs on along a row has whole elements there, one that does not the same number all along.
    var left: Values;
    if broad.a[3] == 1u {
        left = values(a[at.x / PER_ELEMENT]);
    } else {
        left = Values(a_each[at.x]);
    }
    var right: Values;
    if broad.b[3] == 1u {
        right = values(b[at.y / PER_ELEMENT]);
    } else {
        right = Values(b_each[at.y]);
    }
    y[i] = element(combine(left, right));
}
