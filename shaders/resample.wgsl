//! Images on other grids, channels last.
//!   upsample            y[n, p, q, c] = x[n, p / scale, q / scale, c]
//!   upsample_backward   dx[n, p, q, c] = Σ_{a, b < scale} dy[n, p scale + a, q scale + b, c]
//!   window              y[n, p, q, c] = x[n, p − top, q − left, c], 0 outside of x. Negative top and left crop; the
//!                       gradient of a window is the opposite window.
//! Grid: one invocation per element of y (dx), of one channel or four.
#import grid
#import fours

// [h, w] is the smaller image of upsample, x of window; [out_h, out_w] the other one; c counts elements.
struct Params { batch: u32, h: u32, w: u32, c: u32, out_h: u32, out_w: u32, top: u32, left: u32, scale: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<Element>; // [n, h, w, c]; [n, out_h, out_w, c] in upsample_backward
@group(0) @binding(1) var<storage, read_write> y: array<Element>; // [n, out_h, out_w, c]; [n, h, w, c] in upsample_backward

// What an invocation writes: (n, row, column) of a pixel and the channel.
struct Place { n: u32, row: u32, column: u32, channel: u32 }

// Number of an element of images of height h and width w -> its place; n is too large beyond the last.
fn place_of(at: u32, h: u32, w: u32) -> Place {
    let pixel = divide(at, p.c);
    let line = divide(pixel, w);
    let n = divide(line, h);
    return Place(n, line - n * h, pixel - line * w, at - pixel * p.c);
}

@compute @workgroup_size(64)
fn upsample(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let to = place_of(at, p.out_h, p.out_w);
    if to.n >= p.batch {
        return;
    }
    let line = to.n * p.h + divide(to.row, p.scale);
    y[at] = x[(line * p.w + divide(to.column, p.scale)) * p.c + to.channel];
}

@compute @workgroup_size(64)
fn upsample_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let to = place_of(at, p.h, p.w);
    if to.n >= p.batch {
        return;
    }
    var sum = Values();
    for (var a = 0u; a < p.scale; a += 1u) {
        let line = to.n * p.out_h + to.row * p.scale + a;
        for (var b = 0u; b < p.scale; b += 1u) {
            sum += values(x[(line * p.out_w + to.column * p.scale + b) * p.c + to.channel]);
        }
    }
    y[at] = element(sum);
}

@compute @workgroup_size(64)
fn window(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let at = linear_index(wid, grid, lid, 64u);
    let to = place_of(at, p.out_h, p.out_w);
    if to.n >= p.batch {
        return;
    }
    // Wraps below zero, which `<` then sees as outside.
    let row = to.row - p.top;
    let column = to.column - p.left;
    let inside = row < p.h && column < p.w;
    let source = ((to.n * p.h + row) * p.w + column) * p.c + to.channel;
    y[at] = select(Element(), x[select(0u, source, inside)], inside);
}
