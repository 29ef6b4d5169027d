// The kernels of Winograd's convolution. A file that imports this has an Element, one channel or several, a Row of six of them
// that can be added and multiplied by a number, turns one into the other, sums a row, and has the bindings; see winograd.wgsl.
#import winograd_places

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
    sums[i] = sum_of(s.r0 + s.r1 + (s.r2 + s.r3));
    keep(i, turned(times_a(turned(times_a(s)))));
}

@compute @workgroup_size(64)
fn weight(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    if i >= p.rows * p.channels {
        return;
    }
    let s = Square(three_taps(i, 0u), three_taps(i, 3u), three_taps(i, 6u), Row(), Row(), Row());
    keep(i, turned(times_g(turned(times_g(s)))));
}

@compute @workgroup_size(64)
fn outputs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let place = place_of(i);
    if place.row >= p.rows {
        return;
    }
    put_tile(place, turned(times_at(turned(times_at(square_of(i))))));
}

@compute @workgroup_size(64)
fn inputs(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = linear_index(wid, grid, lid, 64u);
    let place = place_of(i);
    if place.row >= p.rows {
        return;
    }
    let at = corner(place.row);
    let above = at.y > 0u;
    let below = at.y + 4u < p.h;
    let inside = vec2(at.z > 0u, at.z + 4u < p.w);
    let c = p.channels;
    let up = i - p.tiles_w * c;
    let down = i + p.tiles_w * c;
    let beside = Square(
        sides(i - c, i + c, 0u, inside), sides(i - c, i + c, 1u, inside), sides(i - c, i + c, 2u, inside),
        sides(i - c, i + c, 3u, inside), sides(i - c, i + c, 4u, inside), sides(i - c, i + c, 5u, inside),
    );
    let corners = overlaid(beside, sides(up - c, up + c, 5u, inside & vec2(above)), sides(down - c, down + c, 0u, inside & vec2(below)));
    let s = overlaid(square_of(i), six_in_planes(up, 30u, above), six_in_planes(down, 0u, below));
    let columns = turned(corners);
    put_tile(place, turned(overlaid(turned(s), columns.r0, columns.r1)));
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
