//! The nearest code as in nearest_vec4.wgsl by a product of z with the codebook, where d and k are multiples of four.
//!   halves    half[k] = -‖e_k‖² / 2
//!   among     least and codes as there, given score[m, k] = z_m · e_k + half[k], largest where the distance is least:
//!             distances are summed only where scores are so near that rounding may have turned them round
//! Grid: over codes in halves; x over rows, y over parts of the codes in among.
#import nearer

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>; // [rows, d / 4]
@group(0) @binding(1) var<storage, read> codebook: array<vec4<f32>>; // [k, d / 4]
@group(0) @binding(2) var<storage, read_write> least: array<f32>; // [parts, rows]
@group(0) @binding(3) var<storage, read_write> codes: array<u32>; // [parts, rows]
@group(0) @binding(4) var<storage, read> score: array<vec4<f32>>; // [rows, k / 4]
@group(0) @binding(5) var<storage, read> half: array<f32>; // [k]
@group(0) @binding(6) var<storage, read_write> halves_out: array<f32>; // [k]

@compute @workgroup_size(64)
fn halves(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let k = wid.x * 64u + lid;
    if k >= p.k {
        return;
    }
    var squares = vec4(0.0);
    for (var i = 0u; i < p.d / 4u; i += 1u) {
        let e = codebook[k * (p.d / 4u) + i];
        squares = fma(e, e, squares);
    }
    halves_out[k] = -0.5 * (squares.x + squares.y + squares.z + squares.w);
}

var<workgroup> sh_lowest: array<f32, 64>;

// The lowest of half[begin ..]: that of the longest code.
fn lowest_half(begin: u32, end: u32, lid: u32) -> f32 {
    var lowest = 0.0;
    for (var k = begin + lid; k < end; k += 64u) {
        lowest = min(lowest, half[k]);
    }
    sh_lowest[lid] = lowest;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i += 1u) {
        lowest = min(lowest, sh_lowest[i]);
    }
    return lowest;
}

// A distance, added up where others may have been skipped.
fn exact(row: u32, k: u32) -> f32 {
    var squares = vec4(0.0);
    for (var i = 0u; i < p.d / 4u; i += 1u) {
        let difference = z[row * (p.d / 4u) + i] - codebook[k * (p.d / 4u) + i];
        squares = fma(difference, difference, squares);
    }
    return squares.x + squares.y + squares.z + squares.w;
}

@compute @workgroup_size(64)
fn among(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let begin = wid.y * p.part;
    let end = min(begin + p.part, p.k);
    let lowest = lowest_half(begin, end, lid);
    let row = wid.x * 64u + lid;
    if row >= p.rows {
        return;
    }
    let first = row * (p.k / 4u);
    // In each of four columns of scores the highest with its quad, and the highest of the others.
    var highest = vec4(-FARTHEST);
    var second = vec4(-FARTHEST);
    var quads = vec4(begin / 4u);
    for (var quad = begin / 4u; quad < end / 4u; quad += 1u) {
        let s = score[first + quad];
        second = max(second, min(highest, s));
        quads = select(quads, vec4(quad), s > highest);
        highest = max(highest, s);
    }
    var squares = vec4(0.0);
    for (var i = 0u; i < p.d / 4u; i += 1u) {
        let v = z[row * (p.d / 4u) + i];
        squares = fma(v, v, squares);
    }
    // A score of d terms is off by at most (d + 8) 2⁻²³ (|z| |e| + |e|² / 2), and so is the highest.
    let length = sqrt(squares.x + squares.y + squares.z + squares.w);
    let slack = f32(p.d + 8u) * 2.3841858e-7 * (length * sqrt(-2.0 * lowest) - lowest);
    let top = max(max(highest.x, highest.y), max(highest.z, highest.w));
    let limit = top - slack;
    let rivals = select(vec4(0u), vec4(1u), highest >= vec4(limit)) + select(vec4(0u), vec4(2u), second >= vec4(limit));
    let column = select(select(select(3u, 2u, highest.z == top), 1u, highest.y == top), 0u, highest.x == top);
    var code = 4u * quads[column] + column;
    var best = 0.0;
    if rivals.x + rivals.y + rivals.z + rivals.w > 1u {
        best = FARTHEST;
        for (var quad = begin / 4u; quad < end / 4u; quad += 1u) {
            let near = score[first + quad] >= vec4(limit);
            if !any(near) {
                continue;
            }
            for (var j = 0u; j < 4u; j += 1u) {
                if near[j] {
                    let distance = exact(row, 4u * quad + j);
                    code = select(code, 4u * quad + j, distance < best);
                    best = min(best, distance);
                }
            }
        }
    } else if p.part < p.k {
        // Other parts' best ones are compared with it.
        best = exact(row, code);
    }
    least[wid.y * p.rows + row] = best;
    codes[wid.y * p.rows + row] = code;
}
