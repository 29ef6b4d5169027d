//! Dropout (Srivastava et al. 2014): y = x / (1 − rate) where the uniform number of the element is at least the rate,
//! else 0. The mask is a function of (stream, index), so backward is the same kernel on dy.
//! Grid: four elements an invocation, one block of Philox.
#import grid
#import philox

struct Params { count: u32, first: u32, rate: f32, scale: f32, stream: Stream } // first: index of the first number; scale: 1 / (1 − rate)
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [count]

@compute @workgroup_size(64)
fn masked(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, lid, 64u);
    let at = block + p.first / 4u;
    var bits = random_bits(p.stream, at);
    if p.first % 4u > 0u {
        bits = neighbours(bits, random_bits(p.stream, at + 1u), p.first % 4u);
    }
    let keep = uniform4(bits) >= vec4(p.rate);
    let factor = select(vec4(0.0), vec4(p.scale), keep);
    for (var j = 0u; j < min(4u, max(p.count, 4u * block) - 4u * block); j += 1u) {
        y[4u * block + j] = factor[j] * x[4u * block + j];
    }
}
