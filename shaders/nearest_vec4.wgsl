//! The nearest code as in nearest.wgsl where d is a multiple of four: z and codebook are read as vec4.
//! Grid: as there.
#import block
#import nearer

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>; // [rows, d / 4]
@group(0) @binding(1) var<storage, read> codebook: array<vec4<f32>>; // [k, d / 4]
@group(0) @binding(2) var<storage, read_write> least: array<f32>; // [parts, rows]
@group(0) @binding(3) var<storage, read_write> codes: array<u32>; // [parts, rows]

// Σ (v_r − e)² over four columns added to the sums of four rows; `v` holds a column of the rows each.
fn add_squares(sum: vec4<f32>, v: mat4x4<f32>, e: vec4<f32>) -> vec4<f32> {
    let d0 = v[0] - e.x;
    let d1 = v[1] - e.y;
    let d2 = v[2] - e.z;
    let d3 = v[3] - e.w;
    return fma(d3, d3, fma(d2, d2, fma(d1, d1, fma(d0, d0, sum))));
}

// Eight codes share what is read of z, which is dear on CPU drivers: every lane has rows of its own. Rows and codes
// beyond the last repeat it, and a repeated code never wins.
@compute @workgroup_size(64)
fn nearest(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = 4u * (wid.x * 64u + lid);
    if row >= p.rows {
        return;
    }
    let width = p.d / 4u;
    let rows = min(row + LANES, vec4(p.rows - 1u)) * width;
    let begin = wid.y * p.part;
    var best = Best(vec4(FARTHEST), vec4(begin));
    for (var k = begin; k < min(begin + p.part, p.k); k += 8u) {
        let low = min(k + LANES, vec4(p.k - 1u)) * width;
        let high = min(k + 4u + LANES, vec4(p.k - 1u)) * width;
        var s0 = vec4(0.0);
        var s1 = vec4(0.0);
        var s2 = vec4(0.0);
        var s3 = vec4(0.0);
        var s4 = vec4(0.0);
        var s5 = vec4(0.0);
        var s6 = vec4(0.0);
        var s7 = vec4(0.0);
        for (var i = 0u; i < width; i += 1u) {
            let v = transpose(mat4x4(z[rows.x + i], z[rows.y + i], z[rows.z + i], z[rows.w + i]));
            s0 = add_squares(s0, v, codebook[low.x + i]);
            s1 = add_squares(s1, v, codebook[low.y + i]);
            s2 = add_squares(s2, v, codebook[low.z + i]);
            s3 = add_squares(s3, v, codebook[low.w + i]);
            s4 = add_squares(s4, v, codebook[high.x + i]);
            s5 = add_squares(s5, v, codebook[high.y + i]);
            s6 = add_squares(s6, v, codebook[high.z + i]);
            s7 = add_squares(s7, v, codebook[high.w + i]);
        }
        best = nearer(nearer(nearer(nearer(best, s0, k), s1, k + 1u), s2, k + 2u), s3, k + 3u);
        best = nearer(nearer(nearer(nearer(best, s4, k + 4u), s5, k + 5u), s6, k + 6u), s7, k + 7u);
    }
    for (var r = 0u; r < min(4u, p.rows - row); r += 1u) {
        least[wid.y * p.rows + row + r] = best.distance[r];
        codes[wid.y * p.rows + row + r] = best.code[r];
    }
}
