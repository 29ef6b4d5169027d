//! The Ornstein-Uhlenbeck bridge, one element an invocation block of four.
//!   marginal    z_t = z* + signal[n] (z_0 − z*) + noise[n] ε
//!   marginal_backward   dz_0 = signal[n] dz_t
//!   step        z_s = c0 z_t + c1 ε + c2 ξ + c3 z*,  ξ drawn here (DRAW) or given; serves ancestral, DDIM(κ) and the printed form
//!   dpmpp2m     z_s = z* + c_z (z_t − z*) + c_now (ẑ_0 − z*) + c_prev (ẑ_0' − z*),  ẑ_0 = z* + a (z_t − z*) + b ε kept for the next step
//! The target z* has one entry or one per channel. Coefficients come from the host in f64.
#import grid
#import philox

override DRAW: bool = true;

struct Marginal { count: u32, per_sample: u32, channels: u32, targets: u32 }
struct Step { count: u32, channels: u32, targets: u32, c: array<f32, 4>, stream: Stream }
struct Multistep { count: u32, channels: u32, targets: u32, c_z: f32, c_now: f32, c_prev: f32, zhat_z: f32, zhat_eps: f32 }
var<immediate> m: Marginal;
var<immediate> s: Step;
var<immediate> d: Multistep;
@group(0) @binding(0) var<storage, read> z: array<f32>; // [n, positions, channels]; dz_t in marginal_backward
@group(0) @binding(1) var<storage, read> eps: array<f32>; // as z
@group(0) @binding(2) var<storage, read> xi: array<f32>; // as z; unused with DRAW
@group(0) @binding(3) var<storage, read> target_state: array<f32>; // [1] or [channels]
@group(0) @binding(4) var<storage, read> coefficients: array<f32>; // [n, 2]: signal, noise
@group(0) @binding(5) var<storage, read> previous: array<f32>; // as z: ẑ_0 of the step before
@group(0) @binding(6) var<storage, read_write> out: array<f32>; // as z
@group(0) @binding(7) var<storage, read_write> estimate: array<f32>; // as z: ẑ_0

@compute @workgroup_size(64)
fn marginal(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, m.count); i += 1u) {
        let goal = target_state[select(0u, i % m.channels, m.targets > 1u)];
        let n = divide(i, m.per_sample);
        out[i] = goal + coefficients[2u * n] * (z[i] - goal) + coefficients[2u * n + 1u] * eps[i];
    }
}

@compute @workgroup_size(64)
fn marginal_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, m.count); i += 1u) {
        out[i] = coefficients[2u * divide(i, m.per_sample)] * z[i];
    }
}

@compute @workgroup_size(64)
fn step(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, lid, 64u);
    var noise = vec4(0.0);
    if DRAW && s.c[2] != 0.0 {
        noise = normal4(random_bits(s.stream, block));
    }
    for (var j = 0u; j < min(4u, max(s.count, 4u * block) - 4u * block); j += 1u) {
        let i = 4u * block + j;
        if !DRAW {
            noise[j] = xi[i];
        }
        let goal = target_state[select(0u, i % s.channels, s.targets > 1u)];
        out[i] = s.c[0] * z[i] + s.c[1] * eps[i] + s.c[2] * noise[j] + s.c[3] * goal;
    }
}

@compute @workgroup_size(64)
fn dpmpp2m(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * linear_index(wid, grid, lid, 64u);
    for (var i = first; i < min(first + 4u, d.count); i += 1u) {
        let goal = target_state[select(0u, i % d.channels, d.targets > 1u)];
        let centred = z[i] - goal;
        let zhat = d.zhat_z * centred + d.zhat_eps * eps[i];
        estimate[i] = goal + zhat;
        out[i] = goal + d.c_z * centred + d.c_now * zhat + d.c_prev * (previous[i] - goal);
    }
}
