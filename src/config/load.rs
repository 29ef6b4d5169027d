//! From a preset or file, with `--set` on top, to a checked configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::source::{Kind, Source};
use super::table::{along, at, in_one_line, merge};
use super::{
    BridgeConfig, CodebookConfig, CodesConfig, Config, DenoiserConfig, DenoiserOutput, GridConfig,
    Levels, LossWeight, Overrides, Stage, StagesConfig, TOTAL_TIME, TrainConfig, keys,
};
use crate::error::{Error, Result};

/// Most bins of t in which a cross-entropy is measured.
const MOST_BINS: usize = 1000;
/// Most sequences or images per step.
const MOST_BATCH: usize = 1 << 16;

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
        config.check(&self.whose)?;
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
        config.check(&self.whose)?;
        Ok(config)
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

    fn check(&self, whose: &str) -> Result<()> {
        if let Some(what) = self.wrong() {
            return Err(Error::Config(format!("{whose}: {what}")));
        }
        self.bridge
            .build()
            .map(|_| ())
            .map_err(|e| Error::Config(format!("{whose}: [bridge] {e}")))
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

    /// This configuration as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table")
    }

    /// The configuration that must match for weights of one run to fit another: all but `train` and
    /// `seed`.
    pub fn model_text(&self) -> String {
        let model = Config {
            train: TrainConfig::default(),
            seed: 0,
            ..self.clone()
        };
        model.to_toml()
    }

    fn check(&self, whose: &str) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(format!("{whose}: {what}")));
        let d = &self.denoiser;
        if let Some(what) = self.train.wrong() {
            return wrong(format!("train.{what}"));
        }
        let predicts_codes = d.prediction == DenoiserOutput::Codes;
        if predicts_codes != (self.train.loss == LossWeight::CrossEntropy) {
            return wrong(
                "denoiser.prediction = \"codes\" and train.loss = \"cross-entropy\" go together"
                    .into(),
            );
        }
        if !predicts_codes && matches!(self.train.levels, Levels::Entropy { .. }) {
            return wrong(
                "train.levels with law = \"entropy\" need denoiser.prediction = \"codes\"".into(),
            );
        }
        if self.train.accumulate > 1 {
            return wrong(
                "train.accumulate is for image presets; the toy runs each batch whole".into(),
            );
        }
        let sizes = [
            ("kernel", d.kernel, 31),
            ("channels", d.channels, 1024),
            ("features", d.features, 1024),
            ("blocks", d.blocks, 256),
        ];
        if let Some((name, size, most)) = sizes.into_iter().find(|(_, size, most)| size > most) {
            return wrong(format!("denoiser.{name} = {size} is over {most}"));
        }
        if d.kernel.is_multiple_of(2) || d.channels == 0 || d.features == 0 {
            return wrong(format!(
                "denoiser.kernel must be odd (is {}), channels and features at least 1",
                d.kernel
            ));
        }
        if let Some(c) = &self.codes {
            let sizes = [
                ("tau_start", c.tau_start),
                ("tau_end", c.tau_end),
                ("scale", c.scale),
                ("reg_tau", c.reg_tau),
            ];
            let more = [
                ("reg_tau_first", c.reg_tau_first),
                ("reg_tau_last", c.reg_tau_last),
                ("lr", c.lr),
            ];
            if let Some((name, value)) = sizes
                .iter()
                .chain(&more)
                .find(|(_, v)| !(*v > 0.0 && (*v as f32).is_finite()))
            {
                return wrong(format!(
                    "codes.{name} = {value} must be a finite number above 0"
                ));
            }
        }
        self.bridge
            .build()
            .map(|_| ())
            .map_err(|e| Error::Config(format!("{whose}: [bridge] {e}")))
    }
}

impl TrainConfig {
    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let t = self;
        if t.batch == 0 || t.steps == 0 || t.checkpoint_every == 0 || t.log_every == 0 {
            return Some("batch, steps, checkpoint_every and log_every must be at least 1".into());
        }
        if t.batch > MOST_BATCH {
            return Some(format!("batch = {} is over {MOST_BATCH}", t.batch));
        }
        if t.accumulate == 0 || !t.batch.is_multiple_of(t.accumulate) {
            return Some(format!(
                "accumulate = {} must divide batch = {}",
                t.accumulate, t.batch
            ));
        }
        let decays = [("beta1", t.beta1), ("beta2", t.beta2), ("ema", t.ema)];
        if let Some((name, value)) = decays.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Some(format!("{name} = {value} must be in [0, 1)"));
        }
        let sizes = [
            ("lr", t.lr),
            ("eps", t.eps),
            ("weight_decay", t.weight_decay),
            ("clip", t.clip),
        ];
        if let Some((name, value)) = sizes
            .iter()
            .find(|(_, v)| !(*v as f32).is_finite() || *v < 0.0)
        {
            return Some(format!("{name} = {value} must be finite and not negative"));
        }
        if let Levels::Bump {
            centre,
            width,
            floor,
        } = t.levels
            && !(centre.is_finite()
                && width > 0.0
                && width.is_finite()
                && floor >= 0.0
                && floor.is_finite())
        {
            return Some("levels: width must be above 0, floor must not be negative".into());
        }
        if let Levels::Entropy { bins, uniform } = t.levels
            && !((2..=MOST_BINS).contains(&bins) && uniform > 0.0 && uniform <= 1.0)
        {
            return Some(format!(
                "levels: bins must be 2 to {MOST_BINS}, uniform must be in (0, 1]"
            ));
        }
        None
    }
}

/// `table` with the defaults of `T` for the keys that it leaves out.
fn over_defaults<T: Default + Serialize>(table: Table) -> Table {
    let mut full = Table::try_from(T::default()).expect("a configuration is a TOML table");
    merge(&mut full, table);
    complete_spacing(&mut full);
    full
}

/// A schedule that is chosen without its numbers takes their defaults.
fn complete_spacing(table: &mut Table) {
    let Some(Value::Table(bridge)) = table.get_mut("bridge") else {
        return;
    };
    let numbers: &[(&str, f64)] = match bridge.get("schedule").and_then(Value::as_str) {
        Some("constant") => &[("total_time", TOTAL_TIME)],
        Some("linear") => &[("beta_start", 1e-4), ("beta_end", 0.02)],
        _ => &[],
    };
    for (key, value) in numbers {
        bridge.entry(*key).or_insert(Value::Float(*value));
    }
}

/// A TOML value if `text` is one, else a string: `--set codes.regulariser=kl` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_string()))
}
