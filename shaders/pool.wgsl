//! Pooling over windows of each channel, channels last.
//!   average            y = Σ_window x / count; COUNT_PAD counts the padding's zeros too
//!   average_backward   dx = Σ over the windows around a pixel of dy / count
//!   maximum            y = max_window x, ties to the first in raster order; saves where it was
//!   maximum_backward   dx = Σ of dy over the windows whose maximum the pixel is
//! Grid: one invocation an element of what is written; gradients gather, so they have one order of summation.
#import grid

override COUNT_PAD: bool = true;

struct Params {
    batch: u32, h: u32, w: u32, c: u32,
    out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, pad_h: u32, pad_w: u32,
}
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [n, out_h, out_w, c]
@group(0) @binding(2) var<storage, read> saved: array<u32>; // as argmax
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [n, out_h, out_w, c]
@group(0) @binding(4) var<storage, read_write> argmax: array<u32>; // [n, out_h, out_w, c]: row * w + column
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // [n, h, w, c]

// Element number -> (n, row, column, channel) of images of height h and width w.
fn place_of(at: u32, h: u32, w: u32) -> vec4<u32> {
    let pixel = divide(at, p.c);
    let line = divide(pixel, w);
    let n = divide(line, h);
    return vec4(n, line - n * h, pixel - line * w, at - pixel * p.c);
}

// A range [begin, end) of rows and one of columns.
struct Range { begin: vec2<u32>, end: vec2<u32> }

// The image's pixels in the window of output pixel (row, column); never none.
fn window(row: u32, column: u32) -> Range {
    let pad = vec2(p.pad_h, p.pad_w);
    let first = vec2(row, column) * p.stride;
    let last = min(first + vec2(p.kernel_h, p.kernel_w), vec2(p.h, p.w) + pad);
    return Range(max(first, pad) - pad, last - pad);
}

// The output pixels in whose window pixel (row, column) is; perhaps none.
fn windows(row: u32, column: u32) -> Range {
    let kernel = vec2(p.kernel_h, p.kernel_w);
    let at = vec2(row + p.pad_h, column + p.pad_w);
    let first = (max(at, kernel) - kernel) / p.stride + select(vec2(0u), vec2(1u), at >= kernel);
    return Range(first, min(at / p.stride + vec2(1u), vec2(p.out_h, p.out_w)));
}

fn count_of(r: Range) -> f32 {
    if COUNT_PAD {
        return f32(p.kernel_h * p.kernel_w);
    }
    return f32((r.end.x - r.begin.x) * (r.end.y - r.begin.y));
}

@compute @workgroup_size(64)
fn average(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.out_h * p.out_w * p.c {
        return;
    }
    let place = place_of(at, p.out_h, p.out_w);
    let r = window(place.y, place.z);
    var sum = 0.0;
    for (var row = r.begin.x; row < r.end.x; row += 1u) {
        for (var column = r.begin.y; column < r.end.y; column += 1u) {
            sum += x[((place.x * p.h + row) * p.w + column) * p.c + place.w];
        }
    }
    y[at] = sum / count_of(r);
}

@compute @workgroup_size(64)
fn average_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.h * p.w * p.c {
        return;
    }
    let place = place_of(at, p.h, p.w);
    let r = windows(place.y, place.z);
    var sum = 0.0;
    for (var row = r.begin.x; row < r.end.x; row += 1u) {
        for (var column = r.begin.y; column < r.end.y; column += 1u) {
            sum += dy[((place.x * p.out_h + row) * p.out_w + column) * p.c + place.w] / count_of(window(row, column));
        }
    }
    dx[at] = sum;
}

@compute @workgroup_size(64)
fn maximum(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.out_h * p.out_w * p.c {
        return;
    }
    let place = place_of(at, p.out_h, p.out_w);
    let r = window(place.y, place.z);
    var best = x[((place.x * p.h + r.begin.x) * p.w + r.begin.y) * p.c + place.w];
    var found = r.begin;
    for (var row = r.begin.x; row < r.end.x; row += 1u) {
        for (var column = r.begin.y; column < r.end.y; column += 1u) {
            let v = x[((place.x * p.h + row) * p.w + column) * p.c + place.w];
            if v > best {
                best = v;
                found = vec2(row, column);
            }
        }
    }
    y[at] = best;
    argmax[at] = found.x * p.w + found.y;
}

@compute @workgroup_size(64)
fn maximum_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.batch * p.h * p.w * p.c {
        return;
    }
    let place = place_of(at, p.h, p.w);
    let r = windows(place.y, place.z);
    let own = place.y * p.w + place.z;
    var sum = 0.0;
    for (var row = r.begin.x; row < r.end.x; row += 1u) {
        for (var column = r.begin.y; column < r.end.y; column += 1u) {
            let k = ((place.x * p.out_h + row) * p.out_w + column) * p.c + place.w;
            if saved[k] == own {
                sum += dy[k];
            }
        }
    }
    dx[at] = sum;
}
