// Four numbers as an element.
alias Element = vec4<f32>;
alias Values = vec4<f32>;
const PER_ELEMENT = 4u;

fn values(v: Element) -> Values {
    return v;
}

fn element(v: Values) -> Element {
    return v;
}

fn total(v: Values) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
