//! Flags of `schedule`.

use clap::{Args, ValueEnum};

use crate::bridge::{Bridge, Spacing, Target};
use crate::commands::schedule;
use crate::config::{BridgeConfig, Experiment};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schedule {
    Constant,
    Linear,
    Cosine,
}

#[derive(Args, Debug)]
pub(crate) struct ScheduleFlags {
    /// A preset or configuration file, whose values the flags below override. Without one: theta 1,
    /// eta sqrt 2, T 1000, linear.
    preset: Option<String>,
    /// Mean-reversion rate ϑ.
    #[arg(long, allow_negative_numbers = true)]
    theta: Option<f64>,
    /// Noise scale η.
    #[arg(long, allow_negative_numbers = true)]
    eta: Option<f64>,
    /// Target z*, a number or several separated by commas.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    target: Option<Vec<f64>>,
    /// Steps T.
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// How the noise is distributed over the steps.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Σδ of the constant schedule.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    total_time: Option<f64>,
    /// β_1 of the linear schedule.
    #[arg(long, allow_negative_numbers = true)]
    beta_start: Option<f64>,
    /// β_T of the linear schedule.
    #[arg(long, allow_negative_numbers = true)]
    beta_end: Option<f64>,
    /// Print the schedule even if it ends far from the prior.
    #[arg(long)]
    allow_bad_terminal: bool,
    /// Print JSON: every step, all digits.
    #[arg(long)]
    json: bool,
}

impl ScheduleFlags {
    fn bridge(&self) -> Result<Bridge> {
        let mut config = match &self.preset {
            Some(name) => Experiment::load(name, &[])?.bridge().clone(),
            None => {
                let spacing = Spacing::Linear {
                    beta_start: 1e-4,
                    beta_end: 0.02,
                };
                BridgeConfig {
                    steps: 1000,
                    theta: 1.0,
                    eta: std::f64::consts::SQRT_2,
                    spacing,
                    ..BridgeConfig::default()
                }
            }
        };
        config.theta = self.theta.unwrap_or(config.theta);
        config.eta = self.eta.unwrap_or(config.eta);
        config.steps = self.steps.unwrap_or(config.steps);
        if let Some(target) = &self.target {
            config.target = if let [one] = target[..] {
                Target::Scalar(one)
            } else {
                Target::PerChannel(target.clone())
            };
        }
        config.spacing = self.spacing(config.spacing)?;
        config.build()
    }

    /// The spacing of the preset with the flags applied; a flag of another schedule is an error.
    fn spacing(&self, preset: Spacing) -> Result<Spacing> {
        let mut spacing = match (self.schedule, preset) {
            (None, _)
            | (Some(Schedule::Constant), Spacing::Constant { .. })
            | (Some(Schedule::Linear), Spacing::Linear { .. }) => preset,
            (Some(Schedule::Constant), _) => Spacing::Constant {
                total_time: self
                    .total_time
                    .ok_or_else(|| Error::Usage("--schedule constant needs --total-time".into()))?,
            },
            (Some(Schedule::Linear), _) => Spacing::Linear {
                beta_start: 1e-4,
                beta_end: 0.02,
            },
            (Some(Schedule::Cosine), _) => Spacing::Cosine {},
        };
        let time = self.total_time;
        let betas = (self.beta_start, self.beta_end);
        match &mut spacing {
            Spacing::Constant { total_time } if betas == (None, None) => {
                *total_time = time.unwrap_or(*total_time)
            }
            Spacing::Linear {
                beta_start,
                beta_end,
            } if time.is_none() => {
                *beta_start = betas.0.unwrap_or(*beta_start);
                *beta_end = betas.1.unwrap_or(*beta_end);
            }
            Spacing::Cosine {} if time.is_none() && betas == (None, None) => {}
            _ => {
                return Err(Error::Usage(
                    "--total-time goes with --schedule constant, --beta-start and --beta-end with linear".into(),
                ));
            }
        }
        Ok(spacing)
    }

    pub(crate) fn run(&self) -> Result<()> {
        schedule::run(&self.bridge()?, self.allow_bad_terminal, self.json)
    }
}
