//! The Adam optimiser, for a training loop of your own.

use super::Module;
use super::optim::{Group, GroupedAdam, Moments};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::tensor::Grads;

/// Hyperparameters of [`Adam`].
#[derive(Clone, Copy, Debug)]
pub struct AdamOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Limit of the joint norm of all gradients; 0 for no clipping.
    pub clip: f64,
    /// Decay of the running average of the weights; with 0, the average equals the weights.
    pub ema: f64,
}

impl Default for AdamOptions {
    /// PyTorch's defaults for Adam: learning rate 1e-3, β 0.9 and 0.999, ε 1e-8. No weight decay,
    /// clipping or running average.
    fn default() -> Self {
        AdamOptions {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 0.0,
            ema: 0.0,
        }
    }
}

/// Adam with decoupled weight decay (AdamW, Loshchilov and Hutter 2019). It counts its own steps.
///
/// ```
/// use dbvq_wgpu::prelude::*;
///
/// module! { struct Line { linear: Linear } }
///
/// let gpu = Gpu::open_default()?;
/// let mut line = Line { linear: Linear::new(&mut Init::new(&gpu, 0), [1, 1]) };
/// let mut adam = Adam::new(&gpu, &mut line, AdamOptions { lr: 0.1, ..Default::default() });
/// let x = Tensor::from_slice(&gpu, &[0.0, 1.0, 2.0], [3, 1]);
/// let y = &x * 3.0 - 1.0;
/// for _ in 0..300 {
///     let loss = line.linear.forward(&x).mse(&y);
///     adam.step(&loss.backward())?;
/// }
/// let four = Tensor::from_slice(&gpu, &[4.0], [1, 1]);
/// assert!((line.linear.forward(&four).item() - 11.0).abs() < 0.1);
/// # Ok::<(), Error>(())
/// ```
pub struct Adam {
    gpu: Gpu,
    inner: GroupedAdam,
    steps: u32,
    options: AdamOptions,
}

impl Adam {
    /// Makes an optimiser for the parameters of `model`, and makes them leaves of the tape.
    pub fn new(gpu: &Gpu, model: &mut dyn Module, options: AdamOptions) -> Adam {
        let moments = Moments {
            beta1: options.beta1,
            beta2: options.beta2,
            eps: options.eps,
            weight_decay: options.weight_decay,
        };
        Adam {
            gpu: gpu.clone(),
            inner: GroupedAdam::new(gpu, model, moments, |_| 0),
            steps: 0,
            options,
        }
    }

    /// Takes one step and submits everything recorded so far to the GPU. Waits only if two earlier
    /// steps are unfinished.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::error::Error::DeviceLost) or
    /// [`Error::OutOfMemory`](crate::error::Error::OutOfMemory), if the driver has reported one.
    pub fn step(&mut self, grads: &Grads) -> Result<()> {
        self.steps += 1;
        let group = Group {
            lr: self.options.lr,
            clip: self.options.clip,
        };
        self.inner
            .step(grads, &[group], self.steps, self.options.ema);
        self.gpu.hand_over();
        self.gpu.check()
    }

    /// Sets the learning rate of the steps that follow.
    pub fn set_lr(&mut self, lr: f64) {
        self.options.lr = lr;
    }

    /// The number of steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Replaces the parameters of `model` with the running averages. `model` must have the
    /// structure of the trained model. It shares the averages' memory, so later steps change it too.
    ///
    /// # Panics
    /// If `model` has a parameter that the trained model lacks.
    pub fn averages(&self, model: &mut dyn Module) {
        self.inner.averages(model);
    }
}
