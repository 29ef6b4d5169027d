//! The distribution of codes given noised vectors: in tiles that never store the score matrix, or
//! by softmax and products that do. The latter serve gradients, CPU adapters, where barriers cost
//! more than the memory, and shapes where they measure faster.

use bytemuck::{Pod, Zeroable};

use super::family::{Asked, fastest, noise};
use super::matmul::Trans;
use super::recompute::{Kept, recompute};
use super::reduce::sum_middle;
use super::{LOOPS, grid};
use crate::gpu::{Gpu, Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("code_law");
pub(super) static TILES: Shader = shader!("code_law_tiles");

/// Rows and codes per invocation of `scores`; rows per workgroup in tiles.
const BLOCK: [usize; 2] = [4, 8];
const TILE: usize = 16;
/// Columns of the mean per workgroup, eight per lane; up to `NARROW`, four per lane.
const CHUNK: usize = 128;
const NARROW: usize = 64;
/// Most scores to store: 64 MiB.
const SCORES: usize = 1 << 24;
/// Invocations that fill a GPU; fewest rows per part of the codebook's gradient.
const FILL: usize = 16_384;
const PART: usize = 64;

/// The distribution of codes e_k given noised vectors z: P = softmax_k(s), with the scores s = f +
/// b − ½ Σ_c π_c (z_c − α e_kc)². This is Bayes' rule for a prior softmax(f + b) over the codes and
/// normal noise of precision π around α e_k. The squares are summed unexpanded, so the noise may be
/// arbitrarily small.
///
/// Gradients reach `z`, `codebook`, `bias` and `logits`; `signal` and `precision` are constants.
#[derive(Clone, Copy, Debug)]
pub struct CodeLaw<'a> {
    /// z [n, p, d]: n images of p positions.
    pub z: &'a Tensor,
    /// e [k, d].
    pub codebook: &'a Tensor,
    /// α `[n]`.
    pub signal: &'a Tensor,
    /// π [n, d].
    pub precision: &'a Tensor,
    /// b [p, k].
    pub bias: &'a Tensor,
    /// f [n, p, k]; `None`: zeros.
    pub logits: Option<&'a Tensor>,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    positions: u32,
    d: u32,
    k: u32,
    part: u32,
    chunks: u32,
}

impl CodeLaw<'_> {
    /// Σ_k P_k e_k: [n, p, d].
    ///
    /// # Panics
    /// If shapes do not fit, or there are no codes or over 20,000.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        self.check();
        self.way(None)(self, None)
    }

    /// −log P`[target]` in nats: `target` [n, p] → [n, p].
    ///
    /// # Panics
    /// If shapes do not fit, or there are no codes or over 20,000.
    #[track_caller]
    pub fn cross_entropy(&self, target: &Codes) -> Tensor {
        self.check();
        let [n, positions, _] = self.z.dims();
        assert_eq!(
            target.shape().dims(),
            [n, positions],
            "code_law: targets of z {:?}",
            self.z.shape()
        );
        self.way(Some(target))(self, Some(target))
    }

    /// s [n, p, k], for drawing codes. Has no gradient.
    ///
    /// # Panics
    /// If shapes do not fit, or there are no codes or over 20,000.
    #[track_caller]
    pub fn scores(&self) -> Tensor {
        self.check();
        self.plain_scores()
    }

    #[track_caller]
    fn check(&self) {
        let [n, positions, d] = self.z.dims();
        let [k, _] = self.codebook.dims();
        let fits = self.codebook.dims() == [k, d]
            && self.signal.dims() == [n]
            && self.precision.dims() == [n, d]
            && self.bias.dims() == [positions, k]
            && self
                .logits
                .is_none_or(|logits| logits.dims() == [n, positions, k]);
        let operands = [
            self.z,
            self.codebook,
            self.signal,
            self.precision,
            self.bias,
        ];
        let shapes = operands
            .into_iter()
            .chain(self.logits)
            .map(Tensor::shape)
            .collect::<Vec<_>>();
        assert!(
            fits,
            "code_law: z, codebook, signal, precision, bias, logits {shapes:?}"
        );
        // Loop rounds per row: three per code for the softmax, one per column for the squares.
        assert!(
            (1..=LOOPS / 3).contains(&k),
            "code_law: {k} codes; there may be {}",
            LOOPS / 3
        );
        assert!(
            (1..=LOOPS).contains(&d),
            "code_law: {d} columns; there may be {LOOPS}"
        );
    }

    fn gpu(&self) -> &Gpu {
        self.z.gpu()
    }

    fn params(&self) -> Params {
        let [n, positions, d] = self.z.dims();
        let [k, _] = self.codebook.dims();
        let blocks = k.div_ceil(4) * d.div_ceil(4);
        let parts = FILL.div_ceil(blocks);
        // In the codebook's gradient, each row takes a round, and so does each image.
        let part = (n * positions).div_ceil(parts).clamp(PART, LOOPS / 2);
        let chunks = d.div_ceil(CHUNK);
        let numbers = [n * positions, positions, d, k, part, chunks].map(|v| v as u32);
        let [rows, positions, d, k, part, chunks] = numbers;
        Params {
            rows,
            positions,
            d,
            k,
            part,
            chunks,
        }
    }

    /// The logits; if there are none, the bias is bound in their place and never read.
    fn logits_or_bias(&self) -> &Tensor {
        self.logits.unwrap_or(self.bias)
    }

    fn wants_grad(&self) -> bool {
        let inputs = [self.z, self.codebook, self.bias, self.logits_or_bias()];
        self.gpu().records_gradients() && inputs.into_iter().any(Tensor::wants_grad)
    }

    /// The faster algorithm: by scores on CPU adapters, in tiles on others, or as measured; shapes
    /// that allow only one get that one.
    fn way(&self, target: Option<&Codes>) -> Algorithm {
        let Params { rows, d, k, .. } = self.params();
        if rounds(d as usize, k as usize) > LOOPS {
            return by_scores;
        }
        let gpu = self.gpu();
        let gradients = self.wants_grad();
        if rows as usize * k as usize > SCORES {
            return by_tiles;
        }
        let [n, positions, _] = self.z.dims::<3>().map(|size| size as u32);
        let flags = [self.logits.is_some(), target.is_some(), gradients].map(u32::from);
        let sizes = [&[n, positions, d, k][..], &flags].concat();
        let own = [&SHADER, &TILES, &super::softmax::VARIANTS[0]];
        let asked = Asked {
            op: "code_law",
            shaders: &[&own, &super::matmul::MEASURED],
            sizes: &sizes,
        };
        let ways = || -> Vec<(_, Algorithm)> { vec![("tiles", by_tiles), ("scores", by_scores)] };
        let found = fastest(gpu, asked, ways, || self.rehearsed(target, gradients));
        found.unwrap_or(if gpu.is_cpu() { by_scores } else { by_tiles })
    }

    /// Operands of these shapes to measure the algorithms with.
    fn rehearsed(
        &self,
        target: Option<&Codes>,
        gradients: bool,
    ) -> impl Fn(Algorithm) -> Vec<Tensor> + use<> {
        let gpu = self.gpu();
        let inputs = [
            self.z,
            self.codebook,
            self.signal,
            self.precision,
            self.bias,
            self.logits_or_bias(),
        ];
        let mut operands = inputs.map(|x| noise(gpu, x.shape(), 0));
        operands[3] = super::square(&operands[3]);
        let target = target.cloned();
        let with_logits = self.logits.is_some();
        move |way: Algorithm| {
            let x = operands
                .each_ref()
                .map(|x| if gradients { x.leaf() } else { x.clone() });
            let [z, codebook, signal, precision, bias, logits] = &x;
            let logits = with_logits.then_some(logits);
            let y = way(
                &CodeLaw {
                    z,
                    codebook,
                    signal,
                    precision,
                    bias,
                    logits,
                },
                target.as_ref(),
            );
            if !gradients {
                return vec![y];
            }
            let found = super::mean_all(&super::square(&y)).backward();
            let of = |x: &Tensor| found.get(x).cloned();
            [Some(y.detach()), of(z), of(codebook), of(bias)]
                .into_iter()
                .flatten()
                .collect()
        }
    }

    fn operands(&self) -> [&crate::gpu::Buffer; 6] {
        [
            self.z,
            self.codebook,
            self.signal,
            self.precision,
            self.bias,
            self.logits_or_bias(),
        ]
        .map(Tensor::buffer)
    }

    fn overrides(&self) -> (&'static str, u32) {
        ("LOGITS", u32::from(self.logits.is_some()))
    }

    fn flops(&self) -> usize {
        2 * self.z.count() * self.codebook.dims::<2>()[0]
    }

    fn plain_scores(&self) -> Tensor {
        let gpu = self.gpu();
        let params = self.params();
        let [n, positions, _] = self.z.dims();
        let k = params.k as usize;
        gpu.count_flops(self.flops());
        let s = Tensor::uninit(gpu, [n, positions, k]);
        let buffers = [&self.operands()[..], &[s.buffer()]].concat();
        let groups = [
            (n * positions).div_ceil(64 * BLOCK[0]),
            k.div_ceil(BLOCK[1]),
            1,
        ]
        .map(|v| v as u32);
        gpu.dispatch(
            &SHADER,
            "scores",
            &[self.overrides()],
            &buffers,
            &params,
            groups,
        );
        s
    }

    /// The scores, recorded with their gradients.
    fn recorded_scores(&self) -> Tensor {
        let params = self.params();
        let flops = self.flops();
        let [n, positions, _] = self.z.dims();
        let [z, codebook, signal, precision] =
            [self.z, self.codebook, self.signal, self.precision].map(Tensor::detach);
        let with_logits = self.logits.is_some();
        let inputs = [self.z, self.codebook, self.bias, self.logits_or_bias()];
        self.plain_scores().with_vjp(
            inputs,
            move |ds, [want_z, want_codebook, want_bias, want_logits]| {
                let gpu = ds.gpu();
                let operands = [&z, &codebook, &signal, &precision, ds].map(Tensor::buffer);
                let [k, d] = codebook.dims();
                let dz = want_z.then(|| {
                    gpu.count_flops(flops);
                    let dz = Tensor::uninit(gpu, z.shape());
                    let buffers = [&operands[..], &[dz.buffer()]].concat();
                    let blocks = (n * positions).div_ceil(4) * d.div_ceil(4);
                    gpu.dispatch(
                        &SHADER,
                        "backward_z",
                        &[],
                        &buffers,
                        &params,
                        grid(blocks, 64),
                    );
                    dz
                });
                let de = want_codebook.then(|| {
                    gpu.count_flops(flops);
                    let parts = (n * positions).div_ceil(params.part as usize);
                    let partial = Tensor::uninit(gpu, [parts, k * d]);
                    let buffers = [&operands[..], &[partial.buffer()]].concat();
                    let groups = [
                        (k.div_ceil(4) * d.div_ceil(4)).div_ceil(64) as u32,
                        parts as u32,
                        1,
                    ];
                    gpu.dispatch(&SHADER, "backward_codebook", &[], &buffers, &params, groups);
                    sum_middle(&partial, [1, parts, k * d], 1.0, false).reshape([k, d])
                });
                let db = want_bias.then(|| {
                    sum_middle(ds, [1, n, positions * k], 1.0, false).reshape([positions, k])
                });
                [dz, de, db, (with_logits && want_logits).then(|| ds.clone())]
            },
        )
    }
}

/// [`by_tiles`] or [`by_scores`]: the cross-entropy if there are targets, else the mean.
type Algorithm = fn(&CodeLaw, Option<&Codes>) -> Tensor;

/// Stores the scores.
fn by_scores(law: &CodeLaw, target: Option<&Codes>) -> Tensor {
    let [n, positions, d] = law.z.dims();
    let rows = n * positions;
    let [k, _] = law.codebook.dims();
    let scores = law.recorded_scores().reshape([rows, k]);
    let Some(target) = target else {
        let weights = super::softmax(&scores, 1.0).reshape([1, rows, k]);
        let mean = super::matmul(&weights, &law.codebook.reshape([1, k, d]), Trans::default());
        return mean.reshape([n, positions, d]);
    };
    super::cross_entropy(&scores, &target.reshape([rows])).reshape([n, positions])
}

/// In tiles. Backward computes the scores again and takes its gradients through them.
fn by_tiles(law: &CodeLaw, target: Option<&Codes>) -> Tensor {
    let inputs =
        [law.z, law.codebook, law.bias, law.logits_or_bias()].map(|x| Kept::exact(x.clone()));
    let [signal, precision] = [law.signal, law.precision].map(Tensor::detach);
    let target = target.cloned();
    let with_logits = law.logits.is_some();
    recompute(inputs.each_ref(), move |[z, codebook, bias, logits]| {
        let logits = with_logits.then_some(&logits);
        let signal = &signal;
        let precision = &precision;
        let law = CodeLaw {
            z: &z,
            codebook: &codebook,
            signal,
            precision,
            bias: &bias,
            logits,
        };
        if law.wants_grad() {
            by_scores(&law, target.as_ref())
        } else {
            tiles(&law, target.as_ref())
        }
    })
}

/// Loop rounds per invocation in tiles.
fn rounds(d: usize, k: usize) -> usize {
    k.div_ceil(64) * (5 * d.div_ceil(16) + 21) + 24
}

fn tiles(law: &CodeLaw, target: Option<&Codes>) -> Tensor {
    let gpu = law.gpu();
    let params = law.params();
    let [n, positions, d] = law.z.dims();
    let blocks = (n * positions).div_ceil(TILE);
    if let Some(target) = target {
        gpu.count_flops(law.flops());
        let loss = Tensor::uninit(gpu, [n, positions]);
        let buffers = [&law.operands()[..], &[target.buffer(), loss.buffer()]].concat();
        gpu.dispatch(
            &TILES,
            "cross_entropy",
            &[law.overrides()],
            &buffers,
            &params,
            grid(blocks, 1),
        );
        return loss;
    }
    gpu.count_flops(2 * law.flops());
    let mean = Tensor::uninit(gpu, law.z.shape());
    let buffers = [&law.operands()[..], &[mean.buffer()]].concat();
    let overrides = [law.overrides(), ("WIDE", u32::from(d > NARROW))];
    gpu.dispatch(
        &TILES,
        "mean",
        &overrides,
        &buffers,
        &params,
        grid(blocks * params.chunks as usize, 1),
    );
    mean
}
