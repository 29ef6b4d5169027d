// What kernels with blocks of four share.
const LANES = vec4(0u, 1u, 2u, 3u);

// Where there is nothing.
const OUTSIDE: u32 = 0xffffffffu;

// Adds a (1 x 4) times tile (4 x 4, rows along K) to four sums.
fn row_times(sum: vec4<f32>, a: vec4<f32>, tile: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(a.w), tile[3], fma(vec4(a.z), tile[2], fma(vec4(a.y), tile[1], fma(vec4(a.x), tile[0], sum))));
}

// Outputs of a block's four rows; written out, since drivers keep arrays indexed in a loop in memory.
struct Block { r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32> }

fn rank_one(sums: Block, left: vec4<f32>, right: vec4<f32>) -> Block {
    return Block(
        fma(vec4(left.x), right, sums.r0),
        fma(vec4(left.y), right, sums.r1),
        fma(vec4(left.z), right, sums.r2),
        fma(vec4(left.w), right, sums.r3),
    );
}
