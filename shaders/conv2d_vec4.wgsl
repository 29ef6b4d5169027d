//! Convolution as in conv2d.wgsl for channels in multiples of four: every load is a vec4.
//!   forward           8 pixels x 4 output channels an invocation
//!   backward_input    8 pixels of a phase x 4 input channels; the weight's 4 x 4 tiles are turned in registers
//!   backward_weight   4 input x 4 output channels, pixels split over y
#import conv

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>; // [kernel_h, kernel_w, c, o / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [o / 4]; [c / 4] in backward_input
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>; // [n, h, w, c / 4]
@group(0) @binding(6) var<storage, read_write> dw: array<vec4<f32>>; // [parts, kernel_h, kernel_w, c, o / 4]
@group(0) @binding(7) var<storage, read> residual: array<vec4<f32>>; // as y

// A parameter, not an override: one driver takes half a minute to compile a variant of these kernels.
fn offset_of(column: u32) -> vec4<f32> {
    if p.bias == 1u {
        return bias[column];
    }
    return vec4(0.0);
}

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
    let low = sites_of(pixels_at(8u * block + LANES, pixels, p.out_h, p.out_w));
    let high = sites_of(pixels_at(8u * block + 4u + LANES, pixels, p.out_h, p.out_w));
    var s0 = Block();
    var s1 = Block();
    var w = column;
    var tap = vec2(0u);
    for (var i = 0u; i < p.taps; i += 1u) {
        let t = taps_of(low, tap.x, tap.y);
        let u = taps_of(high, tap.x, tap.y);
        for (var c = 0u; c < p.c / 4u; c += 1u) {
            let tile = mat4x4(weight[w], weight[w + columns], weight[w + 2u * columns], weight[w + 3u * columns]);
            s0.r0 = row_times(s0.r0, t.inside.x * x[t.at.x / 4u + c], tile);
            s0.r1 = row_times(s0.r1, t.inside.y * x[t.at.y / 4u + c], tile);
            s0.r2 = row_times(s0.r2, t.inside.z * x[t.at.z / 4u + c], tile);
            s0.r3 = row_times(s0.r3, t.inside.w * x[t.at.w / 4u + c], tile);
            s1.r0 = row_times(s1.r0, u.inside.x * x[u.at.x / 4u + c], tile);
            s1.r1 = row_times(s1.r1, u.inside.y * x[u.at.y / 4u + c], tile);
            s1.r2 = row_times(s1.r2, u.inside.z * x[u.at.z / 4u + c], tile);
            s1.r3 = row_times(s1.r3, u.inside.w * x[u.at.w / 4u + c], tile);
            w += p.o;
        }
        tap = next_tap(tap);
    }
    let offset = offset_of(column);
    let out = array(s0.r0, s0.r1, s0.r2, s0.r3, s1.r0, s1.r1, s1.r2, s1.r3);
    for (var i = 0u; i < min(8u, pixels - 8u * block); i += 1u) {
        let to = (8u * block + i) * columns + column;
        var sum = out[i] + offset;
        if p.residual == 1u {
            sum += residual[to];
        }
        y[to] = sum;
    }
}

@compute @workgroup_size(64)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let columns = p.c / 4u;
    let depth = p.o / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let block = divide(at, columns);
    let column = at - block * columns;
    let phase = phase_of(block, 8u);
    if phase.x >= p.stride {
        return;
    }
    let low = pixels_of_phase(phase, phase.z + LANES);
    let high = pixels_of_phase(phase, phase.z + 4u + LANES);
    let low_sites = reverse_sites_of(low);
    let high_sites = reverse_sites_of(high);
    var s0 = Block();
    var s1 = Block();
    for (var kh = (phase.x + p.pad_h) % p.stride; kh < p.kernel_h; kh += p.stride) {
        for (var kw = (phase.y + p.pad_w) % p.stride; kw < p.kernel_w; kw += p.stride) {
            let tap = kh * p.kernel_w + kw;
            if tap >= p.taps {
                break;
            }
            let t = reverse_taps_of(low_sites, kh / p.stride, kw / p.stride);
            let u = reverse_taps_of(high_sites, kh / p.stride, kw / p.stride);
            let first = (tap * p.c + 4u * column) * depth;
            for (var o = 0u; o < depth; o += 1u) {
                let w = first + o;
                let tile = transpose(mat4x4(weight[w], weight[w + depth], weight[w + 2u * depth], weight[w + 3u * depth]));
                s0.r0 = row_times(s0.r0, t.inside.x * dy[t.at.x / 4u + o], tile);
                s0.r1 = row_times(s0.r1, t.inside.y * dy[t.at.y / 4u + o], tile);
                s0.r2 = row_times(s0.r2, t.inside.z * dy[t.at.z / 4u + o], tile);
                s0.r3 = row_times(s0.r3, t.inside.w * dy[t.at.w / 4u + o], tile);
                s1.r0 = row_times(s1.r0, u.inside.x * dy[u.at.x / 4u + o], tile);
                s1.r1 = row_times(s1.r1, u.inside.y * dy[u.at.y / 4u + o], tile);
                s1.r2 = row_times(s1.r2, u.inside.z * dy[u.at.z / 4u + o], tile);
                s1.r3 = row_times(s1.r3, u.inside.w * dy[u.at.w / 4u + o], tile);
            }
        }
    }
    let offset = offset_of(column);
    let out = array(s0.r0, s0.r1, s0.r2, s0.r3, s1.r0, s1.r1, s1.r2, s1.r3);
    let places = array(places_of(low, phase.z + LANES), places_of(high, phase.z + 4u + LANES));
    for (var i = 0u; i < 8u; i += 1u) {
        let place = places[i / 4u][i % 4u];
        if place != OUTSIDE {
            dx[place * columns + column] = out[i] + offset;
        }
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
    // A masked tap sums nothing, and so writes zeros.
    let end = select(begin, min(begin + p.part, p.batch * p.out_h * p.out_w), tap < p.taps);
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
