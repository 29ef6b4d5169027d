//! The gradient of conv2d_tiled.wgsl's weight: products of tiles (see shared/staging.wgsl), whose rows are (tap, input
//! channel), columns output channels, and terms output pixels.
//! Grid: x over tiles of the weight, y over parts of the pixels.
#import conv
#import tile

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>; // [parts, kernel_h, kernel_w, c, o / 4]

// Of pixels outside the image or the part, and of masked taps, nothing counts.
const HAS_FACTORS = true;

fn left_along() -> bool {
    return false;
}

fn right_along() -> bool {
    return false;
}

// The tile's first row and first channel quad, where the part ends, its first row of dw, and the positions that see any of
// the tile's taps.
struct Place { row: u32, quad: u32, end: u32, plane: u32, positions: Window }

// The tap, its row and column of the kernel, and the quad of its channels, or that of the output's.
struct Source { tap: u32, kh: u32, kw: u32, quad: u32 }

fn row_count() -> u32 {
    return p.kernel_h * p.kernel_w * p.c;
}

fn source_of(load: Load, place: Place) -> Source {
    if load.left {
        let quad = min(place.row / 4u + load.quad, row_count() / 4u - 1u);
        let tap = divide(quad, p.c / 4u);
        let kh = tap / p.kernel_w;
        return Source(tap, kh, tap - kh * p.kernel_w, quad - tap * (p.c / 4u));
    }
    return Source(0u, 0u, 0u, min(place.quad + load.quad, p.o / 4u - 1u));
}

// The four output pixels of terms `first` ...
fn pixels_from(first: u32, place: Place) -> Pixels {
    if POSITIONS {
        // The same position in four images, as their number divides by 4.
        let number = divide(first, p.batch);
        let row = number / place.positions.size.y;
        let at = place.positions.first + vec2(row, number - row * place.positions.size.y);
        let n = first - number * p.batch;
        return Pixels(vec3(n, at), vec3(n + 1u, at), vec3(n + 2u, at), vec3(n + 3u, at));
    }
    let p0 = pixel_of(first, p.out_h, p.out_w);
    if p.out_w % 4u == 0u {
        // All in one row, as fours begin at multiples of four.
        return Pixels(p0, p0 + vec3(0u, 0u, 1u), p0 + vec3(0u, 0u, 2u), p0 + vec3(0u, 0u, 3u));
    }
    let p1 = next_pixel(p0);
    let p2 = next_pixel(p1);
    return Pixels(p0, p1, p2, next_pixel(p2));
}

// Where the pixels of terms `numbers`, of which `first` is the first, lie in dy.
fn places_in_dy(numbers: vec4<u32>, place: Place) -> vec4<u32> {
    if !POSITIONS {
        return numbers;
    }
    let p0 = pixels_from(numbers.x, place).p0;
    return (p0.x * p.out_h + p0.y) * p.out_w + p0.z + LANES * (p.out_h * p.out_w);
}

fn block_of(load: Load, source: Source, place: Place, term: u32) -> Loaded {
    // Pixels beyond the last repeat it and count nothing; nor does a masked tap.
    let pixels = min(term + LANES, vec4(place.end - 1u));
    if load.left {
        let t = taps_of(sites_of(pixels_from(pixels.x, place)), source.kh, source.kw);
        let counts = (term + LANES < vec4(place.end)) & vec4(source.tap < p.taps);
        let scale = select(vec4(0.0), t.inside, counts);
        let k = select(vec4(0u), t.at / 4u, counts) + source.quad;
        return Loaded(mat4x4(x[k.x], x[k.y], x[k.z], x[k.w]), scale);
    }
    let at = places_in_dy(pixels, place) * (p.o / 4u) + source.quad;
    return Loaded(mat4x4(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), vec4(1.0));
}

fn keep_row(place: Place, row: u32, quad: u32, sum: vec4<f32>) {
    let own = place.row + row;
    let column = place.quad + quad;
    if own < row_count() && column < p.o / 4u {
        dw[(place.plane + own) * (p.o / 4u) + column] = sum;
    }
}

// Positions of the output at which any tap of rows `first` .. `last` lies inside the image.
fn positions_of_tile(first: u32, last: u32) -> Window {
    let tap = vec2(first, last) / p.c;
    let rows = tap / p.kernel_w;
    let columns = select(vec2(0u, p.kernel_w - 1u), tap - rows * p.kernel_w, rows.x == rows.y);
    // Tap k of position i lies at stride i + k - pad: from 0 for the last tap, below the size for the first.
    let stride = i32(p.stride);
    let pad = vec2<i32>(vec2(p.pad_h, p.pad_w));
    let begin = (pad - vec2<i32>(vec2(rows.y, columns.y)) + stride - 1) / stride;
    let end = (pad - vec2<i32>(vec2(rows.x, columns.x)) + vec2<i32>(vec2(p.h, p.w)) + stride - 1) / stride;
    return window_between(begin, end, vec2(p.out_h, p.out_w));
}

fn work_of(wid: vec3<u32>, grid: vec3<u32>) -> Work {
    let tile = tile_at(wid.x, p.o / 4u);
    let row = tile.x * tile_rows();
    var positions = Window(vec2(0u), vec2(p.out_h, p.out_w));
    var part = p.part;
    if POSITIONS {
        positions = positions_of_tile(row, min(row + tile_rows(), row_count()) - 1u);
        part = (positions.size.x * positions.size.y * p.batch + 4u * grid.y - 1u) / (4u * grid.y) * 4u;
    }
    let end = min((wid.y + 1u) * part, positions.size.x * positions.size.y * p.batch);
    return Work(true, Place(row, tile.y, end, wid.y * row_count(), positions), wid.y * part, end);
}
