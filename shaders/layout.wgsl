//! Elements in another order or beside others.
//!   transpose_blocks   y[n, j, i] = x[n, i, j]
//!   concat             y[m] = (a[m], b[m]) along the last dimension
//!   window             y[m, i] = x[m, i + start], 0 outside of x: a part of the last dimension; and with start below zero
//!                      its gradient, which puts the part back among zeros
//!   permute            y[n, a, b, c] = x[n, b, a, c], 0 outside of x: all sizes but the first may differ
//! Grid: one invocation per 4 x 4 block of x in transpose_blocks, per element of y in the others, whose sizes count elements.
#import grid
#import block
#import fours

struct Transpose { batch: u32, rows: u32, columns: u32 }
struct Row { rows: u32, c: u32, out_c: u32, start: u32 }
struct Turn { n: u32, from_a: u32, from_b: u32, from_c: u32, to_a: u32, to_b: u32, to_c: u32 }
var<immediate> t: Transpose;
var<immediate> p: Row;
var<immediate> u: Turn;
@group(0) @binding(0) var<storage, read> plain: array<f32>; // [n, rows, columns]
@group(0) @binding(1) var<storage, read_write> transposed: array<f32>; // [n, columns, rows]
@group(0) @binding(2) var<storage, read> x: array<Element>; // [rows, c]; [n, from_a, from_b, from_c] in permute
@group(0) @binding(3) var<storage, read> a: array<Element>; // [rows, c]
@group(0) @binding(4) var<storage, read> b: array<Element>; // [rows, out_c - c]
@group(0) @binding(5) var<storage, read_write> y: array<Element>; // [rows, out_c]; [n, to_a, to_b, to_c] in permute

fn load(at: u32, columns: vec4<u32>) -> vec4<f32> {
    return vec4(plain[at + columns.x], plain[at + columns.y], plain[at + columns.z], plain[at + columns.w]);
}

fn store(at: u32, rows: vec4<u32>, v: vec4<f32>) {
    transposed[at + rows.x] = v.x;
    transposed[at + rows.y] = v.y;
    transposed[at + rows.z] = v.z;
    transposed[at + rows.w] = v.w;
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

// The row and the column of y that an invocation writes.
fn row_and_column(invocation: u32) -> vec2<u32> {
    let row = divide(invocation, p.out_c);
    return vec2(row, invocation - row * p.out_c);
}

@compute @workgroup_size(64)
fn concat(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let to = row_and_column(i);
    if to.x >= p.rows {
        return;
    }
    if to.y < p.c {
        y[i] = a[to.x * p.c + to.y];
    } else {
        y[i] = b[to.x * (p.out_c - p.c) + (to.y - p.c)];
    }
}

@compute @workgroup_size(64)
fn window(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let to = row_and_column(i);
    if to.x >= p.rows {
        return;
    }
    // Wraps below zero, which `<` then sees as outside.
    let column = to.y + p.start;
    let inside = column < p.c;
    y[i] = select(Element(), x[to.x * p.c + select(0u, column, inside)], inside);
}

@compute @workgroup_size(64)
fn permute(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let row = divide(i, u.to_c);
    let line = divide(row, u.to_b);
    let n = divide(line, u.to_a);
    if n >= u.n {
        return;
    }
    let a = line - n * u.to_a;
    let b = row - line * u.to_b;
    let c = i - row * u.to_c;
    let inside = b < u.from_a && a < u.from_b && c < u.from_c;
    let source = ((n * u.from_a + b) * u.from_b + a) * u.from_c + c;
    y[i] = select(Element(), x[select(0u, source, inside)], inside);
}
