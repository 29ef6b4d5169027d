// What the convolution kernels share: parameters, pixels, taps, and a block of 4 x 4 sums.
#import grid
#import block

struct Params {
    batch: u32, h: u32, w: u32, c: u32,
    out_h: u32, out_w: u32, o: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, pad_h: u32, pad_w: u32,
    part: u32, // pixels a part, backward_weight
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

// Which element of x tap (kh, kw) of output pixel `at` reads, and whether it is inside the image (1) or not (0).
fn tap_of(at: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // Wraps below zero, which `<` then sees as outside.
    let row = at.y * p.stride + kh - p.pad_h;
    let column = at.z * p.stride + kw - p.pad_w;
    let hit = row < p.h && column < p.w;
    return select(vec2(0u), vec2(((at.x * p.h + row) * p.w + column) * p.c, 1u), hit);
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

// The output pixel after `pixel`.
fn next_pixel(pixel: vec3<u32>) -> vec3<u32> {
    let column_ends = pixel.z + 1u == p.out_w;
    let image_ends = column_ends && pixel.y + 1u == p.out_h;
    let row = select(pixel.y + select(0u, 1u, column_ends), 0u, image_ends);
    return vec3(pixel.x + select(0u, 1u, image_ends), row, select(pixel.z + 1u, 0u, column_ends));
}
