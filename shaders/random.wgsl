//! Random numbers into memory: bits, uniform (0, 1), standard normal, Gumbel(0, 1).
//! Element i is the same function of (seed, step, stream, first + i) on every adapter and on the host; see
//! shared/philox.wgsl.
#import grid
#import philox

override LAW: u32 = 0; // 0 uniform, 1 normal, 2 Gumbel

struct Params { count: u32, first: u32, stream: Stream } // first: index of the first number
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> words: array<u32>; // [count]

fn law4(block: u32) -> vec4<f32> {
    let bits = random_bits(p.stream, block);
    if LAW == 1u {
        return normal4(bits);
    } else if LAW == 2u {
        return gumbel4(bits);
    }
    return uniform4(bits);
}

@compute @workgroup_size(64)
fn fill(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, lid, 64u);
    let at = block + p.first / 4u;
    var v = law4(at);
    if p.first % 4u > 0u {
        v = bitcast<vec4<f32>>(neighbours(bitcast<vec4<u32>>(v), bitcast<vec4<u32>>(law4(at + 1u)), p.first % 4u));
    }
    for (var j = 0u; j < min(4u, max(p.count, 4u * block) - 4u * block); j += 1u) {
        y[4u * block + j] = v[j];
    }
}

@compute @workgroup_size(64)
fn bits(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, lid, 64u);
    let at = block + p.first / 4u;
    var four = random_bits(p.stream, at);
    if p.first % 4u > 0u {
        four = neighbours(four, random_bits(p.stream, at + 1u), p.first % 4u);
    }
    for (var j = 0u; j < min(4u, max(p.count, 4u * block) - 4u * block); j += 1u) {
        words[4u * block + j] = four[j];
    }
}
