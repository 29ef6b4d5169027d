// What the convolution kernels share: parameters, pixels, taps.
#import grid
#import block

struct Params {
    batch: u32, h: u32, w: u32, c: u32,
    out_h: u32, out_w: u32, o: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, pad_h: u32, pad_w: u32,
    taps: u32, // of the kernel's, in raster order: under a mask not all
    part: u32, // pixels a part, backward_weight
    bias: u32, // 1: add it
    residual: u32, // 1: add it to y
}
var<immediate> p: Params;

// Pixel number -> (n, row, column) of images of height h and width w.
fn pixel_of(at: u32, h: u32, w: u32) -> vec3<u32> {
    let line = divide(at, w);
    let n = divide(line, h);
    return vec3(n, line - n * h, at - line * w);
}

// Four pixels in a row, and where a tap of each reads: the element, and whether it is inside the image (1) or not (0).
struct Pixels { p0: vec3<u32>, p1: vec3<u32>, p2: vec3<u32>, p3: vec3<u32> }
struct Taps { at: vec4<u32>, inside: vec4<f32> }

// Pixels `numbers` of images of height h and width w; beyond the last it repeats.
fn pixels_at(numbers: vec4<u32>, pixels: u32, h: u32, w: u32) -> Pixels {
    let at = min(numbers, vec4(pixels - 1u));
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

// Input pixels whose rows and columns leave the same remainders by the stride are a phase: the same taps reach them.
// Rows and columns of a phase; of the later ones the last may lie outside.
fn phase_size() -> vec2<u32> {
    return (vec2(p.h, p.w) + p.stride - 1u) / p.stride;
}

// The remainders of block `block`, of `rows` pixels, and the number of its first pixel in the phase.
fn phase_of(block: u32, rows: u32) -> vec3<u32> {
    let size = phase_size();
    let blocks = (p.batch * size.x * size.y + rows - 1u) / rows;
    let phase = block / blocks;
    return vec3(phase / p.stride, phase % p.stride, rows * (block - phase * blocks));
}

// Pixels `numbers` of a phase; beyond the last it repeats.
fn pixels_of_phase(phase: vec3<u32>, numbers: vec4<u32>) -> Pixels {
    let size = phase_size();
    let at = pixels_at(numbers, p.batch * size.x * size.y, size.x, size.y);
    let scale = vec3(1u, p.stride, p.stride);
    let shift = vec3(0u, phase.xy);
    return Pixels(scale * at.p0 + shift, scale * at.p1 + shift, scale * at.p2 + shift, scale * at.p3 + shift);
}

// Which input pixel that is, or a number beyond all if it lies outside or repeats the phase's last.
fn place_of(pixel: vec3<u32>, repeats: bool) -> u32 {
    return select(OUTSIDE, (pixel.x * p.h + pixel.y) * p.w + pixel.z, pixel.y < p.h && pixel.z < p.w && !repeats);
}

// Places of four pixels with these numbers in their phase.
fn places_of(at: Pixels, numbers: vec4<u32>) -> vec4<u32> {
    let size = phase_size();
    let repeats = numbers >= vec4(p.batch * size.x * size.y);
    return vec4(place_of(at.p0, repeats.x), place_of(at.p1, repeats.y), place_of(at.p2, repeats.z), place_of(at.p3, repeats.w));
}

// Which element of dy tap (kh, kw), one of the phase's, carries to input pixel `at`, and whether there is one.
fn reverse_tap_of(at: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // A tap above or left of the image wraps far beyond `out_h` and `out_w`.
    let row = (at.y + p.pad_h - kh) / p.stride;
    let column = (at.z + p.pad_w - kw) / p.stride;
    let hit = row < p.out_h && column < p.out_w;
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
