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

// The tile's first row and first channel quad, where the part ends and its first row of dw.
struct Place { row: u32, quad: u32, end: u32, plane: u32 }

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

// The sites of four output pixels from `first` on.
fn sites_from(first: u32) -> Sites {
    let p0 = pixel_of(first, p.out_h, p.out_w);
    if p.out_w % 4u == 0u {
        // All in one row, as fours begin at multiples of four.
        return sites_of(Pixels(p0, p0 + vec3(0u, 0u, 1u), p0 + vec3(0u, 0u, 2u), p0 + vec3(0u, 0u, 3u)));
    }
    let p1 = next_pixel(p0);
    let p2 = next_pixel(p1);
    return sites_of(Pixels(p0, p1, p2, next_pixel(p2)));
}

fn block_of(load: Load, source: Source, place: Place, term: u32) -> Loaded {
    // Pixels beyond the last repeat it and count nothing; nor does a masked tap.
    let pixels = min(term + LANES, vec4(place.end - 1u));
    if load.left {
        let t = taps_of(sites_from(pixels.x), source.kh, source.kw);
        let counts = (term + LANES < vec4(place.end)) & vec4(source.tap < p.taps);
        let scale = select(vec4(0.0), t.inside, counts);
        let k = select(vec4(0u), t.at / 4u, counts) + source.quad;
        return Loaded(mat4x4(x[k.x], x[k.y], x[k.z], x[k.w]), scale);
    }
    let at = pixels * (p.o / 4u) + source.quad;
    return Loaded(mat4x4(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), vec4(1.0));
}

fn keep_row(place: Place, row: u32, quad: u32, sum: vec4<f32>) {
    let own = place.row + row;
    let column = place.quad + quad;
    if own < row_count() && column < p.o / 4u {
        dw[(place.plane + own) * (p.o / 4u) + column] = sum;
    }
}

fn work_of(wid: vec3<u32>, grid: vec3<u32>) -> Work {
    let tile = tile_at(wid.x, p.o / 4u);
    let end = min((wid.y + 1u) * p.part, p.batch * p.out_h * p.out_w);
    return Work(true, Place(tile.x * tile_rows(), tile.y, end, wid.y * row_count()), wid.y * p.part, end);
}
