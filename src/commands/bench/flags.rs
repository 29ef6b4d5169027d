//! Flags of `bench`.

use std::path::PathBuf;

use clap::Args;

use super::BenchArgs;
use crate::commands::{DeviceFlags, bench};
use crate::error::{Error, Result};

#[derive(Args, Debug)]
pub(crate) struct BenchFlags {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw a roofline plot: the rate of each kernel below the adapter's ceilings.
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
    /// Run only cases whose lines contain TEXT: part of an op, of a shape, or a direction.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Include training steps at the paper's sizes (preset cifar10).
    #[arg(long)]
    large: bool,
    /// Start no case later than this, seconds.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 120.0,
        allow_negative_numbers = true
    )]
    limit: f64,
    #[command(flatten)]
    device: DeviceFlags,
}

impl BenchFlags {
    pub(crate) fn run(self) -> Result<()> {
        let BenchFlags {
            json,
            out,
            filter,
            large,
            limit,
            device,
        } = self;
        if !(limit > 0.0 && limit.is_finite()) {
            return Err(Error::Usage("--limit must be above 0 seconds".into()));
        }
        bench::run(&BenchArgs {
            json,
            out,
            filter,
            large,
            limit,
            device: device.into(),
        })
    }
}
