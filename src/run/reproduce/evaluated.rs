//! What evaluations of the priors give for the report: values for the paper's tables, quality against steps, and the rest.

use serde::{Deserialize, Serialize};

use super::compared::Line;
use super::published::{Metric, Model};
use super::verdicts::{Kl, Point, Steps};
use crate::config::Stage;
use crate::run::figures;
use crate::run::images::evaluate::{
    CodesRow, Evaluation, FidRow, KlRow, Law, Missing, NllRow, ReconstructionRow, TimeRow,
};

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evaluated {
    /// Of the VQ-VAEs.
    pub reconstruction: Vec<ReconstructionRow>,
    /// Laws of codes.
    pub codes: Vec<CodesRow>,
    /// KL maps.
    pub kl: Vec<KlRow>,
    /// Likelihoods.
    pub nll: Vec<NllRow>,
    /// FID and KID.
    pub fid: Vec<FidRow>,
    /// Speed.
    pub time: Vec<TimeRow>,
    /// What could not be measured.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// A point of quality against steps, of one KL map.
pub fn point(sampler: &str, steps: usize, row: &KlRow) -> Point {
    Point { sampler: sampler.into(), steps, kl: row.mean, seconds: row.seconds }
}

/// The model that a stage trains a prior of.
fn model(stage: Stage) -> Model {
    match stage {
        Stage::PixelCnn => Model::PixelCnn,
        Stage::Joint => Model::EndToEnd,
        Stage::Prior | Stage::VqVae => Model::Diffusion,
    }
}

impl Evaluated {
    /// Adds what another evaluation found.
    pub fn take(&mut self, more: Evaluation) {
        self.reconstruction.extend(more.reconstruction.unwrap_or_default());
        self.codes.extend(more.codes.unwrap_or_default());
        self.kl.extend(more.kl.unwrap_or_default());
        self.nll.extend(more.nll.unwrap_or_default());
        self.fid.extend(more.fid.unwrap_or_default());
        self.time.extend(more.time.unwrap_or_default());
        self.missing.extend(more.missing);
    }

    /// Table 1, if both priors were measured.
    pub fn averaged_kl(&self) -> Option<Kl> {
        let of = |stage: Stage| self.kl.iter().find(|row| row.stage == stage);
        let (ours, theirs) = (of(Stage::Prior)?, of(Stage::PixelCnn)?);
        let (diffusion, pixelcnn, floor) = (ours.mean, theirs.mean, ours.floor);
        Some(Kl { samples: ours.count, diffusion, pixelcnn, floor })
    }

    /// Figure 4: the maps of both priors and the floor side by side, on one scale.
    pub fn maps(&self) -> Option<image::RgbImage> {
        let rows: Vec<&KlRow> = self.kl.iter().filter(|row| row.stage != Stage::Joint).collect();
        let first = rows.first()?;
        let maps = rows.iter().map(|row| (format!("{}: {:.3}", row.title(), row.mean), row.grid, row.map.as_slice()));
        let floor = (format!("Two draws of the data: {:.3}", first.floor), first.grid, first.floor_map.as_slice());
        Some(figures::heat_maps(&maps.chain([floor]).collect::<Vec<_>>(), "KL, nats"))
    }

    /// Values for the paper's tables.
    pub fn lines(&self) -> Vec<Line> {
        let kl = self.kl.iter().map(of_kl);
        let lines = kl.chain(self.nll.iter().map(of_nll)).chain(self.fid.iter().flat_map(of_fid));
        lines.chain(self.time.iter().map(of_time)).collect()
    }

    /// Metrics that the paper does not have: heads, and rows with a value for each prior.
    pub fn more(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let stages = [Stage::Prior, Stage::PixelCnn, Stage::Joint];
        let of_run = |run: &str, stage: Stage| run.rsplit(['/', '\\']).next() == Some(stage.name());
        let codes = |stage| self.codes.iter().find(|row| of_run(&row.run, stage));
        let kl = |stage| self.kl.iter().find(|row| row.stage == stage);
        let beside = |value: f64, floor: f64| format!("{value:.3} ({floor:.3})");
        let row = |name: &str, value: &dyn Fn(Stage) -> Option<String>| {
            let cells = stages.iter().map(|&stage| value(stage).unwrap_or_else(|| "—".into()));
            std::iter::once(name.to_string()).chain(cells).collect::<Vec<_>>()
        };
        let of_vqvae = |stage: Stage, value: fn(&ReconstructionRow) -> Option<String>| {
            // The frozen VQ-VAE is that of both priors.
            let own = self.reconstruction.iter().find(|row| of_run(&row.run, stage));
            own.or(self.reconstruction.first().filter(|_| stage == Stage::PixelCnn)).and_then(value)
        };
        let rows = vec![
            row("samples", &|s| kl(s).map(|r| format!("{}, {}", r.count, sampled(&r.sampler)))),
            row("KL at each position, averaged (floor), nats", &|s| kl(s).map(|r| beside(r.mean, r.floor))),
            row("total variation of single codes (floor)", &|s| codes(s).map(|r| beside(r.codes, r.codes_floor))),
            row("total variation of neighbouring pairs (floor)", &|s| codes(s).map(|r| beside(r.pairs, r.pairs_floor))),
            row("perplexity of codes (data)", &|s| {
                codes(s).map(|r| format!("{:.0} ({:.0})", r.perplexity[0], r.perplexity[1]))
            }),
            row("codes in use (data)", &|s| codes(s).map(|r| format!("{} ({})", r.used[0], r.used[1]))),
            row("PSNR of reconstructions, dB", &|s| of_vqvae(s, |r| r.psnr.map(|psnr| format!("{psnr:.2}")))),
            row("SSIM of reconstructions", &|s| of_vqvae(s, |r| r.ssim.map(|ssim| format!("{ssim:.3}")))),
        ];
        let names = stages.iter().map(|&stage| model(stage).name().to_string());
        (std::iter::once(String::new()).chain(names).collect(), rows)
    }
}

fn of_kl(row: &KlRow) -> Line {
    Line {
        metric: Metric::Kl,
        model: model(row.stage),
        text: format!("{:.3} (floor {:.3})", row.mean, row.floor),
        value: row.mean,
        conditions: format!("M = {} encodings and samples, {}", row.count, sampled(&row.sampler)),
        as_paper: true,
    }
}

/// A sampler and its steps as a sentence has them.
fn sampled(sampler: &str) -> String {
    match sampler.split_once(' ') {
        Some((name, steps)) => format!("`{name}` in {steps} steps"),
        None => "in raster order".into(),
    }
}

fn of_nll(row: &NllRow) -> Line {
    let law = match row.law {
        Law::Joint => "all hidden codes together",
        Law::Single => "each hidden code alone",
    };
    let mut conditions = format!("{} ({} of {} cells), {law}: {}", row.mask, row.cells[0], row.cells[1], row.estimator);
    if let Some(tau) = row.temperature {
        conditions += &if row.fitted { format!(", τ = {tau:.3} (fitted)") } else { ", τ = 1 (the paper's)".into() };
    }
    conditions += &format!("; {} pictures", row.images);
    if let Some(samples) = row.samples {
        conditions += &format!(" × {samples} fillings");
    }
    if let Some([steps, passes]) = row.steps {
        conditions += &format!(", {steps} steps × {passes} passes");
    }
    let text = format!("{:.2} (± {:.2})", row.mean, row.std);
    let as_paper = row.mask.starts_with("centre") && row.law == Law::Joint && !row.fitted;
    Line { metric: Metric::Nll, model: model(row.stage), text, value: row.mean, conditions, as_paper }
}

/// Against reconstructions as in the paper, and against the pictures; FID, then KID.
fn of_fid(row: &FidRow) -> Vec<Line> {
    let line = |name: &str, text: String, value: f64, as_paper: bool| Line {
        metric: Metric::Fid,
        model: model(row.stage),
        text,
        value,
        conditions: format!(
            "{name}; {} samples, {}, and as many held-out pictures; weights {}",
            row.count,
            sampled(&row.sampler),
            row.weights.get(..8).unwrap_or_default()
        ),
        as_paper,
    };
    let [subsets, size] = row.subsets;
    let plural = if subsets == 1 { "subset" } else { "subsets" };
    let kid = |(mean, std): (f64, Option<f64>), to: &str| {
        let text = std.map_or_else(|| format!("{mean:.4}"), |std| format!("{mean:.4} (± {std:.4})"));
        line(&format!("KID to {to}, {subsets} {plural} of {size}"), text, mean, false)
    };
    vec![
        line("FID to reconstructions", format!("{:.1}", row.fid), row.fid, true),
        line("FID to the pictures", format!("{:.1}", row.fid_data), row.fid_data, false),
        kid(row.kid, "reconstructions"),
        kid(row.kid_data, "the pictures"),
    ]
}

fn of_time(row: &TimeRow) -> Line {
    let steps = if row.stage == Stage::PixelCnn { String::new() } else { format!(", {} steps", row.steps) };
    let scaled = row.extrapolated_from.map_or_else(String::new, |n| format!(", scaled from {n} steps"));
    let as_paper = ["ancestral", "raster, naive"].contains(&row.sampler.as_str());
    Line {
        metric: Metric::Time,
        model: model(row.stage),
        text: format!("{:.4} s ({:.4} to {:.4})", row.seconds, row.spread[0], row.spread[1]),
        value: row.seconds,
        conditions: format!(
            "{}{steps}; batches of {}, median of {} after a warm-up{scaled}; in kernels {:.4} s",
            row.sampler, row.batch, row.repeats, row.gpu_seconds
        ),
        as_paper,
    }
}

/// Quality against steps as curves.
pub fn curve(steps: &Steps) -> image::RgbImage {
    let of = |name: &str| -> Vec<(f64, f64)> {
        let points = steps.points.iter().filter(|p| p.sampler == name);
        points.map(|p| (p.steps as f64, p.kl)).collect()
    };
    // Levels have a point at each of the others' steps: the legend keeps away from points.
    let level = |kl: f64| of("ddim").iter().map(|&(n, _)| (n, kl)).collect::<Vec<_>>();
    let all = steps.points.iter().find(|p| p.sampler == "ancestral");
    let ancestral = all.map_or_else(Vec::new, |p| level(p.kl));
    let name = all.map_or_else(String::new, |p| format!("ancestral, {} steps", p.steps));
    let (dpm, ddim, floor) = (of("dpmpp2m"), of("ddim"), level(steps.floor));
    let series: [(&str, &[(f64, f64)]); 4] =
        [("DPM++(2M)", &dpm), ("DDIM", &ddim), (&name, &ancestral), ("two draws of the data", &floor)];
    figures::curves("Quality against sampling steps", "sampling steps", "averaged KL, nats", false, &series)
}
