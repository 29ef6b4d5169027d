//! Faults in code that CPU adapters run.

use crate::Faults;

/// Faults in kernels that run only on CPU adapters, and one that a GPU may survive by luck because
/// the lanes of its workgroups run together.
pub const ON_CPUS: &[Faults] = &[
    Faults {
        shader: "reduce",
        ops: &["sum", "mean"],
        faults: &[(
            "workgroupBarrier();\n        if lid < half",
            "if lid < half",
        )],
    },
    Faults {
        shader: "group_norm_direct",
        ops: &["group_norm", "layer_norm", "group_norm_silu"],
        faults: &[
            (
                ") + shift));\n        }\n    }\n    stats",
                ")));\n        }\n    }\n    stats",
            ),
            ("group_mean(squares) + p.eps", "group_mean(squares)"),
            ("+ i * p.channels + c]) - mean;", "+ i * p.channels + c]);"),
            (
                "first = width() * (i - n * p.groups)",
                "first = (i - n * p.groups)",
            ),
            (" - xhat * mean_product));", "));"),
            (" - mean_g - xhat", " + mean_g - xhat"),
            ("products += scaled * xhat;", "products += scaled;"),
            ("return dy * slope_of_silu(u);", "return dy * sigmoid(u);"),
            (
                "let down = select(Values(1.0), e, u",
                "let down = select(e, Values(1.0), u",
            ),
            ("g_xhat += g * xhat;", "g_xhat += scale * g * xhat;"),
            (
                "part_beta[sample + own.first + c] = element(g_sum);",
                "part_beta[sample + own.first] = element(g_sum);",
            ),
            (
                "sum_gamma += values(parts_gamma",
                "sum_gamma = values(parts_gamma",
            ),
        ],
    },
];

/// Faults in kernels that run only on adapters with subgroups of eight lanes.
pub const ON_LANES: &[Faults] = &[
    Faults {
        shader: "softmax quads",
        ops: &["attention"],
        faults: &[
            (
                "* p.period + p.causal_offset);",
                "* p.period + p.causal_offset + 1u);",
            ),
            ("= min(p.valid_len, ", "= min(p.k, "),
            (
                "law[first + i] = Element();",
                "law[first + i] = element(vec4(0.001));",
            ),
        ],
    },
    Faults {
        shader: "layout quads",
        ops: &["attention"],
        faults: &[
            ("u.from_b + a)", "u.from_b + b)"),
            ("b < u.from_a &&", "b <= u.from_a &&"),
        ],
    },
    Faults {
        shader: "layout ones",
        ops: &["attention"],
        faults: &[("c < u.from_c;", "c <= u.from_c;")],
    },
    Faults {
        shader: "adam quads",
        ops: &["adam"],
        faults: &[
            (
                "second_moment[i] = element(v);",
                "second_moment[i] = element(v.yxzw);",
            ),
            ("if i >= p.count {", "if i + 1u >= p.count {"),
        ],
    },
    Faults {
        shader: "group_norm_direct pairs",
        ops: &["group_norm", "layer_norm", "group_norm_silu"],
        faults: &[
            ("const PER_ELEMENT = 2u;", "const PER_ELEMENT = 1u;"),
            ("return v.x + v.y;", "return v.x + v.x;"),
            ("vec2(u32(v), u32(v >> 32u))", "vec2(u32(v >> 32u), u32(v))"),
        ],
    },
    Faults {
        shader: "group_norm_direct quads",
        ops: &["group_norm", "layer_norm", "group_norm_silu"],
        faults: &[
            ("const PER_ELEMENT = 4u;", "const PER_ELEMENT = 2u;"),
            (
                "return (v.x + v.y) + (v.z + v.w);",
                "return (v.x + v.y) + (v.z + v.z);",
            ),
            (
                "first = width() * (i - n * p.groups)",
                "first = (i - n * p.groups)",
            ),
        ],
    },
    Faults {
        shader: "matmul_lanes",
        ops: &["matmul", "linear", "linear_residual"],
        faults: &[
            (
                "sums = add_columns(sums, left, near, far);",
                "sums = add_rows(sums, left, near, far);",
            ),
            ("return sum + residual[at];", "return sum - residual[at];"),
            ("if BIAS {", "if !BIAS {"),
            (
                "far = tile_b(base + at.far * pitch",
                "far = tile_b(base + at.near * pitch",
            ),
            // The last row is not written; the last terms of each part are omitted.
            ("own < vec4(p.m))", "own + 1u < vec4(p.m))"),
            (
                "min((share.part + 1u) * p.k_part, p.k) / 4u;",
                "min((share.part + 1u) * p.k_part, p.k) / 4u - 1u;",
            ),
        ],
    },
    Faults {
        shader: "conv2d_lanes",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            ("t.inside.x * values(x[k.x])", "values(x[k.x])"),
            (
                "t.inside.x * values(dy[k.x]), t.inside.y",
                "t.inside.x * values(dy[k.x]), t.inside.x",
            ),
            ("let near = transpose(tile_of(", "let near = (tile_of("),
            (
                "far = tile_of(w + at.far, columns);",
                "far = tile_of(w + at.near, columns);",
            ),
            ("return sum + residual[at];", "return sum - residual[at];"),
            (
                "k < select(last, 0u, of_dw); k += 1u)",
                "k < select(last, 0u, of_dw); k += 2u)",
            ),
            ("columns, dy_near, dy_far);", "columns, dy_near, dy_near);"),
            ("select(vec4(OUTSIDE), own, own < vec4(pixels))", "own"),
            ("(phase.y + p.pad_w) % p.stride;", "phase.y % p.stride;"),
            ("p.kernel_w + kw < p.taps;", "p.kernel_w + kw <= p.taps;"),
            // Pixels behind a part; the first masked tap gets a gradient; channels past the last.
            ("select(0.0, f32(t.y), own < end)", "f32(t.y)"),
            (
                "select(0u, last, tap < p.taps)",
                "select(0u, last, tap <= p.taps)",
            ),
            (
                "let line = min(k + LANES,",
                "let line = min(k + LANES.yxzw,",
            ),
            ("(own < vec4(p.c)) & vec4(of_dw)", "own < vec4(p.c)"),
        ],
    },
];
