//! The configuration that a run keeps, and what of it its bits depend on.

use toml::{Table, Value};

use super::source::{Kind, Source};
use super::{Config, Experiment, GridConfig, Stage, TrainConfig};
use crate::error::{Error, Result};

/// A run's `config.toml`.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Of the toy.
    Toy(Box<Config>),
    /// Of a stage of image models.
    Grid(Stage, Box<GridConfig>),
}

/// Keys of a training that may differ when it is resumed: none of them reaches the weights. `steps`
/// is looked at apart.
const FREE: [&str; 3] = ["log_every", "checkpoint_every", "steps"];

impl Stored {
    /// Of the text of `config.toml`, which messages call `whose`. What has come since is at its
    /// default.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not a run's.
    pub fn parse(text: &str, whose: &str) -> Result<Stored> {
        let source = Source::parse(text, whose)?;
        match (source.experiment(&[], &Table::new())?, source.stage) {
            (Experiment::Toy(config), _) => Ok(Stored::Toy(config)),
            (Experiment::Grid(config), Some(stage)) => Ok(Stored::Grid(stage, config)),
            (Experiment::Grid(_), None) => {
                let what = "is not the configuration of a run: it names no stage; write one, as stage = \"vqvae\"";
                Err(Error::Config(format!("{whose} {what}")))
            }
        }
    }

    /// Of what is trained: `stage` of images.
    pub fn new(experiment: Experiment, stage: Option<Stage>) -> Option<Stored> {
        match (experiment, stage) {
            (Experiment::Toy(config), _) => Some(Stored::Toy(config)),
            (Experiment::Grid(config), Some(stage)) => Some(Stored::Grid(stage, config)),
            (Experiment::Grid(_), None) => None,
        }
    }

    /// As `config.toml` has it: what it is at its head, then every value.
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

    /// How it is trained.
    pub fn train(&self) -> &TrainConfig {
        match self {
            Stored::Toy(config) => &config.train,
            Stored::Grid(stage, config) => config.stage(*stage),
        }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        match self {
            Stored::Toy(config) => config.seed,
            Stored::Grid(_, config) => config.seed,
        }
    }

    /// What must agree for a checkpoint to be this run's.
    pub fn model_text(&self) -> String {
        match self {
            Stored::Toy(config) => config.model_text(),
            Stored::Grid(stage, config) => config.model_text(*stage),
        }
    }

    /// The section that [`Stored::train`] is.
    pub fn section(&self) -> String {
        match self {
            Stored::Toy(_) => "train".into(),
            Stored::Grid(stage, _) => format!("stages.{}", stage.name()),
        }
    }

    /// The values that the bits of the weights depend on, but for the number of steps.
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

/// Takes away what may differ.
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
        // Samplers alone follow it.
        prior.remove("sharpen");
    }
    if let Some(Value::Table(stages)) = table.get_mut("stages") {
        stages.retain(|key, _| key == stage.name());
        free(stages.get_mut(stage.name()));
    }
    // Blocks that run a second time give the same gradients to the bit; rounded inputs do not.
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
