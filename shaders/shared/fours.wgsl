// Four numbers as an element.
#import vec4s

alias Element = vec4<f32>;

fn values(v: Element) -> Values {
    return v;
}

fn element(v: Values) -> Element {
    return v;
}
