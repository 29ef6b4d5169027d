//! Bits per code of whole images: exact for a PixelCNN, an upper bound for a diffusion prior on
//! code vectors.

use serde::{Deserialize, Serialize};

use super::draws::codes_of;
use super::measure::{Given, Measure, Run};
use super::tables::{Rows, Section, or_dash};
use super::{EvaluateArgs, Evaluation, Material};
use crate::config::{Diffuse, Stage};
use crate::error::Result;
use crate::experiment::asked::ImageFlags;
use crate::experiment::dataset::Pictures;
use crate::experiment::stages::context::CHUNK;
use crate::experiment::trained::{Prior, Trained};
use crate::metrics::likelihood::mean_std;
use crate::models::bound::{Bound, Nats};
use crate::models::diffusion::Diffusion;
use crate::models::pixelcnn::PixelCnn;
use crate::ops;
use crate::report::progress::Progress;
use crate::tensor::{Codes, Tensor};

/// Noise levels evaluated per image.
const LEVELS: usize = 32;

/// The likelihood of held-out images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LikelihoodRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// Whether `bits` is exact rather than an upper bound.
    pub exact: bool,
    /// Bits per code, mean over the images.
    pub bits: f64,
    /// Standard error of that mean.
    pub error: f64,
    /// For a bound: its term L_T, bits per code.
    pub last: Option<f64>,
    /// For a bound: its term L_0, bits per code.
    pub first: Option<f64>,
    /// Number of images.
    pub images: usize,
    /// For a bound: noise levels evaluated per image.
    pub levels: Option<usize>,
}

/// Why the likelihood of a run cannot be computed, if it cannot.
fn obstacle(trained: &Trained) -> Option<String> {
    match trained.prior {
        _ if trained.config.classes > 0 => {
            Some("the likelihood of class-conditional priors is not estimated".into())
        }
        Prior::Diffusion(_) if trained.diffuse() == Diffuse::Data => Some(
            "the bound is for codes, and this prior diffuses z_e, which codes do not determine; train one with \
             prior.diffuse = \"codes\""
                .into(),
        ),
        _ => None,
    }
}

/// The likelihood of the first held-out images.
fn row(trained: &Trained, pictures: &Pictures, args: &EvaluateArgs) -> Result<LikelihoodRow> {
    let count = args
        .count
        .unwrap_or(crate::evaluate::COUNT)
        .min(pictures.held_out.len());
    let indices: Vec<u32> = (0..count as u32).collect();
    let codes = codes_of(trained, &pictures.held_out, &indices)?;
    let cells = trained.config.cells();
    let to_bits = 1.0 / (cells as f64 * std::f64::consts::LN_2);
    let (nats, of_bound) = match &trained.prior {
        Prior::Diffusion(model) => {
            let nats = bounded(trained, model, &codes, cells, args.seed);
            let mean = |of: fn(&Nats) -> f64| nats.iter().map(of).sum::<f64>() / count as f64;
            let terms = [mean(|nats| nats.last), mean(|nats| nats.first)];
            (nats.iter().map(|nats| nats.total).collect(), Some(terms))
        }
        Prior::PixelCnn(model) => (exact(trained, model, &codes, cells), None),
        Prior::None => unreachable!("only runs with a prior are asked"),
    };
    let bits: Vec<f64> = nats.iter().map(|nats| nats * to_bits).collect();
    let [mean, std] = mean_std(&bits);
    Ok(LikelihoodRow {
        run: trained.run.display().to_string(),
        stage: trained.stage,
        exact: of_bound.is_none(),
        bits: mean,
        error: std / (count as f64).sqrt(),
        last: of_bound.map(|[last, _]| last * to_bits),
        first: of_bound.map(|[_, first]| first * to_bits),
        images: count,
        levels: of_bound.map(|_| LEVELS),
    })
}

/// −log p of each image by the chain rule, nats.
fn exact(trained: &Trained, model: &PixelCnn, codes: &[u32], cells: usize) -> Vec<f64> {
    let [h, w] = trained.config.grid();
    let mut nats = Vec::new();
    for chunk in codes.chunks(CHUNK * cells) {
        let n = chunk.len() / cells;
        let codes = Codes::from_slice(&trained.gpu, chunk, [n, h, w]);
        let each = trained.gpu.no_grad(|| {
            let logits = model.forward(&codes, &trained.classes(&ImageFlags::default(), 0, n));
            let rows = logits.reshape([n * cells, logits.shape().last()]);
            ops::cross_entropy(&rows, &codes.reshape([n * cells])).to_vec()
        });
        nats.extend(
            each.chunks_exact(cells)
                .map(|cells| cells.iter().map(|&v| f64::from(v)).sum::<f64>()),
        );
    }
    nats
}

/// An upper bound on −log p of each image, nats.
fn bounded(
    trained: &Trained,
    model: &Diffusion,
    codes: &[u32],
    cells: usize,
    seed: u64,
) -> Vec<Nats> {
    let gpu = &trained.gpu;
    let [h, w] = trained.config.grid();
    let eps = |z: &Tensor, t: usize| model.eps(z, t, None);
    let first = |z: &Tensor, codes: &Codes| model.first_nats(z, codes);
    let bound = Bound {
        bridge: &model.bridge,
        target: model.target(),
        eps: &eps,
        first: &first,
        seed,
    };
    let chunks = codes.chunks(CHUNK * cells);
    let mut progress = Progress::new("bound", 0, chunks.len() as u64);
    let mut levels = None;
    let mut nats = Vec::new();
    for (i, chunk) in chunks.enumerate() {
        let codes = Codes::from_slice(gpu, chunk, [chunk.len() / cells, h, w]);
        let z0 = gpu.no_grad(|| model.standardise(&trained.first.look_up(&codes)));
        let levels = levels.get_or_insert_with(|| bound.levels(&z0));
        nats.extend(bound.of(&z0, &codes, levels, LEVELS, i));
        progress.at(i as u64 + 1, String::new);
    }
    progress.finish();
    nats
}

/// Likelihood of the codes of whole images.
pub(super) struct Likelihood;

impl Measure for Likelihood {
    type Row = LikelihoodRow;

    fn run(row: &LikelihoodRow) -> &str {
        &row.run
    }

    fn obstacle(trained: &Trained, _given: &Given) -> Option<String> {
        obstacle(trained)
    }

    fn rows(run: &Run) -> Result<Vec<LikelihoodRow>> {
        let Material { args, pictures, .. } = run.material;
        Ok(vec![row(run.trained, pictures, args)?])
    }

    fn table(rows: &Rows<LikelihoodRow>, _evaluation: &Evaluation) -> Section {
        let columns = vec![
            rows.runs(),
            rows.right("bits per code", 0, |r| {
                format!(
                    "{}{:.3} ± {:.3}",
                    if r.exact { "" } else { "≤ " },
                    r.bits,
                    r.error
                )
            }),
            rows.right("of which L_T", 1, |r| or_dash(r.last, 4)),
            rows.right("and L_0", 1, |r| or_dash(r.first, 4)),
            rows.right("images", 2, |r| r.images.to_string()),
            rows.right("levels", 3, |r| {
                r.levels.map_or_else(String::new, |n| n.to_string())
            }),
        ];
        let note = "PixelCNN: exact, by the chain rule. Diffusion priors: an upper bound. ± is the standard error over images.";
        let title = "Likelihood of the codes of whole held-out images".into();
        Section {
            title,
            columns,
            note: note.into(),
        }
    }
}
