//! Negative log-likelihood of the codes under a mask: tables 2 and 3.

mod told;

use serde::{Deserialize, Serialize};

use super::draws::codes_of;
use super::measure::{Given, Measure, Run};
use super::tables::{Rows, Section};
use super::{EvaluateArgs, Evaluation, Material};
use crate::config::Stage;
use crate::data::Fit;
use crate::error::Result;
use crate::experiment::asked::ImageFlags;
use crate::experiment::dataset::Pictures;
use crate::experiment::drawing::chunk_seed;
use crate::experiment::filling::Filling;
use crate::experiment::inpaint;
use crate::experiment::inpaint::MaskedImages;
use crate::experiment::mask::{Mask, MaskShape};
use crate::experiment::stages::context::CHUNK;
use crate::experiment::trained::{Prior, Trained};
use crate::metrics::likelihood::{fit_temperature, joint_bits, log_softmax, mean_std, single_bits};
use crate::models::pixelcnn::PixelCnn;
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// Images whose holes are filled in one batch.
const GROUP: usize = 32;
/// The temperature is searched from this to its inverse, times the mean squared distance to the
/// true codes.
const SOUGHT: f64 = 1e-4;

/// Bits per code from log-probabilities [samples, cells]; the second argument is `cells`.
type Estimator = fn(&[f64], usize) -> f64;

/// How likelihoods are estimated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NllSettings {
    /// Number of held-out images.
    pub images: usize,
    /// Number of other held-out images, on which the temperature is fitted.
    pub fit: usize,
    /// Fillings of each hole.
    pub samples: usize,
    /// Steps of the diffusion prior.
    pub steps: usize,
    /// Passes over each level.
    pub resample: usize,
}

impl Default for NllSettings {
    fn default() -> Self {
        NllSettings {
            images: 16,
            fit: 8,
            samples: 8,
            steps: 25,
            resample: 2,
        }
    }
}

/// The distribution whose likelihood is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Law {
    /// Joint distribution of all hidden codes; −log p divided by their number.
    Joint,
    /// Marginal distribution of each hidden code; −log p averaged.
    Single,
}

/// One estimate of the likelihood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NllRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// The hole, in cells of the grid.
    pub mask: String,
    /// Number of cells in the hole, and in the grid.
    pub cells: [usize; 2],
    /// Which distribution.
    pub law: Law,
    /// The estimator, in words.
    pub estimator: String,
    /// τ of softmax(−‖z − e‖²/τ), for diffusion priors.
    pub temperature: Option<f64>,
    /// Whether τ was fitted.
    pub fitted: bool,
    /// Number of images.
    pub images: usize,
    /// Fillings of each image; `None` if none are needed.
    pub samples: Option<usize>,
    /// Sampling steps and passes over each level, for diffusion priors.
    pub steps: Option<[usize; 2]>,
    /// Mean over images, bits per code.
    pub mean: f64,
    /// Standard deviation over images.
    pub std: f64,
}

/// The paper's holes, 9 × 9 of 21 × 21 cells in the centre and in the corner, scaled to this grid;
/// for sequences the same fraction.
pub(crate) fn holes([h, w]: [usize; 2]) -> [MaskShape; 2] {
    let shorter = if h == 1 { w } else { h.min(w) };
    let side = ((9 * shorter + 10) / 21).max(1);
    [MaskShape::Centre(side), MaskShape::TopLeft(side)]
}

/// Why the likelihood of a run cannot be estimated on `held_out` images, if it cannot.
fn obstacle(trained: &Trained, held_out: usize) -> Option<String> {
    match trained.prior {
        Prior::PixelCnn(_) if trained.config.classes > 0 => {
            Some("the likelihood of a class-conditional PixelCNN is not estimated".into())
        }
        Prior::Diffusion(_) if held_out < 2 => Some(
            "it needs two held-out images, one to fit the temperature and one to measure; there is one".into(),
        ),
        _ => None,
    }
}

/// All estimates of a run, with both of the paper's masks.
fn rows(trained: &Trained, pictures: &Pictures, args: &EvaluateArgs) -> Result<Vec<NllRow>> {
    let grid = trained.config.grid();
    let mut rows = Vec::new();
    for shape in holes(grid) {
        let settings = fitting(
            args.nll,
            pictures.held_out.len(),
            trained.config.bridge.steps,
        );
        let hidden = Hidden {
            trained,
            pictures,
            args,
            settings,
            shape: &shape,
            mask: Mask::new(&shape, grid, Fit::Crop)?,
        };
        rows.extend(match &trained.prior {
            Prior::None => Vec::new(),
            Prior::Diffusion(model) if model.is_told() => {
                [hidden.told(model)?, hidden.diffusion(false)?].concat()
            }
            Prior::Diffusion(_) => hidden.diffusion(true)?,
            Prior::PixelCnn(model) => hidden.raster(model)?,
        });
    }
    Ok(rows)
}

/// Limits `settings` to the `there` available images (two at least) and to the steps of the bridge.
fn fitting(settings: NllSettings, there: usize, steps: usize) -> NllSettings {
    let fit = settings.fit.min(there / 2).max(1);
    NllSettings {
        fit,
        images: settings.images.min(there - fit).max(1),
        steps: settings.steps.min(steps),
        ..settings
    }
}

/// Codes under a mask.
struct Hidden<'a> {
    trained: &'a Trained,
    pictures: &'a Pictures,
    args: &'a EvaluateArgs,
    settings: NllSettings,
    shape: &'a MaskShape,
    mask: Mask,
}

/// The hole of an image, filled S times: the squared distances to all `k` codes, [S, cells, k], and
/// the true codes, `[cells]`.
struct Filled {
    distances: Vec<f32>,
    truth: Vec<u32>,
    k: usize,
}

impl Filled {
    /// log p of the true codes, [S, cells], nats.
    fn log_p(&self, temperature: f64) -> Vec<f64> {
        let rows = self
            .distances
            .chunks_exact(self.k)
            .zip(self.truth.iter().cycle());
        rows.map(|(distances, &code)| log_softmax(distances, code as usize, temperature))
            .collect()
    }

    /// Mean squared distance to the true codes.
    fn mean_distance(&self) -> f64 {
        let rows = self
            .distances
            .chunks_exact(self.k)
            .zip(self.truth.iter().cycle());
        let sum: f64 = rows
            .map(|(distances, &code)| f64::from(distances[code as usize]))
            .sum();
        sum * self.k as f64 / self.distances.len() as f64
    }
}

impl Hidden<'_> {
    fn cells(&self) -> usize {
        self.mask.hole.iter().filter(|&&hole| hole).count()
    }

    /// The codes of maps [n, h, w] that lie in the hole, [n, cells].
    fn inside(&self, maps: &[u32]) -> Vec<u32> {
        maps.iter()
            .zip(self.mask.hole.iter().cycle())
            .filter(|(_, hole)| **hole)
            .map(|(&code, _)| code)
            .collect()
    }

    /// The held-out images `first..first + n` with the hole, and their true codes [n, h, w].
    fn holed(&self, first: usize, n: usize) -> Result<(MaskedImages, Vec<u32>)> {
        let indices: Vec<u32> = (first..first + n).map(|i| i as u32).collect();
        let mask = Mask {
            grid: self.mask.grid,
            hole: self.mask.hole.clone(),
        };
        let originals = self.pictures.held_out.floats(&indices)?;
        let codes = codes_of(self.trained, &self.pictures.held_out, &indices)?;
        Ok((MaskedImages::of(self.trained, originals, mask)?, codes))
    }

    /// How the holes of group `group` are filled.
    fn filling(&self, group: usize) -> Filling {
        let diffuses = matches!(self.trained.prior, Prior::Diffusion(_));
        let told = matches!(&self.trained.prior, Prior::Diffusion(model) if model.is_told());
        Filling {
            resample: (diffuses && !told).then_some(self.settings.resample),
            steps: diffuses.then_some(self.settings.steps),
            images: ImageFlags::default(),
            // Groups use the seed's bits from 52 on; the chunks within a group use those from 40
            // on.
            seed: chunk_seed(self.args.seed, group << 12),
        }
    }

    fn row(&self, law: Law, estimator: &str, values: &[f64]) -> NllRow {
        let [mean, std] = mean_std(values);
        NllRow {
            run: self.trained.run.display().to_string(),
            stage: self.trained.stage,
            mask: self.shape.to_string(),
            cells: [self.cells(), self.mask.hole.len()],
            law,
            estimator: estimator.into(),
            temperature: None,
            fitted: false,
            images: values.len(),
            samples: None,
            steps: None,
            mean,
            std,
        }
    }

    /// The paper's estimator for the diffusion prior, from the distances of fillings to the codes,
    /// at τ = 1 and at the τ that fits other images best. `resampled`: fill by several passes over
    /// each level.
    fn diffusion(&self, resampled: bool) -> Result<Vec<NllRow>> {
        let cells = self.cells();
        let NllSettings {
            images,
            fit,
            samples,
            steps,
            resample,
        } = self.settings;
        let fitted_on = self.filled(0, images, fit)?;
        let nearest = fitted_on.iter().map(Filled::mean_distance).sum::<f64>() / fit as f64;
        // If every filling is exact, any temperature is as good as another.
        let nearest = if nearest > 0.0 { nearest } else { 1.0 };
        let range = [SOUGHT * nearest, nearest / SOUGHT];
        let laws: [(Law, Estimator); 2] = [(Law::Joint, joint_bits), (Law::Single, single_bits)];
        let mut tasks = Vec::new();
        for (law, bits) in laws {
            let cost = |tau: f64| {
                fitted_on
                    .iter()
                    .map(|filled| bits(&filled.log_p(tau), cells))
                    .sum::<f64>()
            };
            tasks.extend([
                (law, bits, 1.0, false),
                (law, bits, fit_temperature(range, cost), true),
            ]);
        }
        drop(fitted_on);
        let mut values = vec![Vec::new(); tasks.len()];
        for (group, first) in (0..images).step_by(GROUP).enumerate() {
            for filled in self.filled(group + 1, first, GROUP.min(images - first))? {
                for (values, (_, bits, tau, _)) in values.iter_mut().zip(&tasks) {
                    values.push(bits(&filled.log_p(*tau), cells));
                }
            }
        }
        let row = |((law, _, tau, fitted), values): (_, &Vec<f64>)| NllRow {
            temperature: Some(tau),
            fitted,
            samples: Some(samples),
            steps: Some([steps, if resampled { resample } else { 1 }]),
            ..self.row(law, "Monte Carlo over z_0", values)
        };
        Ok(tasks.into_iter().zip(&values).map(row).collect())
    }

    /// The holes of `n` images from `first` on, filled by the diffusion prior.
    fn filled(&self, group: usize, first: usize, n: usize) -> Result<Vec<Filled>> {
        let trained = self.trained;
        let samples = self.settings.samples;
        let (holed, truth) = self.holed(first, n)?;
        let z0 = inpaint::fill(trained, &self.filling(group), &holed, samples)?
            .0
            .z0;
        let d = trained.config.dim();
        let k = trained.config.codes();
        let hole = self.mask.hole.iter().cycle();
        let inside: Vec<f32> = z0
            .chunks_exact(d)
            .zip(hole)
            .filter(|(_, hole)| **hole)
            .flat_map(|(z, _)| z)
            .copied()
            .collect();
        let rows = samples * self.cells();
        let codebook = trained.gpu.no_grad(|| trained.first.vectors());
        let of_picture = |(z, truth): (&[f32], &[u32])| {
            let z = Tensor::from_slice(&trained.gpu, z, [rows, d]);
            let distances = trained
                .gpu
                .no_grad(|| ops::distances(&z, &codebook).to_vec());
            Filled {
                distances,
                truth: truth.to_vec(),
                k,
            }
        };
        let truth = self.inside(&truth);
        Ok(inside
            .chunks_exact(rows * d)
            .zip(truth.chunks_exact(self.cells()))
            .map(of_picture)
            .collect())
    }

    /// The PixelCNN: the chain rule given the true preceding codes, and fillings that see only the
    /// known codes.
    fn raster(&self, model: &PixelCnn) -> Result<Vec<NllRow>> {
        let cells = self.cells();
        let NllSettings {
            images, samples, ..
        } = self.settings;
        let maps = self.mask.hole.len();
        let mut joint = Vec::new();
        let mut single = Vec::new();
        for (group, first) in (0..images).step_by(GROUP).enumerate() {
            let n = GROUP.min(images - first);
            let (holed, truth) = self.holed(first, n)?;
            let filled = inpaint::fill(self.trained, &self.filling(group + 1), &holed, samples)?
                .0
                .codes;
            let hidden = self.inside(&truth);
            for i in 0..n {
                let fillings = &filled[i * samples * maps..][..samples * maps];
                let truth = &truth[i * maps..][..maps];
                let hidden = &hidden[i * cells..][..cells];
                // Known codes are those that the fillings were given; the hole gets the true codes.
                let known = fillings[..maps].iter().zip(truth).zip(&self.mask.hole);
                let forced: Vec<u32> = known
                    .map(|((&known, &truth), &hole)| if hole { truth } else { known })
                    .collect();
                joint.push(joint_bits(&self.predicted(model, &forced, hidden), cells));
                single.push(single_bits(&self.predicted(model, fillings, hidden), cells));
            }
        }
        let direct = self.row(
            Law::Joint,
            "chain rule, each code given the true ones before it",
            &joint,
        );
        let single = NllRow {
            samples: Some(samples),
            ..self.row(
                Law::Single,
                "Monte Carlo over fillings of what is hidden before it",
                &single,
            )
        };
        Ok(vec![direct, single])
    }

    /// Log-probabilities [S, cells], nats, that the PixelCNN gives to the codes `truth` `[cells]`
    /// of the hole in the context of `maps` [S, h, w].
    fn predicted(&self, model: &PixelCnn, maps: &[u32], truth: &[u32]) -> Vec<f64> {
        let gpu = &self.trained.gpu;
        let [h, w] = self.mask.grid;
        let mut log_p = Vec::new();
        for chunk in maps.chunks(CHUNK * h * w) {
            let n = chunk.len() / (h * w);
            let class = self.trained.classes(&ImageFlags::default(), 0, n);
            let codes = Codes::from_slice(gpu, chunk, [n, h, w]);
            let logits = gpu
                .no_grad(|| ops::affine(&model.forward(&codes, &class), -1.0, 0.0))
                .to_vec();
            let k = logits.len() / chunk.len();
            let inside = logits
                .chunks_exact(k)
                .zip(self.mask.hole.iter().cycle())
                .filter(|(_, hole)| **hole);
            // −logits take the place of distances.
            log_p.extend(
                inside
                    .zip(truth.iter().cycle())
                    .map(|((l, _), &code)| log_softmax(l, code as usize, 1.0)),
            );
        }
        log_p
    }
}

/// Likelihood of the codes under a mask.
pub(super) struct Nll;

impl Measure for Nll {
    type Row = NllRow;

    fn run(row: &NllRow) -> &str {
        &row.run
    }

    fn obstacle(trained: &Trained, given: &Given) -> Option<String> {
        obstacle(trained, given.held_out)
    }

    fn rows(run: &Run) -> Result<Vec<NllRow>> {
        let Material { args, pictures, .. } = run.material;
        rows(run.trained, pictures, args)
    }

    fn table(rows: &Rows<NllRow>, _evaluation: &Evaluation) -> Section {
        let law = |law: Law| if law == Law::Joint { "joint" } else { "single" }.to_string();
        let tau = |r: &NllRow| {
            r.temperature.map_or_else(String::new, |tau| {
                format!("{tau:.3}{}", if r.fitted { " fitted" } else { "" })
            })
        };
        let columns = vec![
            rows.runs(),
            rows.left("hole", 0, |r| r.mask.clone()),
            rows.left("law", 0, |r| law(r.law)),
            rows.left("temperature", 0, tau),
            // A single image has no standard deviation.
            rows.right("bits per code", 0, |r| match r.images {
                1 => format!("{:.2}", r.mean),
                _ => format!("{:.2} ± {:.2}", r.mean, r.std),
            }),
            rows.right("images", 2, |r| r.images.to_string()),
            rows.right("fillings", 3, |r| {
                r.samples.map_or_else(String::new, |n| n.to_string())
            }),
            rows.left("estimator", 4, |r| r.estimator.clone()),
        ];
        let note = "joint: all hidden codes together; single: each alone. ± is the standard deviation over images. The PixelCNN's \
                    joint value sees the true codes of the hole; docs/metrics.md says which values can be compared.";
        let title = "Negative log-likelihood of hidden codes".into();
        Section {
            title,
            columns,
            note: note.into(),
        }
    }
}
