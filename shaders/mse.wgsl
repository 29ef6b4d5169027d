//! Weighted squared error, element by element: y = scale w[n] (a − b)²; the op sums it.
//!   backward   da = 2 scale w[n] (a − b) dy,  db = −da
#import grid

override WEIGHTED: bool = false;

struct Params { count: u32, per_sample: u32, scale: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>; // [n, per_sample]
@group(0) @binding(1) var<storage, read> b: array<f32>; // [n, per_sample]
@group(0) @binding(2) var<storage, read> weight: array<f32>; // [n]; unused unless WEIGHTED
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [1]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [n, per_sample]

fn scale_of(i: u32) -> f32 {
    if WEIGHTED {
        return p.scale * weight[divide(i, p.per_sample)];
    }
    return p.scale;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        let v = a[i] - b[i];
        y[i] = scale_of(i) * v * v;
    }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        y[i] = 2.0 * scale_of(i) * (a[i] - b[i]) * dy[0];
    }
}
