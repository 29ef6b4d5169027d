//! Elements in another order or beside others.
//!   transpose_blocks   y[n, j, i] = x[n, i, j]
//!   concat             y[m] = (a[m], b[m]) along the last dimension
//!   window             y[m, i] = x[m, i + start], 0 outside of x: a part of the last dimension; and with start below zero
//!                      its gradient, which puts the part back among zeros
//! Grid: one invocation per 4 x 4 block of x in transpose_blocks, per row and four columns of y in the others.
#import grid
#import block

struct Transpose { batch: u32, rows: u32, columns: u32 }
struct Row { rows: u32, c: u32, out_c: u32, start: u32 }
var<immediate> t: Transpose;
var<immediate> p: Row;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, rows, columns]; [rows, c] in window
@group(0) @binding(1) var<storage, read> a: array<f32>; // [rows, c]
@group(0) @binding(2) var<storage, read> b: array<f32>; // [rows, out_c - c]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [n, columns, rows]; [rows, out_c] in window and concat

fn load(at: u32, columns: vec4<u32>) -> vec4<f32> {
    return vec4(x[at + columns.x], x[at + columns.y], x[at + columns.z], x[at + columns.w]);
}

fn store(at: u32, rows: vec4<u32>, v: vec4<f32>) {
    y[at + rows.x] = v.x;
    y[at + rows.y] = v.y;
    y[at + rows.z] = v.z;
    y[at + rows.w] = v.w;
}

// Rows and columns beyond the last repeat it.
@compute @workgroup_size(64)
fn transpose_blocks(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let across = (t.columns + 3u) / 4u;
    let down = (t.rows + 3u) / 4u;
    let at = linear_index(wid, grid, lid, 64u);
    let line = divide(at, across);
    let n = divide(line, down);
    if n >= t.batch {
        return;
    }
    let rows = min(4u * (line - n * down) + LANES, vec4(t.rows - 1u));
    let columns = min(4u * (at - line * across) + LANES, vec4(t.columns - 1u));
    let image = n * t.rows * t.columns;
    let source = image + rows * t.columns;
    let to = image + columns * t.rows;
    let block = transpose(mat4x4(load(source.x, columns), load(source.y, columns), load(source.z, columns), load(source.w, columns)));
    store(to.x, rows, block[0]);
    store(to.y, rows, block[1]);
    store(to.z, rows, block[2]);
    store(to.w, rows, block[3]);
}

// The row and the first of four columns of y that an invocation writes.
fn row_and_column(invocation: u32) -> vec2<u32> {
    let fours = (p.out_c + 3u) / 4u;
    let row = divide(invocation, fours);
    return vec2(row, 4u * (invocation - row * fours));
}

@compute @workgroup_size(64)
fn concat(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = row_and_column(linear_index(wid, grid, lid, 64u));
    if to.x >= p.rows {
        return;
    }
    for (var i = to.y; i < min(to.y + 4u, p.out_c); i += 1u) {
        if i < p.c {
            y[to.x * p.out_c + i] = a[to.x * p.c + i];
        } else {
            y[to.x * p.out_c + i] = b[to.x * (p.out_c - p.c) + (i - p.c)];
        }
    }
}

@compute @workgroup_size(64)
fn window(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = row_and_column(linear_index(wid, grid, lid, 64u));
    if to.x >= p.rows {
        return;
    }
    for (var i = to.y; i < min(to.y + 4u, p.out_c); i += 1u) {
        // Wraps below zero, which `<` then sees as outside.
        let column = i + p.start;
        let inside = column < p.c;
        y[to.x * p.out_c + i] = select(0.0, x[to.x * p.c + select(0u, column, inside)], inside);
    }
}
