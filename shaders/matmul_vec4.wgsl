//! Matrix product as in matmul.wgsl where both operands can be read as vec4: along K, or across it when A_ROWS
//! (a stored [k, m]) or B_COLUMNS (b stored [k, n]). An invocation owns 8 x 4 outputs and walks K in fours; tiles
//! that lie the other way are turned in registers.
//! Grid: see shared/product.wgsl.
#import grid
#import product
#import block

override A_ROWS: bool = false;
override B_COLUMNS: bool = false;

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // [batch, m, k / 4] or [batch, k, m / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // [batch, n, k / 4] or [batch, k, n / 4]
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(3) var<storage, read> residual: array<f32>; // [m, n]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [parts, batch, m, n]

// Rows row .. row + 3 of op(a) at k .. k + 3; rows beyond the last repeat it.
fn tile_a(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    if A_ROWS {
        let at = base + (k * p.a_k + min(row, p.m - 4u)) / 4u;
        let step = p.a_k / 4u;
        return transpose(mat4x4(a[at], a[at + step], a[at + 2u * step], a[at + 3u * step]));
    }
    let last = p.m - 1u;
    let at = base + k / 4u;
    let step = p.a_row / 4u;
    return mat4x4(
        a[at + min(row, last) * step], a[at + min(row + 1u, last) * step],
        a[at + min(row + 2u, last) * step], a[at + min(row + 3u, last) * step],
    );
}

// op(b) at k .. k + 3, columns column .. column + 3, rows along K.
fn tile_b(base: u32, k: u32, column: u32) -> mat4x4<f32> {
    if B_COLUMNS {
        let at = base + (k * p.b_k + column) / 4u;
        let step = p.b_k / 4u;
        return mat4x4(b[at], b[at + step], b[at + 2u * step], b[at + 3u * step]);
    }
    let last = p.n - 1u;
    let at = base + k / 4u;
    let step = p.b_column / 4u;
    return transpose(mat4x4(
        b[at + min(column, last) * step], b[at + min(column + 1u, last) * step],
        b[at + min(column + 2u, last) * step], b[at + min(column + 3u, last) * step],
    ));
}

@compute @workgroup_size(64)
fn direct(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let columns = (p.n + 3u) / 4u;
    let share = share_of(wid, grid);
    let at = share.block * 64u + lid;
    let block = divide(at, columns);
    let row = 8u * block;
    if row >= p.m {
        return;
    }
    let column = 4u * (at - block * columns);
    let base_a = share.matrix * (p.a_batch / 4u);
    let base_b = share.matrix * (p.b_batch / 4u);
    // Written out, since drivers keep arrays indexed in a loop in memory.
    var s0 = vec4(0.0);
    var s1 = vec4(0.0);
    var s2 = vec4(0.0);
    var s3 = vec4(0.0);
    var s4 = vec4(0.0);
    var s5 = vec4(0.0);
    var s6 = vec4(0.0);
    var s7 = vec4(0.0);
    let end = min((share.part + 1u) * p.k_part, p.k);
    for (var k = share.part * p.k_part; k < end; k += 4u) {
        let right = tile_b(base_b, k, column);
        let low = tile_a(base_a, row, k);
        s0 = row_times(s0, low[0], right);
        s1 = row_times(s1, low[1], right);
        s2 = row_times(s2, low[2], right);
        s3 = row_times(s3, low[3], right);
        let high = tile_a(base_a, row + 4u, k);
        s4 = row_times(s4, high[0], right);
        s5 = row_times(s5, high[1], right);
        s6 = row_times(s6, high[2], right);
        s7 = row_times(s7, high[3], right);
    }
    var offset = vec4(0.0);
    if BIAS {
        let c = min(vec4(column) + LANES, vec4(p.n - 1u));
        offset = vec4(bias[c.x], bias[c.y], bias[c.z], bias[c.w]);
    }
    let out = array(s0, s1, s2, s3, s4, s5, s6, s7);
    let plane = share.plane * p.m;
    for (var i = 0u; i < min(8u, p.m - row); i += 1u) {
        let sums = out[i] + offset;
        for (var j = 0u; j < min(4u, p.n - column); j += 1u) {
            let to = (plane + row + i) * p.n + column + j;
            if RESIDUAL {
                y[to] = sums[j] + residual[to];
            } else {
                y[to] = sums[j];
            }
        }
    }
}
