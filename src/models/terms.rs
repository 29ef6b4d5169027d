//! Terms of Algorithm 1 that the toy and the images share: how much of the diffusion loss's
//! gradient reaches z_0, and L_reg.

use crate::config::{DiffusionGradient, JointConfig, Regulariser};
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// `z0` with its gradient stopped, passed or scaled, as configured; `scale` is for
/// [`DiffusionGradient::Scale`].
pub(super) fn passing(z0: &Tensor, gradient: DiffusionGradient, scale: f64) -> Tensor {
    match gradient {
        DiffusionGradient::Stop => z0.detach(),
        DiffusionGradient::Full => z0.clone(),
        DiffusionGradient::Scale => {
            let part = scale as f32;
            ops::add(
                &ops::affine(z0, part, 0.0),
                &ops::affine(&z0.detach(), 1.0 - part, 0.0),
            )
        }
    }
}

/// Geometric schedule from `first` at 0 to `last` at `end` and beyond.
pub(super) fn annealed(first: f64, last: f64, at: f64, end: f64) -> f64 {
    first * (last / first).powf((at / end).min(1.0))
}

/// Parameters of L_reg.
pub(super) struct Regularising {
    kind: Regulariser,
    /// Logits are −scale · ‖z − e‖².
    scale: f64,
    tau: f64,
    tau_first: f64,
    tau_last: f64,
}

impl From<&JointConfig> for Regularising {
    fn from(c: &JointConfig) -> Regularising {
        let tau = c.reg_tau;
        let tau_first = c.reg_tau_first;
        let tau_last = c.reg_tau_last;
        Regularising {
            kind: c.regulariser,
            scale: c.scale,
            tau,
            tau_first,
            tau_last,
        }
    }
}

impl Regularising {
    /// L_reg, minimised: the mean over positions of what [`Regulariser`] names, for `zt` [n, .., d]
    /// at the levels `t` `[n]` of a bridge of `steps` steps and the `codebook` [k, d]; `None` if it
    /// is off.
    pub fn loss(
        &self,
        zt: impl FnOnce() -> Tensor,
        codebook: impl FnOnce() -> Tensor,
        t: &Codes,
        steps: usize,
    ) -> Option<Tensor> {
        if self.kind == Regulariser::Off {
            return None;
        }
        let codebook = &codebook();
        let [_, d] = codebook.dims();
        let n = t.count();
        let zt = zt();
        let zt = zt.reshape([n, zt.count() / (n * d), d]);
        let tau = |t: usize| annealed(self.tau_first, self.tau_last, t as f64, steps as f64);
        let table = |f: &dyn Fn(usize) -> f64| {
            let values: Vec<f32> = (0..=steps).map(|t| f(t) as f32).collect();
            ops::gather(&Tensor::from_slice(zt.gpu(), &values, [values.len(), 1]), t)
                .reshape([n, 1, 1])
        };
        if self.kind == Regulariser::Gamma {
            let nearest = ops::gather(codebook, &ops::nearest(&zt, codebook));
            let gamma = table(&|t| 1.0 / self.tau - 1.0 / tau(t));
            let squares = ops::mul(&ops::square(&ops::sub(&zt, &nearest)), &gamma);
            return Some(ops::affine(&ops::mean_all(&squares), d as f32, 0.0));
        }
        let distances = ops::affine(&ops::distances(&zt, codebook), -self.scale as f32, 0.0);
        let q = ops::affine(&distances, 1.0 / self.tau as f32, 0.0);
        let p = ops::mul(&distances, &table(&|t| 1.0 / tau(t)));
        Some(ops::mean_all(&ops::kl_divergence(&q, &p)))
    }
}
