//! The final messages of a training: the result, its picture, and the next command to run.

use serde_json::{Map, Value};

use crate::config::{GridConfig, LossWeight, Output, Stage, Stored};
use crate::experiment::train_args::{TrainArgs, quoted};
use crate::report::product::PROGRAM;

/// How to report the last evaluation of a stage: the metric's key in the log, its display name, its
/// unit, and the picture.
fn figure(stage: Stage) -> [&'static str; 4] {
    match stage {
        Stage::VqVae => [
            "held_out_psnr",
            "PSNR of held-out images",
            " dB",
            "reconstructions",
        ],
        Stage::Prior => ["held_out_loss", "held-out loss", "", "samples"],
        Stage::PixelCnn => [
            "held_out_bits_per_code",
            "held-out bits per code",
            "",
            "samples",
        ],
        Stage::Joint => ["held_out_psnr", "PSNR of held-out images", " dB", "samples"],
    }
}

/// Prints the result of the training of `config`, from its last `evaluation`, and the next command.
pub(crate) fn say(args: &TrainArgs, config: &Stored, evaluation: Option<&Map<String, Value>>) {
    let stage = match config {
        Stored::Toy(_) => None,
        Stored::Grid(stage, config) => {
            let line = evaluation.and_then(|line| reached(args, config, *stage, line));
            line.iter().for_each(|line| note!("{line}"));
            Some(*stage)
        }
    };
    if args.advise {
        note!("next: {}", next(args, stage));
    }
}

fn reached(
    args: &TrainArgs,
    config: &GridConfig,
    stage: Stage,
    evaluation: &Map<String, Value>,
) -> Option<String> {
    let [key, name, unit, picture] = figure(stage);
    let value = evaluation.get(key)?.as_f64()?;
    let step = evaluation.get("step")?.as_u64()?;
    let mean = match (stage, config.unet.prediction, config.stage(stage).loss) {
        (Stage::Prior, Output::Velocity, LossWeight::Simple) => {
            " of the v-prediction (1 = always predicting the mean)"
        }
        (Stage::Prior, Output::Noise, LossWeight::Simple) => {
            " of the noise (1 = always predicting none)"
        }
        (Stage::Prior, _, LossWeight::CrossEntropy) => {
            " of the codes at random levels, nats a code"
        }
        _ => "",
    };
    let file = args.out.join(format!("{picture}-{step:06}.png"));
    Some(format!(
        "{name}{mean}: {value:.3}{unit}; picture: {}",
        file.display()
    ))
}

/// The next command to run: the prior after stage vqvae, else `sample`.
fn next(args: &TrainArgs, stage: Option<Stage>) -> String {
    let run = quoted(&args.out);
    if stage != Some(Stage::VqVae) {
        return format!(
            "{PROGRAM} sample {run} --out {}",
            quoted(&args.out.join("samples"))
        );
    }
    let data = args
        .data
        .as_deref()
        .map_or(String::new(), |data| format!(" --data {}", quoted(data)));
    let preset = quoted(args.preset.as_ref());
    let prior = quoted(&args.out.with_file_name("prior"));
    format!("{PROGRAM} train {preset} --stage prior --from {run}{data} --out {prior}")
}
