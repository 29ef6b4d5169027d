//! Batched matrix product  y = op(a) op(b) + bias + residual,  op = identity or transpose, given by strides.
//! Direct kernel: an invocation owns 4 x 4 outputs and reads a and b straight from memory; loads are clamped
//! into range, only stores are checked. Part s of K goes to its own plane of y, summed afterwards.
//! Grid: see shared/product.wgsl.
#import grid
#import product
#import block

@group(0) @binding(0) var<storage, read> a: array<f32>; // [batch, m, k] by strides
@group(0) @binding(1) var<storage, read> b: array<f32>; // [batch, k, n] by strides
@group(0) @binding(2) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(3) var<storage, read> residual: array<f32>; // [m, n]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [parts, batch, m, n]

@compute @workgroup_size(64)
fn direct(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let columns = (p.n + 3u) / 4u;
    let share = share_of(wid, grid);
    let at = share.block * 64u + lid;
    let row_block = divide(at, columns);
    let row = 4u * row_block;
    if row >= p.m {
        return;
    }
    let column = 4u * (at - row_block * columns);
    let last = vec4(p.n - 1u);
    let begin = share.part * p.k_part;
    let end = min(begin + p.k_part, p.k);
    var at_a = vec4(share.matrix * p.a_batch + begin * p.a_k) + min(vec4(row) + LANES, vec4(p.m - 1u)) * p.a_row;
    var at_b = vec4(share.matrix * p.b_batch + begin * p.b_k) + min(vec4(column) + LANES, last) * p.b_column;
    // Written out, since drivers keep arrays indexed in a loop in memory.
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var k = begin; k < end; k += 1u) {
        let right = vec4(b[at_b.x], b[at_b.y], b[at_b.z], b[at_b.w]);
        sum0 = fma(vec4(a[at_a.x]), right, sum0);
        sum1 = fma(vec4(a[at_a.y]), right, sum1);
        sum2 = fma(vec4(a[at_a.z]), right, sum2);
        sum3 = fma(vec4(a[at_a.w]), right, sum3);
        at_a += vec4(p.a_k);
        at_b += vec4(p.b_k);
    }
    var offset = vec4(0.0);
    if BIAS {
        let c = min(vec4(column) + LANES, last);
        offset = vec4(bias[c.x], bias[c.y], bias[c.z], bias[c.w]);
    }
    let out = array(sum0 + offset, sum1 + offset, sum2 + offset, sum3 + offset);
    let plane = share.plane * p.m;
    for (var i = 0u; i < min(4u, p.m - row); i += 1u) {
        for (var j = 0u; j < min(4u, p.n - column); j += 1u) {
            let to = (plane + row + i) * p.n + column + j;
            if RESIDUAL {
                y[to] = out[i][j] + residual[to];
            } else {
                y[to] = out[i][j];
            }
        }
    }
}
