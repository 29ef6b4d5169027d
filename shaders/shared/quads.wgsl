// Four numbers as an element of twice 64 bits.
alias Element = vec2<u64>;

fn values(v: Element) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}

fn element(v: vec4<f32>) -> Element {
    let bits = bitcast<vec4<u32>>(v);
    return vec2(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
