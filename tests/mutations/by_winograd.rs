//! Faults in Winograd's convolution.

use crate::Faults;

/// Includes faults in the files of `shaders/shared/` that it imports.
pub const BY_WINOGRAD: &[Faults] = &[Faults {
    shader: "winograd",
    ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
    faults: &[
        // The transforms.
        ("(s.r1 - 2.5 * s.r3) + s.r5,", "(s.r1 - 2.0 * s.r3) + s.r5,"),
        (
            "let far_odd = R * s.r3 - S * s.r1;",
            "let far_odd = S * s.r3 - R * s.r1;",
        ),
        (
            "(-2.0 / 3.0) * s.r0 - (1.0 / 3.0) * s.r2",
            "(-2.0 / 3.0) * s.r0 + (1.0 / 3.0) * s.r2",
        ),
        (
            "s.r5 + (1.0 / 3.0) * (far_even - even)",
            "s.r5 + (1.0 / 3.0) * far_even",
        ),
        ("0.5 * even + 2.0 * far_even", "2.0 * even + 2.0 * far_even"),
        (
            "let far_odd = R * s.r1 + 2.0 * R * s.r3;",
            "let far_odd = R * s.r1 + R * s.r3;",
        ),
        ("Row(s.r0[0].y, s.r1[0].y,", "Row(s.r0[0].y, s.r1[0].x,"),
        ("(before + s.r5) - (R * odd", "s.r5 - (R * odd"),
        ("-2.5 * s.r0 - (2.0 * even", "-2.0 * s.r0 - (2.0 * even"),
        // Input and output addresses.
        (
            "return select(Element(0), x[select(0u, i.x, i.y == 1u)], i.y == 1u);",
            "return x[select(0u, i.x, i.y == 1u)];",
        ),
        (
            "corner(place.row) - vec3(0u, 1u, 1u)",
            "corner(place.row) - vec3(0u, 0u, 1u)",
        ),
        ("three_taps(i, 6u), Row()", "three_taps(i, 3u), Row()"),
        ("u32(row < p.h && column < p.w)", "u32(row < p.h)"),
        ("if BIAS {", "if !BIAS {"),
        (
            "values(sum) + values(residual",
            "values(sum) - values(residual",
        ),
        (
            "sum_of(s.r0 + s.r1 + (s.r2 + s.r3))",
            "sum_of(s.r0 + s.r1 + s.r2)",
        ),
        ("put_four(at, c, 3u, s.r3 + offset);", ""),
        (
            "let below = at.y + 4u < p.h;",
            "let below = at.y + 4u <= p.h;",
        ),
        ("let above = at.y > 0u;", "let above = true;"),
        (
            "vec2(at.z > 0u, at.z + 4u < p.w)",
            "vec2(true, at.z + 4u < p.w)",
        ),
        (
            "in_plane(left, 6u * row + 5u, inside.x)",
            "in_plane(left, 6u * row, inside.x)",
        ),
        (
            "sides(up - c, up + c, 5u, inside & vec2(above))",
            "sides(up + c, up - c, 5u, inside & vec2(above))",
        ),
        (
            "sides(down - c, down + c, 0u, inside & vec2(below))",
            "Row()",
        ),
        ("put_taps(i, 6u, s.r2);", "put_taps(i, 6u, s.r1);"),
        (
            "4u * (row - line * p.tiles_w)",
            "4u * (row - line * p.tiles_h)",
        ),
    ],
}];

/// Faults in `shaders/winograd_lanes.wgsl`.
pub const BY_WINOGRAD_ON_LANES: &[Faults] = &[Faults {
    shader: "winograd_lanes",
    ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
    faults: &[
        (
            "u64(bits.x) | (u64(bits.y) << 32u)",
            "u64(bits.x) | (u64(bits.x) << 32u)",
        ),
        (
            "vec4(values(v2), values(v3))",
            "vec4(values(v3), values(v2))",
        ),
        ("element(sums.xy + sums.zw)", "element(sums.xy)"),
        ("return element(row[2].zw);", "return element(row[2].xy);"),
        (
            "vec4(s.r4[1].xy, s.r5[1].xy)",
            "vec4(s.r4[1].xy, s.r5[1].zw)",
        ),
    ],
}];
