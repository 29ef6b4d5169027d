//! Values for the paper's tables, with mean and standard deviation over several seeds.

use super::compared::Line;
use super::evaluated::Evaluated;
use super::model::{Model, OfRun, by_seed};
use super::published::Metric;
use super::report::spread;
use super::wording::{sampled, sharpened};
use crate::evaluate::{FidRow, KlRow, Law, NllRow, TimeRow};

/// All values of `evaluated`; times are those of the first seed.
pub fn of(evaluated: &Evaluated) -> Vec<Line> {
    let kl = by_seed(&evaluated.kl, |_| ());
    let nll = by_seed(&evaluated.nll, |row| {
        (&row.mask, row.law, row.fitted, &row.estimator)
    });
    let fid = by_seed(&evaluated.fid, |_| ());
    let lines = kl
        .iter()
        .map(of_kl)
        .chain(nll.iter().map(of_nll))
        .chain(fid.iter().flat_map(of_fid));
    lines
        .chain(evaluated.time.iter().filter_map(of_time))
        .collect()
}

/// Formats the values of the seeds, followed in brackets by the number of seeds and `beside`.
fn text(values: &[f64], places: usize, beside: &str) -> String {
    let mut inside = Vec::new();
    if values.len() > 1 {
        inside.push(format!("n = {}", values.len()));
    }
    if !beside.is_empty() {
        inside.push(beside.to_string());
    }
    let text = spread(values, places);
    if inside.is_empty() {
        text
    } else {
        format!("{text} ({})", inside.join("; "))
    }
}

/// Mean of at least one value.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn values<R>(rows: &[&R], value: impl Fn(&R) -> f64) -> Vec<f64> {
    rows.iter().map(|row| value(row)).collect()
}

fn of_kl((model, rows): &(Model, Vec<&KlRow>)) -> Line {
    let first = rows[0];
    let values = values(rows, |row| row.mean);
    Line {
        metric: Metric::Kl,
        model: *model,
        text: text(&values, 3, &format!("floor {:.3}", first.floor)),
        value: mean(&values),
        values,
        conditions: format!(
            "M = {} encodings and samples, {}{}",
            first.count,
            sampled(&first.sampler),
            sharpened(first.sharpen)
        ),
        as_paper: true,
    }
}

fn of_nll((model, rows): &(Model, Vec<&NllRow>)) -> Line {
    let row = rows[0];
    let law = match row.law {
        Law::Joint => "all hidden codes together",
        Law::Single => "each hidden code alone",
    };
    let mut conditions = format!(
        "{} ({} of {} cells), {law}: {}",
        row.mask, row.cells[0], row.cells[1], row.estimator
    );
    if row.temperature.is_some() {
        conditions += &if row.fitted {
            fitted(rows)
        } else {
            ", τ = 1 (the paper's)".into()
        };
    }
    conditions += &format!("; {} images", row.images);
    if let Some(samples) = row.samples {
        conditions += &format!(" × {samples} fillings");
    }
    if let Some([steps, passes]) = row.steps {
        conditions += &format!(", {steps} steps × {passes} passes");
    }
    let values = values(rows, |row| row.mean);
    let std = mean(&rows.iter().map(|row| row.std).collect::<Vec<_>>());
    let of_pictures = if rows.len() > 1 { " over images" } else { "" };
    Line {
        metric: Metric::Nll,
        model: *model,
        text: text(&values, 2, &format!("± {std:.2}{of_pictures}")),
        value: mean(&values),
        values,
        conditions,
        as_paper: row.mask.starts_with("centre")
            && row.law == Law::Joint
            && !row.fitted
            && is_papers(*model, row),
    }
}

/// Whether `row` uses the paper's estimator: the chain rule for a PixelCNN, distances of fillings
/// for a diffusion prior.
fn is_papers(model: Model, row: &NllRow) -> bool {
    row.temperature.is_some() != (model == Model::PixelCnn)
}

/// The fitted temperature of each seed, as text.
fn fitted(rows: &[&NllRow]) -> String {
    let each = rows
        .iter()
        .filter_map(|row| row.temperature)
        .map(|tau| format!("{tau:.3}"));
    format!(", τ = {} (fitted)", each.collect::<Vec<_>>().join(" and "))
}

/// FID, then KID, each against reconstructions as in the paper and against the images.
fn of_fid((model, rows): &(Model, Vec<&FidRow>)) -> Vec<Line> {
    let row = rows[0];
    let line = |name: &str, text: String, values: Vec<f64>, as_paper: bool| Line {
        metric: Metric::Fid,
        model: *model,
        text,
        value: mean(&values),
        values,
        conditions: format!(
            "{name}; {} samples, {}, and as many held-out images; weights {}",
            row.count,
            sampled(&row.sampler),
            row.weights.get(..8).unwrap_or_default()
        ),
        as_paper,
    };
    let [subsets, size] = row.subsets;
    let plural = if subsets == 1 { "subset" } else { "subsets" };
    let fid = |name: &str, value: fn(&FidRow) -> f64, as_paper: bool| {
        let values = values(rows, value);
        line(name, text(&values, 1, ""), values, as_paper)
    };
    let kid = |to: &str, value: fn(&FidRow) -> (f64, Option<f64>)| {
        let values = values(rows, |row| value(row).0);
        let beside = match value(row).1 {
            Some(std) if rows.len() > 1 => format!("± {std:.4} over subsets"),
            Some(std) => format!("± {std:.4}"),
            None => String::new(),
        };
        line(
            &format!("KID to {to}, {subsets} {plural} of {size}"),
            text(&values, 4, &beside),
            values,
            false,
        )
    };
    vec![
        fid("FID to reconstructions", |row| row.fid, true),
        fid("FID to the images", |row| row.fid_data, false),
        kid("reconstructions", |row| row.kid),
        kid("the images", |row| row.kid_data),
    ]
}

fn of_time(row: &TimeRow) -> Option<Line> {
    let (model, _) = Model::of(&row.run).filter(|(model, _)| row.is_first_of(*model))?;
    let steps = if model == Model::PixelCnn {
        String::new()
    } else {
        format!(", {} steps", row.steps)
    };
    let scaled = row
        .extrapolated_from
        .map_or_else(String::new, |n| format!(", scaled from {n} steps"));
    let as_paper = ["ancestral", "raster, naive"].contains(&row.sampler.as_str());
    Some(Line {
        metric: Metric::Time,
        model,
        text: format!(
            "{:.4} s ({:.4} to {:.4})",
            row.seconds, row.spread[0], row.spread[1]
        ),
        value: row.seconds,
        values: vec![row.seconds],
        conditions: format!(
            "{}{steps}; batches of {}, median of {} after a warm-up{scaled}; in kernels {:.4} s",
            row.sampler, row.batch, row.repeats, row.gpu_seconds
        ),
        as_paper,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stage;

    /// A row of the run `run` with a KL of `mean`.
    fn kl(run: &str, mean: f64) -> KlRow {
        KlRow {
            run: format!("runs/{run}"),
            stage: Stage::Prior,
            sharpen: None,
            sampler: "dpmpp2m 20".into(),
            count: 8,
            mean,
            floor: 0.25,
            grid: 1,
            map: vec![mean],
            floor_map: vec![0.25],
            seconds: 0.1,
        }
    }

    fn nll(run: &str, mean: f64, tau: f64) -> NllRow {
        NllRow {
            run: run.into(),
            stage: Stage::Prior,
            mask: "centre:2".into(),
            cells: [4, 16],
            law: Law::Joint,
            estimator: "Monte Carlo over z_0".into(),
            temperature: Some(tau),
            fitted: tau < 1.0,
            images: 4,
            samples: Some(2),
            steps: Some([5, 2]),
            mean,
            std: 0.5,
        }
    }

    #[test]
    fn seeds_become_a_mean_and_their_spread() {
        let evaluated = Evaluated {
            kl: vec![
                kl("prior", 0.3),
                kl("prior-paper", 0.5),
                kl("prior-seed1", 0.5),
            ],
            nll: vec![
                nll("prior", 2.0, 1.0),
                nll("prior", 1.0, 0.1),
                nll("prior-seed1", 2.0, 0.2),
            ],
            ..Evaluated::default()
        };
        let lines = of(&evaluated);
        let found: Vec<(Model, &str)> = lines
            .iter()
            .map(|line| (line.model, line.text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (Model::Diffusion, "0.400 ± 0.141 (n = 2; floor 0.250)"),
                (Model::PaperDiffusion, "0.500 (floor 0.250)"),
                (Model::Diffusion, "2.00 (± 0.50)"),
                (Model::Diffusion, "1.50 ± 0.71 (n = 2; ± 0.50 over images)"),
            ]
        );
        assert_eq!(
            (lines[0].value, &lines[0].values[..]),
            (0.4, &[0.3, 0.5][..])
        );
        assert!(
            lines[3].conditions.contains("τ = 0.100 and 0.200 (fitted)"),
            "{}",
            lines[3].conditions
        );
        assert!(lines[2].as_paper && !lines[3].as_paper);
    }
}
