//! Faults in products whose sums are split into parts on GPUs.

use crate::Faults;

/// The tile that trials use, "32x32 in parts".
pub const IN_PARTS_TILE: usize = 7;

/// Faults that only products in parts reach.
pub const IN_PARTS: &[Faults] = &[
    Faults {
        shader: "conv2d_tiled",
        ops: &["conv2d", "conv2d_residual"],
        faults: &[
            ("wid.z * pixel_count()", "0u"),
            (
                "vec2(number, number + 1u) * part",
                "vec2(number, number + 2u) * part",
            ),
            (
                "min(vec2(number, number + 1u) * part, vec2(terms))",
                "vec2(0u, terms)",
            ),
        ],
    },
    Faults {
        shader: "conv2d_tiled_input",
        ops: &["conv2d"],
        faults: &[("wid.z * p.batch * p.h * p.w", "0u")],
    },
    Faults {
        shader: "reduce",
        ops: &["conv2d", "conv2d_residual", "linear", "linear_residual"],
        faults: &[
            ("x4[r * count + at]", "x4[at]"),
            ("r = 1u; r < p.middle", "r = 2u; r < p.middle"),
            ("bias[at - divide(at, inner) * inner]", "bias[0]"),
            (
                "sum += values(residual[at]);",
                "sum -= values(residual[at]);",
            ),
        ],
    },
];
