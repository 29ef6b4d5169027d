//! The nearest code, and the first minimum of a row. Ties go to the lowest index: ascending order, strict <.
//!   nearest   least[part, m], codes[part, m] = min and argmin of ‖z_m − e_k‖² over the codes of a part
//!   argmin    the same of x[m, k]
//!   first     over the parts of both: picked[m] = codes[i, m] with i the first part where least[i, m] is lowest
//! The squared distance is summed as Σ (z − e)², not expanded: no cancellation, the same order for every k.
//! Grid: x over rows (nearest: in fours), y over parts of the codes.
#import grid
#import block
#import nearer

@group(0) @binding(0) var<storage, read> z: array<f32>; // [rows, d]
@group(0) @binding(1) var<storage, read> codebook: array<f32>; // [k, d]
@group(0) @binding(2) var<storage, read> x: array<f32>; // [rows, k]
@group(0) @binding(3) var<storage, read_write> least: array<f32>; // [parts, rows]
@group(0) @binding(4) var<storage, read_write> codes: array<u32>; // [parts, rows]
@group(0) @binding(5) var<storage, read> part_least: array<f32>; // [parts, rows]
@group(0) @binding(6) var<storage, read> part_codes: array<u32>; // [parts, rows]
@group(0) @binding(7) var<storage, read_write> picked: array<u32>; // [rows]

fn entries(at: vec4<u32>) -> vec4<f32> {
    return vec4(codebook[at.x], codebook[at.y], codebook[at.z], codebook[at.w]);
}

// (v_r − e_c)² added to the sums of four rows for each of four codes.
fn add_squares(sums: mat4x4<f32>, v: vec4<f32>, e: vec4<f32>) -> mat4x4<f32> {
    let d0 = v - e.x;
    let d1 = v - e.y;
    let d2 = v - e.z;
    let d3 = v - e.w;
    return mat4x4(fma(d0, d0, sums[0]), fma(d1, d1, sums[1]), fma(d2, d2, sums[2]), fma(d3, d3, sums[3]));
}

// Four rows against eight codes at a time. Rows and codes beyond the last repeat it, and a repeated code never wins.
@compute @workgroup_size(64)
fn nearest(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = 4u * (wid.x * 64u + lid);
    if row >= p.rows {
        return;
    }
    let rows = min(row + LANES, vec4(p.rows - 1u)) * p.d;
    let begin = wid.y * p.part;
    var best = Best(vec4(FARTHEST), vec4(begin));
    for (var k = begin; k < min(begin + p.part, p.k); k += 8u) {
        let low = min(k + LANES, vec4(p.k - 1u)) * p.d;
        let high = min(k + 4u + LANES, vec4(p.k - 1u)) * p.d;
        var s = mat4x4<f32>();
        var t = mat4x4<f32>();
        for (var i = 0u; i < p.d; i += 1u) {
            let v = vec4(z[rows.x + i], z[rows.y + i], z[rows.z + i], z[rows.w + i]);
            s = add_squares(s, v, entries(low + i));
            t = add_squares(t, v, entries(high + i));
        }
        best = nearer(nearer(nearer(nearer(best, s[0], k), s[1], k + 1u), s[2], k + 2u), s[3], k + 3u);
        best = nearer(nearer(nearer(nearer(best, t[0], k + 4u), t[1], k + 5u), t[2], k + 6u), t[3], k + 7u);
    }
    for (var r = 0u; r < min(4u, p.rows - row); r += 1u) {
        least[wid.y * p.rows + row + r] = best.distance[r];
        codes[wid.y * p.rows + row + r] = best.code[r];
    }
}

@compute @workgroup_size(64)
fn argmin(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = wid.x * 64u + lid;
    if row >= p.rows {
        return;
    }
    let begin = wid.y * p.part;
    var code = begin;
    var best = x[row * p.k + begin];
    for (var k = begin + 1u; k < min(begin + p.part, p.k); k += 1u) {
        let v = x[row * p.k + k];
        code = select(code, k, v < best);
        best = min(best, v);
    }
    least[wid.y * p.rows + row] = best;
    codes[wid.y * p.rows + row] = code;
}

@compute @workgroup_size(64)
fn first(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = wid.x * 64u + lid;
    if row >= p.rows {
        return;
    }
    var code = part_codes[row];
    var best = part_least[row];
    for (var part = 1u; part < (p.k + p.part - 1u) / p.part; part += 1u) {
        let v = part_least[part * p.rows + row];
        code = select(code, part_codes[part * p.rows + row], v < best);
        best = min(best, v);
    }
    picked[row] = code;
}
