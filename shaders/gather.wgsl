//! Rows of a table by index: embeddings, and codes to code vectors.
//!   gather        y[m] = table[codes[m]], 0 for a code that is no entry
//!   link          chains of equal codes within CHAIN rows: `next_row` leads from a row to the next one with its code,
//!                 `head` to the first; both one too high, 0 ends a chain
//!   scatter_add   dtable[k] = Σ_{m: codes[m] = k} dy[m] along the chains: in the order of m, equal bits every time.
//!                 Rows are split over y into parts, whose planes are summed afterwards.
//!   counts        the lengths of the chains: how often each code occurs
//! So a sum costs rows · (CHAIN + d) + entries · d · rows / CHAIN, not rows · entries · d.
#import grid
#import block

const CHAIN: u32 = 256u; // rows; `part` is a multiple

struct Params { rows: u32, d: u32, entries: u32, part: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> codes: array<u32>; // [rows]
@group(0) @binding(1) var<storage, read> table: array<f32>; // [entries, d]
@group(0) @binding(2) var<storage, read> head: array<u32>; // [chains, entries]
@group(0) @binding(3) var<storage, read> next_row: array<u32>; // [rows]
@group(0) @binding(4) var<storage, read> x: array<f32>; // [rows, d]
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [rows, d]; [parts, entries, d] in scatter_add; [parts, entries] in counts
@group(0) @binding(6) var<storage, read_write> head_out: array<u32>; // [chains, entries]
@group(0) @binding(7) var<storage, read_write> next_out: array<u32>; // [rows]
var<workgroup> sh_codes: array<u32, CHAIN>;

@compute @workgroup_size(64)
fn gather(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    if at >= p.rows * p.d {
        return;
    }
    let row = divide(at, p.d);
    let code = codes[row];
    let entry = min(code, p.entries - 1u);
    y[at] = select(0.0, table[entry * p.d + (at - row * p.d)], code < p.entries);
}

// One workgroup for the rows of a chain.
@compute @workgroup_size(CHAIN)
fn link(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    for (var entry = lid; entry < p.entries; entry += CHAIN) {
        head_out[wid.x * p.entries + entry] = 0u;
    }
    let row = wid.x * CHAIN + lid;
    let code = codes[min(row, p.rows - 1u)];
    sh_codes[lid] = code;
    storageBarrier();
    workgroupBarrier();
    if row >= p.rows {
        return;
    }
    var successor = CHAIN;
    var first = true;
    let last = min(CHAIN, p.rows - wid.x * CHAIN);
    for (var i = 0u; i < last; i += 1u) {
        let same = sh_codes[i] == code;
        first = first && !(same && i < lid);
        successor = select(successor, min(successor, i), same && i > lid);
    }
    next_out[row] = select(row + successor - lid + 1u, 0u, successor == CHAIN);
    if first && code < p.entries {
        head_out[wid.x * p.entries + code] = row + 1u;
    }
}

// The chains of part `part`: first, and one beyond the last.
fn chains(part: u32) -> vec2<u32> {
    return vec2(part * p.part, min((part + 1u) * p.part, p.rows) + CHAIN - 1u) / CHAIN;
}

// Four columns an invocation; columns beyond the last repeat it.
@compute @workgroup_size(64)
fn scatter_add(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = wid.x * 64u + lid;
    let fours = (p.d + 3u) / 4u;
    if at >= p.entries * fours {
        return;
    }
    let entry = divide(at, fours);
    let columns = min(4u * (at - entry * fours) + LANES, vec4(p.d - 1u));
    let range = chains(wid.y);
    var sum = vec4(0.0);
    for (var chain = range.x; chain < range.y; chain += 1u) {
        for (var row = head[chain * p.entries + entry]; row > 0u; row = next_row[row - 1u]) {
            let source = (row - 1u) * p.d + columns;
            sum += vec4(x[source.x], x[source.y], x[source.z], x[source.w]);
        }
    }
    let to = (wid.y * p.entries + entry) * p.d + columns;
    y[to.x] = sum.x;
    y[to.y] = sum.y;
    y[to.z] = sum.z;
    y[to.w] = sum.w;
}

@compute @workgroup_size(64)
fn counts(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let entry = wid.x * 64u + lid;
    if entry >= p.entries {
        return;
    }
    let range = chains(wid.y);
    var count = 0u;
    for (var chain = range.x; chain < range.y; chain += 1u) {
        for (var row = head[chain * p.entries + entry]; row > 0u; row = next_row[row - 1u]) {
            count += 1u;
        }
    }
    y[wid.y * p.entries + entry] = f32(count);
}
