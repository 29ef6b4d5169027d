// What kernels for drivers that run a subgroup of eight lanes as one CPU vector share. There a load goes lane by lane
// and costs as much as a hundred multiply-adds, a broadcast two; one of 64 bits costs as much as one of 32. So a subgroup owns 32 x 64 outputs: each of its lanes
// all rows of 4 neighbouring columns, and of the 4 columns that lie 32 further right. It loads rows of the left operand
// once, each lane another part, and hands them round.
#import block
#import quads

// Without: 32 columns a subgroup, none further right.
override WIDE: bool = true;

// Eight rows of a lane's outputs: those of its columns, and of those further right.
struct Strip {
    r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>,
    q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>, q4: vec4<f32>, q5: vec4<f32>, q6: vec4<f32>, q7: vec4<f32>,
}

// The 32 rows.
struct Sums { s0: Strip, s1: Strip, s2: Strip, s3: Strip }

// Column quads of a subgroup.
fn quads() -> u32 {
    return select(8u, 16u, WIDE);
}

// row_times for the columns further right.
fn far_times(sum: vec4<f32>, a: vec4<f32>, tile: mat4x4<f32>) -> vec4<f32> {
    if WIDE {
        return row_times(sum, a, tile);
    }
    return sum;
}

fn strip_times(s: Strip, low: mat4x4<f32>, high: mat4x4<f32>, near: mat4x4<f32>, far: mat4x4<f32>) -> Strip {
    var t = s;
    t.r0 = row_times(s.r0, low[0], near);
    t.q0 = far_times(s.q0, low[0], far);
    t.r1 = row_times(s.r1, low[1], near);
    t.q1 = far_times(s.q1, low[1], far);
    t.r2 = row_times(s.r2, low[2], near);
    t.q2 = far_times(s.q2, low[2], far);
    t.r3 = row_times(s.r3, low[3], near);
    t.q3 = far_times(s.q3, low[3], far);
    t.r4 = row_times(s.r4, high[0], near);
    t.q4 = far_times(s.q4, high[0], far);
    t.r5 = row_times(s.r5, high[1], near);
    t.q5 = far_times(s.q5, high[1], far);
    t.r6 = row_times(s.r6, high[2], near);
    t.q6 = far_times(s.q6, high[2], far);
    t.r7 = row_times(s.r7, high[3], near);
    t.q7 = far_times(s.q7, high[3], far);
    return t;
}

// Lanes 0 .. 3 and 4 .. 7 of a.
fn lanes_low(a: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(subgroupBroadcast(a, 0u), subgroupBroadcast(a, 1u), subgroupBroadcast(a, 2u), subgroupBroadcast(a, 3u));
}

fn lanes_high(a: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(subgroupBroadcast(a, 4u), subgroupBroadcast(a, 5u), subgroupBroadcast(a, 6u), subgroupBroadcast(a, 7u));
}

// Adds four terms of K; near and far: the right operand's four rows at the lane's columns. Column j of a holds, in lane
// l, row 8 j + l of the left operand at these k.
fn add_rows(s: Sums, a: mat4x4<f32>, near: mat4x4<f32>, far: mat4x4<f32>) -> Sums {
    return Sums(
        strip_times(s.s0, lanes_low(a[0]), lanes_high(a[0]), near, far),
        strip_times(s.s1, lanes_low(a[1]), lanes_high(a[1]), near, far),
        strip_times(s.s2, lanes_low(a[2]), lanes_high(a[2]), near, far),
        strip_times(s.s3, lanes_low(a[3]), lanes_high(a[3]), near, far),
    );
}

// The same where column j of a holds rows 8 j + 4 (l / 4) .. + 3 at term l % 4.
fn add_columns(s: Sums, a: mat4x4<f32>, near: mat4x4<f32>, far: mat4x4<f32>) -> Sums {
    return Sums(
        strip_times(s.s0, transpose(lanes_low(a[0])), transpose(lanes_high(a[0])), near, far),
        strip_times(s.s1, transpose(lanes_low(a[1])), transpose(lanes_high(a[1])), near, far),
        strip_times(s.s2, transpose(lanes_low(a[2])), transpose(lanes_high(a[2])), near, far),
        strip_times(s.s3, transpose(lanes_low(a[3])), transpose(lanes_high(a[3])), near, far),
    );
}

// A lane's columns, counted in vec4: its number, and those that near and far read, the last instead of any beyond.
struct Columns { quad: u32, near: u32, far: u32 }

// The columns of workgroup `group`; it has the block of rows `block_of_rows`.
fn columns_of(group: u32, lane: u32, columns: u32) -> Columns {
    let across = (columns + quads() - 1u) / quads();
    let quad = quads() * (group % across) + lane;
    return Columns(quad, min(quad, columns - 1u), min(quad + 8u, columns - 1u));
}

fn block_of_rows(group: u32, columns: u32) -> u32 {
    return group / ((columns + quads() - 1u) / quads());
}

// Sums that begin with the file's bias.
fn begin_with_bias(at: Columns) -> Sums {
    let r = bias[at.near];
    let q = bias[at.far];
    let s = Strip(r, r, r, r, r, r, r, r, q, q, q, q, q, q, q, q);
    return Sums(s, s, s, s);
}

// Writes the sums to rows of the file's output y, `columns` vec4 long: lane l of `rows` has that of strip i's row l in
// its component i, OUTSIDE if there is none.
fn keep(rows: vec4<u32>, at: Columns, columns: u32, sums: Sums) {
    keep_strip(rows.x, at.quad, columns, sums.s0);
    keep_strip(rows.y, at.quad, columns, sums.s1);
    keep_strip(rows.z, at.quad, columns, sums.s2);
    keep_strip(rows.w, at.quad, columns, sums.s3);
}

fn keep_strip(rows: u32, quad: u32, columns: u32, s: Strip) {
    keep_row(subgroupBroadcast(rows, 0u), quad, columns, s.r0, s.q0);
    keep_row(subgroupBroadcast(rows, 1u), quad, columns, s.r1, s.q1);
    keep_row(subgroupBroadcast(rows, 2u), quad, columns, s.r2, s.q2);
    keep_row(subgroupBroadcast(rows, 3u), quad, columns, s.r3, s.q3);
    keep_row(subgroupBroadcast(rows, 4u), quad, columns, s.r4, s.q4);
    keep_row(subgroupBroadcast(rows, 5u), quad, columns, s.r5, s.q5);
    keep_row(subgroupBroadcast(rows, 6u), quad, columns, s.r6, s.q6);
    keep_row(subgroupBroadcast(rows, 7u), quad, columns, s.r7, s.q7);
}

fn keep_row(row: u32, quad: u32, columns: u32, near: vec4<f32>, far: vec4<f32>) {
    if row != OUTSIDE && quad < columns {
        y[row * columns + quad] = finished(row * columns + quad, near);
    }
    if WIDE && row != OUTSIDE && quad + 8u < columns {
        y[row * columns + quad + 8u] = finished(row * columns + quad + 8u, far);
    }
}
