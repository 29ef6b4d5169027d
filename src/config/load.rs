//! From a preset or file, with `--set` on top, to a checked configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{BridgeConfig, CodesConfig, Config, ImagesConfig, Levels, PRESETS, StagesConfig, TOTAL_TIME, TrainConfig};
use crate::error::{Error, Result};

/// Most sequences or pictures of a step.
const MOST_BATCH: usize = 1 << 16;
/// Most bytes of a configuration; it has a few thousand. TOML takes some hundred times its length in memory.
const MOST_BYTES: usize = 1 << 20;
/// Most bytes of a word that a similar one is looked for.
const MOST_ALIKE: usize = 100;

/// What a preset or file describes.
pub enum Experiment {
    /// The toy of section 4.1.
    Toy(Box<Config>),
    /// Images, section 4.2: the file has a `[vqvae]`.
    Images(Box<ImagesConfig>),
}

impl Experiment {
    /// The preset or TOML file `name`, with `sets` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn load(name: &str, sets: &[String]) -> Result<Experiment> {
        let (text, whose) = find(name)?;
        Ok(match has_images(&text) {
            true => Experiment::Images(Box::new(ImagesConfig::parse(&text, &whose, sets)?)),
            false => Experiment::Toy(Box::new(Config::parse(&text, &whose, sets)?)),
        })
    }
}

impl Experiment {
    /// Whether the preset or TOML file `name` describes images.
    ///
    /// # Errors
    /// [`Error::Config`] if there is neither, [`Error::Io`] if the file cannot be read.
    pub fn is_of_images(name: &str) -> Result<bool> {
        Ok(has_images(&find(name)?.0))
    }

    /// Its bridge.
    pub fn bridge(&self) -> &BridgeConfig {
        match self {
            Experiment::Toy(config) => &config.bridge,
            Experiment::Images(config) => &config.bridge,
        }
    }
}

/// Whether a configuration describes images.
fn has_images(text: &str) -> bool {
    text.len() <= MOST_BYTES && text.parse::<Table>().is_ok_and(|table| table.contains_key("vqvae"))
}

/// The text of the preset or TOML file `name`, and what to call it.
fn find(name: &str) -> Result<(String, String)> {
    match PRESETS.iter().find(|(preset, ..)| *preset == name) {
        Some((_, _, text)) => Ok(((*text).to_string(), format!("preset {name}"))),
        None => Ok((read(name)?, name.to_string())),
    }
}

/// `text` with `sets` on top, every key being one of `known`.
fn resolve<T: DeserializeOwned>(text: &str, whose: &str, sets: &[String], known: &[String]) -> Result<T> {
    if text.len() > MOST_BYTES {
        let what = format!("{} bytes are too many for a configuration ({MOST_BYTES} at most)", text.len());
        return Err(Error::Config(format!("{whose}: {what}; name another file")));
    }
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        let before = |at: usize| text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        let line = e.span().map_or(1, |at| before(at.start) + 1);
        Error::Config(format!("{whose}, line {line}: {}", in_one_line(e.message())))
    })?;
    check_keys(&table, "", known, whose)?;
    for set in sets {
        let (key, value) =
            set.split_once('=').ok_or_else(|| Error::Config(format!("--set {set}: write key.path=value")))?;
        if key.trim().starts_with("codes.") && !table.contains_key("codes") {
            let what = format!("--set {set}: {whose} has no [codes]; start from the preset toy-joint");
            return Err(Error::Config(what));
        }
        if let Some((section, tag)) = key.trim().rsplit_once('.') {
            forget_numbers(&mut table, section, tag, value.trim());
        }
        put(&mut table, key.trim(), parse_value(value.trim()))?;
        check_keys(&table, "", known, &format!("--set {set}"))?;
    }
    if table.contains_key("vqvae") {
        complete_bridge(&mut table);
    }
    complete_spacing(&mut table);
    complete_stages(&mut table);
    table.try_into().map_err(|e: toml::de::Error| Error::Config(format!("{whose}: {}", in_one_line(&e.to_string()))))
}

fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

impl ImagesConfig {
    /// A configuration from TOML text; `whose` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`], as [`Experiment::load`].
    pub fn parse(text: &str, whose: &str, sets: &[String]) -> Result<ImagesConfig> {
        // With the law of levels that has the most keys.
        let [vqvae, prior, pixelcnn, joint] = [(); 4].map(|()| TrainConfig::default());
        let stages = StagesConfig { vqvae, prior, pixelcnn, joint, ..StagesConfig::default() };
        let full = ImagesConfig { stages, ..ImagesConfig::default() };
        let config: ImagesConfig = resolve(text, whose, sets, &known_keys(&full))?;
        if let Some(what) = config.wrong() {
            return Err(Error::Config(format!("{whose}: {what}")));
        }
        config.bridge.build().map_err(|e| Error::Config(format!("{whose}: [bridge] {e}")))?;
        Ok(config)
    }
}

impl Config {
    /// The preset or TOML file `name`, with `sets` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn load(name: &str, sets: &[String]) -> Result<Config> {
        let (text, whose) = find(name)?;
        Config::parse(&text, &whose, sets)
    }

    /// A configuration from TOML text; `whose` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`], as [`Config::load`].
    pub fn parse(text: &str, whose: &str, sets: &[String]) -> Result<Config> {
        let full = Config { codes: Some(CodesConfig::default()), ..Config::default() };
        let config: Config = resolve(text, whose, sets, &known_keys(&full))?;
        config.check(whose)?;
        Ok(config)
    }

    /// This configuration as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table")
    }

    /// What must agree for weights of one run to fit another: all but `train` and `seed`.
    pub fn model_text(&self) -> String {
        let model = Config { train: TrainConfig::default(), seed: 0, ..self.clone() };
        model.to_toml()
    }

    fn check(&self, whose: &str) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(format!("{whose}: {what}")));
        let d = &self.denoiser;
        if let Some(what) = self.train.wrong() {
            return wrong(format!("train.{what}"));
        }
        if self.train.accumulate > 1 {
            return wrong(
                "train.accumulate is for image presets; the toy's batches go through the network whole".into(),
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
            return wrong(format!("denoiser.kernel must be odd (is {}), channels and features at least 1", d.kernel));
        }
        if let Some(c) = &self.codes {
            let sizes =
                [("tau_start", c.tau_start), ("tau_end", c.tau_end), ("scale", c.scale), ("reg_tau", c.reg_tau)];
            let more = [("reg_tau_first", c.reg_tau_first), ("reg_tau_last", c.reg_tau_last), ("lr", c.lr)];
            if let Some((name, value)) = sizes.iter().chain(&more).find(|(_, v)| !(*v > 0.0 && (*v as f32).is_finite()))
            {
                return wrong(format!("codes.{name} = {value} must be a finite number above 0"));
            }
        }
        self.bridge.build().map(|_| ()).map_err(|e| Error::Config(format!("{whose}: [bridge] {e}")))
    }
}

impl TrainConfig {
    /// What makes no sense in it.
    pub(super) fn wrong(&self) -> Option<String> {
        let t = self;
        if t.batch == 0 || t.steps == 0 || t.checkpoint_every == 0 || t.log_every == 0 {
            return Some("batch, steps, checkpoint_every and log_every must be at least 1".into());
        }
        if t.batch > MOST_BATCH {
            return Some(format!("batch = {} is over {MOST_BATCH}", t.batch));
        }
        if t.accumulate == 0 || !t.batch.is_multiple_of(t.accumulate) {
            return Some(format!("accumulate = {} must divide batch = {}", t.accumulate, t.batch));
        }
        let decays = [("beta1", t.beta1), ("beta2", t.beta2), ("ema", t.ema)];
        if let Some((name, value)) = decays.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Some(format!("{name} = {value} must be in [0, 1)"));
        }
        let sizes = [("lr", t.lr), ("eps", t.eps), ("weight_decay", t.weight_decay), ("clip", t.clip)];
        if let Some((name, value)) = sizes.iter().find(|(_, v)| !(*v as f32).is_finite() || *v < 0.0) {
            return Some(format!("{name} = {value} must be a finite number, not negative"));
        }
        if let Levels::Bump { centre, width, floor } = t.levels
            && !(centre.is_finite() && width > 0.0 && width.is_finite() && floor >= 0.0 && floor.is_finite())
        {
            return Some("levels: width must be above 0, floor not negative".into());
        }
        None
    }
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound && !file.ends_with(".toml") {
            let names = PRESETS.map(|(name, ..)| name);
            let near = nearest(file, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
            return Error::Config(format!("'{file}' is neither a preset ({}) nor a file{near}", names.join(", ")));
        }
        Error::io(file)(e)
    })
}

/// Another schedule of the bridge, or law of the levels, than the file's leaves the old one's numbers behind.
fn forget_numbers(table: &mut Table, section: &str, tag: &str, value: &str) {
    let numbers = match (section.rsplit('.').next(), tag) {
        (Some("bridge"), "schedule") => ["total_time", "beta_start", "beta_end"],
        (Some("levels"), "law") => ["centre", "width", "floor"],
        _ => return,
    };
    let section = section.split('.').try_fold(table, |table, name| table.get_mut(name)?.as_table_mut());
    let is_new = |table: &&mut Table| table.get(tag).and_then(Value::as_str) != Some(value.trim_matches(['"', '\'']));
    if let Some(section) = section.filter(is_new) {
        numbers.iter().for_each(|key| _ = section.remove(*key));
    }
}

/// Every key is optional: a `[bridge]` without schedule, or without its numbers, takes the defaults.
fn complete_spacing(table: &mut Table) {
    let Some(Value::Table(bridge)) = table.get_mut("bridge") else { return };
    let schedule = bridge.entry("schedule").or_insert_with(|| "constant".into()).as_str().map(str::to_string);
    let numbers: &[(&str, f64)] = match schedule.as_deref() {
        Some("constant") => &[("total_time", TOTAL_TIME)],
        Some("linear") => &[("beta_start", 1e-4), ("beta_end", 0.02)],
        _ => &[],
    };
    for (key, value) in numbers {
        bridge.entry(*key).or_insert(Value::Float(*value));
    }
}

/// A key that the `[bridge]` of an image configuration leaves out takes the images' default, not the toy's. Another schedule has
/// numbers of its own.
fn complete_bridge(table: &mut Table) {
    let Some(Value::Table(given)) = table.get_mut("bridge") else { return };
    let default = Table::try_from(ImagesConfig::default().bridge).expect("a configuration is a TOML table");
    let same = given.get("schedule").is_none_or(|schedule| Some(schedule) == default.get("schedule"));
    for (key, value) in default {
        if same || !matches!(key.as_str(), "schedule" | "beta_start" | "beta_end") {
            given.entry(key).or_insert(value);
        }
    }
}

/// A key that a section of `[stages]` leaves out takes that stage's default, not the toy's.
fn complete_stages(table: &mut Table) {
    let defaults = Table::try_from(StagesConfig::default()).expect("a configuration is a TOML table");
    let Some(Value::Table(stages)) = table.get_mut("stages") else { return };
    for (stage, keys) in defaults {
        if let (Some(Value::Table(given)), Value::Table(keys)) = (stages.get_mut(&stage), keys) {
            keys.into_iter().for_each(|(key, value)| _ = given.entry(key).or_insert(value));
        }
    }
}

/// All key paths that a configuration like `full` may have.
fn known_keys(full: &impl Serialize) -> Vec<String> {
    let mut keys = Vec::new();
    collect_keys(&Table::try_from(full).expect("a configuration is a TOML table"), "", &mut keys);
    keys.extend(["bridge.total_time", "bridge.beta_start", "bridge.beta_end"].map(String::from));
    keys
}

fn collect_keys(table: &Table, at: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        keys.push(format!("{at}{key}"));
        if let Value::Table(inner) = value {
            collect_keys(inner, &format!("{at}{key}."), keys);
        }
    }
}

fn check_keys(table: &Table, at: &str, known: &[String], whose: &str) -> Result<()> {
    for (key, value) in table {
        let path = format!("{at}{key}");
        if !known.contains(&path) {
            let near = nearest(&path, known.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            return Err(Error::Config(format!("{whose}: unknown key `{path}`{hint}")));
        }
        if let Value::Table(inner) = value {
            check_keys(inner, &format!("{path}."), known, whose)?;
        }
    }
    Ok(())
}

/// The candidate most like `word`, if any is.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |c: &str| if word.len() > MOST_ALIKE { 0.0 } else { strsim::jaro_winkler(word, c) };
    candidates.max_by(|a, b| score(a).total_cmp(&score(b))).filter(|c| score(c) > 0.7)
}

/// A TOML value if `text` is one, else a string: `--set codes.regulariser=kl` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| Value::String(text.to_string()))
}

fn put(table: &mut Table, path: &str, value: Value) -> Result<()> {
    match path.split_once('.') {
        None => {
            table.insert(path.to_string(), value);
            Ok(())
        }
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else {
                return Err(Error::Config(format!("--set {path}: `{head}` is no section")));
            };
            put(inner, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Spacing;
    use crate::config::LossWeight;

    #[test]
    fn presets_parse_and_write_themselves() {
        for (name, _, text) in PRESETS {
            match Experiment::load(name, &[]).expect(name) {
                Experiment::Toy(config) => {
                    assert_eq!(Config::parse(&config.to_toml(), name, &[]).expect(name), *config, "{name}");
                }
                Experiment::Images(config) => {
                    assert_eq!(ImagesConfig::parse(&config.to_toml(), name, &[]).expect(name), *config, "{name}");
                    assert!(text.contains("[stages.prior]"), "{name}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = Config::parse("[train]\nstep = 3", "x.toml", &[]).expect_err("unknown").to_string();
        assert!(
            error.contains("x.toml") && error.contains("`train.step`") && error.contains("`train.steps`"),
            "{error}"
        );
        let error = Config::load("toy", &["bridge.thetta=1".into()]).expect_err("unknown").to_string();
        assert!(error.contains("`bridge.theta`"), "{error}");
    }

    #[test]
    fn an_image_preset_that_makes_no_sense_names_the_key() {
        for (set, key) in [
            ("vqvae.size=30", "vqvae.size"),
            ("unet.multipliers=[]", "unet.multipliers"),
            ("unet.heads=5", "unet.heads"),
            ("unet.base=1024", "unet.heads"),
            ("unet.attention=[7]", "unet.attention"),
            ("pixelcnn.kernel=2", "pixelcnn.kernel"),
            ("stages.prior.batch=0", "stages.prior.batch"),
            ("stages.prior.lr=-1", "stages.prior.lr"),
            ("vqvae.decay=1", "vqvae.decay"),
            ("vqvae.normaliser=0.1", "vqvae.normaliser"),
            ("vqvae.quantiser=gumbel", "vqvae.codebook = \"gradient\""),
            ("vqvae.gumbel.tau_end=0", "vqvae.gumbel.tau_end"),
            ("vqvae.distance=manhattan", "manhattan"),
            ("unet.prediction=z0", "z0"),
            ("class_dropout=1", "class_dropout"),
            ("stages.prior.loss=preconditioned", "stages.prior.loss"),
            ("joint.reg_tau=0", "joint.reg_tau"),
            ("stages.vqvae.accumulate=3", "stages.vqvae.accumulate"),
        ] {
            let error = Experiment::load("cifar10-small", &[set.into()]).err().expect(set).to_string();
            assert!(error.contains(key), "{set}: {error}");
        }
    }

    #[test]
    fn a_key_left_out_of_a_stage_takes_the_stage_s_default() {
        let text = "[vqvae]\n[stages.prior]\nsteps = 3";
        let config = ImagesConfig::parse(text, "t", &["stages.vqvae.batch=8".into()]).expect("valid");
        let defaults = StagesConfig::default();
        assert_eq!(config.stages.prior, TrainConfig { steps: 3, ..defaults.prior });
        assert_eq!(config.stages.vqvae, TrainConfig { batch: 8, ..defaults.vqvae });
    }

    #[test]
    fn a_key_left_out_of_an_image_bridge_takes_the_images_default() {
        let bridge = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
            ImagesConfig::parse("[vqvae]\n", "t", &sets).expect("valid").bridge
        };
        let default = ImagesConfig::default().bridge;
        assert_eq!(bridge(&["bridge.steps=500"]), BridgeConfig { steps: 500, ..default.clone() });
        let spacing = Spacing::Linear { beta_start: 1e-3, beta_end: 0.02 };
        assert_eq!(bridge(&["bridge.beta_start=1e-3"]), BridgeConfig { spacing, ..default.clone() });
        let cosine = bridge(&["bridge.schedule=cosine"]);
        assert_eq!(cosine, BridgeConfig { spacing: Spacing::Cosine {}, ..default });
    }

    #[test]
    fn set_reaches_every_kind_of_value() {
        let sets =
            ["seed=7", "train.lr=1e-3", "train.loss=simple", "bridge.schedule=cosine", "train.levels={law='uniform'}"];
        let mut sets = sets.map(String::from).to_vec();
        let text = "[bridge]\nsteps = 10\neta = 2.0\n";
        let config = Config::parse(text, "t", &sets).expect("valid");
        assert_eq!((config.seed, config.train.lr, config.train.loss), (7, 1e-3, LossWeight::Simple));
        assert_eq!(config.train.levels, Levels::Uniform {});
        sets.push("train".into());
        assert!(Config::parse(text, "t", &sets).is_err());
    }

    #[test]
    fn set_changes_the_schedule_but_turns_no_codes_on() {
        let cosine = Config::load("toy", &["bridge.schedule=cosine".into()]).expect("the old numbers go");
        assert_eq!(cosine.bridge.spacing, Spacing::Cosine {});
        let error = Config::load("toy", &["codes.lr=0.1".into()]).expect_err("no codes").to_string();
        assert!(error.contains("toy-joint"), "{error}");
    }

    #[test]
    fn set_changes_the_law_of_the_levels() {
        let uniform = Config::load("toy", &["train.levels.law=uniform".into()]).expect("the old numbers go");
        assert_eq!(uniform.train.levels, Levels::Uniform {});
        let bump = ["train.levels.width=0.2", "train.levels.law=bump"].map(String::from);
        let again = Config::load("toy", &bump).expect("the same law keeps its numbers").train.levels;
        assert!(matches!(again, Levels::Bump { width: 0.2, .. }), "{again:?}");
    }

    #[test]
    fn errors_of_a_file_say_the_line_in_one_line() {
        let error = Config::parse("seed = 1\n[train]\nsteps = = 3\n", "x.toml", &[]).expect_err("not TOML").to_string();
        assert!(error.starts_with("x.toml, line 3: ") && !error.contains('\n'), "{error}");
        let error = Config::parse("seed = 1\nseed = 2\n", "x.toml", &[]).expect_err("twice").to_string();
        assert!(error.starts_with("x.toml, line 2: "), "{error}");
        let error = Config::parse("[train]\nsteps = 'many'\n", "x.toml", &[]).expect_err("no number").to_string();
        assert!(error.contains("train.steps") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn sizes_beyond_reason_are_refused() {
        for set in
            ["train.batch=99999999999", "denoiser.kernel=99999", "denoiser.blocks=100000", "bridge.steps=100000000"]
        {
            let error = Config::load("toy", &[set.into()]).expect_err(set).to_string();
            assert!(error.contains(set.split(['.', '=']).nth(1).unwrap_or_default()), "{error}");
        }
    }

    #[test]
    fn a_wrong_name_or_number_says_so() {
        assert!(Config::load("toyy", &[]).expect_err("no such").to_string().contains("'toy'"));
        assert!(Config::load("toy", &["bridge.theta=-1".into()]).is_err());
        assert!(Config::load("toy", &["train.ema=1.0".into()]).expect_err("range").to_string().contains("train.ema"));
        assert_eq!(Config::load("nowhere.toml", &[]).expect_err("missing").exit_code(), 9);
    }
}
