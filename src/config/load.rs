//! From a preset or file, with `--set` on top, to a checked configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::bridge::complete_spacing;
use super::source::{Kind, Source};
use super::table::{along, at, in_one_line, merge};
use super::{
    BridgeConfig, CodebookConfig, CodesConfig, Config, DenoiserConfig, DenoiserOutput, GridConfig,
    Overrides, Stage, StagesConfig, TrainConfig, keys,
};
use crate::error::{Error, Result};

/// What a preset or file describes.
#[derive(Clone, Debug)]
pub enum Experiment {
    /// The toy of section 4.1.
    Toy(Box<Config>),
    /// Grids of codes: images, section 4.2, or a data set's own codes.
    Grid(Box<GridConfig>),
}

impl Experiment {
    /// The preset or TOML file `name`, with `sets` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn load(name: &str, sets: &[String]) -> Result<Experiment> {
        Source::open(name)?.experiment(&Overrides::of_sets(sets))
    }

    /// Its bridge.
    pub fn bridge(&self) -> &BridgeConfig {
        match self {
            Experiment::Toy(config) => &config.bridge,
            Experiment::Grid(config) => &config.bridge,
        }
    }

    /// All its values.
    pub fn table(&self) -> Table {
        match self {
            Experiment::Toy(config) => {
                Table::try_from(config).expect("a configuration is a TOML table")
            }
            Experiment::Grid(config) => config.table(),
        }
    }

    /// As TOML that `train` takes, every value written out.
    pub fn to_toml(&self) -> String {
        match self {
            Experiment::Toy(config) => {
                format!("kind = \"{}\"\n{}", Kind::Toy.name(), config.to_toml())
            }
            Experiment::Grid(config) => {
                format!("kind = \"{}\"\n{}", config.kind().name(), config.to_toml())
            }
        }
    }
}

/// A configuration before its typed overrides.
struct Resolved<T> {
    config: T,
    /// The same without the user's file and settings.
    base: T,
    /// What the user's file and settings say.
    said: Table,
}

impl Source {
    /// The configuration: the preset, overridden by the sections that `over` inherits, then by the
    /// file, then by the rest of `over`.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn experiment(&self, over: &Overrides) -> Result<Experiment> {
        Ok(match self.kind {
            Kind::Toy => Experiment::Toy(Box::new(self.toy(over)?)),
            Kind::Images | Kind::Codes => Experiment::Grid(Box::new(self.grid(over)?)),
        })
    }

    fn toy(&self, over: &Overrides) -> Result<Config> {
        // With every optional key present, so that all keys are known.
        let denoiser = DenoiserConfig {
            prediction: DenoiserOutput::Codes,
            ..DenoiserConfig::default()
        };
        let full = Config {
            codes: Some(CodesConfig::default()),
            denoiser,
            ..Config::default()
        };
        let Resolved {
            mut config,
            base,
            said,
        } = self.resolve::<Config>(over, &keys::known(&full))?;
        over.set_toy(&mut config);
        over.set_training(None, &mut config.train, &base.train, at(&said, "train"));
        self.check(config.wrong(), &config.bridge)?;
        Ok(config)
    }

    fn grid(&self, over: &Overrides) -> Result<GridConfig> {
        // With the distribution of t (`law`) that has the most keys.
        let [vqvae, prior, pixelcnn, joint] = [(); 4].map(|()| TrainConfig::default());
        let stages = StagesConfig {
            vqvae,
            prior,
            pixelcnn,
            joint,
            ..StagesConfig::default()
        };
        let full = GridConfig {
            stages,
            codebook: (self.kind == Kind::Codes).then(CodebookConfig::default),
            ..GridConfig::default()
        };
        let Resolved {
            mut config,
            base,
            said,
        } = self.resolve::<GridConfig>(over, &keys::known(&full.table()))?;
        config.codebook = (self.kind == Kind::Codes).then(|| config.codebook.unwrap_or_default());
        over.set_grid(&mut config);
        for stage in Stage::ALL {
            let said = at(&said, &format!("stages.{}", stage.name()));
            let train = config.stage_mut(stage);
            over.set_training(Some(stage), train, base.stage(stage), said);
        }
        self.check(config.wrong(), &config.bridge)?;
        Ok(config)
    }

    /// Fails if something is `wrong` with the configuration, or its bridge cannot be built.
    fn check(&self, wrong: Option<String>, bridge: &BridgeConfig) -> Result<()> {
        if let Some(what) = wrong {
            return Err(Error::Config(format!("{}: {what}", self.whose)));
        }
        bridge
            .build()
            .map(|_| ())
            .map_err(|e| Error::Config(format!("{}: [bridge] {e}", self.whose)))
    }

    /// The values with the sections and settings of `over` applied, if every key is one of `known`.
    fn resolve<T: Default + Serialize + DeserializeOwned>(
        &self,
        over: &Overrides,
        known: &[String],
    ) -> Result<Resolved<T>> {
        over.check(&self.whose)?;
        keys::check(&self.file, "", known, &self.whose)?;
        let mut base = self.preset.clone();
        merge(&mut base, over.inherited.clone());
        let mut table = base.clone();
        let mut said = self.file.clone();
        merge(&mut table, self.file.clone());
        for set in over.sets {
            let value = self.value(set, &table)?;
            keys::check(&value, "", known, &format!("--set {set}"))?;
            merge(&mut table, value.clone());
            merge(&mut said, value);
        }
        let typed = |table: Table| {
            over_defaults::<T>(table)
                .try_into()
                .map_err(|e: toml::de::Error| {
                    Error::Config(format!("{}: {}", self.whose, in_one_line(&e.to_string())))
                })
        };
        Ok(Resolved {
            config: typed(table)?,
            base: typed(base)?,
            said,
        })
    }

    /// What `set` says, as a table to merge into `table`.
    fn value(&self, set: &str, table: &Table) -> Result<Table> {
        let (key, value) = set
            .split_once('=')
            .ok_or_else(|| Error::Config(format!("--set {set}: write key.path=value")))?;
        let key = key.trim();
        if key.starts_with("codes.") && self.kind == Kind::Toy && !table.contains_key("codes") {
            let what = format!(
                "--set {set}: {} has no [codes]; start from the preset toy-joint",
                self.whose
            );
            return Err(Error::Config(what));
        }
        let mut section = table;
        let parts: Vec<&str> = key.split('.').collect();
        for part in &parts[..parts.len() - 1] {
            match section.get(*part) {
                Some(Value::Table(inner)) => section = inner,
                Some(_) => {
                    return Err(Error::Config(format!(
                        "--set {set}: `{part}` is not a section"
                    )));
                }
                None => break,
            }
        }
        let value = parse_value(value.trim());
        if let (Some(Value::Table(_)), false) = (at(table, key), value.is_table()) {
            return Err(Error::Config(format!(
                "--set {set}: `{key}` is a section; set one of its keys"
            )));
        }
        Ok(along(key, value))
    }
}

impl GridConfig {
    /// A configuration from TOML text; `whose` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`], as for [`Experiment::load`].
    pub fn parse(text: &str, whose: &str, sets: &[String]) -> Result<GridConfig> {
        Source::parse(text, whose)?.grid(&Overrides::of_sets(sets))
    }
}

impl Config {
    /// The preset or TOML file `name`, with `sets` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn load(name: &str, sets: &[String]) -> Result<Config> {
        Source::open(name)?.toy(&Overrides::of_sets(sets))
    }

    /// A configuration from TOML text; `whose` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`], as for [`Config::load`].
    pub fn parse(text: &str, whose: &str, sets: &[String]) -> Result<Config> {
        Source::parse(text, whose)?.toy(&Overrides::of_sets(sets))
    }
}

/// `table` with the defaults of `T` for the keys that it leaves out.
fn over_defaults<T: Default + Serialize>(table: Table) -> Table {
    let mut full = Table::try_from(T::default()).expect("a configuration is a TOML table");
    merge(&mut full, table);
    complete_spacing(&mut full);
    full
}

/// A TOML value if `text` is one, else a string: `--set codes.regulariser=kl` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_string()))
}
