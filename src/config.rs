//! Configurations: TOML files with every key optional, presets among them, `--set key.path=value` on top.
//! An unknown key is an error that names the nearest right one.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::bridge::{Bridge, ReverseVariance, Spacing, Target};
use crate::error::{Error, Result};

/// Presets in the program: name, what it is, its TOML.
pub const PRESETS: [(&str, &str, &str); 3] = [
    ("toy", "the toy bridge of section 4.1, 12,000 steps", include_str!("../presets/toy.toml")),
    ("toy-quick", "the same, shortened to 2,500 steps", include_str!("../presets/toy-quick.toml")),
    ("toy-joint", "the toy with codes learnt from a random start", include_str!("../presets/toy-joint.toml")),
];

/// Σδ of the toy: ln(1000) / 2ϑ, so that ᾱ_T = 1e-3.
const TOTAL_TIME: f64 = 1.726_938_819_745_534;

/// Everything a run depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of all randomness.
    pub seed: u64,
    /// The Ornstein-Uhlenbeck bridge.
    pub bridge: BridgeConfig,
    /// The network ε_θ.
    pub denoiser: DenoiserConfig,
    /// Learnt codes; without this section the codes are the data's centroids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodesConfig>,
    /// Optimisation.
    pub train: TrainConfig,
}

/// The bridge: dZ = −ϑ(Z − z*)dt + η dW over `steps` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BridgeConfig {
    /// T.
    pub steps: usize,
    /// ϑ.
    pub theta: f64,
    /// η.
    pub eta: f64,
    /// z*, a number or one per channel.
    pub target: Target,
    /// σ_t² of the reverse step.
    pub reverse_variance: ReverseVariance,
    /// `schedule` and its numbers.
    #[serde(flatten)]
    pub spacing: Spacing,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let spacing = Spacing::Constant { total_time: TOTAL_TIME };
        let (target, reverse_variance) = (Target::Scalar(0.0), ReverseVariance::Bridge);
        BridgeConfig { steps: 50, theta: 2.0, eta: 0.1, target, reverse_variance, spacing }
    }
}

impl BridgeConfig {
    /// The bridge with these numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the number that is wrong.
    pub fn build(&self) -> Result<Bridge> {
        Bridge::new(self.theta, self.eta, self.target.clone(), self.steps, self.spacing)
    }
}

/// Sizes of the toy's residual Conv1d network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenoiserConfig {
    /// Channels of the residual stream and inside the blocks.
    pub channels: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Width of the convolutions, odd.
    pub kernel: usize,
    /// Cosine features of t that modulate each block.
    pub features: usize,
}

impl Default for DenoiserConfig {
    fn default() -> Self {
        DenoiserConfig { channels: 12, blocks: 6, kernel: 5, features: 5 }
    }
}

/// Codes learnt with Gumbel-softmax beside the denoiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodesConfig {
    /// Standard deviation of the random start.
    pub init_std: f64,
    /// Learning rate, cosine to 1 % over `anneal_steps`.
    pub lr: f64,
    /// Logits are −scale · ‖z − e‖²; 1/(2 · .1²) = 50 is the data's own.
    pub scale: f64,
    /// Temperature of the relaxed samples at the start.
    pub tau_start: f64,
    /// And from `anneal_steps` on; geometric between.
    pub tau_end: f64,
    /// Steps of the annealing.
    pub anneal_steps: u64,
    /// L_reg.
    pub regulariser: Regulariser,
    /// Its weight.
    pub regulariser_weight: f64,
    /// τ of q(z_q^t | z_t).
    pub reg_tau: f64,
    /// τ_0 of p(z_q^t | z_t), geometric to `reg_tau_last` at t = T.
    pub reg_tau_first: f64,
    /// τ_T.
    pub reg_tau_last: f64,
    /// What the bridge starts from: the data as in the paper, or the relaxed codes.
    pub diffuse: Diffuse,
    /// What of the diffusion loss's gradient reaches z_0 where it depends on parameters.
    pub diffusion_gradient: DiffusionGradient,
    /// Factor for `diffusion_gradient = "scale"`.
    pub gradient_scale: f64,
}

impl Default for CodesConfig {
    fn default() -> Self {
        CodesConfig {
            init_std: 0.3,
            lr: 3e-2,
            scale: 50.0,
            tau_start: 50.0,
            tau_end: 0.2,
            anneal_steps: 1500,
            regulariser: Regulariser::Off,
            regulariser_weight: 0.01,
            reg_tau: 1.0,
            reg_tau_first: 10.0,
            reg_tau_last: 0.1,
            diffuse: Diffuse::Data,
            diffusion_gradient: DiffusionGradient::Stop,
            gradient_scale: 0.1,
        }
    }
}

/// L_reg of equation (5), minimised. The printed signs change between sections of the paper: `kl` is the ELBO's own term,
/// `gamma` the short form in the sign that pulls z_t and its code together where τ_t > τ, which is opposite to the leading
/// term of `kl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regulariser {
    /// KL(q(z_q^t | z_t) ‖ p(z_q^t | z_t)).
    Kl,
    /// γ_t ‖z_t − ẑ_q^t‖², γ_t = 1/τ − 1/τ_t.
    Gamma,
    /// None.
    Off,
}

/// Where the bridge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Diffuse {
    /// z_e^0 = x.
    Data,
    /// z_q^0, the Gumbel-softmax sample.
    Codes,
}

/// What of the diffusion loss's gradient goes into z_0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiffusionGradient {
    /// Nothing.
    Stop,
    /// `gradient_scale` times it.
    Scale,
    /// All of it.
    Full,
}

/// Optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Steps in all; the learning rate falls to 0 over them.
    pub steps: u64,
    /// Sequences a step.
    pub batch: usize,
    /// Peak learning rate of the denoiser.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Adam's β₁.
    pub beta1: f64,
    /// Adam's β₂.
    pub beta2: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Limit of the gradient norm, 0 for none.
    pub clip: f64,
    /// Decay of the weights' running average, which samplers use.
    pub ema: f64,
    /// Weight of the diffusion loss over t.
    pub loss: LossWeight,
    /// Law of t.
    pub levels: Levels,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            steps: 12_000,
            batch: 512,
            lr: 1.5e-2,
            warmup: 200,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 0.3,
            ema: 0.999,
            loss: LossWeight::Preconditioned,
            levels: Levels::Bump { centre: 0.6, width: 0.18, floor: 0.15 },
            checkpoint_every: 1000,
            log_every: 50,
        }
    }
}

/// Weight of ‖ε − ε_θ‖² at level t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossWeight {
    /// That of the squared error of the preconditioned network's own output (Karras et al. 2022).
    Preconditioned,
    /// 1 (Ho et al. 2020).
    Simple,
    /// Equation (4) with the bridge's reverse variance chosen; t = 1 has σ_1² = v β_1.
    Weighted,
}

/// Law of t in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "lowercase", deny_unknown_fields)]
pub enum Levels {
    /// Uniform on 1..T.
    Uniform {},
    /// ∝ exp(−½((t/T − centre)/width)²) + floor: more of the levels where sequences are decided.
    Bump {
        /// Centre, share of T.
        centre: f64,
        /// Width, share of T.
        width: f64,
        /// Floor.
        floor: f64,
    },
}

impl Config {
    /// The preset or TOML file `name`, with `sets` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`Error::Config`] naming file, key and what to write instead.
    pub fn load(name: &str, sets: &[String]) -> Result<Config> {
        let (text, whose) = match PRESETS.iter().find(|(preset, ..)| *preset == name) {
            Some((_, _, text)) => ((*text).to_string(), format!("preset {name}")),
            None => (read(name)?, name.to_string()),
        };
        Config::parse(&text, &whose, sets)
    }

    /// A configuration from TOML text; `whose` names it in messages.
    ///
    /// # Errors
    /// [`Error::Config`], as [`Config::load`].
    pub fn parse(text: &str, whose: &str, sets: &[String]) -> Result<Config> {
        let mut table: Table = text.parse().map_err(|e| Error::Config(format!("{whose}: {e}")))?;
        let known = known_keys();
        check_keys(&table, "", &known, whose)?;
        for set in sets {
            let (key, value) =
                set.split_once('=').ok_or_else(|| Error::Config(format!("--set {set}: write key.path=value")))?;
            if key.trim() == "bridge.schedule" {
                forget_spacing(&mut table, value.trim());
            }
            put(&mut table, key.trim(), parse_value(value.trim()))?;
            check_keys(&table, "", &known, &format!("--set {set}"))?;
        }
        complete_spacing(&mut table);
        let config: Config =
            table.try_into().map_err(|e| Error::Config(format!("{whose}: {}", e.to_string().trim())))?;
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
        let (t, d) = (&self.train, &self.denoiser);
        if t.batch == 0 || t.steps == 0 || t.checkpoint_every == 0 || t.log_every == 0 {
            return wrong("train.batch, steps, checkpoint_every and log_every must be at least 1".into());
        }
        if d.kernel.is_multiple_of(2) || d.channels == 0 || d.features == 0 {
            return wrong(format!("denoiser.kernel must be odd (is {}), channels and features at least 1", d.kernel));
        }
        let decays = [("beta1", t.beta1), ("beta2", t.beta2), ("ema", t.ema)];
        if let Some((name, value)) = decays.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return wrong(format!("train.{name} = {value} must be in [0, 1)"));
        }
        let sizes = [("lr", t.lr), ("eps", t.eps), ("weight_decay", t.weight_decay), ("clip", t.clip)];
        if let Some((name, value)) = sizes.iter().find(|(_, v)| !(*v as f32).is_finite() || *v < 0.0) {
            return wrong(format!("train.{name} = {value} must be a finite number, not negative"));
        }
        if let Levels::Bump { centre, width, floor } = t.levels
            && !(centre.is_finite() && width > 0.0 && width.is_finite() && floor >= 0.0 && floor.is_finite())
        {
            return wrong("train.levels: width must be above 0, floor not negative".into());
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

/// Another schedule than the file's leaves the old one's numbers behind.
fn forget_spacing(table: &mut Table, schedule: &str) {
    if let Some(Value::Table(bridge)) = table.get_mut("bridge")
        && bridge.get("schedule").and_then(Value::as_str) != Some(schedule.trim_matches(['"', '\'']))
    {
        for key in ["total_time", "beta_start", "beta_end"] {
            bridge.remove(key);
        }
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

/// All key paths that a configuration may have.
fn known_keys() -> Vec<String> {
    let mut keys = Vec::new();
    let full = Config { codes: Some(CodesConfig::default()), ..Config::default() };
    collect_keys(&Table::try_from(full).expect("a configuration is a TOML table"), "", &mut keys);
    keys.extend(["bridge.beta_start", "bridge.beta_end"].map(String::from));
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
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let score = |c: &str| strsim::jaro_winkler(word, c);
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

    #[test]
    fn presets_parse_and_write_themselves() {
        for (name, _, text) in PRESETS {
            let config = Config::parse(text, name, &[]).expect(name);
            assert_eq!(Config::parse(&config.to_toml(), name, &[]).expect(name), config, "{name}");
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
    fn a_wrong_name_or_number_says_so() {
        assert!(Config::load("toyy", &[]).expect_err("no such").to_string().contains("'toy'"));
        assert!(Config::load("toy", &["bridge.theta=-1".into()]).is_err());
        assert!(Config::load("toy", &["train.ema=1.0".into()]).expect_err("range").to_string().contains("train.ema"));
        assert_eq!(Config::load("nowhere.toml", &[]).expect_err("missing").exit_code(), 9);
    }
}
