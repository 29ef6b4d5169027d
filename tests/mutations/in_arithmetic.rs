//! Faults in code that runs everywhere: tensor arithmetic, products, sums, losses, random numbers
//! and Adam.

use crate::Faults;

pub const IN_ARITHMETIC: &[Faults] = &[
    Faults {
        shader: "accumulate",
        ops: &["accumulate"],
        faults: &[
            ("values(a[i]) + values(b[i])", "values(a[i]) - values(b[i])"),
            ("values(y[i]) + values(b[i])", "values(b[i])"),
        ],
    },
    Faults {
        shader: "adam",
        ops: &["adam", "ema", "clip", "collect"],
        faults: &[
            (
                "values(gradient[i]) * clip_scale[1]",
                "values(gradient[i]) * clip_scale[0]",
            ),
            ("(1.0 - p.beta2) * g * g", "(1.0 - p.beta2) * g"),
            ("sqrt(v * p.correction2)", "sqrt(v)"),
            ("(step + p.decay * old)", "step"),
            ("(1.0 - p.ema) * w)", "(1.0 - p.ema) * p.ema * w)"),
            // The last parameter stays as it was.
            ("if i >= p.count {", "if i + 1u >= p.count {"),
        ],
    },
    Faults {
        shader: "ceiling",
        ops: &["fma_chain", "copy"],
        faults: &[
            ("fma(c.w, a, b));", "fma(c.v, a, b));"),
            ("start + 1.0);", "start + 0.5);"),
            (
                "round = 0u; round < p.rounds;",
                "round = 1u; round < p.rounds;",
            ),
            ("if i < p.count {", "if i + 1u < p.count {"),
        ],
    },
    Faults {
        shader: "dropout",
        ops: &["dropout"],
        faults: &[
            (">= vec4(p.rate)", "< vec4(p.rate)"),
            ("vec4(p.scale), keep", "vec4(1.0), keep"),
            (
                "random_bits(p.stream, at + 1u)",
                "random_bits(p.stream, at)",
            ),
        ],
    },
    Faults {
        shader: "elementwise",
        ops: &["silu", "gelu", "elu", "tanh", "affine", "relu"],
        faults: &[
            ("select(0.0, 1.0, v > 0.0)", "select(0.0, 1.0, v >= 0.0)"),
            ("return silu_slope(v);", "return accurate_sigmoid(v);"),
            (
                "element(values(dy[i]) * vec4(",
                "element(values(dy[i]) + vec4(",
            ),
            (
                "case 8u: { return accurate_tanh(v); }",
                "case 8u: { return accurate_tanh(v * 1.000002); }",
            ),
            // The last numbers are not written.
            (
                "if i < p.count {\n        y_each[i] = dy",
                "if i + 1u < p.count {\n        y_each[i] = dy",
            ),
            (
                "if i < p.count / 4u {\n        let v = values(x[i]);\n        y[i] = element(values(dy",
                "if i + 1u < p.count / 4u {\n        let v = values(x[i]);\n        y[i] = element(values(dy",
            ),
            // Values are right, but memory behind the tensor is overwritten.
            (
                "if i < p.count {\n        y_each[i] = dy",
                "if i <= p.count {\n        y_each[i] = dy",
            ),
        ],
    },
    Faults {
        shader: "arithmetic",
        ops: &["add", "sub", "div"],
        faults: &[
            (
                "if i < p.count {\n        y[i]",
                "if i + 1u < p.count {\n        y[i]",
            ),
            ("at_b += r * broad.b[dim];", "at_b += r * broad.a[dim];"),
            (
                "right = values(b[at.y / PER_ELEMENT]);",
                "right = values(b[at.x / PER_ELEMENT]);",
            ),
            ("if broad.a[3] == 1u {", "if broad.b[3] == 1u {"),
        ],
    },
    Faults {
        shader: "arithmetic ones",
        ops: &["add", "sub", "div"],
        faults: &[
            (
                "if i < p.count {\n        y[i]",
                "if i <= p.count {\n        y[i]",
            ),
            (
                "right = Values(b_each[at.y]);",
                "right = Values(b_each[at.x]);",
            ),
            (
                "right = values(b[at.y / PER_ELEMENT]);",
                "right = values(b[at.x / PER_ELEMENT]);",
            ),
        ],
    },
    Faults {
        shader: "gather",
        ops: &["embedding", "scatter_add", "code_counts"],
        faults: &[
            (
                "min(CHAIN, p.rows - wid.x * CHAIN);",
                "min(CHAIN, p.rows - wid.x * CHAIN) - 1u;",
            ),
            ("], code < p.entries);", "], true);"),
            ("if first && code < p.entries {", "if first {"),
            ("p.rows) + CHAIN - 1u) / CHAIN", "p.rows)) / CHAIN"),
            (
                "let source = (row - 1u) * p.d + columns;",
                "let source = (row - 1u) + columns * p.rows;",
            ),
            ("sum += vec4(x[source.x],", "sum = vec4(x[source.x],"),
            (
                "let to = (wid.y * p.entries + entry) * p.d + columns;",
                "let to = entry * p.d + columns;",
            ),
            ("count += 1u;", "count = 1u;"),
        ],
    },
    Faults {
        shader: "layout",
        ops: &["transpose", "concat", "narrow"],
        faults: &[
            (
                "store(to.y, rows, block[1]);",
                "store(to.y, rows, block[2]);",
            ),
            ("let image = n * t.rows * t.columns;", "let image = 0u;"),
            (
                "(p.out_c - p.c) + (to.y - p.c)",
                "(p.out_c - p.c) + (p.out_c - 1u - to.y)",
            ),
            // The gradient of a slice is nonzero outside it.
            (
                "select(Element(), x[to.x * p.c",
                "select(Element(1.0), x[to.x * p.c",
            ),
        ],
    },
    Faults {
        shader: "half",
        ops: &["half"],
        faults: &[
            (
                "clamp(pair, -LARGEST, LARGEST)",
                "clamp(pair, -LARGEST, 0.5 * LARGEST)",
            ),
            ("min(at + 1u, p.count - 1u)", "min(at, p.count - 1u)"),
            ("if at + 1u < p.count {", "if at + 2u < p.count {"),
            ("y[at] = pair.x;", "y[at] = pair.y;"),
        ],
    },
    Faults {
        shader: "kl",
        ops: &["kl_divergence"],
        faults: &[
            (
                "top = max(top, vec2(a[i], b[i]));",
                "top = vec2(a[i], b[i]);",
            ),
            (" - saved_kl[row]));", " + saved_kl[row]));"),
            ("(laws.y - laws.x)", "laws.y"),
            ("accurate_log(sum.y));", "accurate_log(sum.x));"),
        ],
    },
    Faults {
        shader: "matmul",
        ops: &["matmul"],
        faults: &[
            // A transposed operand; a transposed tile; the last term of each part omitted.
            ("at_b += vec4(p.b_k);", "at_b += vec4(p.b_column);"),
            ("y[to] = out[i][j];", "y[to] = out[j][i];"),
            (
                "let end = min(begin + p.k_part, p.k);",
                "let end = min(begin + p.k_part, p.k) - 1u;",
            ),
        ],
    },
    Faults {
        shader: "matmul_vec4",
        ops: &["matmul", "linear"],
        faults: &[
            (
                "s5 = row_times(s5, high[1], right);",
                "s5 = row_times(s5, high[2], right);",
            ),
            (
                "let high = tile_a(base_a, row + 4u, k);",
                "let high = tile_a(base_a, row + 3u, k);",
            ),
            ("let sums = out[i] + offset;", "let sums = out[i];"),
        ],
    },
    Faults {
        shader: "mse",
        ops: &["mse", "weighted_mse"],
        faults: &[
            (
                "return p.scale * weight[divide(i, p.per_sample)];",
                "return p.scale * weight[0];",
            ),
            ("y[i] = 2.0 * scale_of(i)", "y[i] = scale_of(i)"),
        ],
    },
    Faults {
        shader: "random",
        ops: &[
            "random_uniform",
            "random_normal",
            "random_gumbel",
            "philox_bits",
        ],
        faults: &[
            ("return normal4(bits);", "return normal4(bits.yxzw);"),
            // The second block of a sample that begins within the first.
            ("law4(at + 1u)", "law4(at)"),
            (
                "random_bits(p.stream, at + 1u)",
                "random_bits(p.stream, at)",
            ),
        ],
    },
    Faults {
        shader: "reduce",
        ops: &["sum", "mean", "sum_all", "mean_all", "squared_norm"],
        faults: &[
            ("half > 0u; half /= 2u", "half > 1u; half /= 2u"),
            (
                "(var r = lid; r < rows; r += 64u)",
                "(var r = lid; r + 1u < rows; r += 64u)",
            ),
            ("at % p.inner;", "(at % p.inner) * p.middle;"),
            ("y[at] = p.scale * sh_sum[0];", "y[at] = sh_sum[0];"),
            ("y4[at] = element(p.scale * sum);", "y4[at] = element(sum);"),
            (
                "sum += terms(values(x4[first + r * inner]));\n    }\n    y4",
                "sum += values(x4[first + r * inner]);\n    }\n    y4",
            ),
            (
                "y[at] = p.scale * x[o * p.inner + i];",
                "y[at] = x[o * p.inner + i];",
            ),
        ],
    },
    Faults {
        shader: "softmax",
        ops: &["softmax", "log_softmax", "cross_entropy"],
        faults: &[
            (
                "for (var i = 0u; i < p.k; i += 1u) {\n        sum +=",
                "for (var i = 1u; i < p.k; i += 1u) {\n        sum +=",
            ),
            (
                "return vec2(top, accurate_log(sum));",
                "return vec2(top, sum);",
            ),
            (
                "(p.scale * values(logits[first + i]) - top) - norm;",
                "p.scale * values(logits[first + i]) - norm;",
            ),
            ("let top = largest(tops);", "let top = tops.x - 90.0;"),
            ("accurate_log(total(sums))", "accurate_log(4.0 * sums.x)"),
            ("(values(dlaw[i]) - sum)", "values(dlaw[i])"),
            ("sums += values(dlaw[i])", "sums = values(dlaw[i])"),
        ],
    },
    Faults {
        shader: "softmax ones",
        ops: &["softmax", "log_softmax"],
        faults: &[
            ("sums += select(", "sums = select("),
            (
                "(p.scale * values(logits[first + i]) - top) - norm;",
                "p.scale * values(logits[first + i]) - norm;",
            ),
            ("accurate_log(total(sums))", "total(sums)"),
            ("(values(dlaw[i]) - sum)", "values(dlaw[i])"),
        ],
    },
    Faults {
        shader: "unfold",
        ops: &["unfold", "fold"],
        faults: &[
            ("&& tap < p.taps;", ";"),
            ("t.x + at - tap * p.c, inside", "t.x, inside"),
            ("sum += f32(t.y) * vec4", "sum += vec4"),
            (
                "(kh * p.kernel_w + kw) * p.c + channels",
                "kh * p.kernel_w * p.c + channels",
            ),
            (
                "kh = (pixel.y + p.pad_h) % p.stride",
                "kh = pixel.y % p.stride",
            ),
            ("min(4u, p.c - first)", "min(3u, p.c - first)"),
        ],
    },
];
