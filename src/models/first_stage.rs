//! The first stage, between data and prior: a trained VQ-VAE, or the data set's own codes.

use crate::config::CodebookConfig;
use crate::gpu::Gpu;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Turns examples into latents and codes, and codes into images.
pub trait FirstStage {
    /// z_e [n, h, w, d] of flat examples, as in a data set: images [n, size, size, 3] in [−1, 1],
    /// or codes [n, h, w].
    fn latents(&self, examples: &[f32]) -> Tensor;

    /// The code vectors that latents are compared with, [k, d].
    fn vectors(&self) -> Tensor;

    /// Images [n, height, width, 3] in [−1, 1] of `codes` [n, h, w].
    fn show(&self, codes: &Codes) -> Tensor;

    /// The nearest code of every latent: `latents` [.., d] → [..].
    fn quantise(&self, latents: &Tensor) -> Codes {
        ops::nearest(latents, &self.vectors())
    }

    /// The code vectors of `codes` [n, h, w] → [n, h, w, d].
    fn look_up(&self, codes: &Codes) -> Tensor {
        ops::gather(&self.vectors(), codes)
    }
}

/// Codes with fixed vectors, each shown as a pixel of its own colour.
pub struct FixedCodebook {
    vectors: Tensor,
    /// [k, 3].
    colours: Tensor,
    grid: [usize; 2],
}

impl FixedCodebook {
    /// A codebook of the code vectors `values` [k, d].
    pub fn new(gpu: &Gpu, config: &CodebookConfig, values: &[f32]) -> FixedCodebook {
        let k = config.codes;
        let colours: Vec<f32> = (0..k).flat_map(colour).collect();
        FixedCodebook {
            vectors: Tensor::from_slice(gpu, values, [k, config.dim]),
            colours: Tensor::from_slice(gpu, &colours, [k, 3]),
            grid: [config.height, config.width],
        }
    }
}

/// Random code vectors [k, d] of norm 1.
pub fn random_vectors(config: &CodebookConfig, seed: u64) -> Vec<f32> {
    let stream = Stream {
        seed,
        step: 0,
        stream: Draw::CodeVectors.stream(),
        first: 0,
    };
    let unit = |code: usize| {
        let first = code * config.dim;
        let vector: Vec<f64> = (first..first + config.dim)
            .map(|i| stream.normal(i as u32))
            .collect();
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.into_iter().map(move |v| (v / norm) as f32)
    };
    (0..config.codes).flat_map(unit).collect()
}

/// A colour in [−1, 1] for code `k`: hues a golden angle apart, so that neighbouring codes differ.
pub fn colour(k: usize) -> [f32; 3] {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let hue = 6.0 * (k as f64 * GOLDEN).fract();
    let value = [1.0, 0.8, 0.6][k % 3];
    let saturation = [0.55, 0.75, 0.9][k / 3 % 3];
    let channel = |shift: f64| {
        let k = (shift + hue) % 6.0;
        let v = value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0));
        (2.0 * v - 1.0) as f32
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

impl FirstStage for FixedCodebook {
    fn latents(&self, examples: &[f32]) -> Tensor {
        let [h, w] = self.grid;
        let codes: Vec<u32> = examples.iter().map(|&code| code as u32).collect();
        let n = codes.len() / (h * w);
        self.look_up(&Codes::from_slice(self.vectors.gpu(), &codes, [n, h, w]))
    }

    fn vectors(&self) -> Tensor {
        self.vectors.clone()
    }

    fn show(&self, codes: &Codes) -> Tensor {
        ops::gather(&self.colours, codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_norm_one_and_colours_differ() {
        let config = CodebookConfig {
            codes: 5,
            height: 1,
            width: 2,
            dim: 7,
        };
        for vector in random_vectors(&config, 3).chunks_exact(7) {
            let norm: f32 = vector.iter().map(|v| v * v).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{vector:?}");
        }
        let colours: Vec<[f32; 3]> = (0..512).map(colour).collect();
        assert!(
            colours
                .iter()
                .flatten()
                .all(|channel| (-1.0..=1.0).contains(channel))
        );
        for (i, a) in colours.iter().enumerate() {
            assert!(!colours[..i].contains(a), "code {i}");
        }
    }
}
