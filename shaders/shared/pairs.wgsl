// Two numbers as an element of 64 bits.
alias Element = u64;
alias Values = vec2<f32>;
const PER_ELEMENT = 2u;

fn values(v: Element) -> Values {
    return bitcast<vec2<f32>>(vec2(u32(v), u32(v >> 32u)));
}

fn element(v: Values) -> Element {
    let bits = bitcast<vec2<u32>>(v);
    return u64(bits.x) | (u64(bits.y) << 32u);
}

fn total(v: Values) -> f32 {
    return v.x + v.y;
}
