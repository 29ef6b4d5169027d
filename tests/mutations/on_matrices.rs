//! Faults in products on cooperative matrices.

use crate::Faults;

/// Faults of the product in `shaders/shared/cooperative.wgsl`; the convolutions' own text is
/// covered in `in_tiles.rs`.
pub const ON_MATRICES: &[Faults] = &[Faults {
    shader: "matmul_tiled cooperative8",
    ops: &["matmul", "linear", "linear_residual"],
    faults: &[
        (
            "select(1.0, GRADIENT_SCALE, LEFT_GRADIENT) * rows_of",
            "rows_of",
        ),
        (
            "select(1.0, GRADIENT_SCALE, RIGHT_GRADIENT) * rows_of",
            "rows_of",
        ),
        ("select(1.0, 1.0 / GRADIENT_SCALE, LEFT_GRADIENT) *", ""),
        (
            "        workgroupBarrier();\n        put_step(",
            "        put_step(",
        ),
        (
            "        workgroupBarrier();\n        k += DEPTH;",
            "        k += DEPTH;",
        ),
        ("put(loads.l1, step.b1, first_term(loads.l1, k) < end);", ""),
        ("sh_left[from_left + EDGE * PITCH]", "sh_left[from_left]"),
        (
            "sh_right[from_right + 3u * EDGE * PITCH]",
            "sh_right[from_right + 2u * EDGE * PITCH]",
        ),
        (
            "2u * EDGE * PITCH * (subgroup / ACROSS)",
            "2u * EDGE * PITCH * 0u",
        ),
        (
            "c12 = coopMultiplyAdd(a1, b2, c12);",
            "c12 = coopMultiplyAdd(a0, b2, c12);",
        ),
        ("term < DEPTH; term += EDGE", "term < EDGE; term += EDGE"),
        ("keep(c13, place, number, subgroup, 1u, 3u);", ""),
        ("(2u * (owner / ACROSS) + row)", "(2u * (owner / ACROSS))"),
    ],
}];
