//! Images on other grids, channels last.
//!   upsample            y[n, p, q, c] = x[n, p / scale, q / scale, c]
//!   upsample_backward   dx[n, p, q, c] = Σ_{a, b < scale} dy[n, p scale + a, q scale + b, c]
//!   window              y[n, p, q, c] = x[n, p − top, q − left, c], 0 outside of x. Negative top and left crop; the
//!                       gradient of a window is the opposite window.
//! Grid: one invocation per pixel of y (dx) and four channels.
#import grid

// [h, w] is the smaller image of upsample, x of window; [out_h, out_w] the other one.
struct Params { batch: u32, h: u32, w: u32, c: u32, out_h: u32, out_w: u32, top: u32, left: u32, scale: u32 }
var<immediate> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, h, w, c]; [n, out_h, out_w, c] in upsample_backward
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [n, out_h, out_w, c]; [n, h, w, c] in upsample_backward

// What an invocation writes: (n, row, column) of a pixel, the first channel, and its place in y.
struct Place { n: u32, row: u32, column: u32, channel: u32, at: u32 }

// Invocation number -> place in images of height h and width w; n is too large beyond the last.
fn place_of(invocation: u32, h: u32, w: u32) -> Place {
    let fours = (p.c + 3u) / 4u;
    let pixel = divide(invocation, fours);
    let line = divide(pixel, w);
    let n = divide(line, h);
    let channel = 4u * (invocation - pixel * fours);
    return Place(n, line - n * h, pixel - line * w, channel, pixel * p.c + channel);
}

@compute @workgroup_size(64)
fn upsample(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = place_of(linear_index(wid, grid, lid, 64u), p.out_h, p.out_w);
    if to.n >= p.batch {
        return;
    }
    let line = to.n * p.h + divide(to.row, p.scale);
    let source = (line * p.w + divide(to.column, p.scale)) * p.c + to.channel;
    for (var i = 0u; i < min(4u, p.c - to.channel); i += 1u) {
        y[to.at + i] = x[source + i];
    }
}

@compute @workgroup_size(64)
fn upsample_backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = place_of(linear_index(wid, grid, lid, 64u), p.h, p.w);
    if to.n >= p.batch {
        return;
    }
    let channels = min(vec4(0u, 1u, 2u, 3u), vec4(p.c - 1u - to.channel));
    var sum = vec4(0.0);
    for (var a = 0u; a < p.scale; a += 1u) {
        let line = to.n * p.out_h + to.row * p.scale + a;
        for (var b = 0u; b < p.scale; b += 1u) {
            let source = (line * p.out_w + to.column * p.scale + b) * p.c + to.channel + channels;
            sum += vec4(x[source.x], x[source.y], x[source.z], x[source.w]);
        }
    }
    // Channels beyond the last repeat it.
    y[to.at + channels.x] = sum.x;
    y[to.at + channels.y] = sum.y;
    y[to.at + channels.z] = sum.z;
    y[to.at + channels.w] = sum.w;
}

@compute @workgroup_size(64)
fn window(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let to = place_of(linear_index(wid, grid, lid, 64u), p.out_h, p.out_w);
    if to.n >= p.batch {
        return;
    }
    // Wraps below zero, which `<` then sees as outside.
    let row = to.row - p.top;
    let column = to.column - p.left;
    let inside = row < p.h && column < p.w;
    let source = select(0u, ((to.n * p.h + row) * p.w + column) * p.c + to.channel, inside);
    for (var i = 0u; i < min(4u, p.c - to.channel); i += 1u) {
        y[to.at + i] = select(0.0, x[source + i], inside);
    }
}
