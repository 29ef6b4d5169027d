//! Inception-v3 (Szegedy et al. 2016) as the Fréchet Inception Distance uses it: the network of
//! 2015 that TensorFlow published, whose weights pytorch-fid converted to PyTorch.
//!
//! It differs from the textbook's network in its pools: averages are over the pixels inside the
//! image, and the last block pools by maximum. Only what leads to the 2,048 pooled features is
//! here, no classifier.

mod blocks;

use blocks::{A, B, Block, C, D, E, Layers};

use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::conv_norm::{ConvNorm, Source};
use crate::ops::{self, Pool};
use crate::tensor::Tensor;

/// Number of features per image.
pub const FEATURES: usize = 2048;
/// Side of the images that the network sees.
pub const SIDE: usize = 299;

/// The network.
pub struct Inception {
    stem: [ConvNorm; 5],
    mixed: Vec<Box<dyn Block>>,
}

impl Inception {
    /// The network with the weights of `source`, by pytorch-fid's names and in PyTorch's layouts.
    ///
    /// # Errors
    /// That of `source`.
    pub fn load(gpu: &Gpu, source: &mut Source<'_>) -> Result<Inception> {
        let mut layers = Layers { gpu, source };
        let stem = [
            layers.strided("Conv2d_1a_3x3", [3, 32])?,
            layers.valid("Conv2d_2a_3x3", [32, 32])?,
            layers.same("Conv2d_2b_3x3", [32, 64], [3, 3])?,
            layers.same("Conv2d_3b_1x1", [64, 80], [1, 1])?,
            layers.valid("Conv2d_4a_3x3", [80, 192])?,
        ];
        let mixed: Vec<Box<dyn Block>> = vec![
            Box::new(A::load(&mut layers, "Mixed_5b", 192, 32)?),
            Box::new(A::load(&mut layers, "Mixed_5c", 256, 64)?),
            Box::new(A::load(&mut layers, "Mixed_5d", 288, 64)?),
            Box::new(B::load(&mut layers, "Mixed_6a", 288)?),
            Box::new(C::load(&mut layers, "Mixed_6b", 128)?),
            Box::new(C::load(&mut layers, "Mixed_6c", 160)?),
            Box::new(C::load(&mut layers, "Mixed_6d", 160)?),
            Box::new(C::load(&mut layers, "Mixed_6e", 192)?),
            Box::new(D::load(&mut layers, "Mixed_7a")?),
            Box::new(E::load(&mut layers, "Mixed_7b", 1280, false)?),
            Box::new(E::load(&mut layers, "Mixed_7c", 2048, true)?),
        ];
        Ok(Inception { stem, mixed })
    }

    /// The pooled features of `images` [n, h, w, 3] in −1..1, which are resized to 299 × 299 → [n,
    /// 2048].
    pub fn features(&self, images: &Tensor) -> Tensor {
        let [n, ..] = images.dims::<4>();
        let [a, b, c, d, e] = &self.stem;
        let x = ops::bilinear(images, [SIDE; 2]);
        let x = halve(&c.forward(&b.forward(&a.forward(&x))));
        let x = halve(&e.forward(&d.forward(&x)));
        let x = self.mixed.iter().fold(x, |x, block| block.forward(&x));
        let [_, h, w, _] = x.dims();
        ops::avg_pool2d(
            &x,
            Pool {
                kernel: [h, w],
                ..Pool::default()
            },
        )
        .reshape([n, FEATURES])
    }
}

/// Max pooling over 3 × 3 pixels with stride 2.
fn halve(x: &Tensor) -> Tensor {
    ops::max_pool2d(
        x,
        Pool {
            kernel: [3, 3],
            stride: 2,
            ..Pool::default()
        },
    )
}
