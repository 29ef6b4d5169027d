//! What overrides a preset or file: sections of another run, `--set`, and values that are known with
//! their types.

use toml::{Table, Value};

use super::{Config, GridConfig, Resize, Stage, TrainConfig};
use crate::error::{Error, Result};

/// In a training that the user shortens, the warm-up takes at most 1/`WARMUP_SHARE` of the steps.
const WARMUP_SHARE: u64 = 10;
/// Largest number that TOML can hold.
const MOST: u64 = i64::MAX as u64;

/// What overrides a preset or file. A typed value overrides `sets`; `None` leaves what is there.
#[derive(Clone, Debug, Default)]
pub struct Overrides<'a> {
    /// Sections that override the preset, but neither the file nor `sets`.
    pub inherited: Table,
    /// `key.path=value` settings.
    pub sets: &'a [String],
    /// Seed of all randomness.
    pub seed: Option<u64>,
    /// The stage that `steps` and `warmup` are for; `None` for the toy.
    pub stage: Option<Stage>,
    /// Training steps.
    pub steps: Option<u64>,
    /// Steps of warm-up, unless the file or `sets` give them.
    pub warmup: Option<u64>,
    /// Side of the images.
    pub size: Option<u32>,
    /// How images are resized.
    pub resize: Option<Resize>,
    /// Leave out images that cannot be read.
    pub skip_broken: bool,
    /// Number of codes of a data set that comes as codes.
    pub codes: Option<usize>,
    /// Rows and columns of its samples.
    pub grid: Option<[usize; 2]>,
    /// Channels of its code vectors.
    pub dim: Option<usize>,
}

impl<'a> Overrides<'a> {
    /// Only `key.path=value` settings.
    pub fn of_sets(sets: &'a [String]) -> Overrides<'a> {
        Overrides {
            sets,
            ..Overrides::default()
        }
    }

    /// Refuses numbers that a configuration cannot hold; `whose` names it in messages.
    pub(super) fn check(&self, whose: &str) -> Result<()> {
        for (name, number) in [("seed", self.seed), ("steps", self.steps)] {
            if let Some(number) = number.filter(|&number| number > MOST) {
                return Err(Error::Config(format!(
                    "{whose}: {name} = {number} is over {MOST}"
                )));
            }
        }
        Ok(())
    }

    /// Sets the typed values that the toy has, except those of its training.
    pub(super) fn set_toy(&self, config: &mut Config) {
        set(&mut config.seed, self.seed);
    }

    /// Sets the typed values that an experiment on grids has, except those of its trainings.
    pub(super) fn set_grid(&self, config: &mut GridConfig) {
        set(&mut config.seed, self.seed);
        set(&mut config.vqvae.size, self.size.map(|size| size as usize));
        set(&mut config.data.resize, self.resize);
        config.data.skip_broken |= self.skip_broken;
        if let Some(codebook) = &mut config.codebook {
            set(&mut codebook.codes, self.codes);
            set(&mut codebook.height, self.grid.map(|[height, _]| height));
            set(&mut codebook.width, self.grid.map(|[_, width]| width));
            set(&mut codebook.dim, self.dim);
        }
    }

    /// Sets steps and warm-up of `train`, the training of `stage`; file and `sets` say the section
    /// `said` of it. If the user gives fewer steps than `before`, the training of the preset, and no
    /// warm-up, the warm-up is limited to a tenth of the steps.
    pub(super) fn set_training(
        &self,
        stage: Option<Stage>,
        train: &mut TrainConfig,
        before: &TrainConfig,
        said: Option<&Value>,
    ) {
        let says = |key: &str| said.is_some_and(|section| section.get(key).is_some());
        let is_own = self.stage == stage;
        let steps = self.steps.filter(|_| is_own);
        set(&mut train.steps, steps);
        if says("warmup") {
            return;
        }
        if let Some(warmup) = self.warmup.filter(|_| is_own) {
            train.warmup = warmup;
        } else if (steps.is_some() || says("steps")) && train.steps < before.steps {
            train.warmup = before.warmup.min((train.steps / WARMUP_SHARE).max(1));
        }
    }
}

fn set<T>(value: &mut T, over: Option<T>) {
    if let Some(over) = over {
        *value = over;
    }
}
