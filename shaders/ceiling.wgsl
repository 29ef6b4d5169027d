//! What an adapter can do at most, for `dbvq-wgpu bench`: arithmetic that never leaves the registers, and a copy.
//!   fma_chain  y = Σ_j v_j of 12 chains v_j ← v_j a + b, begun at v_j = x + j/8, of 8 `rounds` links each
//!   copy       y = x
//! a and b are no constants, so that no compiler knows the chains. Grid: an element an invocation; `copy` four of them.
#import grid

struct Params { count: u32, rounds: u32, a: f32, b: f32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(2) var<storage, read> x4: array<vec4<f32>>; // [count / 4]
@group(0) @binding(3) var<storage, read_write> y4: array<vec4<f32>>; // [count / 4]

// 12 chains: enough to fill two arithmetic units of four steps each, few enough for 16 registers.
struct Chains { u: vec4<f32>, v: vec4<f32>, w: vec4<f32> }

fn link(c: Chains, a: vec4<f32>, b: vec4<f32>) -> Chains {
    return Chains(fma(c.u, a, b), fma(c.v, a, b), fma(c.w, a, b));
}

// Eight of them.
fn links(c: Chains, a: vec4<f32>, b: vec4<f32>) -> Chains {
    let four = link(link(link(link(c, a, b), a, b), a, b), a, b);
    return link(link(link(link(four, a, b), a, b), a, b), a, b);
}

@compute @workgroup_size(64)
fn fma_chain(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.count {
        return;
    }
    // No number has that index, but compilers see factors that are not everybody's, and keep them in registers of each lane; those
    // that are, some copy there before every link.
    let nobody = i == 0xffffffffu;
    let a = vec4(select(p.a, p.b, nobody));
    let b = vec4(select(p.b, p.a, nobody));
    let start = x[i] + vec4(0.0, 0.125, 0.25, 0.375);
    var c = Chains(start, start + 0.5, start + 1.0);
    for (var round = 0u; round < p.rounds; round += 1u) {
        c = links(c, a, b);
    }
    let sum = c.u + c.v + c.w;
    y[i] = (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(64)
fn copy(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i < p.count {
        y4[i] = x4[i];
    }
}
