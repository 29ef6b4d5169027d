//! The patches that a convolution's taps see, as rows of a matrix (im2col), and the sums back (col2im).
//!   unfold   y[pixel, (tap, c)] = x[where the tap of the output pixel reads, c], 0 outside of the image
//!   fold     x[pixel, c] = sum over the taps that read it of y[output pixel, (tap, c)]: the gradient of unfold, and a
//!            transposed convolution once y is a product with its weight
//! Rows of y have p.o numbers, a multiple of four, zeros behind the last tap.
//! Grid: one invocation per four numbers of y in unfold, per pixel and four channels in fold.
#import conv

@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> rows: array<f32>; // [n, out_h, out_w, o]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(3) var<storage, read_write> image: array<f32>; // [n, h, w, c]

// Number `at` of the row of an output pixel.
fn seen_by(pixel: vec3<u32>, at: u32) -> f32 {
    let tap = divide(at, p.c);
    let kh = tap / p.kernel_w;
    let t = tap_of(pixel, kh, tap - kh * p.kernel_w);
    let inside = t.y == 1u && tap < p.taps;
    return select(0.0, x[select(0u, t.x + at - tap * p.c, inside)], inside);
}

@compute @workgroup_size(64)
fn unfold(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let row = divide(at, p.o / 4u);
    if row >= p.batch * p.out_h * p.out_w {
        return;
    }
    let pixel = pixel_of(row, p.out_h, p.out_w);
    let first = 4u * (at - row * (p.o / 4u));
    y[at] = vec4(seen_by(pixel, first), seen_by(pixel, first + 1u), seen_by(pixel, first + 2u), seen_by(pixel, first + 3u));
}

@compute @workgroup_size(64)
fn fold(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let blocks = (p.c + 3u) / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let number = divide(at, blocks);
    if number >= p.batch * p.h * p.w {
        return;
    }
    let pixel = pixel_of(number, p.h, p.w);
    let first = 4u * (at - number * blocks);
    // Channels beyond the last repeat it.
    let channels = min(vec4(first) + LANES, vec4(p.c - 1u));
    var sum = vec4(0.0);
    for (var kh = (pixel.y + p.pad_h) % p.stride; kh < p.kernel_h; kh += p.stride) {
        for (var kw = (pixel.z + p.pad_w) % p.stride; kw < p.kernel_w; kw += p.stride) {
            let t = reverse_tap_of(pixel, kh, kw);
            let start = t.x + (kh * p.kernel_w + kw) * p.c + channels;
            sum += f32(t.y) * vec4(rows[start.x], rows[start.y], rows[start.z], rows[start.w]);
        }
    }
    for (var i = 0u; i < min(4u, p.c - first); i += 1u) {
        image[number * p.c + first + i] = sum[i];
    }
}
