// Where the kernels of Winograd's convolution read and write: tiles of images, planes of squares. See winograd.wgsl.
#import grid
#import winograd_transforms

override BIAS: bool = false;
override RESIDUAL: bool = false;

struct Params {
    h: u32, w: u32, // of the images, which are x, y, dx or dy
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

fn three_taps(at: u32, tap: u32) -> Row {
    let step = p.rows * p.channels;
    let i = at + tap * step;
    let none = Element(0);
    return row_of(x[i], x[i + step], x[i + 2u * step], none, none, none);
}

fn six_planes(at: u32, plane: u32) -> Row {
    let step = p.rows * p.channels;
    let i = at + plane * step;
    return row_of(squares[i], squares[i + step], squares[i + 2u * step], squares[i + 3u * step], squares[i + 4u * step], squares[i + 5u * step]);
}

fn square_of(at: u32) -> Square {
    return Square(six_planes(at, 0u), six_planes(at, 6u), six_planes(at, 12u), six_planes(at, 18u), six_planes(at, 24u), six_planes(at, 30u));
}

// An element of a square, zero if it lies in no square.
fn in_plane(at: u32, plane: u32, inside: bool) -> Element {
    return select(Element(0), squares[select(0u, at + plane * p.rows * p.channels, inside)], inside);
}

// The last elements of the square to the left, the first of the one to the right.
fn sides(left: u32, right: u32, row: u32, inside: vec2<bool>) -> Row {
    let none = Element(0);
    return row_of(in_plane(left, 6u * row + 5u, inside.x), in_plane(right, 6u * row, inside.y), none, none, none, none);
}

fn six_in_planes(at: u32, plane: u32, inside: bool) -> Row {
    return row_of(
        in_plane(at, plane, inside), in_plane(at, plane + 1u, inside), in_plane(at, plane + 2u, inside),
        in_plane(at, plane + 3u, inside), in_plane(at, plane + 4u, inside), in_plane(at, plane + 5u, inside),
    );
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

fn put(at: vec3<u32>, channel: u32, row: u32, column: u32, sum: Element) {
    let i = pixel(at.x, at.y + row, at.z + column, channel);
    if i.y == 1u {
        if RESIDUAL {
            y[i.x] = element(values(sum) + values(residual[i.x]));
        } else {
            y[i.x] = sum;
        }
    }
}

fn put_four(at: vec3<u32>, c: u32, row: u32, sums: Row) {
    put(at, c, row, 0u, element0(sums));
    put(at, c, row, 1u, element1(sums));
    put(at, c, row, 2u, element2(sums));
    put(at, c, row, 3u, element3(sums));
}

// A tile's four rows of four, and the bias.
fn put_tile(place: Place, s: Square) {
    let at = corner(place.row);
    let c = place.channel;
    var offset = Row();
    if BIAS {
        let b = bias[c];
        offset = row_of(b, b, b, b, b, b);
    }
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
