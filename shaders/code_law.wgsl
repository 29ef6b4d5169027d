//! Scores of codes given noised vectors, and their gradients. With picture n and position i of a row:
//!   scores               s[row, k] = logits[row, k] + bias[i, k] − ½ Σ_c π[n, c] (z[row, c] − α[n] e[k, c])²
//!   backward_z           dz = −π Σ_k ds (z − α e_k)
//!   backward_codebook    de_k = α π Σ_row ds (z − α e_k)
//! The squares are summed as they stand, not expanded: where there is little noise π is large, z next to α e, and the
//! expansion would cancel.
//! Grid: x over fours of rows, y over eights of codes; backward: blocks of 4 x 4 results, y over parts of the rows.
#import code_law

@group(0) @binding(6) var<storage, read> ds: array<f32>; // [rows, k]
@group(0) @binding(7) var<storage, read_write> score: array<f32>; // [rows, k]
@group(0) @binding(8) var<storage, read_write> dz: array<f32>; // [rows, d]
@group(0) @binding(9) var<storage, read_write> partial: array<f32>; // [parts, k, d]

fn entries(at: vec4<u32>) -> vec4<f32> {
    return vec4(codebook[at.x], codebook[at.y], codebook[at.z], codebook[at.w]);
}

fn store(at: vec4<u32>, values: vec4<f32>) {
    score[at.x] = values.x;
    score[at.y] = values.y;
    score[at.z] = values.z;
    score[at.w] = values.w;
}

// Scores of a code, from the sums of its squares, unless it lies beyond the last. A row beyond the last repeats it, and
// writes the same once more.
fn finish(at: Rows, code: u32, squares: vec4<f32>) {
    if code < p.k {
        store(at.logits + code, fma(vec4(-0.5), squares, offset_of(at, code)));
    }
}

// Codes are the same for all lanes, which have rows of their own: what is read of the codebook is read once for all.
@compute @workgroup_size(64)
fn scores(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let first = 4u * (wid.x * 64u + lid);
    if first >= p.rows {
        return;
    }
    let at = four_rows(first);
    let code = 8u * wid.y;
    let low = min(code + LANES, vec4(p.k - 1u)) * p.d;
    let high = min(code + 4u + LANES, vec4(p.k - 1u)) * p.d;
    var s = Block();
    var t = Block();
    for (var c = 0u; c < p.d; c += 1u) {
        let values = z_of(at, c);
        let weights = precision_of(at, c);
        s = add_squares(s, values, weights, at.signal, entries(low + c));
        t = add_squares(t, values, weights, at.signal, entries(high + c));
    }
    finish(at, code, s.r0);
    finish(at, code + 1u, s.r1);
    finish(at, code + 2u, s.r2);
    finish(at, code + 3u, s.r3);
    finish(at, code + 4u, t.r0);
    finish(at, code + 5u, t.r1);
    finish(at, code + 6u, t.r2);
    finish(at, code + 7u, t.r3);
}

// Four columns of a row of z.
fn z_in(row: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = row * p.d + columns;
    return vec4(z[at.x], z[at.y], z[at.z], z[at.w]);
}

fn precision_in(at: u32, columns: vec4<u32>) -> vec4<f32> {
    return vec4(precisions[at + columns.x], precisions[at + columns.y], precisions[at + columns.z], precisions[at + columns.w]);
}

@compute @workgroup_size(64)
fn backward_z(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = linear_index(wid, grid, lid, 64u);
    let across = (p.d + 3u) / 4u;
    let first = 4u * divide(index, across);
    if first >= p.rows {
        return;
    }
    let column = 4u * (index - first / 4u * across);
    let columns = min(column + LANES, vec4(p.d - 1u));
    let at = four_rows(first);
    let row = at.z / p.d;
    let z0 = z_in(row.x, columns);
    let z1 = z_in(row.y, columns);
    let z2 = z_in(row.z, columns);
    let z3 = z_in(row.w, columns);
    var sums = Block();
    for (var k = 0u; k < p.k; k += 1u) {
        let e = entries(k * p.d + columns);
        let i = at.logits + k;
        sums = Block(
            fma(vec4(ds[i.x]), fma(vec4(-at.signal.x), e, z0), sums.r0),
            fma(vec4(ds[i.y]), fma(vec4(-at.signal.y), e, z1), sums.r1),
            fma(vec4(ds[i.z]), fma(vec4(-at.signal.z), e, z2), sums.r2),
            fma(vec4(ds[i.w]), fma(vec4(-at.signal.w), e, z3), sums.r3),
        );
    }
    store_z(at.z.x, column, -precision_in(at.precisions.x, columns) * sums.r0);
    store_z(at.z.y, column, -precision_in(at.precisions.y, columns) * sums.r1);
    store_z(at.z.z, column, -precision_in(at.precisions.z, columns) * sums.r2);
    store_z(at.z.w, column, -precision_in(at.precisions.w, columns) * sums.r3);
}

fn store_z(row: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < min(4u, p.d - column); i += 1u) {
        dz[row + column + i] = values[i];
    }
}

// Parts of the rows, whose planes are summed afterwards. Of a picture the sums are multiplied by α π at its end.
@compute @workgroup_size(64)
fn backward_codebook(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = wid.x * 64u + lid;
    let across = (p.d + 3u) / 4u;
    let first = 4u * divide(index, across);
    if first >= p.k {
        return;
    }
    let column = 4u * (index - first / 4u * across);
    let columns = min(column + LANES, vec4(p.d - 1u));
    let codes = min(first + LANES, vec4(p.k - 1u));
    let e = Block(
        entries(codes.x * p.d + columns), entries(codes.y * p.d + columns),
        entries(codes.z * p.d + columns), entries(codes.w * p.d + columns),
    );
    let end = min(p.part * (wid.y + 1u), p.rows);
    var row = p.part * wid.y;
    var all = Block();
    while row < end {
        let picture = divide(row, p.positions);
        let a = signal[picture];
        let last = min((picture + 1u) * p.positions, end);
        var sums = Block();
        for (; row < last; row += 1u) {
            let values = z_in(row, columns);
            let i = row * p.k + codes;
            sums = Block(
                fma(vec4(ds[i.x]), fma(vec4(-a), e.r0, values), sums.r0),
                fma(vec4(ds[i.y]), fma(vec4(-a), e.r1, values), sums.r1),
                fma(vec4(ds[i.z]), fma(vec4(-a), e.r2, values), sums.r2),
                fma(vec4(ds[i.w]), fma(vec4(-a), e.r3, values), sums.r3),
            );
        }
        let factor = a * precision_in(picture * p.d, columns);
        all = Block(
            fma(factor, sums.r0, all.r0), fma(factor, sums.r1, all.r1),
            fma(factor, sums.r2, all.r2), fma(factor, sums.r3, all.r3),
        );
    }
    let plane = wid.y * p.k * p.d;
    store_code(plane, first, column, all.r0);
    store_code(plane, first + 1u, column, all.r1);
    store_code(plane, first + 2u, column, all.r2);
    store_code(plane, first + 3u, column, all.r3);
}

fn store_code(plane: u32, code: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < min(4u, p.d - column) && code < p.k; i += 1u) {
        partial[plane + code * p.d + column + i] = values[i];
    }
}
