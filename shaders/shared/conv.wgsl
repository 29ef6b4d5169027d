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

// Pixels are numbered position by position, images within one: pixels of one tile then miss the same taps, and the tiled
// kernels leave those out. Otherwise image by image. Set by the host, for small images and unmasked kernels.
override POSITIONS: bool = false;

// Pixel number -> (n, row, column) of images of height h and width w.
fn pixel_of(at: u32, h: u32, w: u32) -> vec3<u32> {
    let line = divide(at, w);
    let n = divide(line, h);
    return vec3(n, line - n * h, at - line * w);
}

// Pixel number -> (n, row, column), in the order that POSITIONS says.
fn numbered_pixel(at: u32, h: u32, w: u32) -> vec3<u32> {
    if !POSITIONS {
        return pixel_of(at, h, w);
    }
    let position = divide(at, p.batch);
    let row = position / w;
    return vec3(at - position * p.batch, row, position - row * w);
}

// Rows and columns of pixels or taps: the first, and how many.
struct Window { first: vec2<u32>, size: vec2<u32> }

// The smallest window with pixels `first` .. `last`, in images of width w, numbered by position.
fn window_of(first: u32, last: u32, w: u32) -> Window {
    let begin = first / p.batch;
    let end = last / p.batch;
    let rows = vec2(begin, end) / w;
    let columns = select(vec2(0u, w - 1u), vec2(begin, end) - rows * w, rows.x == rows.y);
    return Window(vec2(rows.x, columns.x), vec2(rows.y - rows.x, columns.y - columns.x) + 1u);
}

// Of `count` rows and columns, those from `begin` (perhaps negative) up to `end`.
fn window_between(begin: vec2<i32>, end: vec2<i32>, count: vec2<u32>) -> Window {
    let first = max(begin, vec2(0));
    return Window(vec2<u32>(first), vec2<u32>(max(min(end, vec2<i32>(count)) - first, vec2(0))));
}

// Where part `number` of so many of a sum over `terms` terms begins and ends: whole steps of 16.
fn part_of(terms: u32, number: u32, parts: u32) -> vec2<u32> {
    let part = (terms + 16u * parts - 1u) / (16u * parts) * 16u;
    return min(vec2(number, number + 1u) * part, vec2(terms));
}

// Four pixels; where their taps lie: row and column of the first, which wrap above and left of the image, and its element;
// and what one tap of each reads: the element, and whether it is inside the image (1) or not (0).
struct Pixels { p0: vec3<u32>, p1: vec3<u32>, p2: vec3<u32>, p3: vec3<u32> }
struct Sites { row: vec4<u32>, column: vec4<u32>, at: vec4<u32> }
struct Taps { at: vec4<u32>, inside: vec4<f32> }

// Pixels `numbers` of images of height h and width w; beyond the last it repeats.
fn pixels_at(numbers: vec4<u32>, pixels: u32, h: u32, w: u32) -> Pixels {
    let at = min(numbers, vec4(pixels - 1u));
    return Pixels(numbered_pixel(at.x, h, w), numbered_pixel(at.y, h, w), numbered_pixel(at.z, h, w), numbered_pixel(at.w, h, w));
}

// Pixels moved to rows and columns of images of a size (height, width, channels).
fn sites(pixels: Pixels, row: vec4<u32>, column: vec4<u32>, size: vec3<u32>) -> Sites {
    let n = vec4(pixels.p0.x, pixels.p1.x, pixels.p2.x, pixels.p3.x);
    return Sites(row, column, ((n * size.x + row) * size.y + column) * size.z);
}

// Taps so many rows down and columns to the right, which may wrap too. Costs no multiplication a pixel.
fn taps_at(first: Sites, down: u32, right: u32, size: vec3<u32>) -> Taps {
    let inside = (first.row + down < vec4(size.x)) & (first.column + right < vec4(size.y));
    let at = first.at + (down * size.y + right) * size.z;
    return Taps(select(vec4(0u), at, inside), select(vec4(0.0), vec4(1.0), inside));
}

fn rows_of_pixels(at: Pixels) -> vec4<u32> {
    return vec4(at.p0.y, at.p1.y, at.p2.y, at.p3.y);
}

fn columns_of_pixels(at: Pixels) -> vec4<u32> {
    return vec4(at.p0.z, at.p1.z, at.p2.z, at.p3.z);
}

// Which element of x tap (kh, kw) of output pixel `at` reads, and whether it is inside.
fn tap_of(at: vec3<u32>, kh: u32, kw: u32) -> vec2<u32> {
    // Wraps below zero, which `<` then sees as outside.
    let row = at.y * p.stride + kh - p.pad_h;
    let column = at.z * p.stride + kw - p.pad_w;
    let hit = row < p.h && column < p.w;
    return select(vec2(0u), vec2(((at.x * p.h + row) * p.w + column) * p.c, 1u), hit);
}

// The sites in x of output pixels.
fn sites_of(at: Pixels) -> Sites {
    let row = rows_of_pixels(at) * p.stride - p.pad_h;
    return sites(at, row, columns_of_pixels(at) * p.stride - p.pad_w, vec3(p.h, p.w, p.c));
}

fn taps_of(at: Sites, kh: u32, kw: u32) -> Taps {
    return taps_at(at, kh, kw, vec3(p.h, p.w, p.c));
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

// The sites in dy of input pixels of a phase, for the first tap of the phase.
fn reverse_sites_of(at: Pixels) -> Sites {
    let row = (rows_of_pixels(at) + p.pad_h) / p.stride;
    return sites(at, row, (columns_of_pixels(at) + p.pad_w) / p.stride, vec3(p.out_h, p.out_w, p.o));
}

// The tap so many of the phase's rows and columns further in the kernel, so that many back in dy: (kh, kw) / stride.
fn reverse_taps_of(at: Sites, up: u32, left: u32) -> Taps {
    return taps_at(at, 0u - up, 0u - left, vec3(p.out_h, p.out_w, p.o));
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
