//! Configuration that a training inherits from the run it starts from or resumes: a VQ-VAE keeps
//! the settings it was trained with, whatever preset the stage built on it names.

use toml::{Table, Value};

use super::run_dir;
use super::train_args::TrainArgs;
use crate::config::{Experiment, GridConfig, Overrides, Source, Stage, Stored, table};
use crate::error::{Error, Result};

/// Keys of `[vqvae]` that weights do not depend on and that may differ from the run's.
const OF_TRAINING: [&str; 2] = ["quantiser", "gumbel"];
/// Keys of `[vqvae]` that must match when a VQ-VAE starts from another's weights.
const OF_WEIGHTS: [&str; 7] = [
    "channels", "blocks", "inner", "dim", "codes", "distance", "codebook",
];
/// Maximum number of values that a note lists.
const NAMED: usize = 6;

/// Configuration sections inherited from a run.
#[derive(Default)]
pub(super) struct Inherited {
    values: Table,
    /// The run of --from, if there is one, and the stage that trains on it.
    from: Option<(String, Option<Stage>)>,
}

impl Inherited {
    /// From the resumed run, whose configuration is `before`, or else the run of --from.
    pub fn of(args: &TrainArgs, before: Option<Stored>, stage: Option<Stage>) -> Result<Inherited> {
        if let Some(before) = before {
            return Ok(Inherited {
                values: sections(&before, stage),
                from: None,
            });
        }
        let Some(run) = &args.from else {
            return Ok(Inherited::default());
        };
        if !run.join(run_dir::CONFIG).is_file() {
            // The error is reported later, when its checkpoint is looked up.
            return Ok(Inherited::default());
        }
        let stored = run_dir::stored(run)?;
        let values = sections(&stored, stage);
        Ok(Inherited {
            values,
            from: Some((run.display().to_string(), stage)),
        })
    }

    /// Sections that override those of a preset.
    pub fn values(&self) -> &Table {
        &self.values
    }

    /// Refuses user settings that contradict the run of --from, and prints where that run differs
    /// from the preset. `experiment` is `source` with `over`.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn explain(
        &self,
        source: &Source,
        over: &Overrides,
        experiment: &Experiment,
    ) -> Result<()> {
        let Some((run, stage)) = &self.from else {
            return Ok(());
        };
        let mut taken = experiment.table();
        taken.retain(|key, _| self.values.contains_key(key));
        for (path, has, says) in table::differences(&self.values, &taken) {
            if !may_differ(&path, *stage) {
                let [has, says] = [has, says].map(|value| table::line(&path, value.as_ref()));
                let what = format!(
                    "`{says}` is not what --from {run} has, `{has}`; leave it out, or name a run that has it"
                );
                return Err(Error::Config(what));
            }
        }
        let alone = Overrides {
            inherited: Table::new(),
            ..over.clone()
        };
        let Ok(plain) = source.experiment(&alone) else {
            return Ok(());
        };
        let mut plain = plain.table();
        plain.retain(|key, _| self.values.contains_key(key));
        let told: Vec<String> = table::differences(&taken, &plain)
            .into_iter()
            .filter_map(|(path, has, plain)| Some(format!("{path} = {} (not {})", has?, plain?)))
            .collect();
        if !told.is_empty() {
            let more = told.len().saturating_sub(NAMED);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            note!(
                "note: as {run} was trained: {}{more}",
                told[..told.len().min(NAMED)].join(", ")
            );
        }
        Ok(())
    }
}

/// Whether the setting at `path` may differ from the run that `stage` starts from.
fn may_differ(path: &str, stage: Option<Stage>) -> bool {
    if [
        "data.",
        "joint.",
        "stages.",
        "prior.sharpen",
        "prior.known_at_end",
    ]
    .iter()
    .any(|free| path.starts_with(free))
    {
        return true;
    }
    let Some(key) = path
        .strip_prefix("vqvae.")
        .and_then(|keys| keys.split('.').next())
    else {
        return false;
    };
    match stage {
        Some(Stage::VqVae) => !OF_WEIGHTS.contains(&key),
        _ => OF_TRAINING.contains(&key),
    }
}

/// The sections of the run `stored` that `stage` inherits.
fn sections(stored: &Stored, stage: Option<Stage>) -> Table {
    if let (Some(Stage::Joint), Stored::Grid(of @ (Stage::Prior | Stage::Joint), config)) =
        (stage, stored)
    {
        return of_prior(*of, config);
    }
    let (names, table): (&[&str], _) = match (stage, stored) {
        (None, Stored::Toy(config)) => (&["denoiser"], Table::try_from(config)),
        (Some(_), Stored::Grid(_, config)) => (&["vqvae", "data"], Table::try_from(config)),
        // The checkpoint check refuses a toy run for images and vice versa.
        _ => return Table::new(),
    };
    retained(table.expect("a configuration is a TOML table"), names)
}

/// The sections of a run of stage `of` that stage joint inherits, and the settings of its diffusion
/// loss, since the trained network fits no other.
fn of_prior(of: Stage, config: &GridConfig) -> Table {
    let names = ["vqvae", "unet", "prior", "bridge", "classes", "data"];
    let mut table = retained(
        Table::try_from(config).expect("a configuration is a TOML table"),
        &names,
    );
    let diffuse = if of == Stage::Joint {
        config.joint.diffuse
    } else {
        config.prior.diffuse
    };
    let train = Table::try_from(config.stage(of)).expect("a configuration is a TOML table");
    let train = Table::from_iter([(
        "joint".to_string(),
        Value::Table(retained(train, &["loss", "levels"])),
    )]);
    let diffuse = Value::try_from(diffuse).expect("a word");
    table.insert(
        "joint".into(),
        Value::Table(Table::from_iter([("diffuse".to_string(), diffuse)])),
    );
    table.insert("stages".into(), Value::Table(train));
    table
}

fn retained(mut table: Table, names: &[&str]) -> Table {
    table.retain(|key, _: &mut Value| names.contains(&key));
    table
}
