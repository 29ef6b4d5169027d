//! What a driver does where WGSL leaves it a choice. `probes.rs` looks at the results on the host.
//!   compare        y[i]: bits of x != x, x == x, x < 1, x >= 1
//!   functions      y[i]: bits of a builtin of x[i], the one that `at` names
//!   rounding       y: (a + b) - b, b - ((a + b) - a), a b - c, fma(a, b, -c) of (a, b, c) = x
//!   sums           y: compensated and plain sum of x
//!   ones           y[0]: sum of `count` ones, one a round
//!   integers       y: quotients and remainders of `count` and `at`, unsigned and signed
//!   outside_read   y[0]: bits of x[at]
//!   outside_write  y[at] = 7

struct Params { count: u32, at: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // [count], or what the head says

@compute @workgroup_size(64)
fn compare(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.count {
        return;
    }
    let a = x[id.x];
    y[id.x] = select(0u, 1u, a != a) | select(0u, 2u, a == a) | select(0u, 4u, a < 1.0) | select(0u, 8u, a >= 1.0);
}

fn builtin(which: u32, a: f32) -> f32 {
    switch which {
        case 0u: { return exp(a); }
        case 1u: { return log(a); }
        case 2u: { return tanh(a); }
        case 3u: { return sin(a); }
        case 4u: { return cos(a); }
        case 5u: { return inverseSqrt(a); }
        case 6u: { return sqrt(a); }
        case 7u: { return 1.0 / a; }
        case 8u: { return a * 0.5; }
        default: { return a; }
    }
}

@compute @workgroup_size(64)
fn functions(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.count {
        return;
    }
    y[id.x] = bitcast<u32>(builtin(p.at, x[id.x]));
}

@compute @workgroup_size(1)
fn rounding() {
    let a = x[0];
    let b = x[1];
    let c = x[2];
    y[0] = bitcast<u32>((a + b) - b);
    y[1] = bitcast<u32>(b - ((a + b) - a));
    y[2] = bitcast<u32>(a * b - c);
    y[3] = bitcast<u32>(fma(a, b, -c));
}

@compute @workgroup_size(1)
fn sums() {
    var sum = 0.0;
    var rest = 0.0;
    var plain = 0.0;
    for (var i = 0u; i < p.count; i += 1u) {
        let next = x[i] - rest;
        let total = sum + next;
        rest = (total - sum) - next;
        sum = total;
        plain += x[i];
    }
    y[0] = bitcast<u32>(sum);
    y[1] = bitcast<u32>(plain);
}

@compute @workgroup_size(1)
fn ones() {
    var sum = 0.0;
    for (var i = 0u; i < p.count; i += 1u) {
        sum += x[0];
    }
    y[0] = bitcast<u32>(sum);
}

@compute @workgroup_size(1)
fn integers() {
    y[0] = p.count / p.at;
    y[1] = p.count % p.at;
    y[2] = bitcast<u32>(bitcast<i32>(p.count) / bitcast<i32>(p.at));
    y[3] = bitcast<u32>(bitcast<i32>(p.count) % bitcast<i32>(p.at));
}

@compute @workgroup_size(1)
fn outside_read() {
    y[0] = bitcast<u32>(x[p.at]);
}

@compute @workgroup_size(1)
fn outside_write() {
    y[p.at] = 7u;
}
