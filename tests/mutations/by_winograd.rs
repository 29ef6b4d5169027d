//! Faults in Winograd's convolution.

use crate::faults::Faults;

/// Those of `shaders/shared/winograd.wgsl` among them.
pub const BY_WINOGRAD: &[Faults] = &[Faults {
    shader: "winograd",
    ops: &["conv2d", "conv_transpose2d"],
    faults: &[
        // The transforms.
        ("(s.r1 - 2.5 * s.r3) + s.r5,", "(s.r1 - 2.0 * s.r3) + s.r5,"),
        ("let far_odd = R * s.r3 - S * s.r1;", "let far_odd = S * s.r3 - R * s.r1;"),
        ("(-2.0 / 3.0) * s.r0 - (1.0 / 3.0) * s.r2", "(-2.0 / 3.0) * s.r0 + (1.0 / 3.0) * s.r2"),
        ("s.r5 + (1.0 / 3.0) * (far_even - even)", "s.r5 + (1.0 / 3.0) * far_even"),
        ("0.5 * even + 2.0 * far_even", "2.0 * even + 2.0 * far_even"),
        ("let far_odd = R * s.r1 + 2.0 * R * s.r3;", "let far_odd = R * s.r1 + R * s.r3;"),
        ("Row(s.r0[0].y, s.r1[0].y,", "Row(s.r0[0].y, s.r1[0].x,"),
        // Where they read and write.
        (
            "return select(Element(0), x[select(0u, i.x, i.y == 1u)], i.y == 1u);",
            "return x[select(0u, i.x, i.y == 1u)];",
        ),
        ("corner(place.row) - vec3(0u, 1u, 1u)", "corner(place.row) - vec3(0u, 0u, 1u)"),
        ("select(vec3(0u, 1u, 2u), vec3(8u, 7u, 6u), TURNED)", "select(vec3(0u, 1u, 2u), vec3(6u, 7u, 8u), TURNED)"),
        ("select(vec3(6u, 7u, 8u), vec3(2u, 1u, 0u), TURNED)", "vec3(6u, 7u, 8u)"),
        ("u32(row < p.h && column < p.w)", "u32(row < p.h)"),
        ("if BIAS {", "if !BIAS {"),
        ("put_four(at, c, 3u, s.r3 + offset);", ""),
        ("put_taps(i, 6u, s.r2);", "put_taps(i, 6u, s.r1);"),
        ("4u * (row - line * p.tiles_w)", "4u * (row - line * p.tiles_h)"),
    ],
}];

/// Those of `shaders/winograd_lanes.wgsl`.
pub const BY_WINOGRAD_ON_LANES: &[Faults] = &[Faults {
    shader: "winograd_lanes",
    ops: &["conv2d", "conv_transpose2d"],
    faults: &[
        ("u64(bits.x) | (u64(bits.y) << 32u)", "u64(bits.x) | (u64(bits.x) << 32u)"),
        ("vec4(values(v2), values(v3))", "vec4(values(v3), values(v2))"),
        ("return element(row[2].zw);", "return element(row[2].xy);"),
        ("vec4(s.r4[1].xy, s.r5[1].xy)", "vec4(s.r4[1].xy, s.r5[1].zw)"),
    ],
}];
