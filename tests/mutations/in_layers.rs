//! Faults in code that runs everywhere: network layers, codebooks and steps of the bridge.

use crate::Faults;

pub const IN_LAYERS: &[Faults] = &[
    Faults {
        shader: "attention",
        ops: &["attention"],
        faults: &[
            ("let shrink = exp(top - next);", "let shrink = vec4(1.0);"),
            ("sum = fma(sum, shrink,", "sum = fma(sum, vec4(1.0),"),
            ("vec4(keys.w) < seen", "vec4(keys.w) <= seen"),
            ("out[4u * i + j] / total[i]", "out[4u * i + j] / total[0]"),
            ("lse[row] = top[i] +", "lse[row] = top[i] -"),
            (
                "sh_weight[slot + 192u] = e3;",
                "sh_weight[slot + 192u] = e2;",
            ),
        ],
    },
    Faults {
        shader: "attention_backward",
        ops: &["attention"],
        faults: &[
            (
                "sum = fma(own[c], own_value[c], sum);",
                "sum = own[c] * own_value[c];",
            ),
            ("(dp.r1 - dots)", "dp.r1"),
            ("vec4(keys.z) < seen", "vec4(keys.z) <= seen"),
            ("p.scale * s - log_sum", "s - log_sum"),
            ("= p.scale * out[4u * i + j];", "= out[4u * i + j];"),
            ("+ 256u / p.across + p.causal_offset", "+ p.causal_offset"),
            ("keys <= vec4(last_key.y)", "keys < vec4(last_key.y)"),
            ("p2 * (dp.r2 - saved_delta[rows.z])", "p2 * dp.r2"),
            ("vec4(lse[rows.w])", "vec4(lse[rows.z])"),
            ("add_value(d_values, sh_p[", "add_value(d_values, sh_ds["),
            ("/ tile * tile;", "/ tile * tile + tile;"),
        ],
    },
    Faults {
        shader: "bilinear",
        ops: &["bilinear"],
        faults: &[
            (
                "let doubled = (2u * at + 1u) * size;",
                "let doubled = 2u * at * size;",
            ),
            ("min(low + 1u, size - 1u)", "low"),
            (
                "f32(2u * to - rest) / whole, f32(rest) / whole",
                "f32(rest) / whole, f32(2u * to - rest) / whole",
            ),
            (
                "vec2(max(begin, 1u) - 1u, min(end, to))",
                "vec2(max(begin, 1u), min(end, to))",
            ),
            ("(2u * i + 3u) * to", "(2u * i + 1u) * to"),
        ],
    },
    Faults {
        shader: "code_law",
        ops: &["code_law_scores", "code_law_mean", "code_law_cross_entropy"],
        faults: &[
            (
                "fma(weights * difference, difference, sum)",
                "fma(weights, abs(difference), sum)",
            ),
            (
                "(row - picture * p.positions) * p.k",
                "row % p.positions * p.d",
            ),
            (
                "fma(vec4(-0.5), squares, offset",
                "fma(vec4(0.5), squares, offset",
            ),
            (
                "return offset + vec4(logits[j.x]",
                "return vec4(logits[j.x]",
            ),
            (
                "finish(at, code + 7u, t.r3);",
                "finish(at, code + 7u, t.r2);",
            ),
            (
                "dz[row + column + i] = values[i];",
                "dz[row + column + i] = -values[i];",
            ),
            (
                "fma(vec4(-at.signal.w), e, z3)",
                "fma(vec4(-at.signal.x), e, z3)",
            ),
            ("min((picture + 1u) * p.positions, end)", "end"),
            (
                "let factor = a * precision_in(",
                "let factor = precision_in(",
            ),
            (
                "min(p.part * (wid.y + 1u), p.rows)",
                "min(p.part * (wid.y + 1u), p.rows) - 1u",
            ),
        ],
    },
    Faults {
        shader: "code_law_tiles",
        ops: &["code_law_mean", "code_law_cross_entropy"],
        faults: &[
            (
                "select(vec4(0.0), precision_of(at, column), begin + across < p.d)",
                "precision_of(at, column)",
            ),
            (
                "sh_codes[to + 12u] = entries(codes + 48u, column);",
                "sh_codes[to + 12u] = entries(codes, column);",
            ),
            (
                "min(code, p.k - 1u))), code < p.k)",
                "min(code, p.k - 1u))), code <= p.k)",
            ),
            ("sum = fma(sum, shrink, row_sum(e));", "sum += row_sum(e);"),
            (
                "Sums(scaled(sums.near, shrink), scaled",
                "Sums(sums.near, scaled",
            ),
            (
                "sh_weight[slot + 12u] = e.r3;",
                "sh_weight[slot + 12u] = e.r2;",
            ),
            (
                "first + j + 2u, columns, width);",
                "first + j + 1u, columns, width);",
            ),
            (
                "min(near + 64u, vec4(p.d - 1u))",
                "min(near, vec4(p.d - 1u))",
            ),
            ("let chunk = 128u * (index", "let chunk = 129u * (index"),
            (
                "fma(sum, exp(top - next), row_sum",
                "fma(sum, vec4(1.0), row_sum",
            ),
            ("total(sum * exp(top - most), lid)", "total(sum, lid)"),
            (
                "select(hit, s, vec4(code) == targets)",
                "select(hit, s, vec4(code) <= targets)",
            ),
            ("(score.w - most.w)", "(score.w - most.z)"),
        ],
    },
    Faults {
        shader: "codebook",
        ops: &["code_distances", "codebook_ema"],
        faults: &[
            ("dz[at] = 2.0 * sum;", "dz[at] = sum;"),
            (
                "codebook[at] - z[row * p.d + column], sum)",
                "codebook[at] + z[row * p.d + column], sum)",
            ),
            // An unhit code moves, eventually to 0 / 0; the previous step's count.
            ("if hits > 0.0 {", "if hits >= 0.0 {"),
            (
                "entries[at] = sum / count;",
                "entries[at] = sum / counts[code];",
            ),
        ],
    },
    Faults {
        shader: "batch_norm",
        ops: &["batch_norm"],
        faults: &[
            ("variance[channel] + p.eps)", "variance[channel])"),
            (" + beta[channel];", " + 0.0 * beta[channel];"),
            (
                "gamma[channel] * rstd(channel) * dy",
                "gamma[0] * rstd(channel) * dy",
            ),
            ("rstd(channel) * sums.x;", "rstd(0u) * sums.x;"),
            (
                "(x[row * p.c + channel] - centre)",
                "x[row * p.c + channel]",
            ),
            (
                "min((wid.y + 1u) * p.part, p.rows)",
                "min((wid.y + 1u) * p.part - 1u, p.rows)",
            ),
        ],
    },
    Faults {
        shader: "conv2d",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            ("let left = t.inside * vec4(x[", "let left = vec4(x["),
            ("at_weight += vec4(p.o);", "at_weight += vec4(1u);"),
            (
                "return vec4(bias[channels.x],",
                "return vec4(bias[channels.y],",
            ),
            ("let left = t.inside * vec4(dy[", "let left = vec4(dy["),
            ("sum += residual[to];", "sum -= residual[to];"),
            (
                "let w = at_weight + vec4(o);",
                "let w = at_weight + vec4(p.o - 1u - o);",
            ),
            (
                "select(begin, min(begin + p.part, ",
                "select(begin, min(begin + p.part - 1u, ",
            ),
            ("rank_one(sums, f32(t.y) * vec4", "rank_one(sums, vec4"),
            // The first masked tap gets a gradient.
            ("tap < p.taps)", "tap <= p.taps)"),
        ],
    },
    Faults {
        shader: "conv2d_vec4",
        ops: &["conv2d", "conv2d_residual", "conv_transpose2d"],
        faults: &[
            // A weight tile shifted by one row; not transposed; the last block of pixels omitted.
            (
                "mat4x4(weight[w], weight[w + columns],",
                "mat4x4(weight[w + columns], weight[w],",
            ),
            (
                "transpose(mat4x4(weight[w], weight[w + depth], weight[w + 2u * depth], weight[w + 3u * depth]))",
                "mat4x4(weight[w], weight[w + depth], weight[w + 2u * depth], weight[w + 3u * depth])",
            ),
            (
                "i < min(8u, pixels - 8u * block); i += 1u) {\n        let to",
                "i < min(7u, pixels - 8u * block); i += 1u) {\n        let to",
            ),
            (
                "f32(t.y) * x[t.x / 4u + c], dy[k * columns + o]",
                "f32(t.y) * x[t.x / 4u + c], dy[k * columns]",
            ),
            ("if p.residual == 1u {", "if p.residual == 0u {"),
            (
                "dx[place * columns + column] = out[i] + offset;",
                "dx[place * columns + column] = out[i];",
            ),
            // The taps of another phase; the pixels of another block.
            (
                "var kw = (phase.y + p.pad_w) % p.stride;",
                "var kw = phase.y % p.stride;",
            ),
            (
                "pixels_of_phase(phase, phase.z + 4u + LANES);",
                "pixels_of_phase(phase, phase.z + LANES);",
            ),
            ("tap < p.taps)", "true)"),
        ],
    },
    Faults {
        shader: "film",
        ops: &["film_silu"],
        faults: &[
            ("        dx[i] = g * s;", "        dx[i] = g;"),
            ("db += g;", "db = g;"),
            ("ds += g * v;", "ds += g * u;"),
            (
                "dmodulation[row] = ds;\n    dmodulation[row + p.c] = db;",
                "dmodulation[row] = db;\n    dmodulation[row + p.c] = ds;",
            ),
        ],
    },
    Faults {
        shader: "gated",
        ops: &["gated"],
        faults: &[
            ("return i + divide(i, p.c) * p.c;", "return i;"),
            ("let e = exp(-2.0 * abs(a));", "let e = exp(-abs(a));"),
            (
                "accurate_tanh(a) * accurate_sigmoid(-b);",
                "accurate_tanh(a);",
            ),
        ],
    },
    Faults {
        shader: "group_norm",
        ops: &["group_norm", "layer_norm", "group_norm_silu"],
        faults: &[
            (" + beta[at.y]);", " + 0.0 * beta[at.y]);"),
            (".x + p.eps);", ".x);"),
            (
                "let v = x[element(slab, i).x] - mean;",
                "let v = x[element(slab, i).x];",
            ),
            (
                "(slab - n * p.groups) * width + i % width",
                "(slab - n * p.groups) + (i % width) * p.groups",
            ),
            (
                "stats[2u * slab + 1u] = rstd;",
                "stats[2u * slab + 1u] = rstd * rstd;",
            ),
            (" - xhat * means.y);", ");"),
            (" - means.x - xhat", " + means.x - xhat"),
            (
                "at.y);\n        sums += vec2(g, g * xhat);",
                "at.y);\n        sums += vec2(g, xhat);",
            ),
            // In SiLU's derivative: the factor behind the gate, then the bias.
            (
                "dy * silu_slope(gamma[channel]",
                "dy * accurate_sigmoid(gamma[channel]",
            ),
            (
                "gamma[channel] * xhat + beta[channel]",
                "gamma[channel] * xhat - beta[channel]",
            ),
            ("dx[at.x] = rstd * (", "dx[at.x] = ("),
        ],
    },
    Faults {
        shader: "nearest",
        ops: &["nearest_code", "argmin"],
        faults: &[
            // The last of equally distant codes wins: in a block, in a row, over the parts.
            ("distance < best.distance)", "distance <= best.distance)"),
            (
                "code = select(code, k, v < best);",
                "code = select(code, k, v <= best);",
            ),
            (
                "part_codes[part * p.rows + row], v < best);",
                "part_codes[part * p.rows + row], v <= best);",
            ),
            // A column that is not counted; the second half of each block; the last parts.
            (
                "for (var i = 0u; i < p.d;",
                "for (var i = 0u; i + 1u < p.d;",
            ),
            (
                "t = add_squares(t, v, entries(high + i));",
                "t = add_squares(t, v, entries(low + i));",
            ),
            (
                "part < (p.k + p.part - 1u) / p.part;",
                "part < p.k / p.part;",
            ),
        ],
    },
    Faults {
        shader: "nearest_vec4",
        ops: &["nearest_code"],
        faults: &[
            ("distance < best.distance)", "distance <= best.distance)"),
            ("let d3 = v[3] - e.w;", "let d3 = v[3] - e.z;"),
            (
                "s6 = add_squares(s6, v, codebook[high.z + i]);",
                "s6 = add_squares(s6, v, codebook[high.w + i]);",
            ),
            ("codes[wid.y * p.rows + row + r] =", "codes[row + r] ="),
        ],
    },
    Faults {
        shader: "ou_step",
        ops: &["ou_step", "ou_marginal", "dpmpp2m_step"],
        faults: &[
            (" + s.c[1] * eps[i]", " - s.c[1] * eps[i]"),
            (" + s.c[2] * noise[j]", ""),
            (
                "select(0u, i % s.channels, s.targets > 1u)",
                "select(0u, i / s.channels % s.channels, s.targets > 1u)",
            ),
            ("noise[j] = xi[i];", "noise[j] = xi[j];"),
            (
                "coefficients[2u * n] * (z[i] - goal)",
                "coefficients[2u * n] * z[i]",
            ),
        ],
    },
    Faults {
        shader: "pool",
        ops: &["avg_pool2d", "max_pool2d"],
        faults: &[
            ("max(first, pad) - pad", "max(first, pad) - min(first, pad)"),
            (
                "select(vec2(0u), vec2(1u), at >= kernel)",
                "select(vec2(0u), vec2(1u), at > kernel)",
            ),
            ("min(at / p.stride + vec2(1u),", "min(at / p.stride,"),
            ("if COUNT_PAD {", "if !COUNT_PAD {"),
            (
                "/ count_of(window(row, column))",
                "/ count_of(window(place.y, place.z))",
            ),
            // The last of equal maxima instead of the first.
            ("if v > best {", "if v >= best {"),
            ("if saved[k] == own {", "if saved[k] >= own {"),
        ],
    },
    Faults {
        shader: "resample",
        ops: &["upsample_nearest", "pad", "crop"],
        faults: &[
            ("divide(to.column, p.scale)", "to.column % p.w"),
            (
                "for (var b = 0u; b < p.scale;",
                "for (var b = 1u; b < p.scale;",
            ),
            (
                "let column = to.column - p.left;",
                "let column = to.column - p.top;",
            ),
            (
                "y[at] = select(Element(), x[select(0u, source, inside)], inside);",
                "y[at] = x[select(0u, source, inside)];",
            ),
        ],
    },
];
