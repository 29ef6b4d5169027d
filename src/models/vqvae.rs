//! The vector quantised autoencoder (van den Oord et al. 2017): two convolutions of stride 2 and
//! residual blocks, the nearest code vector with a straight-through gradient, and the mirrored
//! decoder.
//!
//! With cosine distance z_e, the code vectors and, with nearest codes, the decoder's input have
//! norm 1. On the unit sphere the nearest vector is the one at the smallest angle. The losses keep
//! their form. The stored codebook is not normalised: it holds running means of unit vectors, or
//! free parameters, which [`VqVae::vectors`] scales to norm 1. The direction of such a mean is the
//! update of spherical k-means.

use super::Losses;
use super::first_stage::FirstStage;
use super::terms::annealed;
use crate::config::{CodebookRule, Distance, Quantiser, VqVaeConfig};
use crate::nn::Module;
use crate::nn::codebook::{Codebook, relaxed, unit};
use crate::nn::init::Init;
use crate::nn::layers::{Conv2d, ConvTranspose2d, visit_list, visit_part};
use crate::ops::{self, Conv};
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Encoder, codebook and decoder.
pub struct VqVae {
    encoder: Encoder,
    decoder: Decoder,
    /// The stored code vectors; latents are compared with [`VqVae::vectors`].
    pub codebook: Codebook,
    config: VqVaeConfig,
}

/// What a training step computes.
pub struct Step {
    /// What is minimised, and its parts.
    pub losses: Losses,
    /// The encoder's output, [n, h, w, d].
    pub latents: Tensor,
    /// Nearest codes, [n, h, w].
    pub codes: Codes,
}

impl VqVae {
    /// A model with random weights, all code vectors at the origin.
    pub fn new(init: &mut Init, config: &VqVaeConfig) -> VqVae {
        VqVae {
            encoder: Encoder::new(init, config),
            decoder: Decoder::new(init, config),
            codebook: Codebook::new(init.gpu(), [config.codes, config.dim]),
            config: config.clone(),
        }
    }

    /// z_e: `images` [n, h, w, 3] in [−1, 1] → [n, h/4, w/4, d]; of norm 1 with cosine distance.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        self.to_sphere(&self.encoder.forward(images))
    }

    /// Number of values in code vectors that follow running averages and so are not trained.
    pub fn averaged_values(&self) -> usize {
        match self.config.codebook {
            CodebookRule::Ema => self.codebook.vectors.count(),
            CodebookRule::Gradient => 0,
        }
    }

    fn to_sphere(&self, rows: &Tensor) -> Tensor {
        match self.config.distance {
            Distance::Euclidean => rows.clone(),
            Distance::Cosine => unit(rows),
        }
    }

    /// Images from quantised latents [n, h/4, w/4, d] → [n, h, w, 3].
    pub fn decode(&self, quantised: &Tensor) -> Tensor {
        self.decoder.forward(quantised)
    }

    /// The losses of stage 1 for `images` [n, h, w, 3]: ‖x − x̂‖² + ‖sg(z_e) − e‖² + β_c ‖z_e −
    /// sg(e)‖², means, plus the normaliser if configured. The second term is for a gradient
    /// codebook with nearest codes: running averages need no gradient, and relaxed samples get
    /// theirs from the reconstruction. `stream.step` is the training step, on which relaxed samples
    /// depend.
    pub fn step(&self, images: &Tensor, stream: Stream) -> Step {
        let latents = self.encode(images);
        let vectors = self.vectors();
        let codes = ops::nearest(&latents, &vectors);
        let nearest = ops::gather(&vectors, &codes);
        let quantised = match self.config.quantiser {
            Quantiser::Nearest => ops::straight_through(&latents, &nearest),
            Quantiser::Gumbel => self.relaxed(&latents, &vectors, stream),
        };
        let reconstruction = ops::mse(&self.decode(&quantised), images);
        let commitment = ops::mse(&latents, &nearest.detach());
        let weight = self.config.commitment as f32;
        let mut total = ops::add(&reconstruction, &ops::affine(&commitment, weight, 0.0));
        let mut parts = vec![
            ("reconstruction", reconstruction),
            ("commitment", commitment),
        ];
        if self.config.codebook == CodebookRule::Gradient
            && self.config.quantiser == Quantiser::Nearest
        {
            let pull = ops::mse(&latents.detach(), &nearest);
            total = ops::add(&total, &pull);
            parts.push(("codebook", pull));
        }
        if self.config.normaliser > 0.0 {
            let normaliser = self.normaliser(&latents, &vectors);
            total = ops::add(
                &total,
                &ops::affine(&normaliser, self.config.normaliser as f32, 0.0),
            );
            parts.push(("normaliser", normaliser));
        }
        Step {
            losses: Losses {
                total,
                parts,
                each: None,
            },
            latents,
            codes,
        }
    }

    /// A Gumbel-softmax sample of the code vectors, at the temperature of the training step.
    fn relaxed(&self, latents: &Tensor, vectors: &Tensor, stream: Stream) -> Tensor {
        let gumbel = &self.config.gumbel;
        let tau = annealed(
            gumbel.tau_start,
            gumbel.tau_end,
            f64::from(stream.step),
            gumbel.anneal_steps as f64,
        );
        let mut dims = latents.shape().dims().to_vec();
        dims.pop();
        dims.push(self.config.codes);
        let noise = ops::gumbel(
            latents.gpu(),
            dims,
            Stream {
                stream: Draw::Gumbel.stream(),
                ..stream
            },
        );
        relaxed(latents, vectors, &noise, [gumbel.scale as f32, tau as f32])
    }

    /// The mean of log Σ_k exp(−‖z_e − e_k‖²), section 3.2.
    fn normaliser(&self, latents: &Tensor, vectors: &Tensor) -> Tensor {
        let logits = ops::affine(&ops::distances(latents, vectors), -1.0, 0.0);
        let rows = logits.count() / self.config.codes;
        let logits = logits.reshape([rows, self.config.codes]);
        // log Σ exp(x) = x_0 − log softmax(x)_0.
        let first = ops::narrow(&logits, 0, 1);
        ops::mean_all(&ops::sub(
            &first,
            &ops::narrow(&ops::log_softmax(&logits, 1.0), 0, 1),
        ))
    }
}

impl FirstStage for VqVae {
    fn latents(&self, examples: &[f32]) -> Tensor {
        let size = self.config.size;
        let n = examples.len() / (size * size * 3);
        let images = Tensor::from_slice(self.codebook.vectors.gpu(), examples, [n, size, size, 3]);
        self.encode(&images)
    }

    /// Scaled to norm 1 with cosine distance. Among unit vectors the nearest is the one at the
    /// smallest angle, whatever the latent's norm, so a prior's samples may leave the sphere.
    fn vectors(&self) -> Tensor {
        self.to_sphere(&self.codebook.vectors)
    }

    fn show(&self, codes: &Codes) -> Tensor {
        self.decode(&self.look_up(codes))
    }
}

struct Encoder {
    conv_in: Conv2d,
    conv_down: Conv2d,
    blocks: Vec<Residual>,
    conv_out: Conv2d,
}

impl Encoder {
    fn new(init: &mut Init, config: &VqVaeConfig) -> Encoder {
        let c = config.channels;
        let halve = Conv {
            stride: 2,
            padding: [1, 1],
            ..Conv::default()
        };
        Encoder {
            conv_in: Conv2d::new(init, [3, c / 2], [4, 4], halve),
            conv_down: Conv2d::new(init, [c / 2, c], [4, 4], halve),
            blocks: (0..config.blocks)
                .map(|_| Residual::new(init, c, config.inner))
                .collect(),
            conv_out: Conv2d::same(init, [c, config.dim], [1, 1]),
        }
    }

    fn forward(&self, images: &Tensor) -> Tensor {
        let mut x = self
            .conv_down
            .forward(&ops::relu(&self.conv_in.forward(images)));
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.conv_out.forward(&ops::relu(&x))
    }
}

struct Decoder {
    conv_in: Conv2d,
    blocks: Vec<Residual>,
    conv_up: ConvTranspose2d,
    conv_out: ConvTranspose2d,
}

impl Decoder {
    fn new(init: &mut Init, config: &VqVaeConfig) -> Decoder {
        let c = config.channels;
        Decoder {
            conv_in: Conv2d::same(init, [config.dim, c], [3, 3]),
            blocks: (0..config.blocks)
                .map(|_| Residual::new(init, c, config.inner))
                .collect(),
            conv_up: ConvTranspose2d::double(init, [c, c / 2]),
            conv_out: ConvTranspose2d::double(init, [c / 2, 3]),
        }
    }

    fn forward(&self, quantised: &Tensor) -> Tensor {
        let mut x = self.conv_in.forward(quantised);
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.conv_out
            .forward(&ops::relu(&self.conv_up.forward(&ops::relu(&x))))
    }
}

/// x + conv1×1(relu(conv3×3(relu(x)))).
struct Residual {
    conv1: Conv2d,
    conv2: Conv2d,
}

impl Residual {
    fn new(init: &mut Init, c: usize, inner: usize) -> Residual {
        Residual {
            conv1: Conv2d::same(init, [c, inner], [3, 3]),
            conv2: Conv2d::same(init, [inner, c], [1, 1]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.conv2
            .forward_residual(&ops::relu(&self.conv1.forward(&ops::relu(x))), x)
    }
}

impl Module for VqVae {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("encoder", &mut self.encoder, f);
        visit_part("decoder", &mut self.decoder, f);
        // With running averages the codebook is no parameter: no gradient reaches it, and no
        // optimiser may move it.
        if self.config.codebook == CodebookRule::Gradient {
            f("codebook.weight", &mut self.codebook.vectors);
        }
    }
}

impl Module for Encoder {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("conv_in", &mut self.conv_in, f);
        visit_part("conv_down", &mut self.conv_down, f);
        visit_list("blocks", &mut self.blocks, f);
        visit_part("conv_out", &mut self.conv_out, f);
    }
}

impl Module for Decoder {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("conv_in", &mut self.conv_in, f);
        visit_list("blocks", &mut self.blocks, f);
        visit_part("conv_up", &mut self.conv_up, f);
        visit_part("conv_out", &mut self.conv_out, f);
    }
}

impl Module for Residual {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("conv1", &mut self.conv1, f);
        visit_part("conv2", &mut self.conv2, f);
    }
}
