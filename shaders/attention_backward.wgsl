//! Gradients of attention.wgsl, whose probabilities p = exp(scale q kᵀ − lse) are made again tile by tile.
//!   backward_dots    delta = Σ dy y of each query
//!   backward_query   dq = scale Σ ds k,  ds = p (dy vᵀ − delta)
//!   backward_key     dk = scale Σ ds q,  dv = Σ p dy
//! Grid: as in forward; in backward_key a workgroup owns keys and walks over queries. So no sum has two writers.
#import attention

@group(0) @binding(4) var<storage, read> lse: array<f32>; // [n, len_q, heads]
@group(0) @binding(5) var<storage, read> saved_delta: array<f32>; // [n, len_q, heads]
@group(0) @binding(6) var<storage, read_write> delta: array<f32>; // [n, len_q, heads]
@group(0) @binding(7) var<storage, read_write> d_own: array<vec4<f32>>; // [n, len_own, heads, vectors]: dq; dk in backward_key
@group(0) @binding(8) var<storage, read_write> d_value: array<vec4<f32>>; // [n, len_own, heads, vectors]: dv
var<workgroup> sh_ds: array<vec4<f32>, 256>; // [row of the tile, groups]: of four owned rows each
var<workgroup> sh_p: array<vec4<f32>, 256>; // [row of the tile, groups]

// exp(scale s − lse), 0 where unseen.
fn probability(s: vec4<f32>, log_sum: vec4<f32>, seen: vec4<bool>) -> vec4<f32> {
    return exp(select(UNSEEN, p.scale * s - log_sum, seen));
}

@compute @workgroup_size(64)
fn backward_dots(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let row = linear_index(wid, grid, lid, 64u);
    if row >= p.slabs * p.len_own {
        return;
    }
    var sum = vec4(0.0);
    for (var c = p.vectors * row; c < p.vectors * (row + 1u); c += 1u) {
        sum = fma(own[c], own_value[c], sum);
    }
    delta[row] = (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(64)
fn backward_query(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, 0u, 1u);
    if block >= p.blocks * p.slabs {
        return;
    }
    let at = place(block, lid);
    let slot = at.column * at.groups + at.group;
    let rows = at.mine / p.vectors;
    let log_sum = vec4(lse[rows.x], lse[rows.y], lse[rows.z], lse[rows.w]);
    let dots = vec4(saved_delta[rows.x], saved_delta[rows.y], saved_delta[rows.z], saved_delta[rows.w]);
    let seen = min(vec4(at.row + p.causal_offset + 1u) + LANES, vec4(p.len_other));
    let end = min(first_row(block) + 256u / p.across + p.causal_offset, p.len_other);
    var sums = Sums();
    for (var first = 0u; first < end; first += 4u * p.across) {
        let keys = tile_rows(at, first);
        let theirs = p.vectors * other_rows(at, keys);
        let s = products(at.mine, theirs);
        let dp = value_products(at.mine, theirs);
        sh_ds[slot] = probability(s.r0, log_sum, vec4(keys.x) < seen) * (dp.r0 - dots);
        sh_ds[slot + 64u] = probability(s.r1, log_sum, vec4(keys.y) < seen) * (dp.r1 - dots);
        sh_ds[slot + 128u] = probability(s.r2, log_sum, vec4(keys.z) < seen) * (dp.r2 - dots);
        sh_ds[slot + 192u] = probability(s.r3, log_sum, vec4(keys.w) < seen) * (dp.r3 - dots);
        workgroupBarrier();
        for (var j = 0u; j < min(4u * p.across, end - first); j += 1u) {
            let ds = sh_ds[j * at.groups + at.group];
            sums = add_other(sums, ds, p.vectors * (at.other + p.heads * (first + j)), at.columns);
        }
        workgroupBarrier();
    }
    store_own(at, sums);
}

fn store_own(at: Place, sums: Sums) {
    var out = in_rows(sums);
    for (var i = 0u; i < min(4u, max(p.len_own, at.row) - at.row); i += 1u) {
        let row = p.vectors * (at.own + p.heads * (at.row + i));
        for (var j = 0u; j < select(2u, 4u, WIDE) && at.column + p.across * j < p.vectors; j += 1u) {
            d_own[row + at.column + p.across * j] = p.scale * out[4u * i + j];
        }
    }
}

fn store_value(at: Place, sums: Sums) {
    var out = in_rows(sums);
    for (var i = 0u; i < min(4u, max(p.len_own, at.row) - at.row); i += 1u) {
        let row = p.vectors * (at.own + p.heads * (at.row + i));
        for (var j = 0u; j < select(2u, 4u, WIDE) && at.column + p.across * j < p.vectors; j += 1u) {
            d_value[row + at.column + p.across * j] = out[4u * i + j];
        }
    }
}

@compute @workgroup_size(64)
fn backward_key(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, 0u, 1u);
    if block >= p.blocks * p.slabs {
        return;
    }
    let at = place(block, lid);
    let slot = at.column * at.groups + at.group;
    let keys = vec4(at.row) + LANES;
    // Queries before the block's first key see none of it.
    let tile = 4u * p.across;
    let begin = (max(first_row(block), p.causal_offset) - p.causal_offset) / tile * tile;
    var d_keys = Sums();
    var d_values = Sums();
    for (var first = begin; first < p.len_other; first += tile) {
        let queries = tile_rows(at, first);
        let rows = other_rows(at, queries);
        let s = products(at.mine, p.vectors * rows);
        let dp = value_products(at.mine, p.vectors * rows);
        let last_key = queries + p.causal_offset;
        let p0 = probability(s.r0, vec4(lse[rows.x]), keys <= vec4(last_key.x));
        let p1 = probability(s.r1, vec4(lse[rows.y]), keys <= vec4(last_key.y));
        let p2 = probability(s.r2, vec4(lse[rows.z]), keys <= vec4(last_key.z));
        let p3 = probability(s.r3, vec4(lse[rows.w]), keys <= vec4(last_key.w));
        sh_p[slot] = p0;
        sh_p[slot + 64u] = p1;
        sh_p[slot + 128u] = p2;
        sh_p[slot + 192u] = p3;
        sh_ds[slot] = p0 * (dp.r0 - saved_delta[rows.x]);
        sh_ds[slot + 64u] = p1 * (dp.r1 - saved_delta[rows.y]);
        sh_ds[slot + 128u] = p2 * (dp.r2 - saved_delta[rows.z]);
        sh_ds[slot + 192u] = p3 * (dp.r3 - saved_delta[rows.w]);
        workgroupBarrier();
        for (var j = 0u; j < min(tile, p.len_other - first); j += 1u) {
            let from_row = p.vectors * (at.other + p.heads * (first + j));
            d_keys = add_other(d_keys, sh_ds[j * at.groups + at.group], from_row, at.columns);
            d_values = add_value(d_values, sh_p[j * at.groups + at.group], from_row, at.columns);
        }
        workgroupBarrier();
    }
    store_own(at, d_keys);
    store_value(at, d_values);
}
