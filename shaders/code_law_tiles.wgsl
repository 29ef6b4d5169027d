//! The law of codes given noised vectors, P = softmax(s) over the codes, with the scores s of code_law.wgsl, in tiles of the
//! codebook: no matrix of rows x codes reaches memory.
//!   mean            y[row] = Σ_k P_k e_k
//!   cross_entropy   loss[row] = −log P[target]
//! Both keep a running maximum and sum of each row, in cross_entropy each lane those of the codes it meets.
//! Grid: one workgroup per 16 rows, in `mean` and per 128 columns, walking over the codes in tiles of 64. Of a tile a lane
//! makes the scores of four rows and four codes, of the mean four rows and up to eight columns.
#import code_tile
#import accurate

override WIDE: bool = false; // more than 64 columns

@group(0) @binding(6) var<storage, read> target_code: array<u32>; // [rows]
@group(0) @binding(7) var<storage, read_write> y: array<f32>; // [rows, d]; [rows] in cross_entropy
var<workgroup> sh_weight: array<vec4<f32>, 256>; // [64 codes, 4]: of four rows each

// Eight columns of four rows: of Σ exp(s − top) e.
struct Sums { near: Block, far: Block }

// exp(s − top) of a tile's scores.
fn weights(s: Block, top: vec4<f32>) -> Block {
    return Block(exp(s.r0 - top), exp(s.r1 - top), exp(s.r2 - top), exp(s.r3 - top));
}

fn row_top(s: Block) -> vec4<f32> {
    return max(max(s.r0, s.r1), max(s.r2, s.r3));
}

fn row_sum(e: Block) -> vec4<f32> {
    return (e.r0 + e.r1) + (e.r2 + e.r3);
}

fn scaled(block: Block, by: vec4<f32>) -> Block {
    return Block(by * block.r0, by * block.r1, by * block.r2, by * block.r3);
}

// Adds a code, weighted, to a lane's columns, of which the chunk has `width`.
fn add_code(sums: Sums, weight: vec4<f32>, code: u32, near: vec4<u32>, width: u32) -> Sums {
    let row = min(code, p.k - 1u) * p.d;
    var e = vec4(codebook[row + near.x], codebook[row + near.y], 0.0, 0.0);
    if width > 32u {
        e.z = codebook[row + near.z];
        e.w = codebook[row + near.w];
    }
    let low = rank_one(sums.near, e, weight);
    if !WIDE || width <= 64u {
        return Sums(low, sums.far);
    }
    let far = row + min(near + 64u, vec4(p.d - 1u));
    let more = vec4(codebook[far.x], codebook[far.y], codebook[far.z], codebook[far.w]);
    return Sums(low, rank_one(sums.far, more, weight));
}

// A row beyond the last repeats it, and writes the same once more.
fn store(at: Rows, column: u32, values: vec4<f32>) {
    if column < p.d {
        y[at.z.x + column] = values.x;
        y[at.z.y + column] = values.y;
        y[at.z.z + column] = values.z;
        y[at.z.w + column] = values.w;
    }
}

fn store_four(at: Rows, column: u32, sums: Block, sum: vec4<f32>) {
    store(at, column, sums.r0 / sum);
    store(at, column + 16u, sums.r1 / sum);
    store(at, column + 32u, sums.r2 / sum);
    store(at, column + 48u, sums.r3 / sum);
}

@compute @workgroup_size(64)
fn mean(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let index = linear_index(wid, grid, 0u, 1u);
    let block = index / p.chunks;
    if 16u * block >= p.rows {
        return;
    }
    let own = 16u * block + 4u * (lid / 16u);
    let at = four_rows(own);
    let chunk = 128u * (index - block * p.chunks);
    let column = chunk + lid % 16u;
    let columns = min(column + 16u * LANES, vec4(p.d - 1u));
    let width = p.d - chunk;
    var top = UNSEEN;
    var sum = vec4(0.0);
    var sums = Sums();
    for (var first = 0u; first < p.k; first += 64u) {
        let s = tile_scores(at, first, lid);
        let next = max(top, largest(row_top(s), lid));
        let e = weights(s, next);
        let slot = 16u * (lid % 16u) + lid / 16u;
        sh_weight[slot] = e.r0;
        sh_weight[slot + 4u] = e.r1;
        sh_weight[slot + 8u] = e.r2;
        sh_weight[slot + 12u] = e.r3;
        let shrink = exp(top - next);
        top = next;
        sum = fma(sum, shrink, row_sum(e));
        sums = Sums(scaled(sums.near, shrink), scaled(sums.far, shrink));
        workgroupBarrier();
        // Weights are next written behind other barriers, which every lane reaches after this loop.
        for (var j = 0u; j < min(64u, p.k - first); j += 4u) {
            let from_weight = 4u * j + lid / 16u;
            sums = add_code(sums, sh_weight[from_weight], first + j, columns, width);
            sums = add_code(sums, sh_weight[from_weight + 4u], first + j + 1u, columns, width);
            sums = add_code(sums, sh_weight[from_weight + 8u], first + j + 2u, columns, width);
            sums = add_code(sums, sh_weight[from_weight + 12u], first + j + 3u, columns, width);
        }
    }
    let all = total(sum, lid);
    if own >= p.rows {
        return;
    }
    store_four(at, column, sums.near, all);
    if WIDE {
        store_four(at, column + 64u, sums.far, all);
    }
}

// The scores of four rows where `code` is their target, else what they were.
fn met(hit: vec4<f32>, s: vec4<f32>, code: u32, targets: vec4<u32>) -> vec4<f32> {
    return select(hit, s, vec4(code) == targets);
}

@compute @workgroup_size(64)
fn cross_entropy(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let block = linear_index(wid, grid, 0u, 1u);
    if 16u * block >= p.rows {
        return;
    }
    let own = 16u * block + 4u * (lid / 16u);
    let at = four_rows(own);
    let row = at.z / p.d;
    let given = vec4(target_code[row.x], target_code[row.y], target_code[row.z], target_code[row.w]);
    let targets = min(given, vec4(p.k - 1u));
    var top = UNSEEN;
    var sum = vec4(0.0);
    var hit = UNSEEN;
    for (var first = 0u; first < p.k; first += 64u) {
        let s = tile_scores(at, first, lid);
        let next = max(top, row_top(s));
        sum = fma(sum, exp(top - next), row_sum(weights(s, next)));
        top = next;
        let code = first + 4u * (lid % 16u);
        hit = met(met(met(met(hit, s.r0, code, targets), s.r1, code + 1u, targets), s.r2, code + 2u, targets), s.r3, code + 3u, targets);
    }
    let most = largest(top, lid);
    workgroupBarrier();
    let all = total(sum * exp(top - most), lid);
    workgroupBarrier();
    let score = largest(hit, lid);
    if lid % 16u == 0u && own < p.rows {
        y[row.x] = accurate_log(all.x) - (score.x - most.x);
        y[row.y] = accurate_log(all.y) - (score.y - most.y);
        y[row.z] = accurate_log(all.z) - (score.z - most.z);
        y[row.w] = accurate_log(all.w) - (score.w - most.w);
    }
}
