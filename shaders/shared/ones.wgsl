// A number as an element.
alias Element = f32;
alias Values = f32;

fn values(v: Element) -> Values {
    return v;
}

fn element(v: Values) -> Element {
    return v;
}
