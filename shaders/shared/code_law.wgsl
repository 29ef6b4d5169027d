// What the kernels of code_law share: parameters, operands, and which of them four rows have.
#import grid
#import block

override LOGITS: bool = false;

struct Params {
    rows: u32, // pictures x positions
    positions: u32, // of a picture
    d: u32, k: u32,
    part: u32, // rows of a part in backward_codebook
    chunks: u32, // of the columns in `mean`
}
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> z: array<f32>; // [rows, d]
@group(0) @binding(1) var<storage, read> codebook: array<f32>; // [k, d]
@group(0) @binding(2) var<storage, read> signal: array<f32>; // [pictures]: α
@group(0) @binding(3) var<storage, read> precisions: array<f32>; // [pictures, d]: π
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [positions, k]
@group(0) @binding(5) var<storage, read> logits: array<f32>; // [rows, k], if LOGITS

// Four rows; beyond the last it repeats.
struct Rows {
    z: vec4<u32>, // where they begin in z
    precisions: vec4<u32>, // in precisions
    bias: vec4<u32>, // in bias
    logits: vec4<u32>, // in logits
    signal: vec4<f32>,
}

fn four_rows(first: u32) -> Rows {
    let row = min(first + LANES, vec4(p.rows - 1u));
    let picture = vec4(
        divide(row.x, p.positions), divide(row.y, p.positions), divide(row.z, p.positions), divide(row.w, p.positions),
    );
    let signals = vec4(signal[picture.x], signal[picture.y], signal[picture.z], signal[picture.w]);
    return Rows(row * p.d, picture * p.d, (row - picture * p.positions) * p.k, row * p.k, signals);
}

fn z_of(at: Rows, column: u32) -> vec4<f32> {
    return vec4(z[at.z.x + column], z[at.z.y + column], z[at.z.z + column], z[at.z.w + column]);
}

fn precision_of(at: Rows, column: u32) -> vec4<f32> {
    let i = at.precisions + column;
    return vec4(precisions[i.x], precisions[i.y], precisions[i.z], precisions[i.w]);
}

// What the scores of a code have beside the squares.
fn offset_of(at: Rows, code: u32) -> vec4<f32> {
    let i = at.bias + code;
    let offset = vec4(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
    if !LOGITS {
        return offset;
    }
    let j = at.logits + code;
    return offset + vec4(logits[j.x], logits[j.y], logits[j.z], logits[j.w]);
}

// π (z − α e)² added to the sums of four rows, for a column of one code.
fn add_square(sum: vec4<f32>, values: vec4<f32>, weights: vec4<f32>, signals: vec4<f32>, e: f32) -> vec4<f32> {
    let difference = fma(-signals, vec4(e), values);
    return fma(weights * difference, difference, sum);
}

// The same for each of four codes.
fn add_squares(sums: Block, values: vec4<f32>, weights: vec4<f32>, signals: vec4<f32>, e: vec4<f32>) -> Block {
    return Block(
        add_square(sums.r0, values, weights, signals, e.x),
        add_square(sums.r1, values, weights, signals, e.y),
        add_square(sums.r2, values, weights, signals, e.z),
        add_square(sums.r3, values, weights, signals, e.w),
    );
}
