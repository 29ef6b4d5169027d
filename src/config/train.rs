//! How a training is optimised.

use serde::{Deserialize, Serialize};

/// Most bins of t in which a cross-entropy is measured.
const MOST_BINS: usize = 1000;
/// Most sequences or images per step.
const MOST_BATCH: usize = 1 << 16;

/// Optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Total number of steps, over which the learning rate falls to 0.
    pub steps: u64,
    /// Sequences or images per step.
    pub batch: usize,
    /// Micro-batches per batch (gradient accumulation): divides memory by this number and gives the
    /// same step up to rounding. Must divide `batch`; not for the toy.
    pub accumulate: usize,
    /// Peak learning rate: of the denoiser in the toy, of the U-Net in joint training.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Adam's β₁.
    pub beta1: f64,
    /// Adam's β₂.
    pub beta2: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradient clipping norm; 0 for none.
    pub clip: f64,
    /// Decay of the exponential moving average of the weights, which samplers use.
    pub ema: f64,
    /// Weight of the diffusion loss over t.
    pub loss: LossWeight,
    /// Distribution of t.
    pub levels: Levels,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            steps: 12_000,
            batch: 512,
            accumulate: 1,
            lr: 1.5e-2,
            warmup: 200,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 0.3,
            ema: 0.999,
            loss: LossWeight::Preconditioned,
            levels: Levels::Bump {
                centre: 0.6,
                width: 0.18,
                floor: 0.15,
            },
            checkpoint_every: 1000,
            log_every: 50,
        }
    }
}

/// Weight of ‖ε − ε_θ‖² at level t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossWeight {
    /// The weight that makes it the squared error of the preconditioned network's output (Karras et
    /// al. 2022).
    Preconditioned,
    /// 1 (Ho et al. 2020).
    Simple,
    /// Equation (4) with the chosen reverse variance of the bridge; t = 1 uses σ_1² = v β_1.
    Weighted,
    /// Not a squared error: −log p of the codes, with weight 1 at every level.
    #[serde(rename = "cross-entropy")]
    CrossEntropy,
}

/// Distribution of t in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "lowercase", deny_unknown_fields)]
pub enum Levels {
    /// Uniform on 1..T.
    Uniform {},
    /// ∝ exp(−½((t/T − centre)/width)²) + floor: favours the levels where sequences are decided.
    Bump {
        /// Centre, as a fraction of T.
        centre: f64,
        /// Width, as a fraction of T.
        width: f64,
        /// Floor.
        floor: f64,
    },
    /// Favours the levels where codes are decided: ∝ dH/dt of the running cross-entropy H(t),
    /// measured in bins of t.
    Entropy {
        /// Bins of t.
        bins: usize,
        /// Weight of the uniform distribution in the mixture.
        uniform: f64,
    },
}

impl TrainConfig {
    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let t = self;
        if t.batch == 0 || t.steps == 0 || t.checkpoint_every == 0 || t.log_every == 0 {
            return Some("batch, steps, checkpoint_every and log_every must be at least 1".into());
        }
        if t.batch > MOST_BATCH {
            return Some(format!("batch = {} is over {MOST_BATCH}", t.batch));
        }
        if t.accumulate == 0 || !t.batch.is_multiple_of(t.accumulate) {
            return Some(format!(
                "accumulate = {} must divide batch = {}",
                t.accumulate, t.batch
            ));
        }
        let decays = [("beta1", t.beta1), ("beta2", t.beta2), ("ema", t.ema)];
        if let Some((name, value)) = decays.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Some(format!("{name} = {value} must be in [0, 1)"));
        }
        let sizes = [
            ("lr", t.lr),
            ("eps", t.eps),
            ("weight_decay", t.weight_decay),
            ("clip", t.clip),
        ];
        if let Some((name, value)) = sizes
            .iter()
            .find(|(_, v)| !(*v as f32).is_finite() || *v < 0.0)
        {
            return Some(format!("{name} = {value} must be finite and not negative"));
        }
        t.levels.wrong()
    }
}

impl Levels {
    /// What is invalid in it, if anything.
    fn wrong(self) -> Option<String> {
        match self {
            Levels::Uniform {} => None,
            Levels::Bump {
                centre,
                width,
                floor,
            } => {
                let numbers = [centre, width, floor];
                let fits = numbers.iter().all(|n| n.is_finite()) && width > 0.0 && floor >= 0.0;
                (!fits).then(|| "levels: width must be above 0, floor must not be negative".into())
            }
            Levels::Entropy { bins, uniform } => {
                let fits = (2..=MOST_BINS).contains(&bins) && uniform > 0.0 && uniform <= 1.0;
                (!fits).then(|| {
                    format!("levels: bins must be 2 to {MOST_BINS}, uniform must be in (0, 1]")
                })
            }
        }
    }
}
