//! Attention: causal, two heads, lengths over one block and several tiles.

use dbvq_wgpu::kernels_test::Real;

use super::{Kernel, Slot, normals, real};

const HEADS: usize = 2;
const LEN_Q: usize = 70;
const LEN_K: usize = 83;
/// Two vec4s: four lanes side by side, so blocks of 64 rows and tiles of 16.
const D: usize = 8;
const ACROSS: u32 = 4;
const SCALE: f32 = 0.4;

struct Problem {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
    lse: Vec<f32>,
    delta: Vec<f32>,
}

/// Where rows of the sequences stand.
fn row(of: &[f32], i: usize, h: usize) -> &[f32] {
    &of[(i * HEADS + h) * D..][..D]
}

fn dot(a: &[f32], b: &[f32]) -> Real {
    Real::sum(a.iter().zip(b).map(|(&a, &b)| real(a) * real(b)))
}

impl Problem {
    fn new() -> Problem {
        let [rows, keys] = [LEN_Q * HEADS, LEN_K * HEADS];
        Problem {
            q: normals(rows * D, 30),
            k: normals(keys * D, 31),
            v: normals(keys * D, 32),
            dy: normals(rows * D, 33),
            lse: normals(rows, 34).iter().map(|x| 2.0 + x).collect(),
            delta: normals(rows, 35),
        }
    }

    fn score(&self, i: usize, j: usize, h: usize) -> Real {
        real(SCALE) * dot(row(&self.q, i, h), row(&self.k, j, h))
    }

    /// (p, ds) of the backward kernels.
    fn slopes(&self, i: usize, j: usize, h: usize) -> (Real, Real) {
        let p = (self.score(i, j, h) - real(self.lse[i * HEADS + h])).exp();
        (p, p * (dot(row(&self.dy, i, h), row(&self.v, j, h)) - real(self.delta[i * HEADS + h])))
    }

    fn forward(&self) -> (Vec<Real>, Vec<Real>) {
        let (mut y, mut lse) = (Vec::new(), Vec::new());
        for (i, h) in (0..LEN_Q * HEADS).map(|at| (at / HEADS, at % HEADS)) {
            let scores: Vec<Real> = (0..LEN_K.min(i + 1)).map(|j| self.score(i, j, h)).collect();
            let top = scores.iter().copied().fold(scores[0], Real::max);
            let weights: Vec<Real> = scores.iter().map(|&s| (s - top).exp()).collect();
            let sum = Real::sum(weights.iter().copied());
            let column = |c| Real::sum(weights.iter().enumerate().map(|(j, &w)| w * real(row(&self.v, j, h)[c])));
            y.extend((0..D).map(|c| column(c) / sum));
            lse.push(top + sum.ln());
        }
        (y, lse)
    }
}

fn params(len_own: usize, len_other: usize) -> Vec<u32> {
    let blocks = len_own.div_ceil(256 / ACROSS as usize) as u32;
    let [heads, own, other] = [HEADS, len_own, len_other].map(|n| n as u32);
    vec![heads, heads, own, other, D as u32 / 4, ACROSS, blocks, 0, SCALE.to_bits()]
}

pub fn forward() -> Kernel {
    let problem = Problem::new();
    let (y, lse) = problem.forward();
    Kernel {
        shader: "attention",
        entry: "forward",
        overrides: &[],
        slots: vec![
            Slot::Floats(problem.q),
            Slot::Floats(problem.k),
            Slot::Floats(problem.v),
            Slot::Out(y),
            Slot::Out(lse),
        ],
        params: params(LEN_Q, LEN_K),
        groups: [4, 1, 1],
        faults: &[
            ("let shrink = exp(top - next);", "let shrink = vec4(1.0);"),
            ("sum = fma(sum, shrink,", "sum = fma(sum, vec4(1.0),"),
            ("vec4(keys.w) < seen", "vec4(keys.w) <= seen"),
            ("out[4u * i + j] / total[i]", "out[4u * i + j] / total[0]"),
            ("lse[row] = top[i] +", "lse[row] = top[i] -"),
            ("        sh_weight[slot + 192u] = e3;", "        sh_weight[slot + 192u] = e2;"),
        ],
    }
}

pub fn backward_query() -> Kernel {
    let problem = Problem::new();
    let dq = |at: usize| {
        let (i, h, c) = (at / (D * HEADS), at / D % HEADS, at % D);
        let keys = 0..LEN_K.min(i + 1);
        real(SCALE) * Real::sum(keys.map(|j| problem.slopes(i, j, h).1 * real(row(&problem.k, j, h)[c])))
    };
    let dq = (0..LEN_Q * HEADS * D).map(dq).collect();
    let inputs = [problem.q, problem.k, problem.dy, problem.v, problem.lse, problem.delta];
    Kernel {
        shader: "attention_backward",
        entry: "backward_query",
        overrides: &[],
        slots: inputs.map(Slot::Floats).into_iter().chain([Slot::Out(dq)]).collect(),
        params: params(LEN_Q, LEN_K),
        groups: [4, 1, 1],
        faults: &[
            ("(dp.r1 - dots)", "dp.r1"),
            ("vec4(keys.z) < seen", "vec4(keys.z) <= seen"),
            ("p.scale * s - log_sum", "s - log_sum"),
            ("= p.scale * out[4u * i + j];", "= out[4u * i + j];"),
            ("+ 4u * at.groups + p.reach", "+ p.reach"),
        ],
    }
}

pub fn backward_key() -> Kernel {
    let problem = Problem::new();
    let sums = |at: usize| {
        let (j, h, c) = (at / (D * HEADS), at / D % HEADS, at % D);
        let dk = Real::sum((j..LEN_Q).map(|i| problem.slopes(i, j, h).1 * real(row(&problem.q, i, h)[c])));
        let dv = Real::sum((j..LEN_Q).map(|i| problem.slopes(i, j, h).0 * real(row(&problem.dy, i, h)[c])));
        (real(SCALE) * dk, dv)
    };
    let (dk, dv) = (0..LEN_K * HEADS * D).map(sums).unzip();
    let inputs = [problem.k, problem.q, problem.v, problem.dy, problem.lse, problem.delta];
    Kernel {
        shader: "attention_backward",
        entry: "backward_key",
        overrides: &[],
        slots: inputs.map(Slot::Floats).into_iter().chain([Slot::Out(dk), Slot::Out(dv)]).collect(),
        params: params(LEN_K, LEN_Q),
        groups: [4, 1, 1],
        faults: &[
            ("keys <= vec4(last_key.y)", "keys < vec4(last_key.y)"),
            ("p2 * (dp.r2 - saved_delta[rows.z])", "p2 * dp.r2"),
            ("vec4(lse[rows.w])", "vec4(lse[rows.z])"),
            ("add_value(d_values, sh_p[", "add_value(d_values, sh_ds["),
            ("/ tile * tile;", "/ tile * tile + tile;"),
        ],
    }
}
