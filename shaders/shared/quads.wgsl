// As fours.wgsl, of twice 64 bits: for drivers that load and store lane by lane, 64 bits as fast as 32.
#import vec4s

alias Element = vec2<u64>;

fn values(v: Element) -> Values {
    return bitcast<vec4<f32>>(vec4(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}

fn element(v: Values) -> Element {
    let bits = bitcast<vec4<u32>>(v);
    return vec2(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
