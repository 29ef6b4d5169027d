//! The work that is measured: the single list of kernels with their shapes, and of training steps,
//! for benchmarks and for the comparison with other frameworks (`cargo xtask peers`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::commands::train::StageName;
use crate::config::Stage;

/// A kernel at one shape, or a training step. Batches are named `n`, activations are [n, h, w, c].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the lines say what the letters in them stand for"
)]
pub enum Work {
    /// [m, k] × [k, n].
    Matmul { m: usize, k: usize, n: usize },
    /// [n, h, w, c] → o channels, square kernel.
    Conv2d {
        n: usize,
        h: usize,
        w: usize,
        c: usize,
        o: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    /// The same transposed.
    ConvTranspose2d {
        n: usize,
        h: usize,
        w: usize,
        c: usize,
        o: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    /// Group norm with SiLU.
    GroupNormSilu {
        n: usize,
        h: usize,
        w: usize,
        c: usize,
        groups: usize,
    },
    /// Self-attention of `len` positions, one head of d channels.
    Attention { n: usize, len: usize, d: usize },
    /// The nearest of `codes` vectors for each of `rows` rows of d channels.
    Nearest { rows: usize, d: usize, codes: usize },
    /// Adam over `count` parameters, with their running average (EMA).
    Adam { count: usize },
    /// The fused reverse step of the bridge on [n, h, w, c].
    OuStep {
        n: usize,
        h: usize,
        w: usize,
        c: usize,
    },
    /// A training step of a preset; `stage` is for image presets.
    Train {
        preset: String,
        stage: Option<StageName>,
    },
    /// A training step of the U-Net of Ho et al. (base 64, multipliers 1, 2, 2, two blocks,
    /// attention at the lowest level).
    UnetStep {
        n: usize,
        h: usize,
        w: usize,
        c: usize,
    },
}

/// Which part of an op is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The op.
    Forward,
    /// The gradients of all its inputs.
    Backward,
    /// The gradient of x.
    BackwardInput,
    /// The gradient of the weight.
    BackwardWeight,
    /// A whole training step, including the host's work.
    Step,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Forward => "forward",
            Direction::Backward => "backward",
            Direction::BackwardInput => "backward input",
            Direction::BackwardWeight => "backward weight",
            Direction::Step => "step",
        })
    }
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The op at its shape.
    pub work: Work,
    /// Which part of it.
    pub direction: Direction,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.work.op(),
            self.work.shape(),
            self.direction
        )
    }
}

/// Kernels at the sizes that the models use.
pub fn kernels() -> Vec<Work> {
    let matmul = |[m, k, n]: [usize; 3]| Work::Matmul { m, k, n };
    let conv3 = |[n, h, c, o]: [usize; 4]| Work::Conv2d {
        n,
        h,
        w: h,
        c,
        o,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let mut list: Vec<Work> = [[512; 3], [1024; 3], [4096, 512, 512]].map(matmul).into();
    list.extend(
        [
            [16, 32, 128, 128],
            [16, 16, 256, 256],
            [32, 8, 256, 256],
            [8, 21, 128, 128],
        ]
        .map(conv3),
    );
    list.push(Work::Conv2d {
        n: 16,
        h: 32,
        w: 32,
        c: 3,
        o: 128,
        kernel: 4,
        stride: 2,
        padding: 1,
    });
    list.push(Work::ConvTranspose2d {
        n: 16,
        h: 8,
        w: 8,
        c: 128,
        o: 128,
        kernel: 4,
        stride: 2,
        padding: 1,
    });
    list.push(Work::GroupNormSilu {
        n: 16,
        h: 32,
        w: 32,
        c: 128,
        groups: 32,
    });
    list.extend([[32, 64, 256], [8, 441, 128]].map(|[n, len, d]| Work::Attention { n, len, d }));
    let nearest = [[14_112, 32, 128], [2_048, 128, 256], [2_048, 128, 8_192]];
    list.extend(nearest.map(|[rows, d, codes]| Work::Nearest { rows, d, codes }));
    list.push(Work::Adam { count: 57_000_000 });
    list.push(Work::OuStep {
        n: 32,
        h: 8,
        w: 8,
        c: 128,
    });
    list
}

/// Training steps; those at the paper's size only if `large`.
pub fn trainings(large: bool) -> Vec<Work> {
    let train = |preset: &str, stage| Work::Train {
        preset: preset.into(),
        stage,
    };
    let mut list = vec![
        train("toy", None),
        Work::UnetStep {
            n: 16,
            h: 8,
            w: 8,
            c: 128,
        },
    ];
    for preset in ["cifar10-small", "cifar10"]
        .into_iter()
        .take(if large { 2 } else { 1 })
    {
        let stages = [
            StageName::Vqvae,
            StageName::Prior,
            StageName::Pixelcnn,
            StageName::Joint,
        ];
        list.extend(stages.map(|stage| train(preset, Some(stage))));
    }
    list
}

/// Every case, training steps last.
pub fn cases(large: bool) -> Vec<Case> {
    let all = kernels().into_iter().chain(trainings(large));
    all.flat_map(|work| {
        work.directions().iter().map(move |&direction| Case {
            work: work.clone(),
            direction,
        })
    })
    .collect()
}

impl Work {
    /// Its name.
    pub fn op(&self) -> &'static str {
        match self {
            Work::Matmul { .. } => "matmul",
            Work::Conv2d { .. } => "conv2d",
            Work::ConvTranspose2d { .. } => "conv_transpose2d",
            Work::GroupNormSilu { .. } => "group_norm_silu",
            Work::Attention { .. } => "attention",
            Work::Nearest { .. } => "nearest",
            Work::Adam { .. } => "adam",
            Work::OuStep { .. } => "ou_step",
            Work::Train { .. } => "train",
            Work::UnetStep { .. } => "unet",
        }
    }

    /// Its shape in words.
    pub fn shape(&self) -> String {
        match self {
            Work::Matmul { m, k, n } => format!("{m}×{k}×{n}"),
            Work::Conv2d {
                n,
                h,
                w,
                c,
                o,
                kernel,
                stride,
                ..
            }
            | Work::ConvTranspose2d {
                n,
                h,
                w,
                c,
                o,
                kernel,
                stride,
                ..
            } => {
                let by = if *stride == 1 {
                    String::new()
                } else {
                    format!("/{stride}")
                };
                format!("{kernel}×{kernel}{by} [{n},{h},{w},{c}]→{o}")
            }
            Work::GroupNormSilu { n, h, w, c, groups } => {
                format!("{groups} groups [{n},{h},{w},{c}]")
            }
            Work::Attention { n, len, d } => format!("N={len} d={d} batch {n}"),
            Work::Nearest { rows, d, codes } => format!("{rows}×{d} of {codes}"),
            Work::Adam { count } => format!("{} M", count / 1_000_000),
            Work::OuStep { n, h, w, c } | Work::UnetStep { n, h, w, c } => {
                format!("[{n},{h},{w},{c}]")
            }
            Work::Train {
                preset,
                stage: None,
            } => preset.clone(),
            Work::Train {
                preset,
                stage: Some(stage),
            } => format!("{preset} {}", Stage::from(*stage).name()),
        }
    }

    /// The directions that are measured.
    pub fn directions(&self) -> &'static [Direction] {
        match self {
            Work::Conv2d { .. } | Work::ConvTranspose2d { .. } => &[
                Direction::Forward,
                Direction::BackwardInput,
                Direction::BackwardWeight,
            ],
            Work::Matmul { .. } | Work::GroupNormSilu { .. } | Work::Attention { .. } => {
                &[Direction::Forward, Direction::Backward]
            }
            Work::Nearest { .. } | Work::Adam { .. } | Work::OuStep { .. } => &[Direction::Forward],
            Work::Train { .. } | Work::UnetStep { .. } => &[Direction::Step],
        }
    }
}
