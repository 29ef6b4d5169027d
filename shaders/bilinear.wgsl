//! Images on another grid by bilinear interpolation, channels last; pixels are points at the centres of their squares.
//!   resize            y[n, p, q, c] = Σ_i Σ_j r(p, i) s(q, j) x[n, i, j, c]
//!   resize_backward   dx[n, i, j, c] = Σ_p Σ_q r(p, i) s(q, j) dy[n, p, q, c]
//! r(p, ·) is 1 − λ at i = ⌊source⌋ and λ at i + 1, source = max(0, (p + ½) h / out_h − ½) and λ its fraction; the last row
//! stands for those after it. Likewise s. Places are computed in whole numbers: exact, where floats round at every edge.
//! Grid: one invocation per pixel of y (dx) and four channels.
#import grid

struct Params { batch: u32, h: u32, w: u32, c: u32, out_h: u32, out_w: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]; [n, out_h, out_w, c] in resize_backward
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [n, out_h, out_w, c]; [n, h, w, c] in resize_backward

// What an invocation writes: (n, row, column) of a pixel, the first channel, and its place in y.
struct Place { n: u32, row: u32, column: u32, channel: u32, at: u32 }

// Invocation number -> place in images of height h and width w; n is too large beyond the last.
fn place_of(invocation: u32, h: u32, w: u32) -> Place {
    let fours = (p.c + 3u) / 4u;
    let pixel = divide(invocation, fours);
    let line = divide(pixel, w);
    let n = divide(line, h);
    let channel = 4u * (invocation - pixel * fours);
    return Place(n, line - n * h, pixel - line * w, channel, pixel * p.c + channel);
}

// Two neighbours of a side, perhaps the same, and their shares.
struct Pair { low: u32, high: u32, first: f32, second: f32 }

// The neighbours from which `at` of a side `to` long is made out of a side `size` long.
fn source_of(at: u32, size: u32, to: u32) -> Pair {
    // source · 2 to, in whole numbers.
    let doubled = (2u * at + 1u) * size;
    let numerator = max(doubled, to) - to;
    let low = divide(numerator, 2u * to);
    let rest = numerator - low * 2u * to;
    let whole = f32(2u * to);
    return Pair(low, min(low + 1u, size - 1u), f32(2u * to - rest) / whole, f32(rest) / whole);
}

// r(at, i): what `at` takes of `i`.
fn share(at: u32, i: u32, size: u32, to: u32) -> f32 {
    let pair = source_of(at, size, to);
    return select(0.0, pair.first, pair.low == i) + select(0.0, pair.second, pair.high == i);
}

// [begin, end) on the side `to` long: all that may take something of `i`.
fn takers(i: u32, size: u32, to: u32) -> vec2<u32> {
    let begin = divide(max(i, 1u) * to - to, size);
    let end = divide((2u * i + 3u) * to, 2u * size) + 1u;
    return vec2(max(begin, 1u) - 1u, min(end, to));
}

fn pixels_at(line: u32, column: u32, width: u32, channels: vec4<u32>) -> vec4<f32> {
    let at = (line * width + column) * p.c + channels;
    return vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn put(at: u32, channels: vec4<u32>, values: vec4<f32>) {
    // Channels beyond the last repeat it.
    y[at + channels.x] = values.x;
    y[at + channels.y] = values.y;
    y[at + channels.z] = values.z;
    y[at + channels.w] = values.w;
}

@compute @workgroup_size(64)
fn resize(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = place_of(linear_index(wid, grid, lid, 64u), p.out_h, p.out_w);
    if to.n >= p.batch {
        return;
    }
    let offsets = min(vec4(0u, 1u, 2u, 3u), vec4(p.c - 1u - to.channel));
    let channels = to.channel + offsets;
    let rows = source_of(to.row, p.h, p.out_h);
    let columns = source_of(to.column, p.w, p.out_w);
    let above = to.n * p.h + rows.low;
    let below = to.n * p.h + rows.high;
    let upper = columns.first * pixels_at(above, columns.low, p.w, channels) + columns.second * pixels_at(above, columns.high, p.w, channels);
    let lower = columns.first * pixels_at(below, columns.low, p.w, channels) + columns.second * pixels_at(below, columns.high, p.w, channels);
    put(to.at, offsets, rows.first * upper + rows.second * lower);
}

@compute @workgroup_size(64)
fn resize_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = place_of(linear_index(wid, grid, lid, 64u), p.h, p.w);
    if to.n >= p.batch {
        return;
    }
    let offsets = min(vec4(0u, 1u, 2u, 3u), vec4(p.c - 1u - to.channel));
    let rows = takers(to.row, p.h, p.out_h);
    let columns = takers(to.column, p.w, p.out_w);
    var sum = vec4(0.0);
    for (var row = rows.x; row < rows.y; row += 1u) {
        let of_row = share(row, to.row, p.h, p.out_h);
        for (var column = columns.x; column < columns.y; column += 1u) {
            let taken = of_row * share(column, to.column, p.w, p.out_w);
            sum += taken * pixels_at(to.n * p.out_h + row, column, p.out_w, to.channel + offsets);
        }
    }
    put(to.at, offsets, sum);
}
