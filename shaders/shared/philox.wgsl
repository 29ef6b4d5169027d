// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and laws from it.
// Every number is a function of (seed, step, stream, index): counter [index / 4, 0, step, stream], key = seed;
// `src/philox.rs` gives the same bits on the host.
#import accurate

struct Stream { seed_low: u32, seed_high: u32, step: u32, stream: u32 }

// 32 x 32 -> 64 bits as (high, low), from 16-bit halves.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 16u);
    let middle2 = a0 * b1 + (middle & 0xffffu);
    return vec2(a1 * b1 + (middle >> 16u) + (middle2 >> 16u), a * b);
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round += 1u) {
        let first = multiply_wide(0xD2511F53u, c.x);
        let second = multiply_wide(0xCD9E8D57u, c.z);
        c = vec4(second.x ^ c.y ^ k.x, second.y, first.x ^ c.w ^ k.y, first.y);
        k += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// The four words with indices 4 block .. 4 block + 3.
fn random_bits(s: Stream, block: u32) -> vec4<u32> {
    return philox4x32(vec4(block, 0u, s.step, s.stream), vec2(s.seed_low, s.seed_high));
}

// Four neighbours of eight words, from the one with index `skip` < 4 on.
fn neighbours(a: vec4<u32>, b: vec4<u32>, skip: u32) -> vec4<u32> {
    var all = array(a.x, a.y, a.z, a.w, b.x, b.y, b.z);
    return vec4(all[skip], all[skip + 1u], all[skip + 2u], all[skip + 3u]);
}

// Uniform in the open interval (0, 1): 23 bits and a half, exact in f32, so equal on every adapter.
fn uniform4(bits: vec4<u32>) -> vec4<f32> {
    return (vec4<f32>(bits >> vec4(9u)) + 0.5) * 0x1p-23;
}

// Standard normal, Box-Muller: lanes (0, 1) and (2, 3) are pairs.
fn normal4(bits: vec4<u32>) -> vec4<f32> {
    let u = uniform4(bits);
    let radius = sqrt(-2.0 * vec2(accurate_log(u.x), accurate_log(u.z)));
    let first = sincos_turn(u.y);
    let second = sincos_turn(u.w);
    return vec4(radius.x * first.y, radius.x * first.x, radius.y * second.y, radius.y * second.x);
}

// Gumbel(0, 1).
fn gumbel4(bits: vec4<u32>) -> vec4<f32> {
    let u = uniform4(bits);
    let e = vec4(accurate_log(u.x), accurate_log(u.y), accurate_log(u.z), accurate_log(u.w));
    return -vec4(accurate_log(-e.x), accurate_log(-e.y), accurate_log(-e.z), accurate_log(-e.w));
}
