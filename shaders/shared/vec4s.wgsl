// What elements of four numbers share, however they lie in memory: fours.wgsl, quads.wgsl.
alias Values = vec4<f32>;
const PER_ELEMENT = 4u;

fn total(v: Values) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

fn largest(v: Values) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// Which numbers of element `at` of a row are among its first `count`.
fn among(at: u32, count: u32) -> vec4<bool> {
    return 4u * at + vec4(0u, 1u, 2u, 3u) < vec4(count);
}
