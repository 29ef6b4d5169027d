//! Results of the evaluations for the report: values for the paper's tables, quality against steps,
//! and other metrics.

use serde::{Deserialize, Serialize};

use super::model::{self, Model, OfRun};
use super::report::spread;
use super::verdicts::{Kl, Point, Steps};
use super::wording::{sampled, sharpened};
use crate::evaluate::{
    CodesRow, Evaluation, FidRow, KlRow, Law, LikelihoodRow, Missing, NllRow, ReconstructionRow,
    TimeRow,
};
use crate::report::figures;

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evaluated {
    /// Reconstruction errors of the VQ-VAEs.
    pub reconstruction: Vec<ReconstructionRow>,
    /// Distributions of codes.
    pub codes: Vec<CodesRow>,
    /// KL maps.
    pub kl: Vec<KlRow>,
    /// Likelihoods.
    pub nll: Vec<NllRow>,
    /// Bits per code of whole images.
    #[serde(default)]
    pub likelihood: Vec<LikelihoodRow>,
    /// FID and KID.
    pub fid: Vec<FidRow>,
    /// Speed of sampling.
    pub time: Vec<TimeRow>,
    /// What could not be measured.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// A point of the quality-against-steps curve, from one KL map.
pub fn point(sampler: &str, steps: usize, row: &KlRow) -> Point {
    Point {
        sampler: sampler.into(),
        steps,
        kl: row.mean,
        seconds: row.seconds,
    }
}

/// Mean and spread of a value over `rows`, as text with `places` decimals.
fn spread_of<R>(rows: &[&R], places: usize, value: impl Fn(&R) -> f64) -> String {
    spread(
        &rows.iter().map(|row| value(row)).collect::<Vec<f64>>(),
        places,
    )
}

impl Evaluated {
    /// Adds the results of another evaluation.
    pub fn take(&mut self, more: Evaluation) {
        let results = more.results;
        self.reconstruction
            .extend(results.reconstruction.unwrap_or_default());
        self.codes.extend(results.codes.unwrap_or_default());
        self.kl.extend(results.kl.unwrap_or_default());
        self.nll.extend(results.nll.unwrap_or_default());
        self.likelihood
            .extend(results.likelihood.unwrap_or_default());
        self.fid.extend(results.fid.unwrap_or_default());
        self.time.extend(results.time.unwrap_or_default());
        self.missing.extend(more.missing);
    }

    /// Table 1, if all priors were measured.
    pub fn averaged_kl(&self) -> Option<Kl> {
        let first = self
            .kl
            .iter()
            .find(|row| row.is_first_of(Model::Diffusion))?;
        let of = |model: Model| -> Vec<f64> {
            model::of(&self.kl, model)
                .iter()
                .map(|row| row.mean)
                .collect()
        };
        Kl::new(first.count, first.floor, Model::PRIORS.map(of))
    }

    /// Figure 4: the maps of all priors and the floor side by side, on one scale.
    pub fn maps(&self) -> Option<image::RgbImage> {
        let of = |model: Model| {
            self.kl
                .iter()
                .find(|row| row.is_first_of(model))
                .map(|row| (model, row))
        };
        let rows: Vec<(Model, &KlRow)> = Model::PRIORS.into_iter().filter_map(of).collect();
        let (_, first) = rows.first()?;
        let map = |(model, row): &(Model, &'_ KlRow)| format!("{}: {:.3}", title(*model), row.mean);
        let maps = rows
            .iter()
            .map(|of| (map(of), of.1.grid, of.1.map.as_slice()));
        let floor = (
            format!("Two draws of the data: {:.3}", first.floor),
            first.grid,
            first.floor_map.as_slice(),
        );
        Some(figures::heat_maps(
            &maps.chain([floor]).collect::<Vec<_>>(),
            "KL, nats",
        ))
    }

    /// Metrics that are not in the paper: headings, and rows with a value for each model.
    pub fn more(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let row = |name: &str, value: &dyn Fn(Model) -> Option<String>| {
            let cells = Model::ALL.map(|model| value(model).unwrap_or_else(|| "—".into()));
            std::iter::once(name.to_string())
                .chain(cells)
                .collect::<Vec<_>>()
        };
        let codes = |name: &str, value: &dyn Fn(&[&CodesRow], &CodesRow) -> String| {
            let cell = |model: Model| {
                let rows = model::of(&self.codes, model);
                rows.first().map(|first| value(&rows, first))
            };
            row(name, &cell)
        };
        let kl = |name: &str, value: &dyn Fn(&[&KlRow], &KlRow) -> String| {
            let cell = |model: Model| {
                let rows = model::of(&self.kl, model);
                rows.first().map(|first| value(&rows, first))
            };
            row(name, &cell)
        };
        let psnr = |r: &ReconstructionRow| r.psnr.map(|psnr| format!("{psnr:.2}"));
        let ssim = |r: &ReconstructionRow| r.ssim.map(|ssim| format!("{ssim:.3}"));
        let rows = vec![
            kl("samples", &|_, first| {
                format!(
                    "{}, {}{}",
                    first.count,
                    sampled(&first.sampler),
                    sharpened(first.sharpen)
                )
            }),
            kl("seeds", &|rows, _| rows.len().to_string()),
            kl(
                "KL averaged over positions (floor), nats",
                &|rows, first| format!("{} ({:.3})", spread_of(rows, 3, |r| r.mean), first.floor),
            ),
            codes("total variation of single codes (floor)", &|rows, first| {
                format!(
                    "{} ({:.3})",
                    spread_of(rows, 3, |r| r.codes),
                    first.codes_floor
                )
            }),
            codes(
                "total variation of neighbouring pairs (floor)",
                &|rows, first| {
                    format!(
                        "{} ({:.3})",
                        spread_of(rows, 3, |r| r.pairs),
                        first.pairs_floor
                    )
                },
            ),
            codes("perplexity of codes (data)", &|rows, first| {
                format!(
                    "{} ({:.0})",
                    spread_of(rows, 0, |r| r.perplexity[0]),
                    first.perplexity[1]
                )
            }),
            codes("codes in use (data)", &|rows, first| {
                format!(
                    "{} ({})",
                    spread_of(rows, 0, |r| r.used[0] as f64),
                    first.used[1]
                )
            }),
            row("bits per code of held-out images", &|model| {
                self.bits(model)
            }),
            row(
                "NLL of single hidden codes, mean over holes, bits",
                &|model| self.single_bits(model),
            ),
            row("PSNR of reconstructions, dB", &|model| {
                self.vqvae_of(model).and_then(psnr)
            }),
            row("SSIM of reconstructions", &|model| {
                self.vqvae_of(model).and_then(ssim)
            }),
        ];
        let names = Model::ALL.map(|model| model.name().to_string());
        (std::iter::once(String::new()).chain(names).collect(), rows)
    }

    /// Bits per code over the seeds, as text; for a diffusion prior an upper bound.
    fn bits(&self, model: Model) -> Option<String> {
        let rows = model::of(&self.likelihood, model);
        let bound = if rows.first()?.exact { "" } else { "≤ " };
        Some(format!("{bound}{}", spread_of(&rows, 3, |row| row.bits)))
    }

    /// −log₂ p of single hidden codes, averaged over the holes, over the seeds as text.
    fn single_bits(&self, model: Model) -> Option<String> {
        let mut runs: Vec<&str> = Vec::new();
        for row in model::of(&self.nll, model) {
            if !runs.contains(&row.run.as_str()) {
                runs.push(&row.run);
            }
        }
        let of_run = |run: &str| {
            let single: Vec<&NllRow> = self
                .nll
                .iter()
                .filter(|row| row.run == run && row.law == Law::Single)
                .collect();
            // Prefer the estimate of a network that is conditioned on the known codes; else the one
            // with the fitted temperature.
            let best = |row: &&&NllRow| row.temperature.is_none();
            let told: Vec<f64> = single.iter().filter(best).map(|row| row.mean).collect();
            let fitted: Vec<f64> = single
                .iter()
                .filter(|row| row.fitted)
                .map(|row| row.mean)
                .collect();
            let values = if told.is_empty() { fitted } else { told };
            values.iter().sum::<f64>() / values.len() as f64
        };
        let values: Vec<f64> = runs.into_iter().map(of_run).collect();
        (!values.is_empty()).then(|| spread(&values, 2))
    }

    /// The VQ-VAE of `model`: the priors share a frozen one.
    fn vqvae_of(&self, model: Model) -> Option<&ReconstructionRow> {
        let frozen = |row: &&ReconstructionRow| Model::PRIORS.iter().any(|prior| row.is_of(*prior));
        let own = self
            .reconstruction
            .iter()
            .find(|row| row.is_first_of(model));
        own.or_else(|| {
            self.reconstruction
                .iter()
                .find(frozen)
                .filter(|_| model != Model::EndToEnd)
        })
    }
}

/// The model's name in a KL map.
fn title(model: Model) -> &'static str {
    match model {
        Model::Diffusion => "Diffusion prior",
        Model::PaperDiffusion => "As in the paper",
        Model::PixelCnn => "PixelCNN prior",
        Model::EndToEnd => "End to end",
    }
}

/// Plots quality against steps.
pub fn curve(steps: &Steps) -> image::RgbImage {
    let of = |name: &str| -> Vec<(f64, f64)> {
        let points = steps.points.iter().filter(|p| p.sampler == name);
        points.map(|p| (p.steps as f64, p.kl)).collect()
    };
    // Horizontal lines get a point at each step of the other curves, because the legend avoids
    // points.
    let level = |kl: f64| of("ddim").iter().map(|&(n, _)| (n, kl)).collect::<Vec<_>>();
    let all = steps.points.iter().find(|p| p.sampler == "ancestral");
    let ancestral = all.map_or_else(Vec::new, |p| level(p.kl));
    let name = all.map_or_else(String::new, |p| format!("ancestral, {} steps", p.steps));
    let dpm = of("dpmpp2m");
    let ddim = of("ddim");
    let floor = level(steps.floor);
    let series: [(&str, &[(f64, f64)]); 4] = [
        ("DPM++(2M)", &dpm),
        ("DDIM", &ddim),
        (&name, &ancestral),
        ("two draws of the data", &floor),
    ];
    figures::curves(
        "Quality against sampling steps",
        "sampling steps",
        "averaged KL, nats",
        false,
        &series,
    )
}
