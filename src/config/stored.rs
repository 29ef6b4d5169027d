//! The configuration that a run stores, and the part of it that determines its weights bit for bit.

use toml::{Table, Value};

use super::source::{Kind, Source};
use super::{Config, Experiment, GridConfig, Overrides, Stage, TrainConfig};
use crate::error::{Error, Result};

/// A run's `config.toml`.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Of the toy.
    Toy(Box<Config>),
    /// Of a stage on grids of codes, with that stage.
    Grid(Stage, Box<GridConfig>),
}

/// Training keys that may change on resuming, since they do not affect the weights; `steps` is
/// checked separately.
const FREE: [&str; 3] = ["log_every", "checkpoint_every", "steps"];

impl Stored {
    /// Parses the text of a `config.toml`, which messages call `whose`. Keys added since it was
    /// written get their defaults.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not the configuration of a run.
    pub fn parse(text: &str, whose: &str) -> Result<Stored> {
        let source = Source::parse(text, whose)?;
        match (source.experiment(&Overrides::default())?, source.stage) {
            (Experiment::Toy(config), _) => Ok(Stored::Toy(config)),
            (Experiment::Grid(config), Some(stage)) => Ok(Stored::Grid(stage, config)),
            (Experiment::Grid(_), None) => {
                let what = "is not the configuration of a run: it names no stage; write one, such as stage = \"vqvae\"";
                Err(Error::Config(format!("{whose} {what}")))
            }
        }
    }

    /// The configuration of a run: `stage` is required for grids and ignored for the toy.
    pub fn new(experiment: Experiment, stage: Option<Stage>) -> Option<Stored> {
        match (experiment, stage) {
            (Experiment::Toy(config), _) => Some(Stored::Toy(config)),
            (Experiment::Grid(config), Some(stage)) => Some(Stored::Grid(stage, config)),
            (Experiment::Grid(_), None) => None,
        }
    }

    /// As `config.toml` holds it: `kind` and `stage` first, then every value.
    pub fn to_toml(&self) -> String {
        match self {
            Stored::Toy(config) => format!("kind = \"{}\"\n{}", Kind::Toy.name(), config.to_toml()),
            Stored::Grid(stage, config) => {
                let head = format!(
                    "kind = \"{}\"\nstage = \"{}\"\n",
                    config.kind().name(),
                    stage.name()
                );
                head + &config.to_toml()
            }
        }
    }

    /// Its training options.
    pub fn train(&self) -> &TrainConfig {
        match self {
            Stored::Toy(config) => &config.train,
            Stored::Grid(stage, config) => config.stage(*stage),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Stored::Toy(_) => Kind::Toy,
            Stored::Grid(_, config) => config.kind(),
        }
    }

    /// Its stage; `None` for the toy.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Stored::Toy(_) => None,
            Stored::Grid(stage, _) => Some(*stage),
        }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        match self {
            Stored::Toy(config) => config.seed,
            Stored::Grid(_, config) => config.seed,
        }
    }

    /// The configuration that must match for a checkpoint to belong to this run.
    pub fn model_text(&self) -> String {
        match self {
            Stored::Toy(config) => config.model_text(),
            Stored::Grid(stage, config) => config.model_text(*stage),
        }
    }

    /// The section that [`Stored::train`] returns.
    pub fn section(&self) -> String {
        match self.stage() {
            None => "train".into(),
            Some(stage) => format!("stages.{}", stage.name()),
        }
    }

    /// The values that determine the weights bit for bit, except the number of steps.
    pub fn decisive(&self) -> Table {
        match self {
            Stored::Toy(config) => {
                let mut table = Table::try_from(config).expect("a configuration is a TOML table");
                free(table.get_mut("train"));
                table.insert("kind".into(), Kind::Toy.name().into());
                table
            }
            Stored::Grid(stage, config) => of_stage(*stage, config),
        }
    }
}

/// Removes the keys that may differ.
fn free(train: Option<&mut Value>) {
    if let Some(Value::Table(train)) = train {
        FREE.iter().for_each(|key| _ = train.remove(*key));
    }
}

fn of_stage(stage: Stage, config: &GridConfig) -> Table {
    let mut table = config.table();
    let models: &[&str] = match stage {
        Stage::VqVae => &[],
        Stage::Prior => &[
            "bridge",
            "unet",
            "prior",
            "activations",
            "classes",
            "class_dropout",
        ],
        Stage::PixelCnn => &["pixelcnn", "activations", "classes"],
        Stage::Joint => &[
            "bridge",
            "unet",
            "prior",
            "activations",
            "classes",
            "class_dropout",
            "joint",
        ],
    };
    let always = ["seed", "vqvae", "codebook", "stages"];
    table.retain(|key, _| always.contains(&key) || models.contains(&key));
    if let Some(Value::Table(prior)) = table.get_mut("prior") {
        // Only samplers use it.
        prior.remove("sharpen");
    }
    if let Some(Value::Table(stages)) = table.get_mut("stages") {
        stages.retain(|key, _| key == stage.name());
        free(stages.get_mut(stage.name()));
    }
    // Recomputed blocks give bit-identical gradients; inputs rounded to f16 do not.
    if table.get("activations").and_then(Value::as_str) == Some("recompute") {
        table.insert("activations".into(), "keep".into());
    }
    if config.classes == 0 {
        table.remove("class_dropout");
    }
    table.insert("kind".into(), config.kind().name().into());
    table.insert("stage".into(), stage.name().into());
    table
}
