// Index of an invocation in a one-dimensional grid. Grids of more than 65,535 workgroups are folded into y.
fn linear_index(workgroup: vec3<u32>, workgroups: vec3<u32>, local: u32, size: u32) -> u32 {
    return (workgroup.y * workgroups.x + workgroup.x) * size + local;
}

// k / d for k < 2^31, exact: CPU drivers do integer division lane by lane, float division in vectors.
// The first quotient is off by at most 2^-22 of itself, the second by at most one.
fn divide(k: u32, d: u32) -> u32 {
    let divisor = f32(d);
    let q = u32(f32(k) / divisor);
    let rest = i32(k - q * d);
    let better = i32(q) + i32(floor(f32(rest) / divisor));
    let last = i32(k) - better * i32(d);
    return u32(better + select(0, 1, last >= i32(d)) - select(0, 1, last < 0));
}
