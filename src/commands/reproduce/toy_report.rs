//! The report of the toy: the results of its seeds, next to the paper and a reference.

use serde_json::json;

use super::ReproduceArgs;
use super::pipeline::Pipeline;
use super::report::{Report, spread};
use super::toy_findings::{FIGURES, FILLINGS, Measured, Row, SAMPLES, Sampled};
use super::training::Training;
use crate::commands::toy_figures::RECOVERED;
use crate::data::toy;
use crate::error::Result;

/// Results of an independent PyTorch implementation, in the order of the samplers: valid %, total
/// variation, first with the exact denoiser (a mixture of 128 normals), then with a network of
/// 5,935 parameters trained for 20,000 steps.
const REFERENCE: [[&str; 2]; 4] = [
    ["99.98 %, .031", "93.4–93.9 %, .042–.051"],
    ["99.6 %, .033", "77.2–77.8 %"],
    ["—", "—"],
    [
        "100 %, .150 (without noise, ᾱ for α)",
        "TV .13–.15 (without noise, ᾱ for α)",
    ],
];
/// The same for inpainting: plain replacement, ten passes.
const REFERENCE_FILLED: [[&str; 2]; 2] = [["57 %", "38–40 %"], ["98.7 %", "85–90 %"]];
/// Table 4 of the paper.
const TABLE_4: [(usize, [u32; 5]); 6] = [
    (50, [0, 7, 3, 6, 2]),
    (40, [6, 5, 5, 5, 3]),
    (30, [5, 5, 5, 4, 2]),
    (20, [6, 6, 5, 4, 3]),
    (10, [5, 6, 5, 4, 3]),
    (0, [5, 6, 5, 4, 3]),
];

/// Writes the report.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io).
pub fn write(
    args: &ReproduceArgs,
    pipeline: &mut Pipeline,
    trainings: &[Training],
    measured: &[Measured],
    table4: &[Row],
) -> Result<()> {
    pipeline.next("report", "writing report.md and report.json");
    let (joint, seeds) = measured.split_last().expect("there is a joint run");
    let mut report = Report::new("The toy experiment", &introduction(args, seeds));
    report.put("experiment", "toy");
    report.put("adapter", &joint.adapter);
    samplers(&mut report, seeds);
    fillings(&mut report, seeds);
    end_to_end(&mut report, joint);
    of_table4(&mut report, table4);
    report.heading("Figures");
    FIGURES
        .iter()
        .for_each(|(file, caption)| report.figure(file, caption));
    report.trainings(trainings);
    report.write(&args.out)?;
    note!(
        "{}: {} s in all",
        args.out.join("report.md").display(),
        pipeline.seconds().round()
    );
    Ok(())
}

fn introduction(args: &ReproduceArgs, seeds: &[Measured]) -> String {
    let sets: Vec<String> = args
        .sets
        .iter()
        .map(|set| format!("`--set {set}`"))
        .collect();
    let sets = if sets.is_empty() {
        String::new()
    } else {
        format!(" with {}", sets.join(", "))
    };
    let preset = args.preset();
    format!(
        "Section 4.1 and appendix E of \"Diffusion bridges vector quantized variational autoencoders\" (Cohen et al., ICML \
         2022): eight codes on a circle, chains of five, {} of 32,768 sequences valid. Trainings of the preset `{preset}` \
         with {}, and one of `toy-joint`{sets}. Adapter: {}. ± is the standard deviation over the seeds.\n\n\
         The paper gives no numbers for the toy except Table 4 and the sequences of its figures; the columns *reference* are \
         what an implementation in PyTorch reached, with the exact denoiser and with a trained one.",
        toy::CHAINS,
        if seeds.len() == 1 {
            "seed 0".into()
        } else {
            format!("seeds 0 to {}", seeds.len() - 1)
        },
        seeds[0].adapter,
    )
}

fn samplers(report: &mut Report, seeds: &[Measured]) {
    report.heading("Samplers");
    let mut rows = Vec::new();
    for (i, reference) in REFERENCE.iter().enumerate() {
        let of = |value: fn(&Sampled) -> f64| {
            seeds
                .iter()
                .map(|s| value(&s.samplers[i]))
                .collect::<Vec<f64>>()
        };
        let first = &seeds[0].samplers[i];
        rows.push(vec![
            format!("`{}`", first.sampler),
            first.steps.to_string(),
            spread(&of(|s| 100.0 * s.valid), 2),
            spread(&of(|s| s.total_variation), 3),
            spread(&of(|s| s.distinct as f64), 0),
            spread(&of(|s| s.seconds), 1),
            reference[0].into(),
            reference[1].into(),
        ]);
    }
    let heads = [
        "sampler",
        "steps",
        "valid, %",
        "total variation",
        "distinct",
        "s",
        "reference: exact",
        "reference: trained",
    ];
    report.table(&heads, &rows);
    report.paragraph(&format!(
        "{SAMPLES} sequences per sampler (s: seconds for all). *Total variation* is from the uniform distribution on the valid \
         chains, of the valid samples; sampling alone gives 0.035. *Distinct* counts all sequences, valid or not. \
         `paper-literal` is Algorithm 2 as printed (1 − α where 1 − ᾱ belongs, no noise): its sequences are valid, but few. The \
         reference had other networks and trainings: comparable in kind, not to the digit; its last row has a different error \
         from the printed one (no noise, but ᾱ)."
    ));
    report.put("seeds", seeds);
}

fn fillings(report: &mut Report, seeds: &[Measured]) {
    report.heading("Inpainting q_0 = 0, q_4 = 4 (Figure 12)");
    let mut rows = Vec::new();
    for (i, reference) in REFERENCE_FILLED.iter().enumerate() {
        let of = |path: Option<usize>| {
            let share =
                |s: &Measured| path.map_or(s.fillings[i].consistent, |p| s.fillings[i].paths[p]);
            seeds.iter().map(|s| 100.0 * share(s)).collect::<Vec<f64>>()
        };
        let mut row = vec![
            seeds[0].fillings[i].resample.to_string(),
            spread(&of(None), 1),
        ];
        row.extend([Some(1), Some(0)].map(|path| spread(&of(path), 1)));
        row.extend(reference.map(String::from));
        rows.push(row);
    }
    let heads = [
        "passes over each level",
        "valid, %",
        "0 1 2 3 4, %",
        "0 7 6 5 4, %",
        "reference: exact",
        "reference: trained",
    ];
    report.table(&heads, &rows);
    report.paragraph(&format!(
        "{FILLINGS} fillings, ancestral. Only two are valid. One pass is the replacement of the paper's appendix B, which is \
         biased: the sampled part does not see what the known part will become. More passes (RePaint) make both agree. The \
         three fillings of the paper's Figure 12 are all valid: one training and three samples give no rate."
    ));
}

fn end_to_end(report: &mut Report, joint: &Measured) {
    report.heading("End-to-end training (Figure 11)");
    let Some((recovered, farthest)) = joint.codes else {
        return;
    };
    let ancestral = &joint.samplers[0];
    report.table(
        &["", "ours", "reference"],
        &[
            vec![
                format!("centroids with their own code within {RECOVERED}"),
                format!("{recovered} of {}", toy::CODES),
                "8 of 8".into(),
            ],
            vec![
                "largest distance of a centroid from its code".into(),
                format!("{farthest:.4}"),
                ".0005".into(),
            ],
            vec![
                "valid chains, ancestral, %".into(),
                format!("{:.1}", 100.0 * ancestral.valid),
                "77–84".into(),
            ],
            vec![
                "total variation".into(),
                format!("{:.3}", ancestral.total_variation),
                "—".into(),
            ],
        ],
    );
    report.paragraph(
        "The paper shows the codes before and after, and gives no number. The order of codes is arbitrary: chains are read \
         off the nearest true centroids.",
    );
    report.put("joint", joint);
}

fn of_table4(report: &mut Report, table4: &[Row]) {
    report.heading("Table 4: nearest centroids on the way from noise to data");
    let tuple = |codes: &[u32]| {
        codes
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut rows = Vec::new();
    for (i, (t, ours)) in table4.iter().enumerate() {
        let published = TABLE_4
            .get(i)
            .filter(|(at, _)| at == t)
            .map_or("—".into(), |(_, codes)| tuple(codes));
        rows.push(vec![t.to_string(), published, tuple(ours)]);
    }
    report.table(&["t", "paper", "ours"], &rows);
    let valid = if table4.last().is_some_and(|(_, codes)| toy::is_chain(codes)) {
        "is"
    } else {
        "is not"
    };
    report.paragraph(&format!(
        "One random path each: not comparable entry by entry. Comparable: at t = T all sequences are about equally likely, at \
         t = 0 a valid chain must result (the paper's is one; ours {valid}), and the last levels change little. The paper's \
         caption says that X is Gaussian at t = 0; that is t = T."
    ));
    report.put("table_4", json!({ "ours": table4, "paper": TABLE_4 }));
}
