//! Adam for a training loop of your own.

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
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Limit of the norm of all gradients together; 0 for none.
    pub clip: f64,
    /// Decay of the running average of the weights; 0: the average is the weights.
    pub ema: f64,
}

impl Default for AdamOptions {
    /// PyTorch's: learning rate 1e-3, β 0.9 and 0.999, ε 1e-8, nothing else.
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

/// Adam with decoupled weight decay (AdamW, Loshchilov and Hutter 2019). Counts its steps.
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
    /// May be changed between steps, to schedule the learning rate; β, ε and weight decay are those
    /// that it was made with.
    pub options: AdamOptions,
}

impl Adam {
    /// Optimises the parameters of `model`, which become leaves of the tape.
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

    /// Takes a step and hands everything recorded to the GPU. Waits only if two earlier steps are
    /// unfinished.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::error::Error::DeviceLost) or
    /// [`Error::OutOfMemory`](crate::error::Error::OutOfMemory), if the driver has reported it.
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

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Replaces the parameters of `model`, which has the trained model's structure, by the running
    /// averages.
    ///
    /// # Panics
    /// If `model` has a parameter that the trained model has not.
    pub fn averages(&self, model: &mut dyn Module) {
        self.inner.averages(model);
    }
}
