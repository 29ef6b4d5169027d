//! Convolution as in conv2d_vec4.wgsl for CPU drivers with subgroups of eight lanes: see shared/lanes.wgsl. A workgroup:
//!   forward           32 pixels x 64 output channels
//!   backward_input    32 pixels of a phase x 64 input channels
//!   backward_weight   32 input x 64 output channels of a tap, pixels split over y; if p.bias a part has a last row, db,
//!                     from workgroups of their own
//! (32 channels instead of 64 unless WIDE.)
#import conv
#import lanes

@group(0) @binding(0) var<storage, read> x: array<vec2<u64>>; // [n, h, w, c / 4]
@group(0) @binding(1) var<storage, read> weight: array<vec2<u64>>; // [kernel_h, kernel_w, c, o / 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>; // [o / 4]; [c / 4] in backward_input
@group(0) @binding(3) var<storage, read> dy: array<vec2<u64>>; // [n, out_h, out_w, o / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [n, out_h, out_w, o / 4], as x, or [parts] of rows as weight's
@group(0) @binding(5) var<storage, read> residual: array<vec4<f32>>; // as y

fn finished(at: u32, sum: vec4<f32>) -> vec4<f32> {
    if p.residual == 1u {
        return sum + residual[at];
    }
    return sum;
}

// Four rows of the weight from `at`.
fn tile_of(at: u32, step: u32) -> mat4x4<f32> {
    return mat4x4(values(weight[at]), values(weight[at + step]), values(weight[at + 2u * step]), values(weight[at + 3u * step]));
}

@compute @workgroup_size(8)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let pixels = p.batch * p.out_h * p.out_w;
    let columns = p.o / 4u;
    let group = linear_index(wid, grid, 0u, 1u);
    let at = columns_of(group, lane, columns);
    let own = 32u * block_of_rows(group, columns) + lane + 8u * LANES;
    let start = sites_of(pixels_at(own, pixels, p.out_h, p.out_w));
    var sums = Sums();
    if p.bias == 1u {
        sums = begin_with_bias(at);
    }
    var w = 0u;
    var tap = vec2(0u);
    for (var i = 0u; i < p.taps; i += 1u) {
        let t = taps_of(start, tap.x, tap.y);
        for (var c = 0u; c < p.c / 4u; c += 1u) {
            let k = t.at / 4u + c;
            let left = mat4x4(
                t.inside.x * values(x[k.x]), t.inside.y * values(x[k.y]),
                t.inside.z * values(x[k.z]), t.inside.w * values(x[k.w]),
            );
            let near = tile_of(w + at.near, columns);
            var far = near;
            if WIDE {
                far = tile_of(w + at.far, columns);
            }
            sums = add_rows(sums, left, near, far);
            w += p.o;
        }
        tap = next_tap(tap);
    }
    keep(select(vec4(OUTSIDE), own, own < vec4(pixels)), at, columns, sums);
}

@compute @workgroup_size(8)
fn backward_input(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let columns = p.c / 4u;
    let depth = p.o / 4u;
    let group = linear_index(wid, grid, 0u, 1u);
    let at = columns_of(group, lane, columns);
    let phase = phase_of(block_of_rows(group, columns), 32u);
    if phase.x >= p.stride {
        return;
    }
    let own = phase.z + lane + 8u * LANES;
    let start = pixels_of_phase(phase, own);
    let sites = reverse_sites_of(start);
    var sums = Sums();
    if p.bias == 1u {
        sums = begin_with_bias(at);
    }
    for (var kh = (phase.x + p.pad_h) % p.stride; kh < p.kernel_h; kh += p.stride) {
        for (var kw = (phase.y + p.pad_w) % p.stride; kw < p.kernel_w && kh * p.kernel_w + kw < p.taps; kw += p.stride) {
            let t = reverse_taps_of(sites, kh / p.stride, kw / p.stride);
            let w = (kh * p.kernel_w + kw) * p.c * depth;
            for (var o = 0u; o < depth; o += 1u) {
                let k = t.at / 4u + o;
                let left = mat4x4(
                    t.inside.x * values(dy[k.x]), t.inside.y * values(dy[k.y]),
                    t.inside.z * values(dy[k.z]), t.inside.w * values(dy[k.w]),
                );
                let near = transpose(tile_of(w + 4u * at.near * depth + o, depth));
                var far = near;
                if WIDE {
                    far = transpose(tile_of(w + 4u * at.far * depth + o, depth));
                }
                sums = add_rows(sums, left, near, far);
            }
        }
    }
    keep(places_of(start, own), at, columns, sums);
}

@compute @workgroup_size(8)
fn backward_weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let columns = p.o / 4u;
    let at = columns_of(wid.x, lane, columns);
    // Rows of dw are (tap, block of 32 channels), so that a block never crosses taps; one more block makes db.
    let block = block_of_rows(wid.x, columns);
    let blocks = (p.c + 31u) / 32u;
    let tap = block / blocks;
    let of_dw = tap < p.kernel_h * p.kernel_w;
    let first = 32u * (block - tap * blocks);
    let channels = min(vec4(first / 4u + lane / 4u) + 2u * LANES, vec4(p.c / 4u - 1u));
    let last = min((wid.y + 1u) * p.part, p.batch * p.out_h * p.out_w);
    // A masked tap sums nothing, and so writes zeros.
    let end = select(0u, last, tap < p.taps);
    var sums = Sums();
    for (var k = wid.y * p.part; k < end; k += 4u) {
        let own = k + lane % 4u;
        let t = tap_of(pixel_of(own, p.out_h, p.out_w), tap / p.kernel_w, tap % p.kernel_w);
        // Pixels beyond the part's last count nothing.
        let inside = select(0.0, f32(t.y), own < end);
        let start = select(0u, t.x / 4u, own < end) + channels;
        let left = mat4x4(
            inside * values(x[start.x]), inside * values(x[start.y]),
            inside * values(x[start.z]), inside * values(x[start.w]),
        );
        let line = min(k + LANES, vec4(end - 1u)) * columns;
        let n = line + at.near;
        let near = mat4x4(values(dy[n.x]), values(dy[n.y]), values(dy[n.z]), values(dy[n.w]));
        var far = near;
        if WIDE {
            let f = line + at.far;
            far = mat4x4(values(dy[f.x]), values(dy[f.y]), values(dy[f.z]), values(dy[f.w]));
        }
        sums = add_columns(sums, left, near, far);
    }
    let own = first + lane + 8u * LANES;
    let rows = p.kernel_h * p.kernel_w * p.c;
    let top = wid.y * (rows + p.bias);
    keep(select(vec4(OUTSIDE), top + tap * p.c + own, (own < vec4(p.c)) & vec4(of_dw)), at, columns, sums);
    var dy_near = vec4(0.0);
    var dy_far = vec4(0.0);
    for (var k = wid.y * p.part; k < select(last, 0u, of_dw); k += 1u) {
        dy_near += values(dy[k * columns + at.near]);
        dy_far += values(dy[k * columns + at.far]);
    }
    if !of_dw {
        keep_row(top + rows, at.quad, columns, dy_near, dy_far);
    }
}
