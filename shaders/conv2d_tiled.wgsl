//! Convolution as in conv2d_vec4.wgsl for GPUs: products of tiles (see shared/staging.wgsl), whose rows are output pixels,
//! columns output channels, and terms (tap, input channel).
//! Grid: x over tiles of the output, folded into y; z over parts of the terms, whose planes of y are summed afterwards.
#import conv
#import tile

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>; // [kernel_h, kernel_w, c, o / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [o / 4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>; // [parts, n, out_h, out_w, o / 4]
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>; // as y

// Of pixels outside the image nothing counts.
const HAS_FACTORS = true;

fn left_along() -> bool {
    return true;
}

fn right_along() -> bool {
    return false;
}

// The tile's first pixel and first channel quad, the taps that reach its pixels, and the first pixel of y's plane.
struct Place { pixel: u32, quad: u32, taps: Window, plane: u32 }

// The pixels' sites, or the channel quad.
struct Source { sites: Sites, quad: u32 }

fn pixel_count() -> u32 {
    return p.batch * p.out_h * p.out_w;
}

fn source_of(load: Load, place: Place) -> Source {
    let pixels = pixels_at(place.pixel + 4u * load.quad + LANES, pixel_count(), p.out_h, p.out_w);
    return Source(sites_of(pixels), min(place.quad + load.quad, p.o / 4u - 1u));
}

fn block_of(load: Load, source: Source, place: Place, term: u32) -> Loaded {
    if load.left {
        let tap = divide(term / 4u, p.c / 4u);
        let at = tap_at(tap, place.taps);
        let t = taps_of(source.sites, at.x, at.y);
        let k = (t.at + term - tap * p.c) / 4u;
        return Loaded(mat4x4(x[k.x], x[k.y], x[k.z], x[k.w]), t.inside);
    }
    let step = p.o / 4u;
    let at = weight_row(term, place.taps) * step + source.quad;
    return Loaded(mat4x4(weight[at], weight[at + step], weight[at + 2u * step], weight[at + 3u * step]), vec4(1.0));
}

// Row and column in the kernel of tap `tap` of a window.
fn tap_at(tap: u32, taps: Window) -> vec2<u32> {
    let line = tap / taps.size.y;
    return taps.first + vec2(line, tap - line * taps.size.y);
}

// The row of the weight that a term multiplies.
fn weight_row(term: u32, taps: Window) -> u32 {
    if !POSITIONS {
        return term;
    }
    let tap = divide(term / 4u, p.c / 4u);
    let at = tap_at(tap, taps);
    return (at.x * p.kernel_w + at.y - tap) * p.c + term;
}

fn keep_row(place: Place, row: u32, quad: u32, sum: vec4<f32>) {
    let pixel = place.pixel + row;
    let column = place.quad + quad;
    if pixel >= pixel_count() || column >= p.o / 4u {
        return;
    }
    let to = place_of_number(pixel) * (p.o / 4u) + column;
    var out = sum;
    if p.bias == 1u {
        out += bias[column];
    }
    if p.residual == 1u {
        out += residual[to];
    }
    y[place.plane * (p.o / 4u) + to] = out;
}

// Where pixel `number` lies in y.
fn place_of_number(number: u32) -> u32 {
    if !POSITIONS {
        return number;
    }
    let at = numbered_pixel(number, p.out_h, p.out_w);
    return (at.x * p.out_h + at.y) * p.out_w + at.z;
}

// The taps of pixels `first` .. `last` that lie inside the image for any of them.
fn taps_of_tile(first: u32, last: u32) -> Window {
    let pixels = window_of(first, last, p.out_w);
    let top = vec2<i32>(vec2(p.pad_h, p.pad_w)) - vec2<i32>(pixels.first * p.stride);
    let shift = vec2<i32>((pixels.size - 1u) * p.stride);
    return window_between(top - shift, top + vec2<i32>(vec2(p.h, p.w)), vec2(p.kernel_h, p.kernel_w));
}

fn work_of(wid: vec3<u32>, grid: vec3<u32>) -> Work {
    let tile = tile_at(linear_index(wid, grid, 0u, 1u), p.o / 4u);
    let first = tile.x * tile_rows();
    let plane = wid.z * pixel_count();
    if !POSITIONS {
        let all = Window(vec2(0u), vec2(p.kernel_h, p.kernel_w));
        let terms = part_of(p.taps * p.c, wid.z, grid.z);
        return Work(true, Place(first, tile.y, all, plane), terms.x, terms.y);
    }
    let taps = taps_of_tile(first, min(first + tile_rows(), pixel_count()) - 1u);
    let terms = part_of(taps.size.x * taps.size.y * p.c, wid.z, grid.z);
    return Work(true, Place(first, tile.y, taps, plane), terms.x, terms.y);
}
