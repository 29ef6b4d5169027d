//! Convolution, channels last: y[n, p, q, o] = Σ_{i, j, c} x[n, s p + i − pad_h, s q + j − pad_w, c] w[i, j, c, o] + b[o].
//!   forward           one invocation: 4 pixels of a row of pixels x 4 output channels
//!   backward_input    dx by gathering: the taps that reach an input pixel; 4 pixels x 4 input channels
//!   backward_weight   dw[i, j, c, o] = Σ_pixels x dy: 4 input x 4 output channels, pixels split over y
//! One-dimensional convolution is the case h = kernel_h = 1.
#import grid

override BIAS: bool = false;

struct Params {
    batch: u32, h: u32, w: u32, c: u32,
    out_h: u32, out_w: u32, o: u32,
    kernel_h: u32, kernel_w: u32, stride: u32, pad_h: u32, pad_w: u32,
    part: u32, // pixels a part, backward_weight
}
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> weight: array<f32>; // [kernel_h, kernel_w, c, o]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [o]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [n, out_h, out_w, o]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [n, out_h, out_w, o]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // [n, h, w, c]
@group(0) @binding(6) var<storage, read_write> dw: array<f32>; // [parts, kernel_h, kernel_w, c, o]

const LANES = vec4(0u, 1u, 2u, 3u);

// Block number -> (first row, first column) of a [rows, columns] matrix cut into 4 x 4 blocks.
fn block_of(at: u32, columns: u32) -> vec2<u32> {
    let across = (columns + 3u) / 4u;
    let row = divide(at, across);
    return 4u * vec2(row, at - row * across);
}

// Pixel number -> (n, row, column) of images of height h and width w.
fn pixel_of(at: u32, h: u32, w: u32) -> vec3<u32> {
    let line = divide(at, w);
    let n = divide(line, h);
    return vec3(n, line - n * h, at - line * w);
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let pixels = p.batch * p.out_h * p.out_w;
    let first = block_of(linear_index(wid, grid, lid, 64u), p.o);
    if first.x >= pixels {
        return;
    }
    let columns = min(vec4(first.y) + LANES, vec4(p.o - 1u));
    var at: array<vec3<u32>, 4>;
    for (var i = 0u; i < 4u; i += 1u) {
        at[i] = pixel_of(min(first.x + i, pixels - 1u), p.out_h, p.out_w);
    }
    var sums: array<vec4<f32>, 4>;
    for (var tap = 0u; tap < p.kernel_h * p.kernel_w; tap += 1u) {
        let kh = tap / p.kernel_w;
        let kw = tap - kh * p.kernel_w;
        var rows: array<u32, 4>;
        var inside: array<f32, 4>;
        for (var i = 0u; i < 4u; i += 1u) {
            // Wraps below zero, which `<` then sees as outside.
            let row = at[i].y * p.stride + kh - p.pad_h;
            let column = at[i].z * p.stride + kw - p.pad_w;
            let hit = row < p.h && column < p.w;
            inside[i] = select(0.0, 1.0, hit);
            rows[i] = select(0u, ((at[i].x * p.h + row) * p.w + column) * p.c, hit);
        }
        for (var c = 0u; c < p.c; c += 1u) {
            let at_weight = columns + (tap * p.c + c) * p.o;
            let right = vec4(weight[at_weight.x], weight[at_weight.y], weight[at_weight.z], weight[at_weight.w]);
            for (var i = 0u; i < 4u; i += 1u) {
                sums[i] = fma(vec4(inside[i] * x[rows[i] + c]), right, sums[i]);
            }
        }
    }
    var offset = vec4(0.0);
    if BIAS {
        offset = vec4(bias[columns.x], bias[columns.y], bias[columns.z], bias[columns.w]);
    }
    for (var i = 0u; i < min(4u, pixels - first.x); i += 1u) {
        let out = sums[i] + offset;
        for (var j = 0u; j < min(4u, p.o - first.y); j += 1u) {
            y[(first.x + i) * p.o + first.y + j] = out[j];
        }
    }
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let pixels = p.batch * p.h * p.w;
    let first = block_of(linear_index(wid, grid, lid, 64u), p.c);
    if first.x >= pixels {
        return;
    }
    let columns = p.o * min(vec4(first.y) + LANES, vec4(p.c - 1u));
    var at: array<vec3<u32>, 4>;
    for (var i = 0u; i < 4u; i += 1u) {
        at[i] = pixel_of(min(first.x + i, pixels - 1u), p.h, p.w);
    }
    var sums: array<vec4<f32>, 4>;
    for (var tap = 0u; tap < p.kernel_h * p.kernel_w; tap += 1u) {
        let kh = tap / p.kernel_w;
        let kw = tap - kh * p.kernel_w;
        var rows: array<u32, 4>;
        var inside: array<f32, 4>;
        for (var i = 0u; i < 4u; i += 1u) {
            let up = at[i].y + p.pad_h - kh;
            let left = at[i].z + p.pad_w - kw;
            let row = up / p.stride;
            let column = left / p.stride;
            // A tap left of the image wraps far beyond `out_h`; one between two strides is not hit.
            let hit = row < p.out_h && column < p.out_w && row * p.stride == up && column * p.stride == left;
            inside[i] = select(0.0, 1.0, hit);
            rows[i] = select(0u, ((at[i].x * p.out_h + row) * p.out_w + column) * p.o, hit);
        }
        for (var o = 0u; o < p.o; o += 1u) {
            let at_weight = columns + tap * p.c * p.o + o;
            let right = vec4(weight[at_weight.x], weight[at_weight.y], weight[at_weight.z], weight[at_weight.w]);
            for (var i = 0u; i < 4u; i += 1u) {
                sums[i] = fma(vec4(inside[i] * dy[rows[i] + o]), right, sums[i]);
            }
        }
    }
    for (var i = 0u; i < min(4u, pixels - first.x); i += 1u) {
        for (var j = 0u; j < min(4u, p.c - first.y); j += 1u) {
            dx[(first.x + i) * p.c + first.y + j] = sums[i][j];
        }
    }
}

@compute @workgroup_size(64)
fn backward_weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    // Rows of dw are (tap, block of 4 channels), so that a block never crosses taps.
    let across = (p.o + 3u) / 4u;
    let blocks = (p.c + 3u) / 4u;
    let at = wid.x * 64u + lid;
    let row = divide(at, across);
    let tap = divide(row, blocks);
    if tap >= p.kernel_h * p.kernel_w {
        return;
    }
    let first_c = 4u * (row - tap * blocks);
    let first_o = 4u * (at - row * across);
    let kh = tap / p.kernel_w;
    let kw = tap - kh * p.kernel_w;
    let from_c = min(vec4(first_c) + LANES, vec4(p.c - 1u));
    let from_o = min(vec4(first_o) + LANES, vec4(p.o - 1u));
    var sums: array<vec4<f32>, 4>;
    let begin = wid.y * p.part;
    let end = min(begin + p.part, p.batch * p.out_h * p.out_w);
    var pixel = pixel_of(begin, p.out_h, p.out_w);
    for (var k = begin; k < end; k += 1u) {
        let h = pixel.y * p.stride + kh - p.pad_h;
        let w = pixel.z * p.stride + kw - p.pad_w;
        if h < p.h && w < p.w {
            let left_at = from_c + ((pixel.x * p.h + h) * p.w + w) * p.c;
            let right_at = from_o + k * p.o;
            let right = vec4(dy[right_at.x], dy[right_at.y], dy[right_at.z], dy[right_at.w]);
            sums[0] = fma(vec4(x[left_at.x]), right, sums[0]);
            sums[1] = fma(vec4(x[left_at.y]), right, sums[1]);
            sums[2] = fma(vec4(x[left_at.z]), right, sums[2]);
            sums[3] = fma(vec4(x[left_at.w]), right, sums[3]);
        }
        pixel.z += 1u;
        if pixel.z == p.out_w {
            pixel.z = 0u;
            pixel.y += 1u;
            if pixel.y == p.out_h {
                pixel.y = 0u;
                pixel.x += 1u;
            }
        }
    }
    let plane = wid.y * p.kernel_h * p.kernel_w * p.c + tap * p.c + first_c;
    for (var i = 0u; i < min(4u, p.c - first_c); i += 1u) {
        for (var j = 0u; j < min(4u, p.o - first_o); j += 1u) {
            dw[(plane + i) * p.o + first_o + j] = sums[i][j];
        }
    }
}
