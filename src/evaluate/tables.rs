//! The results as tables for people.

use super::missing::{Missing, sentences};
use super::nll::{Law, NllRow};
use super::{Evaluation, RunFacts, features as fid};
use crate::report::table::{self, Column, fit, terminal_width};

/// What stands for a value that is missing.
const DASH: &str = "—";

/// A table under its title, with a note below.
struct Section {
    title: String,
    columns: Vec<Column>,
    note: String,
}

/// Results by run, `None` for one whose metric is missing.
struct Rows<'a, R>(Vec<(&'a str, Option<&'a R>)>);

impl<'a, R> Rows<'a, R> {
    /// Those of `metric`, if there are any.
    fn of(
        evaluation: &'a Evaluation,
        metric: &str,
        rows: Option<&'a Vec<R>>,
        run: fn(&R) -> &str,
    ) -> Option<Self> {
        let found = rows.into_iter().flatten().map(|row| (run(row), Some(row)));
        let missing = evaluation
            .missing
            .iter()
            .filter(|m| m.has(metric))
            .map(|m| (m.run.as_str(), None));
        let all: Vec<_> = found.chain(missing).collect();
        (!all.is_empty()).then_some(Rows(all))
    }

    fn runs(&self) -> Column {
        Column::left(
            "run",
            self.0.iter().map(|(run, _)| (*run).to_string()).collect(),
            0,
        )
    }

    fn cells(&self, text: impl Fn(&R) -> String) -> Vec<String> {
        self.0
            .iter()
            .map(|(_, row)| row.map_or_else(|| DASH.into(), &text))
            .collect()
    }

    fn left(&self, head: &'static str, rank: u8, text: impl Fn(&R) -> String) -> Column {
        Column::left(head, self.cells(text), rank)
    }

    fn right(&self, head: &'static str, rank: u8, text: impl Fn(&R) -> String) -> Column {
        Column::right(head, self.cells(text), rank)
    }
}

/// All tables that have rows.
pub(super) fn text(evaluation: &Evaluation) -> String {
    let tables = [
        runs,
        reconstruction,
        codes,
        kl,
        nll,
        likelihood,
        distances,
        time,
    ];
    let width = terminal_width();
    let mut out = String::new();
    for Section {
        title,
        columns,
        note,
    } in tables.iter().filter_map(|table| table(evaluation))
    {
        out += &format!(
            "\n{}\n{}",
            table::wrapped(&title, 0, width),
            table::text(&fit(columns, width))
        );
        if !note.is_empty() {
            out += &format!("{}\n", table::wrapped(&note, 0, width));
        }
    }
    out.trim_start().to_string()
}

/// `note`, and why metrics of these names are missing.
fn noted(evaluation: &Evaluation, metrics: &[&str], note: &str) -> String {
    let missing = evaluation
        .missing
        .iter()
        .filter(|m: &&Missing| metrics.iter().any(|name| m.has(name)));
    let all: Vec<String> = std::iter::once(note.to_string())
        .chain(sentences(missing))
        .collect();
    all.join(" ").trim().to_string()
}

fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| DASH.into(), |value| format!("{value:.decimals$}"))
}

/// A sampler and its steps, and by how much it sharpens.
fn sampler(name: &str, sharpen: Option<f64>) -> String {
    match sharpen {
        Some(factor) if factor != 1.0 => format!("{name}, sharpened × {factor}"),
        _ => name.into(),
    }
}

/// What a floor is.
fn floor(evaluation: &Evaluation) -> String {
    format!(
        "Floor: the same between two draws of the data, held-out pictures and {}.",
        evaluation.second_draw
    )
}

fn runs(evaluation: &Evaluation) -> Option<Section> {
    let own = |r: &RunFacts| {
        if r.first_runs_codes {
            ""
        } else {
            "a codebook of its own"
        }
        .to_string()
    };
    let runs = &evaluation.runs;
    let columns = vec![
        Column::left("run", runs.iter().map(|r| r.path.clone()).collect(), 0),
        Column::left(
            "stage",
            runs.iter().map(|r| r.stage.name().to_string()).collect(),
            0,
        ),
        Column::right(
            "training steps",
            runs.iter().map(|r| r.step.to_string()).collect(),
            1,
        ),
        Column::left("codes", runs.iter().map(own).collect(), 2),
    ];
    Some(Section {
        title: "Runs".into(),
        columns,
        note: String::new(),
    })
}

fn reconstruction(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(
        evaluation,
        "reconstruction",
        evaluation.reconstruction.as_ref(),
        |r| &r.run,
    )?;
    let columns = vec![
        rows.runs(),
        rows.right("pictures", 1, |r| r.count.to_string()),
        rows.right("MSE", 2, |r| format!("{:.4}", r.mse)),
        rows.right("PSNR, dB", 0, |r| or_dash(r.psnr, 2)),
        rows.right("SSIM", 0, |r| or_dash(r.ssim, 3)),
    ];
    let note = noted(evaluation, &["reconstruction", "psnr", "ssim"], "");
    Some(Section {
        title: "Reconstruction of held-out pictures".into(),
        columns,
        note,
    })
}

fn codes(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(evaluation, "codes", evaluation.codes.as_ref(), |r| &r.run)?;
    let beside = |value: f64, floor: f64| format!("{value:.3} ({floor:.3})");
    let columns = vec![
        rows.runs(),
        rows.left("sampler", 1, |r| sampler(&r.sampler, r.sharpen)),
        rows.right("samples", 2, |r| r.count.to_string()),
        rows.right("codes (floor)", 0, |r| beside(r.codes, r.codes_floor)),
        rows.right("pairs (floor)", 0, |r| beside(r.pairs, r.pairs_floor)),
        rows.right("perplexity (data)", 3, |r| {
            format!("{:.1} ({:.1})", r.perplexity[0], r.perplexity[1])
        }),
        rows.right("used (data)", 4, |r| {
            format!("{} ({})", r.used[0], r.used[1])
        }),
    ];
    let title =
        "Codes: total variation to the data, of single codes and of pairs of neighbours".into();
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["codes"], &floor(evaluation)),
    })
}

fn kl(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(evaluation, "kl", evaluation.kl.as_ref(), |r| &r.run)?;
    let columns = vec![
        rows.runs(),
        rows.left("sampler", 1, |r| sampler(&r.sampler, r.sharpen)),
        rows.right("samples", 2, |r| r.count.to_string()),
        rows.right("KL", 0, |r| format!("{:.3}", r.mean)),
        rows.right("floor", 0, |r| format!("{:.3}", r.floor)),
    ];
    let title = "KL of the codes' laws at each position, averaged, nats".into();
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["kl"], &floor(evaluation)),
    })
}

fn nll(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(evaluation, "nll", evaluation.nll.as_ref(), |r| &r.run)?;
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
        // Of one picture there is no deviation.
        rows.right("bits a code", 0, |r| match r.images {
            1 => format!("{:.2}", r.mean),
            _ => format!("{:.2} ± {:.2}", r.mean, r.std),
        }),
        rows.right("pictures", 2, |r| r.images.to_string()),
        rows.right("fillings", 3, |r| {
            r.samples.map_or_else(String::new, |n| n.to_string())
        }),
        rows.left("estimator", 4, |r| r.estimator.clone()),
    ];
    let note = "joint: of all hidden codes together; single: of each alone. ± is the deviation over pictures. The PixelCNN's joint \
                value sees the true codes of the hole; docs/metrics.md says which values can be compared.";
    let title = "Negative log-likelihood of hidden codes".into();
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["nll"], note),
    })
}

fn likelihood(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(
        evaluation,
        "likelihood",
        evaluation.likelihood.as_ref(),
        |r| &r.run,
    )?;
    let columns = vec![
        rows.runs(),
        rows.right("bits a code", 0, |r| {
            format!(
                "{}{:.3} ± {:.3}",
                if r.exact { "" } else { "≤ " },
                r.bits,
                r.error
            )
        }),
        rows.right("of it L_T", 1, |r| or_dash(r.last, 4)),
        rows.right("and L_0", 1, |r| or_dash(r.first, 4)),
        rows.right("pictures", 2, |r| r.images.to_string()),
        rows.right("levels", 3, |r| {
            r.levels.map_or_else(String::new, |n| n.to_string())
        }),
    ];
    let note = "PixelCNN: exact, by the chain rule. Diffusion priors: a bound from above. ± is the standard error over pictures.";
    let title = "Likelihood of the codes of whole held-out pictures".into();
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["likelihood"], note),
    })
}

fn distances(evaluation: &Evaluation) -> Option<Section> {
    let found = evaluation.fid.as_ref();
    let rows = Rows::of(evaluation, "fid", found, |r| &r.run)?;
    let kid = |(mean, std): (f64, Option<f64>)| {
        std.map_or_else(
            || format!("{mean:.4}"),
            |std| format!("{mean:.4} ± {std:.4}"),
        )
    };
    let mut columns = vec![
        rows.runs(),
        rows.left("sampler", 1, |r| r.sampler.clone()),
        rows.right("FID, reconstructions", 0, |r| format!("{:.2}", r.fid)),
        rows.right("FID, data", 0, |r| format!("{:.2}", r.fid_data)),
    ];
    let reference = found
        .into_iter()
        .flatten()
        .find_map(|row| row.reference.clone());
    if reference.is_some() {
        columns.push(rows.right("FID, reference", 0, |r| or_dash(r.fid_reference, 2)));
    }
    columns.extend([
        rows.right("KID, reconstructions", 1, |r| kid(r.kid)),
        rows.right("KID, data", 1, |r| kid(r.kid_data)),
        rows.right("subsets", 3, |r| {
            format!("{} of {}", r.subsets[0], r.subsets[1])
        }),
        rows.right("images", 2, |r| r.count.to_string()),
    ]);
    let first = found.and_then(|rows| rows.first());
    let subsets = first.map(|row| match row.subsets {
        [1, _] => "KID: of all images as one subset, which has no ±.".to_string(),
        [subsets, size] => {
            format!("KID: mean ± standard deviation over {subsets} subsets of {size} images.")
        }
    });
    let reference = reference.map(|file| format!("Reference: {file}."));
    let parts = [
        reference,
        subsets,
        first.and_then(|row| fid::warning(row.count)),
    ];
    let note = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let title = "FID and KID of samples to reconstructions and to held-out pictures".into();
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["fid"], &note),
    })
}

fn time(evaluation: &Evaluation) -> Option<Section> {
    let rows = Rows::of(evaluation, "time", evaluation.time.as_ref(), |r| &r.run)?;
    let columns = vec![
        rows.runs(),
        rows.left("sampler", 0, |r| r.sampler.clone()),
        rows.right("steps", 0, |r| r.steps.to_string()),
        rows.right("s/sample", 0, |r| format!("{:.4}", r.seconds)),
        rows.right("in kernels", 1, |r| format!("{:.4}", r.gpu_seconds)),
        rows.right("least to most", 2, |r| {
            format!("{:.4} to {:.4}", r.spread[0], r.spread[1])
        }),
        rows.right("batches", 3, |r| r.repeats.to_string()),
        rows.left("scaled from", 2, |r| {
            r.extrapolated_from
                .map_or_else(String::new, |n| format!("{n} steps"))
        }),
    ];
    let title = format!(
        "Time of a sample, in batches of 32, on {}",
        evaluation.adapter
    );
    Some(Section {
        title,
        columns,
        note: noted(evaluation, &["time"], ""),
    })
}
