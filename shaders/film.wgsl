//! Feature-wise modulation by the time step, then SiLU (Perez et al. 2018):
//!   forward    y[n, l, c] = silu(u),  u = x[n, l, c] s + b,  (s, b) = modulation[n] halves
//!   backward   g = dy silu'(u);  dx = g s;  dmodulation[n] = (Σ_l g x, Σ_l g)
//! Grid: one invocation per (n, c), looping over positions.
#import grid
#import accurate

struct Params { batch: u32, length: u32, c: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, l, c]
@group(0) @binding(1) var<storage, read> modulation: array<f32>; // [n, 2 c]: s, b
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [n, l, c]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [n, l, c]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // [n, l, c]
@group(0) @binding(6) var<storage, read_write> dmodulation: array<f32>; // [n, 2 c]

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.c {
        return;
    }
    let n = divide(at, p.c);
    let channel = at - n * p.c;
    let row = 2u * p.c * n + channel;
    let s = modulation[row];
    let b = modulation[row + p.c];
    for (var l = 0u; l < p.length; l += 1u) {
        let i = (n * p.length + l) * p.c + channel;
        let u = fma(x[i], s, b);
        y[i] = u * accurate_sigmoid(u);
    }
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.c {
        return;
    }
    let n = divide(at, p.c);
    let channel = at - n * p.c;
    let row = 2u * p.c * n + channel;
    let s = modulation[row];
    let b = modulation[row + p.c];
    var ds = 0.0;
    var db = 0.0;
    for (var l = 0u; l < p.length; l += 1u) {
        let i = (n * p.length + l) * p.c + channel;
        let v = x[i];
        let u = fma(v, s, b);
        let g = dy[i] * silu_slope(u);
        dx[i] = g * s;
        ds += g * v;
        db += g;
    }
    dmodulation[row] = ds;
    dmodulation[row + p.c] = db;
}
