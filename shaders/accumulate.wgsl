//! Sum of two gradients that meet at one tensor of the tape, an element an invocation.
#import grid
#import fours

struct Params { count: u32 } // of elements
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<Element>; // [count]
@group(0) @binding(1) var<storage, read> b: array<Element>; // [count]
@group(0) @binding(2) var<storage, read_write> y: array<Element>; // [count]

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y[i] = element(values(a[i]) + values(b[i]));
    }
}

@compute @workgroup_size(64)
fn in_place(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y[i] = element(values(y[i]) + values(b[i]));
    }
}
