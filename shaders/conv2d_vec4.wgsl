//! Convolution as in conv2d.wgsl for channels in multiples of four: every load is a vec4.
//!   forward           8 pixels x 4 output channels an invocation
//!   backward_input    8 pixels x 4 input channels; the weight's 4 x 4 tiles are turned in registers
//!   backward_weight   4 input x 4 output channels, pixels split over y
#import conv

override BIAS: bool = false;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>; // [kernel_h, kernel_w, c, o / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [o / 4]
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(6) var<storage, read_write> dw: array<vec4<f32>>; // [parts, kernel_h, kernel_w, c, o / 4]

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let pixels = p.batch * p.out_h * p.out_w;
    let columns = p.o / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let block = divide(at, columns);
    let column = at - block * columns;
    if 8u * block >= pixels {
        return;
    }
    let low = min(vec4(8u * block) + LANES, vec4(pixels - 1u));
    let high = min(vec4(8u * block + 4u) + LANES, vec4(pixels - 1u));
    let at0 = pixel_of(low.x, p.out_h, p.out_w);
    let at1 = pixel_of(low.y, p.out_h, p.out_w);
    let at2 = pixel_of(low.z, p.out_h, p.out_w);
    let at3 = pixel_of(low.w, p.out_h, p.out_w);
    let at4 = pixel_of(high.x, p.out_h, p.out_w);
    let at5 = pixel_of(high.y, p.out_h, p.out_w);
    let at6 = pixel_of(high.z, p.out_h, p.out_w);
    let at7 = pixel_of(high.w, p.out_h, p.out_w);
    var s0 = Block();
    var s1 = Block();
    var w = column;
    for (var kh = 0u; kh < p.kernel_h; kh += 1u) {
        for (var kw = 0u; kw < p.kernel_w; kw += 1u) {
            let t0 = tap_of(at0, kh, kw);
            let t1 = tap_of(at1, kh, kw);
            let t2 = tap_of(at2, kh, kw);
            let t3 = tap_of(at3, kh, kw);
            let t4 = tap_of(at4, kh, kw);
            let t5 = tap_of(at5, kh, kw);
            let t6 = tap_of(at6, kh, kw);
            let t7 = tap_of(at7, kh, kw);
            for (var c = 0u; c < p.c / 4u; c += 1u) {
                let tile = mat4x4(weight[w], weight[w + columns], weight[w + 2u * columns], weight[w + 3u * columns]);
                s0.r0 = row_times(s0.r0, f32(t0.y) * x[t0.x / 4u + c], tile);
                s0.r1 = row_times(s0.r1, f32(t1.y) * x[t1.x / 4u + c], tile);
                s0.r2 = row_times(s0.r2, f32(t2.y) * x[t2.x / 4u + c], tile);
                s0.r3 = row_times(s0.r3, f32(t3.y) * x[t3.x / 4u + c], tile);
                s1.r0 = row_times(s1.r0, f32(t4.y) * x[t4.x / 4u + c], tile);
                s1.r1 = row_times(s1.r1, f32(t5.y) * x[t5.x / 4u + c], tile);
                s1.r2 = row_times(s1.r2, f32(t6.y) * x[t6.x / 4u + c], tile);
                s1.r3 = row_times(s1.r3, f32(t7.y) * x[t7.x / 4u + c], tile);
                w += p.o;
            }
        }
    }
    var offset = vec4(0.0);
    if BIAS {
        offset = bias[column];
    }
    let out = array(s0.r0, s0.r1, s0.r2, s0.r3, s1.r0, s1.r1, s1.r2, s1.r3);
    for (var i = 0u; i < min(8u, pixels - 8u * block); i += 1u) {
        y[(8u * block + i) * columns + column] = out[i] + offset;
    }
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let pixels = p.batch * p.h * p.w;
    let columns = p.c / 4u;
    let depth = p.o / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let block = divide(at, columns);
    let column = at - block * columns;
    if 8u * block >= pixels {
        return;
    }
    let low = min(vec4(8u * block) + LANES, vec4(pixels - 1u));
    let high = min(vec4(8u * block + 4u) + LANES, vec4(pixels - 1u));
    let at0 = pixel_of(low.x, p.h, p.w);
    let at1 = pixel_of(low.y, p.h, p.w);
    let at2 = pixel_of(low.z, p.h, p.w);
    let at3 = pixel_of(low.w, p.h, p.w);
    let at4 = pixel_of(high.x, p.h, p.w);
    let at5 = pixel_of(high.y, p.h, p.w);
    let at6 = pixel_of(high.z, p.h, p.w);
    let at7 = pixel_of(high.w, p.h, p.w);
    var s0 = Block();
    var s1 = Block();
    for (var kh = 0u; kh < p.kernel_h; kh += 1u) {
        for (var kw = 0u; kw < p.kernel_w; kw += 1u) {
            let t0 = reverse_tap_of(at0, kh, kw);
            let t1 = reverse_tap_of(at1, kh, kw);
            let t2 = reverse_tap_of(at2, kh, kw);
            let t3 = reverse_tap_of(at3, kh, kw);
            let t4 = reverse_tap_of(at4, kh, kw);
            let t5 = reverse_tap_of(at5, kh, kw);
            let t6 = reverse_tap_of(at6, kh, kw);
            let t7 = reverse_tap_of(at7, kh, kw);
            let first = ((kh * p.kernel_w + kw) * p.c + 4u * column) * depth;
            for (var o = 0u; o < depth; o += 1u) {
                let w = first + o;
                let tile = transpose(mat4x4(weight[w], weight[w + depth], weight[w + 2u * depth], weight[w + 3u * depth]));
                s0.r0 = row_times(s0.r0, f32(t0.y) * dy[t0.x / 4u + o], tile);
                s0.r1 = row_times(s0.r1, f32(t1.y) * dy[t1.x / 4u + o], tile);
                s0.r2 = row_times(s0.r2, f32(t2.y) * dy[t2.x / 4u + o], tile);
                s0.r3 = row_times(s0.r3, f32(t3.y) * dy[t3.x / 4u + o], tile);
                s1.r0 = row_times(s1.r0, f32(t4.y) * dy[t4.x / 4u + o], tile);
                s1.r1 = row_times(s1.r1, f32(t5.y) * dy[t5.x / 4u + o], tile);
                s1.r2 = row_times(s1.r2, f32(t6.y) * dy[t6.x / 4u + o], tile);
                s1.r3 = row_times(s1.r3, f32(t7.y) * dy[t7.x / 4u + o], tile);
            }
        }
    }
    let out = array(s0.r0, s0.r1, s0.r2, s0.r3, s1.r0, s1.r1, s1.r2, s1.r3);
    for (var i = 0u; i < min(8u, pixels - 8u * block); i += 1u) {
        dx[(8u * block + i) * columns + column] = out[i];
    }
}

@compute @workgroup_size(64)
fn backward_weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let columns = p.o / 4u;
    let rows = p.c / 4u;
    let at = wid.x * 64u + lid;
    let row = divide(at, columns);
    let tap = divide(row, rows);
    if tap >= p.kernel_h * p.kernel_w {
        return;
    }
    let c = row - tap * rows;
    let o = at - row * columns;
    let kh = tap / p.kernel_w;
    let kw = tap - kh * p.kernel_w;
    var sums = Block();
    let begin = wid.y * p.part;
    let end = min(begin + p.part, p.batch * p.out_h * p.out_w);
    var pixel = pixel_of(begin, p.out_h, p.out_w);
    for (var k = begin; k < end; k += 1u) {
        let t = tap_of(pixel, kh, kw);
        sums = rank_one(sums, f32(t.y) * x[t.x / 4u + c], dy[k * columns + o]);
        pixel = next_pixel(pixel);
    }
    let to = (wid.y * p.kernel_h * p.kernel_w * p.c + 4u * row) * columns + o;
    dw[to] = sums.r0;
    dw[to + columns] = sums.r1;
    dw[to + 2u * columns] = sums.r2;
    dw[to + 3u * columns] = sums.r3;
}
