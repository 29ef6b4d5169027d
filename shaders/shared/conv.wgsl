// What the convolution kernels share: parameters, pixels, taps, and a block of 4 x 4 sums.
#import grid
#import block

struct Params {
    batch: u32, h: u32, w: u32, c: u32,
    out_h: u32, out_w: u32, o: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, pad_h: u32, pad_w: u32,
    taps: u32, // of the kernel's, in raster order: under a mask not all
    part: u32, // pixels a part, backward_weight
    bias: u32, // 1: add it
}
var<immediate> p: Params;

// Pixel number -> (n, row, column) of images of height h and width w.
fn pixel_of(at: u32, h: u32, w: u32) -> vec3<u32> {
    let line = divide(at, w);
    let n = divide(line, h);
    return vec3(n, line - n * h, at - line * w);
}

// Outputs of a block's four rows; written out, since drivers keep arrays indexed in a loop in memory.
struct Block { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32> }

fn rank_one(sums: Block, left: vec4<f32>, right: vec4<f32>) -> Block {
    return Block(
        fma(vec4(left.x), right, sums.r0),
        fma(vec4(left.y), right, sums.r1),
        fma(vec4(left.z), right, sums.r2),
        fma(vec4(left.w), right, sums.r3),
    );
}

// Four pixels in a row, and where a tap of each reads: the element, and whether it is inside the image (1) or not (0).
struct Pixels { p0: vec3<u32>, p1: vec3<u32>, p2: vec3<u32>, p3: vec3<u32> }
struct Taps { at: vec4<u32>, inside: vec4<f32> }

// Pixels first .. first + 3 of images of height h and width w; beyond the last it repeats.
fn pixels_from(first: u32, pixels: u32, h: u32, w: u32) -> Pixels {
    let at = min(vec4(first) + LANES, vec4(pixels - 1u));
    return Pixels(pixel_of(at.x, h, w), pixel_of(at.y, h, w), pixel_of(at.z, h, w), pixel_of(at.w, h, w));
}

fn taps(t0: vec2<u32>, t1: vec2<u32>, t2: vec2<u32>, t3: vec2<u32>) -> Taps {
    return Taps(vec4(t0.x, t1.x, t2.x, t3.x), vec4<f32>(vec4(t0.y, t1.y, t2.y, t3.y)));
}

// Which element of x tap (kh, kw) of output pixel `at` reads, and whether it is inside.
fn tap_of(at: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // Wraps below zero, which `<` then sees as outside.
    let row = at.y * p.stride + kh - p.pad_h;
    let column = at.z * p.stride + kw - p.pad_w;
    let hit = row < p.h && column < p.w;
    return select(vec2(0u), vec2(((at.x * p.h + row) * p.w + column) * p.c, 1u), hit);
}

fn taps_of(at: Pixels, kh: u32, kw: u32) -> Taps {
    return taps(tap_of(at.p0, kh, kw), tap_of(at.p1, kh, kw), tap_of(at.p2, kh, kw), tap_of(at.p3, kh, kw));
}

// Which element of dy tap (kh, kw) carries to input pixel `at`, and whether there is one.
fn reverse_tap_of(at: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    let up = at.y + p.pad_h - kh;
    let left = at.z + p.pad_w - kw;
    let row = up / p.stride;
    let column = left / p.stride;
    // A tap left of the image wraps far beyond `out_h`; one between two strides is not hit.
    let hit = row < p.out_h && column < p.out_w && row * p.stride == up && column * p.stride == left;
    return select(vec2(0u), vec2(((at.x * p.out_h + row) * p.out_w + column) * p.o, 1u), hit);
}

fn reverse_taps_of(at: Pixels, kh: u32, kw: u32) -> Taps {
    return taps(
        reverse_tap_of(at.p0, kh, kw), reverse_tap_of(at.p1, kh, kw),
        reverse_tap_of(at.p2, kh, kw), reverse_tap_of(at.p3, kh, kw),
    );
}

// The tap (kh, kw) after `tap`.
fn next_tap(tap: vec2<u32>) -> vec2<u32> {
    return select(vec2(tap.x, tap.y + 1u), vec2(tap.x + 1u, 0u), tap.y + 1u == p.kernel_w);
}

// The output pixel after `pixel`.
fn next_pixel(pixel: vec3<u32>) -> vec3<u32> {
    let column_ends = pixel.z + 1u == p.out_w;
    let image_ends = column_ends && pixel.y + 1u == p.out_h;
    let row = select(pixel.y + select(0u, 1u, column_ends), 0u, image_ends);
    return vec3(pixel.x + select(0u, 1u, image_ends), row, select(pixel.z + 1u, 0u, column_ends));
}
