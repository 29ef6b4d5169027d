//! Faults in code that GPUs run: tiled products, and what is computed by products.

use crate::Faults;

/// The tile that trials use: its invocations have all four blocks, and load two.
pub const TILE: usize = 2;

/// Faults in tiled kernels, with those of `shaders/shared/tile.wgsl` under the first kernel.
pub const IN_TILES: &[Faults] = &[
    Faults {
        shader: "matmul_tiled",
        ops: &["matmul", "linear", "linear_residual"],
        faults: &[
            (
                "vec4(min(row, p.m - 4u)), A_ROWS)",
                "vec4(min(row, p.m - 4u)), !A_ROWS)",
            ),
            ("vec4(column), B_COLUMNS)", "vec4(column), !B_COLUMNS)"),
            ("out += bias[column];", "out += bias[0];"),
            ("out += residual[at];", "out -= residual[at];"),
            ("if own >= p.m ||", "if own + 1u >= p.m ||"),
            ("min((share.part + 1u) * p.k_part, p.k)", "p.k"),
            ("share.plane * p.m", "share.matrix * p.m"),
            (
                "        workgroupBarrier();\n        put_step(",
                "        put_step(",
            ),
            (
                "        workgroupBarrier();\n        k += DEPTH;",
                "        k += DEPTH;",
            ),
            ("if !inside {", "if false {"),
            ("sh_left[at.z]", "sh_left[at.x]"),
            ("add_row(s, at + 3u * row)", "add_row(s, at + 2u * row)"),
            (
                "keep_block(place, 4u * (local.y + ROWS), local.x, sums.below);",
                "",
            ),
            ("put(loads.l1, step.b1, first_term(loads.l1, k) < end);", ""),
        ],
    },
    Faults {
        shader: "conv2d_tiled",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            (
                "x[k.z], x[k.w]), t.inside);",
                "x[k.z], x[k.w]), vec4(1.0));",
            ),
            ("f.y * b[1]", "b[1]"),
            (
                "first.row + down < vec4(size.x)",
                "first.row + down <= vec4(size.x)",
            ),
            ("if p.bias == 1u {", "if p.bias == 0u {"),
            ("out += residual[to];", "out -= residual[to];"),
            ("(t.at + term - tap * p.c) / 4u", "(t.at + term % 4u) / 4u"),
            ("at.x * p.kernel_w + at.y - tap", "at.x + at.y - tap"),
            ("top - shift, top", "top, top"),
            (
                "top + vec2<i32>(vec2(p.h, p.w)),",
                "top + vec2<i32>(vec2(p.h, p.w)) - 1,",
            ),
            ("rows * w, rows.x == rows.y)", "rows * w, true)"),
            (
                "vec3(at - position * p.batch, row",
                "vec3(at % p.batch, row / 2u",
            ),
            (
                "part_of(p.taps * p.c, wid.z",
                "part_of(p.taps * p.c - 4u, wid.z",
            ),
            (
                "if pixel >= pixel_count()",
                "if pixel + 1u >= pixel_count()",
            ),
        ],
    },
    Faults {
        shader: "conv2d_tiled_input",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            (
                "select(vec4(0.0), t.inside, tap < p.taps)",
                "select(vec4(0.0), vec4(1.0), tap < p.taps)",
            ),
            ("t.inside, tap < p.taps)", "t.inside, tap <= p.taps)"),
            (
                "place.start.y + p.stride * column",
                "place.start.y + column",
            ),
            ("0u - left,", "0u,"),
            ("at.yz * p.stride + place.phase.xy", "at.yz * p.stride"),
            ("offset = bias[column];", "offset = bias[0];"),
            (
                "Window(vec2(0u), reach)",
                "Window(vec2(0u), vec2(reach.x, p.kernel_w))",
            ),
            (
                "begin + 1 - vec2<i32>(vec2(p.out_h, p.out_w))",
                "begin + 2 - vec2<i32>(vec2(p.out_h, p.out_w))",
            ),
            (
                "begin + vec2<i32>(pixels.size);",
                "begin + vec2<i32>(pixels.size) - 1;",
            ),
        ],
    },
    Faults {
        shader: "conv2d_tiled_weight",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            ("select(vec4(0.0), t.inside, counts)", "t.inside"),
            (" & vec4(source.tap < p.taps);", ";"),
            ("Source(tap, kh, tap", "Source(tap, 0u, tap"),
            ("vec3(0u, 0u, 2u)", "vec3(0u, 0u, 1u)"),
            ("dw[(place.plane + own)", "dw[(own)"),
            (
                "(wid.y + 1u) * part, positions",
                "(wid.y + 2u) * part, positions",
            ),
            (
                "(vec2(rows.y, columns.y)) + stride",
                "(vec2(rows.x, columns.x)) + stride",
            ),
            ("LANES * (p.out_h * p.out_w)", "LANES"),
            ("(4u * grid.y) * 4u", "(8u * grid.y) * 4u"),
        ],
    },
    Faults {
        shader: "reduce",
        ops: &["sum", "mean", "squared_norm"],
        faults: &[
            ("half > 4u; half /= 2u", "half > 8u; half /= 2u"),
            ("r < rows; r += 32u", "r + 1u < rows; r += 32u"),
            (
                "element(p.scale * sh_columns[own])",
                "element(sh_columns[own])",
            ),
            (
                "terms(values(x4[first + r * inner]));\n        }",
                "values(x4[first + r * inner]);\n        }",
            ),
            ("wid.y * p.middle * inner + column", "column"),
        ],
    },
    Faults {
        shader: "nearest_among",
        ops: &["nearest_code"],
        faults: &[
            ("-0.5 * (squares.x", "0.5 * (squares.x"),
            ("f32(p.d + 8u) * 2.3841858e-7", "f32(p.d + 8u) * 1e-12"),
            (
                "score[first + quad] >= vec4(limit)",
                "score[first + quad] > vec4(limit + slack)",
            ),
            ("second = max(second, min(highest, s));", ""),
            ("quads = select(quads, vec4(quad), s > highest);", ""),
            ("best = exact(row, code);", ""),
            (
                "code = select(code, 4u * quad + j, distance < best);",
                "code = select(code, 4u * quad + j, distance <= best);",
            ),
            (
                "let difference = z[row * (p.d / 4u) + i] -",
                "let difference = z[row * (p.d / 4u)] -",
            ),
        ],
    },
];
