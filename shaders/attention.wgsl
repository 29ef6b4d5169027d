//! Attention, y = softmax(scale q kᵀ) v, in tiles (Dao et al. 2022): the len_q x len_k matrix never reaches memory.
//!   forward   keeps a running maximum and sum of each query; saves lse = log Σ exp(scale q kᵀ)
//! Grid: one workgroup per block of 256 / across queries of one sample and head, walking over the keys in tiles of
//! 4 across. Of a tile a lane makes 4 x 4 scores; of the sums it owns 4 queries x 8 columns, 16 if WIDE.
#import attention
#import accurate

@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [n, len_q, heads, vectors]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [n, len_q, heads]
var<workgroup> sh_weight: array<vec4<f32>, 256>; // [key of the tile, groups]: of four queries each
var<workgroup> sh_lane: array<vec4<f32>, 64>; // [across, groups]

fn scaled(block: Block, by: vec4<f32>) -> Block {
    return Block(by.x * block.r0, by.y * block.r1, by.z * block.r2, by.w * block.r3);
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, 0u, 1u);
    if block >= p.blocks * p.slabs {
        return;
    }
    let at = place(block, lid);
    let slot = at.column * at.groups + at.group;
    // The keys that each query sees, and those that any query of the block sees.
    let seen = min(vec4(at.row + p.causal_offset + 1u) + LANES, vec4(p.len_other));
    let end = min(first_row(block) + 256u / p.across + p.causal_offset, p.len_other);
    var top = UNSEEN;
    var sum = vec4(0.0);
    var sums = Sums();
    for (var first = 0u; first < end; first += 4u * p.across) {
        let keys = tile_rows(at, first);
        let dot = products(at.mine, p.vectors * other_rows(at, keys));
        let s0 = select(UNSEEN, p.scale * dot.r0, vec4(keys.x) < seen);
        let s1 = select(UNSEEN, p.scale * dot.r1, vec4(keys.y) < seen);
        let s2 = select(UNSEEN, p.scale * dot.r2, vec4(keys.z) < seen);
        let s3 = select(UNSEEN, p.scale * dot.r3, vec4(keys.w) < seen);
        sh_lane[slot] = max(max(s0, s1), max(s2, s3));
        workgroupBarrier();
        var next = top;
        for (var i = at.group; i < 64u; i += at.groups) {
            next = max(next, sh_lane[i]);
        }
        let e0 = exp(s0 - next);
        let e1 = exp(s1 - next);
        let e2 = exp(s2 - next);
        let e3 = exp(s3 - next);
        sh_weight[slot] = e0;
        sh_weight[slot + 64u] = e1;
        sh_weight[slot + 128u] = e2;
        sh_weight[slot + 192u] = e3;
        let shrink = exp(top - next);
        top = next;
        sum = fma(sum, shrink, (e0 + e1) + (e2 + e3));
        sums = Sums(scaled(sums.c0, shrink), scaled(sums.c1, shrink), scaled(sums.c2, shrink), scaled(sums.c3, shrink));
        workgroupBarrier();
        // Weights are next written after the other barrier, which every lane reaches after this loop.
        for (var j = 0u; j < min(4u * p.across, end - first); j += 1u) {
            let weight = sh_weight[j * at.groups + at.group];
            sums = add_value(sums, weight, p.vectors * (at.other + p.heads * (first + j)), at.columns);
        }
    }
    sh_lane[slot] = sum;
    workgroupBarrier();
    var total = vec4(0.0);
    for (var i = at.group; i < 64u; i += at.groups) {
        total += sh_lane[i];
    }
    var out = in_rows(sums);
    for (var i = 0u; i < min(4u, max(p.len_own, at.row) - at.row); i += 1u) {
        let row = at.own + p.heads * (at.row + i);
        for (var j = 0u; j < select(2u, 4u, WIDE) && at.column + p.across * j < p.vectors; j += 1u) {
            y[p.vectors * row + at.column + p.across * j] = out[4u * i + j] / total[i];
        }
        if at.column == 0u {
            lse[row] = top[i] + accurate_log(total[i]);
        }
    }
}
