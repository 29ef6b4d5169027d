//! Training steps as in a real training, on noise instead of data.

use super::work::Work;
use crate::config::{Experiment, UNetConfig};
use crate::error::{Error, Result};
use crate::experiment::session::Task;
use crate::experiment::stages::rehearsal;
use crate::experiment::stages::toy::ToyTask;
use crate::gpu::Gpu;
use crate::models::denoiser::Denoiser;
use crate::models::unet::{Ports, UNet};
use crate::nn::init::Init;
use crate::nn::optim::{Group, GroupedAdam, Moments};
use crate::ops;
use crate::philox::Stream;
use crate::tensor::Codes;

/// A closure that records a training step of `work`, given its number.
///
/// # Errors
/// Those of loading the preset, and [`Error::Usage`] if `work` is not a training step.
pub fn step(gpu: &Gpu, work: &Work) -> Result<Box<dyn FnMut(u64) -> Result<()>>> {
    match work {
        Work::UnetStep { n, h, w, c } => Ok(unet(gpu, [*n, *h, *w, *c])),
        Work::Train { preset, stage } => {
            let mut task: Box<dyn Task> = match (Experiment::load(preset, &[])?, stage) {
                (Experiment::Toy(config), None) => Box::new(ToyTask::new(gpu, &config)?),
                (Experiment::Grid(config), Some(stage)) => {
                    rehearsal::on_noise(gpu, &config, (*stage).into())?
                }
                _ => return Err(Error::Usage(format!("{preset} has no such training step"))),
            };
            task.start()?;
            Ok(Box::new(move |number| task.step(number).map(drop)))
        }
        _ => Err(Error::Usage(format!(
            "{} is not a training step",
            work.op()
        ))),
    }
}

/// A step of ε-prediction on latents [n, h, w, c]: forward, backward, Adam.
fn unet(gpu: &Gpu, [n, h, w, c]: [usize; 4]) -> Box<dyn FnMut(u64) -> Result<()>> {
    // Ho et al. multiply the base width, we the width of the level above: 64, 128, 128.
    let widths = vec![1, 2, 1];
    let config = UNetConfig {
        base: 64,
        multipliers: widths,
        attention: vec![2],
        heads: 1,
        ..UNetConfig::default()
    };
    let mut model = UNet::new(&mut Init::new(gpu, 0), &config, Ports::same(c), 1000, 0);
    let options = Moments {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    let adam = GroupedAdam::new(gpu, &mut model, options, |_| 0);
    let normal = |stream| {
        ops::normal(
            gpu,
            [n, h, w, c],
            Stream {
                seed: 7,
                step: 0,
                stream,
                first: 0,
            },
        )
    };
    let z = normal(1);
    let eps = normal(2);
    let levels: Vec<u32> = (0..n as u32).map(|i| 1 + 61 * i % 1000).collect();
    let t = Codes::from_slice(gpu, &levels, [n]);
    Box::new(move |number| {
        let loss = ops::mse(&model.forward(&z, &t, None, None), &eps);
        adam.step(
            &loss.backward(),
            &[Group {
                lr: 1e-4,
                clip: 1.0,
            }],
            number as u32 + 1,
            0.99,
        );
        Ok(())
    })
}
