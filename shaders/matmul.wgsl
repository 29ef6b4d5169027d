//! Batched matrix product  y = α op(a) op(b) + bias,  op = identity or transpose, given by strides.
//! Direct kernel: an invocation owns ROWS x 4 outputs and reads a and b straight from memory; loads are clamped
//! into range, only stores are checked. With SPLIT > 1 part s of K goes to its own plane of y, summed afterwards.
//! Grid: x over blocks of the output, y over parts of K, z over the batch.
#import grid

override ROWS: u32 = 4;
override BIAS: bool = false;

struct Params {
    m: u32, n: u32, k: u32, k_part: u32,
    a_row: u32, a_k: u32, a_batch: u32,
    b_k: u32, b_column: u32, b_batch: u32,
    alpha: f32,
}
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> a: array<f32>; // [batch, m, k] by strides
@group(0) @binding(1) var<storage, read> b: array<f32>; // [batch, k, n] by strides
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [parts, batch, m, n]

fn block(wid: vec3<u32>, grid: vec3<u32>, lid: u32) {
    let columns = (p.n + 3u) / 4u;
    let at = wid.x * 64u + lid;
    let row_block = divide(at, columns);
    let row = ROWS * row_block;
    if row >= p.m {
        return;
    }
    let column = 4u * (at - row_block * columns);
    var rows: array<u32, 8>;
    for (var i = 0u; i < ROWS; i += 1u) {
        rows[i] = wid.z * p.a_batch + min(row + i, p.m - 1u) * p.a_row;
    }
    let last = vec4(p.n - 1u);
    let columns_of_b = vec4(wid.z * p.b_batch) + min(vec4(column) + vec4(0u, 1u, 2u, 3u), last) * p.b_column;
    var sums: array<vec4<f32>, 8>;
    let end = min((wid.y + 1u) * p.k_part, p.k);
    for (var k = wid.y * p.k_part; k < end; k += 1u) {
        let at_b = columns_of_b + k * p.b_k;
        let right = vec4(b[at_b.x], b[at_b.y], b[at_b.z], b[at_b.w]);
        for (var i = 0u; i < ROWS; i += 1u) {
            sums[i] = fma(vec4(a[rows[i] + k * p.a_k]), right, sums[i]);
        }
    }
    var offset = vec4(0.0);
    if BIAS {
        let c = min(vec4(column) + vec4(0u, 1u, 2u, 3u), last);
        offset = vec4(bias[c.x], bias[c.y], bias[c.z], bias[c.w]);
    }
    let plane = (wid.y * grid.z + wid.z) * p.m;
    for (var i = 0u; i < min(ROWS, p.m - row); i += 1u) {
        let out = p.alpha * sums[i] + offset;
        for (var j = 0u; j < min(4u, p.n - column); j += 1u) {
            y[(plane + row + i) * p.n + column + j] = out[j];
        }
    }
}

@compute @workgroup_size(64)
fn direct(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    block(wid, grid, lid);
}
