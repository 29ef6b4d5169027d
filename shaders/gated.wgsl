//! Gated activation (van den Oord et al. 2016): of the halves a, b of the last dimension
//!   forward    y = tanh(a) σ(b)
//!   backward   da = dy sech²(a) σ(b),  db = dy tanh(a) σ(b) σ(−b)
//! Grid: four elements of y an invocation.
#import grid
#import accurate

struct Params { count: u32, c: u32 } // elements of y, and those of a row
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, 2 c]
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [rows, c]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, c]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>; // [rows, 2 c]

// Where the a of element i of y stands; its b stands c behind.
fn place(i: u32) -> u32 {
    return i + divide(i, p.c) * p.c;
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        let at = place(i);
        y[i] = accurate_tanh(x[at]) * accurate_sigmoid(x[at + p.c]);
    }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, p.count); i += 1u) {
        let at = place(i);
        let a = x[at];
        let b = x[at + p.c];
        let g = dy[i] * accurate_sigmoid(b);
        // sech², through exp(−2|a|): 1 − tanh² would cancel.
        let e = exp(-2.0 * abs(a));
        dx[at] = g * (4.0 * e / ((1.0 + e) * (1.0 + e)));
        dx[at + p.c] = g * accurate_tanh(a) * accurate_sigmoid(-b);
    }
}
