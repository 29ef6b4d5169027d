// A number as an element.
alias Element = f32;
alias Values = f32;
const PER_ELEMENT = 1u;

fn values(v: Element) -> Values {
    return v;
}

fn element(v: Values) -> Element {
    return v;
}

fn total(v: Values) -> f32 {
    return v;
}

fn largest(v: Values) -> f32 {
    return v;
}

// Whether number `at` of a row is among its first `count`.
fn among(at: u32, count: u32) -> bool {
    return at < count;
}
