//! The report of an image experiment.

use super::at_quality::{self, Row};
use super::compared::{self, Circumstances, Line};
use super::image_figures::Caption;
use super::model::Model;
use super::plan::VQVAE;
use super::published::{PARAMETERS, Table};
use super::report::Report;
use super::training::Training;
use super::verdicts::{self, Kl, Steps};
use super::{ReproduceArgs, Which};
use crate::config::GridConfig;
use crate::number::thousands;

/// Contents of the report.
pub struct Findings<'a> {
    /// The command's arguments.
    pub args: &'a ReproduceArgs,
    /// The preset with its overrides.
    pub config: &'a GridConfig,
    /// Adapter and driver.
    pub adapter: String,
    /// The trained runs.
    pub trainings: &'a [Training],
    /// Values for the paper's tables.
    pub lines: Vec<Line>,
    /// What could not be measured and why, in sentences.
    pub missing: Vec<String>,
    /// Why there is no FID.
    pub no_fid: String,
    /// Table 1.
    pub kl: Option<Kl>,
    /// Quality against steps.
    pub steps: Steps,
    /// Cost of sampling at the measured quality.
    pub at_quality: Vec<Row>,
    /// Metrics that are not in the paper: headings, and rows with a name and a value for each
    /// model.
    pub more: (Vec<String>, Vec<Vec<String>>),
    /// Figures.
    pub captions: Vec<Caption>,
}

/// Assembles the report.
pub fn of(findings: &Findings) -> Report {
    let Findings {
        args, trainings, ..
    } = findings;
    let table = if args.which == Which::MiniImageNet {
        Table::MiniImageNet
    } else {
        Table::Cifar10
    };
    let mut report = Report::new(&title(args), &introduction(findings));
    report.heading("In short");
    let find = |model: Model| trainings.iter().find(|t| t.name == model.run());
    let mut items = Vec::new();
    for model in [Model::Diffusion, Model::PaperDiffusion] {
        if let (Some(kl), Some(prior), Some(pixelcnn)) =
            (&findings.kl, find(model), find(Model::PixelCnn))
        {
            items.push(verdicts::priors(kl, model, prior, pixelcnn));
        }
    }
    items.extend(verdicts::few_steps(&findings.steps));
    report.list(&items);
    report.put("verdicts", &items);
    let adapter = findings.adapter.clone();
    let no_fid = findings.no_fid.clone();
    compared::tables(
        &mut report,
        &findings.lines,
        &Circumstances {
            table,
            adapter,
            small: args.small,
            no_fid,
        },
    );
    if !findings.missing.is_empty() {
        report.heading("Not measured");
        report.list(&findings.missing);
    }
    report.put("missing", &findings.missing);
    steps(&mut report, &findings.steps);
    at_quality::table(&mut report, &findings.at_quality);
    report.heading("More about the codes and the VQ-VAE");
    let (heads, rows) = &findings.more;
    report.table(&heads.iter().map(String::as_str).collect::<Vec<_>>(), rows);
    sizes(&mut report, trainings);
    report.heading("Figures");
    findings
        .captions
        .iter()
        .for_each(|(file, caption)| report.figure(file, caption));
    report.trainings(trainings);
    if let Some(budget) = args.budget {
        report.paragraph(&format!(
            "Each prior was trained for the same {budget} TFLOP (`--budget`), in whole steps."
        ));
    }
    report.paragraph(
        "The PixelCNN and the diffusion priors build on the same frozen VQ-VAE, also for further seeds. The end-to-end model \
         starts from the trained VQ-VAE and prior where `reproduce` trains it; the paper starts it from a trained VQ-VAE.",
    );
    report.put("experiment", args.preset());
    report.put("budget", args.budget);
    report.put("adapter", &findings.adapter);
    report.put("kl", &findings.kl);
    report
}

fn title(args: &ReproduceArgs) -> String {
    let name = if args.which == Which::MiniImageNet {
        "mini-ImageNet"
    } else {
        "CIFAR-10"
    };
    format!("{name}{}", if args.small { ", small" } else { "" })
}

fn introduction(findings: &Findings) -> String {
    let Findings { args, config, .. } = findings;
    let [grid, _] = config.grid();
    let codes = config.codes();
    let size = if args.small {
        "Networks and trainings are reduced to what a machine without a GPU does in an hour or two: the kinds of comparison \
         are the paper's, the values are not."
    } else {
        "Networks have the paper's sizes."
    };
    let seeds = args.seeds();
    let seeds = if seeds > 1 {
        format!(" ± is the standard deviation over {seeds} seeds of a prior.")
    } else {
        String::new()
    };
    let sets: Vec<String> = args.sets.iter().map(|set| format!("`{set}`")).collect();
    let sets = if sets.is_empty() {
        String::new()
    } else {
        format!(" with {}", sets.join(", "))
    };
    format!(
        "Sections 4.2 to 4.4 of \"Diffusion bridges vector quantized variational autoencoders\" (Cohen et al., ICML 2022), \
         preset `{}`{sets}: a grid of {grid} × {grid} codes of {codes}, T = {}. {size}{seeds} Adapter: {}.",
        args.preset(),
        config.bridge.steps,
        findings.adapter,
    )
}

/// The curve of quality against steps as a table.
fn steps(report: &mut Report, steps: &Steps) {
    report.heading("Quality against sampling steps");
    let rows: Vec<Vec<String>> = steps
        .points
        .iter()
        .map(|p| {
            vec![
                format!("`{}`", p.sampler),
                p.steps.to_string(),
                format!("{:.3}", p.kl),
                format!("{:.4}", p.seconds),
            ]
        })
        .collect();
    report.table(
        &["sampler", "steps", "averaged KL, nats", "s/sample"],
        &rows,
    );
    report.paragraph(&format!(
        "{0} samples of each against {0} encodings; two such draws of the data are {1:.3} apart. Batches of at most 32, \
         decoding included.",
        steps.samples, steps.floor
    ));
    report.put("steps", steps);
}

/// Parameter counts next to those of appendix D.
fn sizes(report: &mut Report, trainings: &[Training]) {
    report.heading("Appendix D: parameters");
    let count = |run: &str| {
        let found = trainings.iter().find(|training| training.name == run);
        found
            .and_then(|training| training.work.as_ref())
            .map(|work| work.parameters)
    };
    let row = |name: &str, paper: &str, run: &str| {
        vec![
            name.into(),
            paper.into(),
            count(run).map_or("—".into(), thousands),
        ]
    };
    let [unet, pixelcnn, vqvae] = PARAMETERS;
    let rows = [
        row("U-Net", unet, Model::Diffusion.run()),
        row("U-Net, as in the paper", unet, Model::PaperDiffusion.run()),
        row("PixelCNN", pixelcnn, Model::PixelCnn.run()),
        row("VQ-VAE", vqvae, VQVAE),
    ];
    report.table(&["", "paper", "ours"], &rows);
    report.put(
        "parameters",
        [Model::Diffusion.run(), Model::PixelCnn.run(), VQVAE].map(count),
    );
}
