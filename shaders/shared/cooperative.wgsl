// Products of tiles as in tile.wgsl, on cooperative matrices (tensor cores): both operands are rounded to f16, their
// products summed in f32. A workgroup has DOWN x ACROSS subgroups, each with 2 x 4 matrices of the tile's outputs.
//
// The importing file says how large matrices are: EDGE, and the types Left, Right and Sum.
#import staging

override DOWN: u32 = 2;
override ACROSS: u32 = 2;
// Lanes of a subgroup, at most: subgroups of fewer are more, and those beyond DOWN x ACROSS do what others do too, as all of
// a workgroup must multiply or none.
override SUBGROUP: u32 = 32;
// Operands that are gradients, which are small: see GRADIENT_SCALE.
override LEFT_GRADIENT: bool = false;
override RIGHT_GRADIENT: bool = false;

// By how much gradients are scaled before they are rounded, and sums scaled back: means over many elements have
// gradients that f16, whose smallest normal number is 6e-5, would lose (Micikevicius et al. 2018). What is over its largest
// number then, 65,504, becomes infinite, and so does the loss: training stops instead of going on with other numbers.
const GRADIENT_SCALE = 8192.0;

const DEPTH = 2u * EDGE;
// A row (column) in workgroup memory, in vec4: its terms, and two more to keep rows off each other's banks, and at 16 bytes.
const PITCH = DEPTH / 4u + 2u;

// Rows of the left operand and columns of the right, their terms side by side, as GPUs want them in registers.
var<workgroup> sh_left: array<vec4<f16>, 2 * DOWN * EDGE * PITCH>;
var<workgroup> sh_right: array<vec4<f16>, 4 * ACROSS * EDGE * PITCH>;
// One matrix of outputs of each subgroup.
var<workgroup> sh_sums: array<vec4<f32>, DOWN * ACROSS * EDGE * EDGE / 4>;

fn tile_rows() -> u32 {
    return 2u * EDGE * DOWN;
}

fn tile_quads() -> u32 {
    return EDGE * ACROSS;
}

fn invocations() -> u32 {
    return SUBGROUP * DOWN * ACROSS;
}

// Neighbours load 32 bytes of a row where it lies along K, else 128, and store to other banks.
fn block_at(at: u32, quads: u32, along: bool) -> vec2<u32> {
    let rest = at / 16u;
    let place = select(vec2(at % 8u, at / 8u % 2u), vec2(at / 2u % 8u, at % 2u), along);
    return place + vec2(8u * (rest / (DEPTH / 8u)), 2u * (rest % (DEPTH / 8u)));
}

fn put(load: Load, got: Loaded, inside: bool) {
    let at = 4u * load.quad * PITCH + load.k;
    if load.on && load.left {
        let rows = select(1.0, GRADIENT_SCALE, LEFT_GRADIENT) * rows_of(got, !left_along(), inside);
        sh_left[at] = vec4<f16>(rows[0]);
        sh_left[at + PITCH] = vec4<f16>(rows[1]);
        sh_left[at + 2u * PITCH] = vec4<f16>(rows[2]);
        sh_left[at + 3u * PITCH] = vec4<f16>(rows[3]);
    } else if load.on {
        let columns = select(1.0, GRADIENT_SCALE, RIGHT_GRADIENT) * rows_of(got, !right_along(), inside);
        sh_right[at] = vec4<f16>(columns[0]);
        sh_right[at + PITCH] = vec4<f16>(columns[1]);
        sh_right[at + 2u * PITCH] = vec4<f16>(columns[2]);
        sh_right[at + 3u * PITCH] = vec4<f16>(columns[3]);
    }
}

// Hands the subgroups' matrices to keep_row: of each the one in row `row` and column `column` of its 2 x 4.
fn keep(sum: Sum, place: Place, number: u32, subgroup: u32, row: u32, column: u32) {
    let size = EDGE * EDGE / 4u;
    coopStoreT(sum, &sh_sums[subgroup * size], EDGE / 4u);
    workgroupBarrier();
    let scale = select(1.0, 1.0 / GRADIENT_SCALE, LEFT_GRADIENT) * select(1.0, 1.0 / GRADIENT_SCALE, RIGHT_GRADIENT);
    for (var i = number; i < DOWN * ACROSS * size; i += invocations()) {
        let owner = i / size;
        let own = EDGE * (2u * (owner / ACROSS) + row) + i / (EDGE / 4u) % EDGE;
        let quad = EDGE / 4u * (4u * (owner % ACROSS) + column) + i % (EDGE / 4u);
        keep_row(place, own, quad, scale * sh_sums[i]);
    }
    workgroupBarrier();
}

// The product of the work's tile, to keep_row. All of a workgroup must call it with the same: it has barriers.
fn multiply(work: Work, number: u32, subgroup: u32) {
    let place = work.place;
    let end = work.end;
    let loads = loads_of(number, place);
    let left = 2u * EDGE * PITCH * (subgroup / ACROSS);
    let right = 4u * EDGE * PITCH * (subgroup % ACROSS);
    var step = Step();
    if work.begin < end {
        step = step_at(loads, place, work.begin, end);
    }
    // Written out, as naga knows no arrays of matrices.
    var c00 = Sum();
    var c01 = Sum();
    var c02 = Sum();
    var c03 = Sum();
    var c10 = Sum();
    var c11 = Sum();
    var c12 = Sum();
    var c13 = Sum();
    for (var k = work.begin; k < end; ) {
        workgroupBarrier();
        put_step(loads, step, k, end);
        workgroupBarrier();
        k += DEPTH;
        step = step_at(loads, place, k, end);
        for (var term = 0u; term < DEPTH; term += EDGE) {
            let from_left = left + term / 4u;
            let from_right = right + term / 4u;
            let a0 = coopLoadT<Left>(&sh_left[from_left], PITCH);
            let a1 = coopLoadT<Left>(&sh_left[from_left + EDGE * PITCH], PITCH);
            let b0 = coopLoad<Right>(&sh_right[from_right], PITCH);
            let b1 = coopLoad<Right>(&sh_right[from_right + EDGE * PITCH], PITCH);
            let b2 = coopLoad<Right>(&sh_right[from_right + 2u * EDGE * PITCH], PITCH);
            let b3 = coopLoad<Right>(&sh_right[from_right + 3u * EDGE * PITCH], PITCH);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c13 = coopMultiplyAdd(a1, b3, c13);
        }
    }
    keep(c00, place, number, subgroup, 0u, 0u);
    keep(c01, place, number, subgroup, 0u, 1u);
    keep(c02, place, number, subgroup, 0u, 2u);
    keep(c03, place, number, subgroup, 0u, 3u);
    keep(c10, place, number, subgroup, 1u, 0u);
    keep(c11, place, number, subgroup, 1u, 1u);
    keep(c12, place, number, subgroup, 1u, 2u);
    keep(c13, place, number, subgroup, 1u, 3u);
}

@compute @workgroup_size(SUBGROUP * DOWN * ACROSS)
fn tiled(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) number: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let work = work_of(wid, grid);
    // The same for the whole workgroup, as barriers demand.
    if work.on {
        multiply(work, number, subgroup % (DOWN * ACROSS));
    }
}
