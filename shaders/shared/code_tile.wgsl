// Tiles of 16 rows and 64 codes: their scores, by workgroups of 4 x 16 lanes. See code_law_tiles.wgsl.
#import code_law

var<workgroup> sh_z: array<vec4<f32>, 64>; // [16 columns, 4]: of four rows each
var<workgroup> sh_precision: array<vec4<f32>, 64>; // the same
var<workgroup> sh_codes: array<vec4<f32>, 272>; // [16 columns, 17]: of four codes each; the 17th keeps columns apart
var<workgroup> sh_lane: array<vec4<f32>, 64>; // [4 rows of lanes, 16]

// Score of a code beyond the last: finite, as infinities may be assumed absent.
const UNSEEN = vec4(-1e30);

// A column of four codes.
fn entries(codes: vec4<u32>, column: u32) -> vec4<f32> {
    let at = min(codes, vec4(p.k - 1u)) * p.d + column;
    return vec4(codebook[at.x], codebook[at.y], codebook[at.z], codebook[at.w]);
}

// 16 columns of the workgroup's rows and of a tile's codes. Columns beyond the last weigh nothing.
fn stage(at: Rows, first: u32, begin: u32, lid: u32) {
    let across = lid % 16u;
    let quad = lid / 16u;
    let column = min(begin + across, p.d - 1u);
    sh_z[4u * across + quad] = z_of(at, column);
    sh_precision[4u * across + quad] = select(vec4(0.0), precision_of(at, column), begin + across < p.d);
    let codes = first + 4u * quad + LANES;
    let to = 17u * across + quad;
    sh_codes[to] = entries(codes, column);
    sh_codes[to + 4u] = entries(codes + 16u, column);
    sh_codes[to + 8u] = entries(codes + 32u, column);
    sh_codes[to + 12u] = entries(codes + 48u, column);
}

fn add_column(sums: Block, at: Rows, column: u32, lid: u32) -> Block {
    let from_row = 4u * column + lid / 16u;
    return add_squares(sums, sh_z[from_row], sh_precision[from_row], at.signal, sh_codes[17u * column + lid % 16u]);
}

fn score(at: Rows, code: u32, squares: vec4<f32>) -> vec4<f32> {
    return select(UNSEEN, fma(vec4(-0.5), squares, offset_of(at, min(code, p.k - 1u))), code < p.k);
}

// The scores of a lane's four rows and four codes in the tile from `first`.
fn tile_scores(at: Rows, first: u32, lid: u32) -> Block {
    var squares = Block();
    for (var begin = 0u; begin < p.d; begin += 16u) {
        stage(at, first, begin, lid);
        workgroupBarrier();
        for (var c = 0u; c < 16u; c += 4u) {
            squares = add_column(squares, at, c, lid);
            squares = add_column(squares, at, c + 1u, lid);
            squares = add_column(squares, at, c + 2u, lid);
            squares = add_column(squares, at, c + 3u, lid);
        }
        workgroupBarrier();
    }
    let code = first + 4u * (lid % 16u);
    return Block(
        score(at, code, squares.r0), score(at, code + 1u, squares.r1),
        score(at, code + 2u, squares.r2), score(at, code + 3u, squares.r3),
    );
}

// The largest of a row over the 16 lanes that share it.
fn largest(own: vec4<f32>, lid: u32) -> vec4<f32> {
    sh_lane[lid] = own;
    workgroupBarrier();
    var most = own;
    let begin = lid - lid % 16u;
    for (var i = begin; i < begin + 16u; i += 4u) {
        most = max(most, max(max(sh_lane[i], sh_lane[i + 1u]), max(sh_lane[i + 2u], sh_lane[i + 3u])));
    }
    return most;
}

// The sum over them. As with `largest`, a barrier must lie between this and what other lanes read of sh_lane before.
fn total(own: vec4<f32>, lid: u32) -> vec4<f32> {
    sh_lane[lid] = own;
    workgroupBarrier();
    var sum = vec4(0.0);
    let begin = lid - lid % 16u;
    for (var i = begin; i < begin + 16u; i += 1u) {
        sum += sh_lane[i];
    }
    return sum;
}
