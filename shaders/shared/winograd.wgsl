// The kernels of Winograd's convolution. A file that imports this has an Element, one channel or several, a Row of six of them
// that can be added and multiplied by a number, turns one into the other, and has the bindings; see winograd.wgsl.
#import grid
#import winograd_transforms

override TURNED: bool = false;
override BIAS: bool = false;

struct Params {
    h: u32, w: u32, // of the images, which are x, y or dy
    tiles_h: u32, tiles_w: u32, // an image
    rows: u32, // of a matrix: tiles of all images, or input channels
    channels: u32, // in elements
}
var<immediate> p: Params;

// Which row of the matrices and which channel an invocation makes.
struct Place { row: u32, channel: u32 }

fn place_of(at: u32) -> Place {
    let row = divide(at, p.channels);
    return Place(row, at - row * p.channels);
}

// The first pixel of a row's tile: image, row, column.
fn corner(row: u32) -> vec3<u32> {
    let line = divide(row, p.tiles_w);
    let n = divide(line, p.tiles_h);
    return vec3(n, 4u * (line - n * p.tiles_h), 4u * (row - line * p.tiles_w));
}

// Number of an image's element, and whether it lies inside.
fn pixel(n: u32, row: u32, column: u32, channel: u32) -> vec2<u32> {
    return vec2(((n * p.h + row) * p.w + column) * p.channels + channel, u32(row < p.h && column < p.w));
}

// An element of a tile with this first pixel, zero outside of the image.
fn at_pixel(at: vec3<u32>, channel: u32, row: u32, column: u32) -> Element {
    let i = pixel(at.x, at.y + row, at.z + column, channel);
    return select(Element(0), x[select(0u, i.x, i.y == 1u)], i.y == 1u);
}

fn six_seen(at: vec3<u32>, c: u32, row: u32) -> Row {
    return row_of(at_pixel(at, c, row, 0u), at_pixel(at, c, row, 1u), at_pixel(at, c, row, 2u), at_pixel(at, c, row, 3u), at_pixel(at, c, row, 4u), at_pixel(at, c, row, 5u));
}

fn four_seen(at: vec3<u32>, c: u32, row: u32) -> Row {
    let none = Element(0);
    return row_of(at_pixel(at, c, row, 0u), at_pixel(at, c, row, 1u), at_pixel(at, c, row, 2u), at_pixel(at, c, row, 3u), none, none);
}

fn three_taps(at: u32, tap: vec3<u32>) -> Row {
    let step = p.rows * p.channels;
    let none = Element(0);
    return row_of(x[at + tap.x * step], x[at + tap.y * step], x[at + tap.z * step], none, none, none);
}

fn six_planes(at: u32, plane: u32) -> Row {
    let step = p.rows * p.channels;
    let i = at + plane * step;
    return row_of(squares[i], squares[i + step], squares[i + 2u * step], squares[i + 3u * step], squares[i + 4u * step], squares[i + 5u * step]);
}

fn square_of(at: u32) -> Square {
    return Square(six_planes(at, 0u), six_planes(at, 6u), six_planes(at, 12u), six_planes(at, 18u), six_planes(at, 24u), six_planes(at, 30u));
}

fn keep_row(at: u32, plane: u32, row: Row) {
    let step = p.rows * p.channels;
    let i = at + plane * step;
    y[i] = element0(row);
    y[i + step] = element1(row);
    y[i + 2u * step] = element2(row);
    y[i + 3u * step] = element3(row);
    y[i + 4u * step] = element4(row);
    y[i + 5u * step] = element5(row);
}

fn keep(at: u32, s: Square) {
    keep_row(at, 0u, s.r0);
    keep_row(at, 6u, s.r1);
    keep_row(at, 12u, s.r2);
    keep_row(at, 18u, s.r3);
    keep_row(at, 24u, s.r4);
    keep_row(at, 30u, s.r5);
}

@compute @workgroup_size(64)
fn image(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let place = place_of(i);
    if place.row >= p.rows {
        return;
    }
    // It sees a pixel around. Wraps below zero, which `<` then sees as outside.
    let at = corner(place.row) - vec3(0u, 1u, 1u);
    let c = place.channel;
    let s = Square(six_seen(at, c, 0u), six_seen(at, c, 1u), six_seen(at, c, 2u), six_seen(at, c, 3u), six_seen(at, c, 4u), six_seen(at, c, 5u));
    keep(i, turned(times_b(turned(times_b(s)))));
}

@compute @workgroup_size(64)
fn gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let place = place_of(i);
    if place.row >= p.rows {
        return;
    }
    let at = corner(place.row);
    let c = place.channel;
    let s = Square(four_seen(at, c, 0u), four_seen(at, c, 1u), four_seen(at, c, 2u), four_seen(at, c, 3u), Row(), Row());
    keep(i, turned(times_a(turned(times_a(s)))));
}

@compute @workgroup_size(64)
fn weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.rows * p.channels {
        return;
    }
    let first = select(vec3(0u, 1u, 2u), vec3(8u, 7u, 6u), TURNED);
    let second = select(vec3(3u, 4u, 5u), vec3(5u, 4u, 3u), TURNED);
    let third = select(vec3(6u, 7u, 8u), vec3(2u, 1u, 0u), TURNED);
    let s = Square(three_taps(i, first), three_taps(i, second), three_taps(i, third), Row(), Row(), Row());
    keep(i, turned(times_g(turned(times_g(s)))));
}

fn put(at: vec3<u32>, channel: u32, row: u32, column: u32, sum: Element) {
    let i = pixel(at.x, at.y + row, at.z + column, channel);
    if i.y == 1u {
        y[i.x] = sum;
    }
}

fn put_four(at: vec3<u32>, c: u32, row: u32, sums: Row) {
    put(at, c, row, 0u, element0(sums));
    put(at, c, row, 1u, element1(sums));
    put(at, c, row, 2u, element2(sums));
    put(at, c, row, 3u, element3(sums));
}

@compute @workgroup_size(64)
fn outputs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let place = place_of(i);
    if place.row >= p.rows {
        return;
    }
    let at = corner(place.row);
    let c = place.channel;
    var offset = Row();
    if BIAS {
        let b = bias[c];
        offset = row_of(b, b, b, b, b, b);
    }
    let s = turned(times_at(turned(times_at(square_of(i)))));
    put_four(at, c, 0u, s.r0 + offset);
    put_four(at, c, 1u, s.r1 + offset);
    put_four(at, c, 2u, s.r2 + offset);
    put_four(at, c, 3u, s.r3 + offset);
}

fn put_taps(at: u32, tap: u32, sums: Row) {
    let step = p.rows * p.channels;
    y[at + tap * step] = element0(sums);
    y[at + (tap + 1u) * step] = element1(sums);
    y[at + (tap + 2u) * step] = element2(sums);
}

@compute @workgroup_size(64)
fn weight_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.rows * p.channels {
        return;
    }
    let s = turned(times_gt(turned(times_gt(square_of(i)))));
    put_taps(i, 0u, s.r0);
    put_taps(i, 3u, s.r1);
    put_taps(i, 6u, s.r2);
}
