//! Numbers kept as f16, two to a word. Rounding of the cast is the adapter's (WGSL leaves it open); what f16 cannot hold
//! becomes its largest number, not infinity. Grid: two elements an invocation, one word.
#import grid

struct Params { count: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> packed: array<u32>; // [⌈count / 2⌉]
@group(0) @binding(2) var<storage, read> words: array<u32>; // [⌈count / 2⌉]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [count]

const LARGEST = vec2(65504.0);

@compute @workgroup_size(64)
fn pack(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let word = linear_index(wid, grid, lid, 64u);
    let at = 2u * word;
    if at < p.count {
        // An odd count repeats its last element.
        let pair = vec2(x[at], x[min(at + 1u, p.count - 1u)]);
        packed[word] = pack2x16float(clamp(pair, -LARGEST, LARGEST));
    }
}

@compute @workgroup_size(64)
fn unpack(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let word = linear_index(wid, grid, lid, 64u);
    let at = 2u * word;
    if at < p.count {
        let pair = unpack2x16float(words[word]);
        y[at] = pair.x;
        if at + 1u < p.count {
            y[at + 1u] = pair.y;
        }
    }
}
