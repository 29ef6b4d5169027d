//! How f32 becomes f16; a file of its own, as an old OpenGL cannot compile it.
//!   halves   y[2i], y[2i + 1]: x[i] packed as f16; the same unpacked

struct Params { count: u32, at: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // [count, 2]

@compute @workgroup_size(64)
fn halves(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.count {
        return;
    }
    let packed = pack2x16float(vec2(x[id.x], 0.0));
    y[2u * id.x] = packed;
    y[2u * id.x + 1u] = bitcast<u32>(unpack2x16float(packed).x);
}
