//! The results as tables for people.

use super::nll::Law;
use super::{Evaluation, RunFacts};
use crate::run::fid;
use crate::run::table::{self, Column, fit, terminal_width};

/// All tables that have rows.
pub(super) fn text(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    let mut section = |title: String, columns: Vec<Column>, note: String| {
        let width = terminal_width();
        out += &format!("\n{}\n{}", table::wrapped(&title, 0, width), table::text(&fit(columns, width)));
        if !note.is_empty() {
            out += &format!("{}\n", table::wrapped(&note, 0, width));
        }
    };
    section("Runs".into(), runs(&evaluation.runs), String::new());
    if let Some(rows) = evaluation.reconstruction.as_deref().filter(|rows| !rows.is_empty()) {
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::right("pictures", rows.iter().map(|r| r.count.to_string()).collect(), 1),
            Column::right("MSE", rows.iter().map(|r| format!("{:.4}", r.mse)).collect(), 2),
            Column::right("PSNR, dB", rows.iter().map(|r| format!("{:.2}", r.psnr)).collect(), 0),
            Column::right("SSIM", rows.iter().map(|r| format!("{:.3}", r.ssim)).collect(), 0),
        ];
        section("Reconstruction of held-out pictures".into(), columns, String::new());
    }
    let floor =
        format!("Floor: the same between two draws of the data, held-out pictures and {}.", evaluation.second_draw);
    if let Some(rows) = evaluation.codes.as_deref().filter(|rows| !rows.is_empty()) {
        let beside = |value: f64, floor: f64| format!("{value:.3} ({floor:.3})");
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::left("sampler", rows.iter().map(|r| r.sampler.clone()).collect(), 1),
            Column::right("samples", rows.iter().map(|r| r.count.to_string()).collect(), 2),
            Column::right("codes (floor)", rows.iter().map(|r| beside(r.codes, r.codes_floor)).collect(), 0),
            Column::right("pairs (floor)", rows.iter().map(|r| beside(r.pairs, r.pairs_floor)).collect(), 0),
            Column::right(
                "perplexity (data)",
                rows.iter().map(|r| format!("{:.1} ({:.1})", r.perplexity[0], r.perplexity[1])).collect(),
                3,
            ),
            Column::right("used (data)", rows.iter().map(|r| format!("{} ({})", r.used[0], r.used[1])).collect(), 4),
        ];
        section(
            "Codes: total variation to the data, of single codes and of pairs of neighbours".into(),
            columns,
            floor.clone(),
        );
    }
    if let Some(rows) = evaluation.kl.as_deref().filter(|rows| !rows.is_empty()) {
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::left("sampler", rows.iter().map(|r| r.sampler.clone()).collect(), 1),
            Column::right("samples", rows.iter().map(|r| r.count.to_string()).collect(), 2),
            Column::right("KL", rows.iter().map(|r| format!("{:.3}", r.mean)).collect(), 0),
            Column::right("floor", rows.iter().map(|r| format!("{:.3}", r.floor)).collect(), 0),
        ];
        section("KL of the codes' laws at each position, averaged, nats".into(), columns, floor);
    }
    if let Some(rows) = evaluation.nll.as_deref().filter(|rows| !rows.is_empty()) {
        let law = |law: Law| if law == Law::Joint { "joint" } else { "single" }.to_string();
        let tau = |r: &super::NllRow| {
            r.temperature.map_or_else(String::new, |tau| format!("{tau:.3}{}", if r.fitted { " fitted" } else { "" }))
        };
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::left("hole", rows.iter().map(|r| r.mask.clone()).collect(), 0),
            Column::left("law", rows.iter().map(|r| law(r.law)).collect(), 0),
            Column::left("temperature", rows.iter().map(tau).collect(), 0),
            Column::right("bits a code", rows.iter().map(|r| format!("{:.2} ± {:.2}", r.mean, r.std)).collect(), 0),
            Column::right("pictures", rows.iter().map(|r| r.images.to_string()).collect(), 2),
            Column::right(
                "fillings",
                rows.iter().map(|r| r.samples.map_or_else(String::new, |n| n.to_string())).collect(),
                3,
            ),
            Column::left("estimator", rows.iter().map(|r| r.estimator.clone()).collect(), 4),
        ];
        let note = "joint: of all hidden codes together; single: of each alone. ± is the deviation over pictures. The PixelCNN's joint \
                    value sees the true codes of the hole; docs/metrics.md says which values can be compared.";
        section("Negative log-likelihood of hidden codes".into(), columns, note.into());
    }
    if let Some(rows) = evaluation.fid.as_deref().filter(|rows| !rows.is_empty()) {
        let kid = |[mean, std]: [f64; 2]| format!("{mean:.4} ± {std:.4}");
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::left("sampler", rows.iter().map(|r| r.sampler.clone()).collect(), 1),
            Column::right("FID, reconstructions", rows.iter().map(|r| format!("{:.2}", r.fid)).collect(), 0),
            Column::right("FID, data", rows.iter().map(|r| format!("{:.2}", r.fid_data)).collect(), 0),
            Column::right("KID, reconstructions", rows.iter().map(|r| kid(r.kid)).collect(), 1),
            Column::right("KID, data", rows.iter().map(|r| kid(r.kid_data)).collect(), 1),
            Column::right("images", rows.iter().map(|r| r.count.to_string()).collect(), 2),
        ];
        let note = rows.iter().find_map(|row| fid::warning(row.count)).unwrap_or_default();
        section("FID and KID of samples to reconstructions and to held-out pictures".into(), columns, note);
    }
    if let Some(rows) = evaluation.time.as_deref().filter(|rows| !rows.is_empty()) {
        let from = |r: &super::TimeRow| r.extrapolated_from.map_or_else(String::new, |n| format!("{n} steps"));
        let columns = vec![
            Column::left("run", rows.iter().map(|r| r.run.clone()).collect(), 0),
            Column::left("sampler", rows.iter().map(|r| r.sampler.clone()).collect(), 0),
            Column::right("steps", rows.iter().map(|r| r.steps.to_string()).collect(), 0),
            Column::right("s/sample", rows.iter().map(|r| format!("{:.4}", r.seconds)).collect(), 0),
            Column::right("in kernels", rows.iter().map(|r| format!("{:.4}", r.gpu_seconds)).collect(), 1),
            Column::right(
                "least to most",
                rows.iter().map(|r| format!("{:.4} to {:.4}", r.spread[0], r.spread[1])).collect(),
                2,
            ),
            Column::right("batches", rows.iter().map(|r| r.repeats.to_string()).collect(), 3),
            Column::left("scaled from", rows.iter().map(from).collect(), 2),
        ];
        section(format!("Time of a sample, in batches of 32, on {}", evaluation.adapter), columns, String::new());
    }
    out.trim_start().to_string()
}

fn runs(runs: &[RunFacts]) -> Vec<Column> {
    let own = |r: &RunFacts| if r.first_runs_codes { "" } else { "a codebook of its own" }.to_string();
    vec![
        Column::left("run", runs.iter().map(|r| r.path.clone()).collect(), 0),
        Column::left("stage", runs.iter().map(|r| r.stage.name().to_string()).collect(), 0),
        Column::right("training steps", runs.iter().map(|r| r.step.to_string()).collect(), 1),
        Column::left("codes", runs.iter().map(own).collect(), 2),
    ]
}
