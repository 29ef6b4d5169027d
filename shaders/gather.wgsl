//! Rows of a table by index: embeddings, and codes to code vectors.
//!   gather        y[m] = table[codes[m]]
//!   scatter_add   dtable[k] = Σ_{m: codes[m] = k} dy[m], in the order of m: no atomics, equal bits every time.
//!                 Rows are split over y into parts, whose planes are summed afterwards.
#import grid

struct Params { rows: u32, d: u32, entries: u32, part: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> codes: array<u32>; // [rows]
@group(0) @binding(1) var<storage, read> table: array<f32>; // [entries, d]; dy [rows, d] in scatter_add
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, d]; [parts, entries, d] in scatter_add

@compute @workgroup_size(64)
fn gather(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.d {
        return;
    }
    let row = divide(at, p.d);
    y[at] = table[min(codes[row], p.entries - 1u) * p.d + (at - row * p.d)];
}

@compute @workgroup_size(64)
fn scatter_add(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = wid.x * 64u + lid;
    if at >= p.entries * p.d {
        return;
    }
    let entry = divide(at, p.d);
    let column = at - entry * p.d;
    var sum = 0.0;
    for (var m = wid.y * p.part; m < min((wid.y + 1u) * p.part, p.rows); m += 1u) {
        if codes[m] == entry {
            sum += table[m * p.d + column];
        }
    }
    y[wid.y * p.entries * p.d + at] = sum;
}
