//! Statistics measured before a prior is trained: moments that standardise the latents, and, if it
//! predicts codes, the spread of latents about their code vectors and the code frequencies at each
//! position.

use super::context::{CHUNK, StageContext};
use crate::config::{Diffuse, Output};
use crate::error::Result;
use crate::models::diffusion::Diffusion;
use crate::models::first_stage::FirstStage;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::tensor::Tensor;

/// Number of images from which moments and spread are measured.
const MEASURED: usize = 1024;
/// Number of images whose codes are counted.
const COUNTED: usize = 8192;
/// Pseudocounts, distributed as the codes of all positions, added to the counts of each position.
const ADDED: f64 = 64.0;
/// Lower bound on the variance of a channel.
const LEAST: f64 = 1e-12;

/// The measured statistics.
pub(super) struct Standard {
    /// Mean and standard deviation of every channel, `[d]`.
    pub moments: [Vec<f32>; 2],
    /// For priors that predict codes.
    pub codes: Option<OfCodes>,
}

/// Statistics for a prior that predicts codes.
pub(super) struct OfCodes {
    /// Standardised variance of z_0 about its code vector per channel, `[d]`; zeros if code vectors
    /// are diffused.
    spread: Vec<f32>,
    /// Log-probability of each code at each position, [p, k].
    bias: Vec<f32>,
}

/// Sums and sums of squares per channel.
struct Sums {
    count: f64,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Sums {
    fn new(d: usize) -> Sums {
        Sums {
            count: 0.0,
            first: vec![0.0; d],
            second: vec![0.0; d],
        }
    }

    fn add(&mut self, row: impl Iterator<Item = f64>) {
        self.count += 1.0;
        for (i, z) in row.enumerate() {
            self.first[i] += z;
            self.second[i] += z * z;
        }
    }

    fn mean(&self) -> Vec<f64> {
        self.first.iter().map(|sum| sum / self.count).collect()
    }

    fn variance(&self) -> Vec<f64> {
        self.second
            .iter()
            .zip(self.mean())
            .map(|(sum, mean)| (sum / self.count - mean * mean).max(LEAST))
            .collect()
    }
}

/// Measures the latents of the first images of the data set: z_e, or, depending on `diffuse`, the
/// vectors of their codes.
///
/// # Errors
/// If the data cannot be read.
pub(super) fn measure(
    context: &StageContext,
    first: &dyn FirstStage,
    diffuse: Diffuse,
) -> Result<Standard> {
    let set = &context.pictures.train;
    let config = &context.config;
    let gpu = &context.gpu;
    let d = config.dim();
    let cells = config.cells();
    let k = config.codes();
    let predicts_codes = context.config.unet.prediction == Output::Codes;
    let vectors = first.vectors().to_vec();
    let mut latents = Sums::new(d);
    let mut residues = Sums::new(d);
    let mut counts = vec![0.0; cells * k];
    let most = if predicts_codes { COUNTED } else { MEASURED };
    let indices: Vec<u32> = (0..most.min(set.len()) as u32).collect();
    for (chunk, indices) in indices.chunks(CHUNK).enumerate() {
        let examples = set.floats(indices)?;
        let z = gpu.no_grad(|| first.latents(&examples));
        let codes = if predicts_codes || diffuse == Diffuse::Codes {
            gpu.no_grad(|| first.quantise(&z)).to_vec()
        } else {
            Vec::new()
        };
        codes
            .iter()
            .enumerate()
            .for_each(|(at, &code)| counts[at % cells * k + code as usize] += 1.0);
        if chunk * CHUNK >= MEASURED {
            continue;
        }
        for (at, z) in z.to_vec().chunks_exact(d).enumerate() {
            let vector = codes
                .get(at)
                .map(|&code| &vectors[code as usize * d..][..d]);
            let diffused = vector.filter(|_| diffuse == Diffuse::Codes).unwrap_or(z);
            latents.add(diffused.iter().map(|&z| f64::from(z)));
            if let Some(vector) = vector {
                residues.add(
                    diffused
                        .iter()
                        .zip(vector)
                        .map(|(&z, &e)| f64::from(z) - f64::from(e)),
                );
            }
        }
    }
    let variance = latents.variance();
    let spread = || {
        let of = |(residue, &variance): (f64, &f64)| {
            if residue > LEAST {
                (residue / variance) as f32
            } else {
                0.0
            }
        };
        residues
            .variance()
            .into_iter()
            .zip(&variance)
            .map(of)
            .collect()
    };
    Ok(Standard {
        moments: [
            in_f32(latents.mean()),
            in_f32(variance.iter().map(|v| v.sqrt()).collect()),
        ],
        codes: predicts_codes.then(|| OfCodes {
            spread: spread(),
            bias: bias(&counts, k),
        }),
    })
}

fn in_f32(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

/// Log-probabilities at each position from the `counts` [p, k]. Each position gets `ADDED`
/// pseudocounts distributed as all positions, which get half a count per code: no probability is 0.
fn bias(counts: &[f64], k: usize) -> Vec<f32> {
    let of_all = |code: usize| 0.5 + counts.iter().skip(code).step_by(k).sum::<f64>();
    let all: Vec<f64> = (0..k).map(of_all).collect();
    let total: f64 = all.iter().sum();
    let of_position = |counts: &[f64]| -> Vec<f32> {
        let sum = ADDED + counts.iter().sum::<f64>();
        counts
            .iter()
            .zip(&all)
            .map(|(count, all)| ((count + ADDED * all / total) / sum).ln() as f32)
            .collect()
    };
    counts.chunks_exact(k).flat_map(of_position).collect()
}

impl Standard {
    /// Sets the statistics of `models`, a model and its average.
    pub fn tell(&self, models: [&mut Diffusion; 2]) {
        for model in models {
            let gpu = model.target().gpu().clone();
            let [mean, std] = &self.moments;
            model.moments =
                Some([mean, std].map(|values| Tensor::from_slice(&gpu, values, [values.len()])));
            let Some(OfCodes { spread, bias }) = &self.codes else {
                continue;
            };
            model.spread_by(spread);
            if let Some(head) = model.head() {
                head.start_at(bias);
            }
        }
    }
}

/// Names of the moments in a checkpoint.
const MOMENTS: [&str; 2] = ["latents.mean", "latents.std"];
/// Name of the spread in a checkpoint.
const SPREAD: &str = "codes.spread";

/// Moments and spread of `model` for a checkpoint.
pub(super) fn export(model: &Diffusion) -> impl Iterator<Item = Entry> {
    let spread = model.head().map(|head| (SPREAD, head.spread()));
    let moments = model.moments.iter().flatten();
    let all = MOMENTS.into_iter().zip(moments).chain(spread);
    all.map(|(name, tensor)| (name.to_string(), tensor.shape(), tensor.to_vec()))
}

/// Loads the moments and the spread of a checkpoint into `model`.
///
/// # Errors
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if there are none.
pub(in crate::experiment) fn import(model: &mut Diffusion, found: &Checkpoint) -> Result<()> {
    for (name, tensor) in MOMENTS.into_iter().zip(model.moments.iter_mut().flatten()) {
        *tensor = Tensor::from_slice(
            tensor.gpu(),
            &found.tensor(name, tensor.shape())?,
            tensor.shape(),
        );
    }
    if let Some(head) = model.head() {
        let spread = found.tensor(SPREAD, head.spread().shape())?;
        model.spread_by(&spread);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bias_is_a_law_at_each_position() {
        let law = bias(&[3.0, 0.0, 1.0, 0.0, 0.0, 0.0], 3);
        for position in law.chunks_exact(3) {
            assert!(
                (position.iter().map(|b| b.exp()).sum::<f32>() - 1.0).abs() < 1e-6,
                "{law:?}"
            );
        }
        assert!(law[0] > law[2] && law[2] > law[1]);
        // A position without counts of its own follows the global distribution.
        assert!((law[3].exp() - 3.5 / 5.5).abs() < 1e-6, "{law:?}");
    }
}
