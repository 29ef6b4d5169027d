// Products of tiles that lie in workgroup memory, for GPUs: see staging.wgsl. A workgroup of COLUMNS x ROWS invocations
// owns a tile of outputs, each invocation a block of 4 x 4, or with SIDE 8 four such blocks half a tile apart, so that
// neighbours read and write side by side. A step's blocks are loaded while the step before is multiplied.
#import staging

override ROWS: u32 = 8;
override COLUMNS: u32 = 8;
// Rows, and columns, of an invocation's outputs: 4 or 8.
override SIDE: u32 = 4;

const DEPTH = 16u;

// Rows along K. Quad q of row k lies at `slot`, which keeps a warp's stores off each other's banks.
var<workgroup> sh_left: array<vec4<f32>, 4 * SIDE * ROWS>;
var<workgroup> sh_right: array<vec4<f32>, 4 * SIDE * COLUMNS>;

fn tile_rows() -> u32 {
    return SIDE * ROWS;
}

fn tile_quads() -> u32 {
    return SIDE * COLUMNS / 4u;
}

fn invocations() -> u32 {
    return ROWS * COLUMNS;
}

fn slot(k: u32, quad: u32, quads: u32) -> u32 {
    return k * quads + (quad ^ (2u * (k / 4u)));
}

fn block_at(at: u32, quads: u32, along: bool) -> vec2<u32> {
    return select(vec2(at % quads, at / quads), vec2(at / 4u, at % 4u), along);
}

fn put(load: Load, got: Loaded, inside: bool) {
    let quads = select(SIDE * COLUMNS, SIDE * ROWS, load.left) / 4u;
    let at = slot(4u * load.k, load.quad, quads);
    if load.on && load.left {
        let block = rows_of(got, left_along(), inside);
        sh_left[at] = block[0];
        sh_left[at + quads] = block[1];
        sh_left[at + 2u * quads] = block[2];
        sh_left[at + 3u * quads] = block[3];
    } else if load.on {
        let block = rows_of(got, right_along(), inside);
        sh_right[at] = block[0];
        sh_right[at + quads] = block[1];
        sh_right[at + 2u * quads] = block[2];
        sh_right[at + 3u * quads] = block[3];
    }
}

// An invocation's outputs: rows 4 y .. and columns 4 x .. of the tile; of its right, lower and opposite half.
struct Sums { near: Block, right: Block, below: Block, far: Block }

// Adds the product of a row along K, whose operands lie at `at`: quads of left and right, and those half a tile further.
fn add_row(sums: Sums, at: vec4<u32>) -> Sums {
    var s = sums;
    let left = sh_left[at.x];
    let right = sh_right[at.y];
    s.near = rank_one(s.near, left, right);
    if SIDE == 8u {
        let below = sh_left[at.z];
        let beside = sh_right[at.w];
        s.right = rank_one(s.right, left, beside);
        s.below = rank_one(s.below, below, right);
        s.far = rank_one(s.far, below, beside);
    }
    return s;
}

// Adds the product of the two tiles in workgroup memory, four rows along K a turn: their slots are a row apart. Compilers
// leave loops over single rows as they are, where slots and branches would be a quarter of the work.
fn add_tiles(sums: Sums, local: vec2<u32>) -> Sums {
    let rows = SIDE * ROWS / 4u;
    let columns = SIDE * COLUMNS / 4u;
    let row = vec4(rows, columns, rows, columns);
    var s = sums;
    for (var k = 0u; k < DEPTH; k += 4u) {
        let left = vec2(slot(k, local.y, rows), slot(k, local.y + ROWS, rows));
        let right = vec2(slot(k, local.x, columns), slot(k, local.x + COLUMNS, columns));
        let at = vec4(left.x, right.x, left.y, right.y);
        s = add_row(s, at);
        s = add_row(s, at + row);
        s = add_row(s, at + 2u * row);
        s = add_row(s, at + 3u * row);
    }
    return s;
}

// Which block of outputs invocation `number` has, as (column, row). Of 32 invocations that run in step, 8 columns by 4 rows,
// two neighbours share the column and two a step of two apart share the row: NVIDIA's GPUs then need two turns, not four,
// for 32 reads of 16 bytes from workgroup memory.
fn block_of_invocation(number: u32) -> vec2<u32> {
    let lane = number % 32u;
    let group = number / 32u;
    let across = COLUMNS / 8u;
    let down = group / across;
    return vec2(8u * (group - down * across) + lane / 2u % 8u, 4u * down + lane % 2u + lane / 16u * 2u);
}

// The product of the work's tile, to keep_row. All of a workgroup must call it with the same: it has barriers.
fn multiply(work: Work, number: u32) {
    let place = work.place;
    let end = work.end;
    let local = block_of_invocation(number);
    let loads = loads_of(number, place);
    var step = Step();
    if work.begin < end {
        step = step_at(loads, place, work.begin, end);
    }
    var sums = Sums();
    for (var k = work.begin; k < end; ) {
        workgroupBarrier();
        put_step(loads, step, k, end);
        workgroupBarrier();
        k += DEPTH;
        step = step_at(loads, place, k, end);
        sums = add_tiles(sums, local);
    }
    keep_block(place, 4u * local.y, local.x, sums.near);
    if SIDE == 8u {
        keep_block(place, 4u * local.y, local.x + COLUMNS, sums.right);
        keep_block(place, 4u * (local.y + ROWS), local.x, sums.below);
        keep_block(place, 4u * (local.y + ROWS), local.x + COLUMNS, sums.far);
    }
}

fn keep_block(place: Place, row: u32, quad: u32, block: Block) {
    keep_row(place, row, quad, block.r0);
    keep_row(place, row + 1u, quad, block.r1);
    keep_row(place, row + 2u, quad, block.r2);
    keep_row(place, row + 3u, quad, block.r3);
}

@compute @workgroup_size(COLUMNS, ROWS)
fn tiled(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) number: u32) {
    let work = work_of(wid, grid);
    // The same for the whole workgroup, as barriers demand.
    if work.on {
        multiply(work, number);
    }
}
