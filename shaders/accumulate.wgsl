//! Sum of two gradients that meet at one tensor of the tape. Four elements an invocation.
#import grid

struct Params { count: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>; // [count]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [count]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [count]

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        y[i] = a[i] + b[i];
    }
}

@compute @workgroup_size(64)
fn in_place(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        y[i] += b[i];
    }
}
