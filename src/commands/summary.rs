//! `dbvq-wgpu presets NAME --summary`: layers, shapes, parameters, FLOPs and GPU memory of every
//! stage, determined in a rehearsal of its training.

use crate::config::{Experiment, GridConfig, Overrides, Source, Stage};
use crate::error::{Error, Result};
use crate::experiment::memory::{self, Needs, mib};
use crate::experiment::session::Task;
use crate::experiment::stages::rehearsal;
use crate::experiment::stages::toy::ToyTask;
use crate::gpu::Gpu;
use crate::nn::Module;
use crate::number::thousands;
use crate::report::console::print_document;
use crate::report::table::{self, Column};

/// Prints the summary of the preset or TOML file `name`, with `sets` applied.
///
/// # Errors
/// [`Error::Config`] if it is invalid.
pub fn run(name: &str, sets: &[String]) -> Result<()> {
    let width = table::terminal_width();
    let source = Source::open(name)?;
    source.note.iter().for_each(|note| note!("note: {note}"));
    match source.experiment(&Overrides::of_sets(sets))? {
        Experiment::Toy(config) => {
            let gpu = Gpu::rehearsal(None, u64::MAX)?;
            let make = || Ok(Box::new(ToyTask::new(&gpu, &config)?) as Box<dyn Task>);
            let (mut task, needs) = memory::rehearse(&gpu, make)?;
            let head = format!("{name}, batch {}", config.train.batch);
            print_document(&text(&head, task.as_mut(), &needs, width))
        }
        Experiment::Grid(config) if config.cells() * config.codes() == 0 => {
            let what = "its sizes come from the data; give them: --set codebook.codes=K --set codebook.height=H --set codebook.width=W";
            Err(Error::Config(format!("{name}: {what}")))
        }
        Experiment::Grid(config) => GridConfig::stages_of(config.kind())
            .iter()
            .try_for_each(|&stage| print_document(&of_stage(name, &config, stage, width)?)),
    }
}

fn of_stage(name: &str, config: &GridConfig, stage: Stage, width: usize) -> Result<String> {
    let gpu = Gpu::rehearsal(None, u64::MAX)?;
    let (mut task, needs) = memory::rehearse(&gpu, || rehearsal::task(&gpu, config, stage))?;
    let head = format!(
        "{name}, stage {}, batch {}",
        stage.name(),
        config.stage(stage).batch
    );
    Ok(text(&head, task.as_mut(), &needs, width) + "\n")
}

/// A layer: the parameters under one path, and the shape of its output.
struct Layer {
    name: String,
    output: Option<Vec<usize>>,
    /// Dimensions of its first parameter.
    weight: Vec<usize>,
    parameters: usize,
}

fn layers(model: &mut dyn Module) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    model.visit(&mut |path, tensor| {
        let name = path.rsplit_once('.').map_or(path, |(layer, _)| layer);
        if layers.last().is_none_or(|layer| layer.name != name) {
            let weight = tensor.shape().dims().to_vec();
            layers.push(Layer {
                name: name.into(),
                output: None,
                weight,
                parameters: 0,
            });
        }
        if let Some(layer) = layers.last_mut() {
            layer.parameters += tensor.count();
            layer.output = layer.output.take().or_else(|| tensor.output());
        }
    });
    layers
}

/// The summary of one training, ending with a newline.
fn text(head: &str, task: &mut dyn Task, needs: &Needs, width: usize) -> String {
    let layers = layers(task.model());
    let cells = |cell: &dyn Fn(&Layer) -> String| layers.iter().map(cell).collect::<Vec<_>>();
    let columns = vec![
        Column::left("layer", cells(&|l| l.name.clone()), 0),
        Column::left(
            "output",
            cells(&|l| l.output.as_deref().map_or(String::new(), dims)),
            1,
        ),
        Column::left("weight", cells(&|l| dims(&l.weight)), 2),
        Column::right("parameters", cells(&|l| thousands(l.parameters)), 0),
    ];
    let count: usize = layers.iter().map(|l| l.parameters).sum();
    let mut out = format!("{head}\n\n{}\n", table::text(&table::fit(columns, width)));
    // Code vectors that are updated by running averages belong to no layer.
    let codes = match task.parameters() - count {
        0 => String::new(),
        more => format!(", {} in code vectors", thousands(more)),
    };
    let all = thousands(task.parameters());
    let step = flops(needs.flops);
    let size = format!("{all} parameters{codes}; {step} a step (forward and backward)");
    out += &table::wrapped(&size, 0, width);
    let weights = 4 * count as u64;
    let parts = [
        ("weights", weights),
        ("their gradients", weights),
        ("Adam's moments", 2 * weights),
        ("running averages", weights),
        (
            "frozen models and held-out data",
            needs.held.saturating_sub(5 * weights),
        ),
        (
            "activations and workspace",
            needs.peak.saturating_sub(needs.held),
        ),
    ];
    let parts = parts
        .map(|(what, bytes)| format!("{what} {}", mib(bytes)))
        .join(", ");
    let work = format!(
        "without reuse, the tensors of a step would take {}",
        mib(needs.made)
    );
    let all = format!(
        "A step needs about {} MiB of GPU memory: {parts} ({work}).",
        mib(needs.peak)
    );
    out + &table::wrapped(&all, 0, width)
}

fn dims(dims: &[usize]) -> String {
    dims.iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join("×")
}

/// Floating-point operations with a prefix, e.g. `61.3 GFLOP`.
fn flops(count: u64) -> String {
    let mut size = count as f64;
    let mut prefixes = ["", "k", "M", "G", "T", "P"].iter();
    let mut prefix = prefixes.next();
    while size >= 1000.0
        && let Some(next) = prefixes.next()
    {
        (size, prefix) = (size / 1000.0, Some(next));
    }
    format!("{size:.1} {}FLOP", prefix.unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_fits_narrow_and_wide_terminals() {
        let Ok(Experiment::Grid(config)) = Experiment::load("cifar10-small", &[]) else {
            panic!("a preset of images")
        };
        for (width, columns) in [(50, 3), (80, 4), (200, 4)] {
            let text =
                of_stage("cifar10-small", &config, Stage::Prior, width).expect("a rehearsal");
            assert!(
                text.lines().all(|line| line.chars().count() <= width),
                "{width}:\n{text}"
            );
            let heads = text
                .lines()
                .nth(2)
                .map_or(0, |line| line.split_whitespace().count());
            assert_eq!(heads, columns, "{width}:\n{text}");
        }
    }

    #[test]
    fn counts_are_short() {
        assert_eq!(
            [999, 1_234, 61_340_000_000, u64::MAX].map(flops),
            ["999.0 FLOP", "1.2 kFLOP", "61.3 GFLOP", "18446.7 PFLOP"]
        );
    }
}
