//! Convolution, channels last: y[n, p, q, o] = Σ_{i, j, c} x[n, s p + i − pad_h, s q + j − pad_w, c] w[i, j, c, o] + b[o],
//! and a residual of its shape.
//!   forward           one invocation: 4 pixels of a row of pixels x 4 output channels
//!   backward_input    dx by gathering: the taps that reach an input pixel; 4 pixels of a phase x 4 input channels
//!   backward_weight   dw[i, j, c, o] = Σ_pixels x dy: 4 input x 4 output channels, pixels split over y
//! Masked (PixelCNN), the sums have the first `taps` taps only. One-dimensional convolution is h = kernel_h = 1. The
//! transposed convolution's forward is backward_input, then with a bias. `conv2d_vec4` is faster where channels divide by 4.
#import conv

@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> weight: array<f32>; // [kernel_h, kernel_w, c, o]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [o]; [c] in backward_input
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [n, out_h, out_w, o]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [n, out_h, out_w, o]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // [n, h, w, c]
@group(0) @binding(6) var<storage, read_write> dw: array<f32>; // [parts, kernel_h, kernel_w, c, o]
@group(0) @binding(7) var<storage, read> residual: array<f32>; // as y

// Block number -> (first row, first column) of a [rows, columns] matrix cut into 4 x 4 blocks.
fn block_of(at: u32, columns: u32) -> vec2<u32> {
    let across = (columns + 3u) / 4u;
    let row = divide(at, across);
    return 4u * vec2(row, at - row * across);
}

fn offset_of(channels: vec4<u32>) -> vec4<f32> {
    if p.bias == 1u {
        return vec4(bias[channels.x], bias[channels.y], bias[channels.z], bias[channels.w]);
    }
    return vec4(0.0);
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let pixels = p.batch * p.out_h * p.out_w;
    let first = block_of(linear_index(wid, grid, lid, 64u), p.o);
    if first.x >= pixels {
        return;
    }
    let columns = min(vec4(first.y) + LANES, vec4(p.o - 1u));
    let at = sites_of(pixels_at(first.x + LANES, pixels, p.out_h, p.out_w));
    var sums = Block();
    var at_weight = columns;
    var tap = vec2(0u);
    for (var i = 0u; i < p.taps; i += 1u) {
        let t = taps_of(at, tap.x, tap.y);
        for (var c = 0u; c < p.c; c += 1u) {
            let right = vec4(weight[at_weight.x], weight[at_weight.y], weight[at_weight.z], weight[at_weight.w]);
            let left = t.inside * vec4(x[t.at.x + c], x[t.at.y + c], x[t.at.z + c], x[t.at.w + c]);
            sums = rank_one(sums, left, right);
            at_weight += vec4(p.o);
        }
        tap = next_tap(tap);
    }
    let offset = offset_of(columns);
    let out = array(sums.r0 + offset, sums.r1 + offset, sums.r2 + offset, sums.r3 + offset);
    for (var i = 0u; i < min(4u, pixels - first.x); i += 1u) {
        for (var j = 0u; j < min(4u, p.o - first.y); j += 1u) {
            let to = (first.x + i) * p.o + first.y + j;
            var sum = out[i][j];
            if p.residual == 1u {
                sum += residual[to];
            }
            y[to] = sum;
        }
    }
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let across = (p.c + 3u) / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let block = divide(at, across);
    let phase = phase_of(block, 4u);
    if phase.x >= p.stride {
        return;
    }
    let first = 4u * (at - block * across);
    let columns = min(vec4(first) + LANES, vec4(p.c - 1u));
    let pixels = pixels_of_phase(phase, phase.z + LANES);
    let sites = reverse_sites_of(pixels);
    var sums = Block();
    for (var kh = (phase.x + p.pad_h) % p.stride; kh < p.kernel_h; kh += p.stride) {
        for (var kw = (phase.y + p.pad_w) % p.stride; kw < p.kernel_w; kw += p.stride) {
            let tap = kh * p.kernel_w + kw;
            if tap >= p.taps {
                break;
            }
            let t = reverse_taps_of(sites, kh / p.stride, kw / p.stride);
            let at_weight = (tap * p.c + columns) * p.o;
            for (var o = 0u; o < p.o; o += 1u) {
                let w = at_weight + vec4(o);
                let right = vec4(weight[w.x], weight[w.y], weight[w.z], weight[w.w]);
                let left = t.inside * vec4(dy[t.at.x + o], dy[t.at.y + o], dy[t.at.z + o], dy[t.at.w + o]);
                sums = rank_one(sums, left, right);
            }
        }
    }
    let offset = offset_of(columns);
    let out = array(sums.r0 + offset, sums.r1 + offset, sums.r2 + offset, sums.r3 + offset);
    let places = places_of(pixels, phase.z + LANES);
    for (var i = 0u; i < 4u; i += 1u) {
        for (var j = 0u; j < min(4u, p.c - first) && places[i] != OUTSIDE; j += 1u) {
            dx[places[i] * p.c + first + j] = out[i][j];
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
    var sums = Block();
    let begin = wid.y * p.part;
    // A masked tap sums nothing, and so writes zeros.
    let end = select(begin, min(begin + p.part, p.batch * p.out_h * p.out_w), tap < p.taps);
    var pixel = pixel_of(begin, p.out_h, p.out_w);
    for (var k = begin; k < end; k += 1u) {
        let t = tap_of(pixel, kh, kw);
        let left = from_c + vec4(t.x);
        let right_at = from_o + k * p.o;
        let right = vec4(dy[right_at.x], dy[right_at.y], dy[right_at.z], dy[right_at.w]);
        sums = rank_one(sums, f32(t.y) * vec4(x[left.x], x[left.y], x[left.z], x[left.w]), right);
        pixel = next_pixel(pixel);
    }
    let out = array(sums.r0, sums.r1, sums.r2, sums.r3);
    let plane = wid.y * p.kernel_h * p.kernel_w * p.c + tap * p.c + first_c;
    for (var i = 0u; i < min(4u, p.c - first_c); i += 1u) {
        for (var j = 0u; j < min(4u, p.o - first_o); j += 1u) {
            dw[(plane + i) * p.o + first_o + j] = out[i][j];
        }
    }
}
