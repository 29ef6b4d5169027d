// Two numbers as an element of 64 bits.
alias Element = u64;

fn values(v: Element) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2(u32(v), u32(v >> 32u)));
}

fn element(v: vec2<f32>) -> Element {
    let bits = bitcast<vec2<u32>>(v);
    return u64(bits.x) | (u64(bits.y) << 32u);
}
