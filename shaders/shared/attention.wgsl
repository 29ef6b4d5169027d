// What the attention kernels share: parameters, which rows a lane works on, and a tile of products.
#import grid
#import block

override WIDE: bool = false;

struct Params {
    slabs: u32, heads: u32, // slabs: batch x heads
    len_own: u32, len_other: u32,
    vectors: u32, // vec4s a row
    across: u32, // lanes side by side over the columns; each has two vec4s of them, four if WIDE
    blocks: u32, // blocks of `own` a slab
    causal_offset: u32, // query i sees keys j <= i + causal_offset
    scale: f32,
}
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> own: array<vec4<f32>>; // [n, len_own, heads, vectors]: q; k in backward_key, y in backward_dots
@group(0) @binding(1) var<storage, read> other: array<vec4<f32>>; // [n, len_other, heads, vectors]: k; q in backward_key
@group(0) @binding(2) var<storage, read> own_value: array<vec4<f32>>; // [n, len_own, heads, vectors]: dy; v in backward_key
@group(0) @binding(3) var<storage, read> other_value: array<vec4<f32>>; // [n, len_other, heads, vectors]: v; dy in backward_key

// Score of a key that a query does not see: finite, as infinities may be assumed absent.
const UNSEEN = vec4(-1e30);

// Of a lane's four rows; written out, since drivers keep arrays indexed in a loop in memory.
struct Sums { c0: Block, c1: Block, c2: Block, c3: Block }
struct Place {
    row: u32, // first of the lane's four rows of `own`
    group: u32, // which four of the block these are
    groups: u32,
    column: u32, // which lane across the columns this is
    columns: vec4<u32>, // its vec4s of a row; beyond the last it repeats
    own: u32, // row 0 of this sample and head of `own`, counted in rows of all
    other: u32,
    mine: vec4<u32>, // where the lane's four rows begin; beyond the last row it repeats
}

// First row of `own` of a workgroup's block; apart from Place, so that compilers see that all lanes have the same.
fn first_row(block: u32) -> u32 {
    return block % p.blocks * (256u / p.across);
}

fn place(block: u32, lid: u32) -> Place {
    let slab = block / p.blocks;
    let n = slab / p.heads;
    let head = slab - n * p.heads;
    let groups = 64u / p.across;
    let group = lid / p.across;
    let column = lid - group * p.across;
    let columns = min(vec4(column) + p.across * LANES, vec4(p.vectors - 1u));
    let row = first_row(block) + 4u * group;
    let base = n * p.len_own * p.heads + head;
    let mine = p.vectors * (vec4(base) + p.heads * min(vec4(row) + LANES, vec4(p.len_own - 1u)));
    return Place(row, group, groups, column, columns, base, n * p.len_other * p.heads + head, mine);
}

// The four rows of `other` that a lane multiplies in the tile from `first`; neighbours take neighbouring rows.
fn tile_rows(at: Place, first: u32) -> vec4<u32> {
    return vec4(first + at.column) + p.across * LANES;
}

// Numbers of rows of `other` counted in rows of all samples and heads; beyond the last row it repeats.
fn other_rows(at: Place, rows: vec4<u32>) -> vec4<u32> {
    return vec4(at.other) + p.heads * min(rows, vec4(p.len_other - 1u));
}

// own otherᵀ: for each of four rows of `other` its products with the lane's four rows.
fn products(mine: vec4<u32>, theirs: vec4<u32>) -> Block {
    var r0 = vec4(0.0);
    var r1 = vec4(0.0);
    var r2 = vec4(0.0);
    var r3 = vec4(0.0);
    for (var c = 0u; c < p.vectors; c += 1u) {
        let tile = transpose(mat4x4(own[mine.x + c], own[mine.y + c], own[mine.z + c], own[mine.w + c]));
        r0 = row_times(r0, other[theirs.x + c], tile);
        r1 = row_times(r1, other[theirs.y + c], tile);
        r2 = row_times(r2, other[theirs.z + c], tile);
        r3 = row_times(r3, other[theirs.w + c], tile);
    }
    return Block(r0, r1, r2, r3);
}

// As `products`, of own_value and other_value.
fn value_products(mine: vec4<u32>, theirs: vec4<u32>) -> Block {
    var r0 = vec4(0.0);
    var r1 = vec4(0.0);
    var r2 = vec4(0.0);
    var r3 = vec4(0.0);
    for (var c = 0u; c < p.vectors; c += 1u) {
        let tile = transpose(mat4x4(
            own_value[mine.x + c], own_value[mine.y + c], own_value[mine.z + c], own_value[mine.w + c],
        ));
        r0 = row_times(r0, other_value[theirs.x + c], tile);
        r1 = row_times(r1, other_value[theirs.y + c], tile);
        r2 = row_times(r2, other_value[theirs.z + c], tile);
        r3 = row_times(r3, other_value[theirs.w + c], tile);
    }
    return Block(r0, r1, r2, r3);
}

// Adds `weight` times the row of `other` at vec4 `row`.
fn add_other(sums: Sums, weight: vec4<f32>, row: u32, columns: vec4<u32>) -> Sums {
    let c0 = rank_one(sums.c0, weight, other[row + columns.x]);
    let c1 = rank_one(sums.c1, weight, other[row + columns.y]);
    if !WIDE {
        return Sums(c0, c1, sums.c2, sums.c3);
    }
    let c2 = rank_one(sums.c2, weight, other[row + columns.z]);
    return Sums(c0, c1, c2, rank_one(sums.c3, weight, other[row + columns.w]));
}

// As `add_other`, of other_value.
fn add_value(sums: Sums, weight: vec4<f32>, row: u32, columns: vec4<u32>) -> Sums {
    let c0 = rank_one(sums.c0, weight, other_value[row + columns.x]);
    let c1 = rank_one(sums.c1, weight, other_value[row + columns.y]);
    if !WIDE {
        return Sums(c0, c1, sums.c2, sums.c3);
    }
    let c2 = rank_one(sums.c2, weight, other_value[row + columns.z]);
    return Sums(c0, c1, c2, rank_one(sums.c3, weight, other_value[row + columns.w]));
}

// A lane's sums in order of rows.
fn in_rows(s: Sums) -> array<vec4<f32>, 16> {
    return array(
        s.c0.r0, s.c1.r0, s.c2.r0, s.c3.r0, s.c0.r1, s.c1.r1, s.c2.r1, s.c3.r1,
        s.c0.r2, s.c1.r2, s.c2.r2, s.c3.r2, s.c0.r3, s.c1.r3, s.c2.r3, s.c3.r3,
    );
}
