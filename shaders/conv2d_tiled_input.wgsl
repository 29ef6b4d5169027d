//! The gradient of conv2d_tiled.wgsl's x: products of tiles (see shared/staging.wgsl), whose rows are pixels of a phase of
//! the stride, columns input channels, and terms (tap of the phase, output channel).
//! Grid: x over tiles of all phases, folded into y; z over parts of the terms, whose planes of dx are summed afterwards.
#import conv
#import tile

@group(0) @binding(0) var<storage, read> weight: array<vec4<f32>>; // [kernel_h, kernel_w, c, o / 4]
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>; // [c / 4]
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>; // [parts, n, h, w, c / 4]

// Of pixels outside the image nothing counts.
const HAS_FACTORS = true;

fn left_along() -> bool {
    return true;
}

fn right_along() -> bool {
    return true;
}

// The phase with the number of the tile's first pixel in it, the first channel quad, the first row and column of the kernel
// that reach the phase, which of the phase's rows and columns of taps reach the tile's pixels, and the first pixel of dx's plane.
struct Place { phase: vec3<u32>, quad: u32, start: vec2<u32>, taps: Window, plane: u32 }

// The pixels' sites, or where the weight of the first channel begins.
struct Source { sites: Sites, at: u32 }

fn source_of(load: Load, place: Place) -> Source {
    let pixels = pixels_of_phase(place.phase, place.phase.z + 4u * load.quad + LANES);
    return Source(reverse_sites_of(pixels), min(place.quad + load.quad, p.c / 4u - 1u) * p.o);
}

fn block_of(load: Load, source: Source, place: Place, term: u32) -> Loaded {
    let step = p.o / 4u;
    let number = divide(term / 4u, step);
    let quad = term / 4u - number * step;
    let down = number / place.taps.size.y;
    let line = place.taps.first.x + down;
    let column = place.taps.first.y + number - down * place.taps.size.y;
    let tap = (place.start.x + p.stride * line) * p.kernel_w + place.start.y + p.stride * column;
    if load.left {
        let t = reverse_taps_of(source.sites, line, column);
        let k = t.at / 4u + quad;
        // A masked tap carries nothing.
        return Loaded(mat4x4(dy[k.x], dy[k.y], dy[k.z], dy[k.w]), select(vec4(0.0), t.inside, tap < p.taps));
    }
    let at = min(tap, p.taps - 1u) * p.c * step + source.at + quad;
    return Loaded(mat4x4(weight[at], weight[at + step], weight[at + 2u * step], weight[at + 3u * step]), vec4(1.0));
}

fn keep_row(place: Place, row: u32, quad: u32, sum: vec4<f32>) {
    let size = phase_size();
    let number = place.phase.z + row;
    let column = place.quad + quad;
    if number >= p.batch * size.x * size.y || column >= p.c / 4u {
        return;
    }
    let at = numbered_pixel(number, size.x, size.y);
    let to = place_of(vec3(at.x, at.yz * p.stride + place.phase.xy), false);
    if to == OUTSIDE {
        return;
    }
    var offset = vec4(0.0);
    if p.bias == 1u {
        offset = bias[column];
    }
    dx[(place.plane + to) * (p.c / 4u) + column] = sum + offset;
}

// Rows and columns of the phase's taps that carry anything to pixels `first` .. `last` of it; of `reach` there are.
fn taps_of_tile(phase: vec2<u32>, first: u32, last: u32, reach: vec2<u32>) -> Window {
    let pixels = window_of(first, last, phase_size().y);
    // The row and column of dy that the phase's first tap carries from.
    let begin = vec2<i32>(pixels.first + (phase + vec2(p.pad_h, p.pad_w)) / p.stride);
    let end = begin + vec2<i32>(pixels.size);
    return window_between(begin + 1 - vec2<i32>(vec2(p.out_h, p.out_w)), end, reach);
}

fn work_of(wid: vec3<u32>, grid: vec3<u32>) -> Work {
    let tile = tile_at(linear_index(wid, grid, 0u, 1u), p.c / 4u);
    let phase = phase_of(tile.x, tile_rows());
    let start = (phase.xy + vec2(p.pad_h, p.pad_w)) % p.stride;
    // Rows and columns of the kernel that reach this phase: those from `start` in steps of the stride.
    let reach = (max(vec2(p.kernel_h, p.kernel_w), start) - start + p.stride - 1u) / p.stride;
    var taps = Window(vec2(0u), reach);
    if POSITIONS {
        let size = phase_size();
        let last = min(phase.z + tile_rows(), p.batch * size.x * size.y) - 1u;
        taps = taps_of_tile(phase.xy, phase.z, last, reach);
    }
    let place = Place(phase, tile.y, start, taps, wid.z * p.batch * p.h * p.w);
    // Under a mask there may be no tap at all.
    let terms = part_of(select(taps.size.x * taps.size.y * p.o, 0u, p.taps == 0u), wid.z, grid.z);
    return Work(phase.x < p.stride, place, terms.x, terms.y);
}
