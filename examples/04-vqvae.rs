//! Trains a small VQ-VAE (van den Oord et al. 2017) on a file of CIFAR-10 images, for example with
//! `cargo run --release --example 04-vqvae -- cifar-10-batches-bin/data_batch_1.bin`.

use dbvq_wgpu::prelude::*;

/// Bytes per image in a CIFAR-10 file: one for the class, then 32 × 32 for each colour.
const RECORD: usize = 1 + 3 * 32 * 32;
const BATCH: usize = 32;
/// Number of code vectors.
const CODES: usize = 128;
/// Length of a code vector.
const DIM: usize = 16;

module! {
    struct VqVae {
        down: Conv2d, encode: Conv2d, latents: Conv2d,
        codebook: Tensor,
        decode: Conv2d, up: ConvTranspose2d, pixels: Conv2d,
    }
}

impl VqVae {
    fn new(init: &mut Init) -> VqVae {
        let halve = Conv {
            stride: 2,
            padding: [1, 1],
            ..Conv::default()
        };
        VqVae {
            down: Conv2d::new(init, [3, 32], [4, 4], halve),
            encode: Conv2d::new(init, [32, 32], [4, 4], halve),
            latents: Conv2d::same(init, [32, DIM], [1, 1]),
            codebook: init.normal(&[CODES, DIM], 0.3),
            decode: Conv2d::same(init, [DIM, 32], [3, 3]),
            up: ConvTranspose2d::double(init, [32, 32]),
            pixels: Conv2d::same(init, [32, 3], [3, 3]),
        }
    }

    /// Encodes images [n, 32, 32, 3] as latents [n, 8, 8, DIM].
    fn encoded(&self, images: &Tensor) -> Tensor {
        let h = self.down.forward(images).silu();
        let h = self.encode.forward(&h).silu();
        self.latents.forward(&h)
    }

    /// Decodes latents [n, 8, 8, DIM] to images [n, 32, 32, 3].
    fn decoded(&self, latents: &Tensor) -> Tensor {
        let h = self.decode.forward(latents).silu();
        let h = self.up.forward(&h).silu();
        self.pixels.forward(&ops::upsample_nearest(&h, 2))
    }

    /// Returns the mean squared error of the images, and the loss: that error plus the codebook and
    /// commitment losses.
    fn losses(&self, images: &Tensor) -> (Tensor, Tensor) {
        let z = self.encoded(images);
        let codes = ops::nearest(&z, &self.codebook);
        let vectors = ops::gather(&self.codebook, &codes);
        let error = self
            .decoded(&ops::straight_through(&z, &vectors.detach()))
            .mse(images);
        let loss = &error + vectors.mse(&z.detach()) + z.mse(&vectors.detach()) * 0.25;
        (error, loss)
    }
}

/// Returns the images of a CIFAR-10 file from index `first` on, as [BATCH, 32, 32, 3] in −1..1.
/// After the last image, continues with the first.
fn batch(gpu: &Gpu, bytes: &[u8], first: usize) -> Tensor {
    let count = bytes.len() / RECORD;
    let mut values = Vec::with_capacity(BATCH * (RECORD - 1));
    for i in 0..BATCH {
        let image = &bytes[(first + i) % count * RECORD + 1..][..RECORD - 1];
        for pixel in 0..32 * 32 {
            values.extend((0..3).map(|c| f32::from(image[c * 1024 + pixel]) / 127.5 - 1.0));
        }
    }
    Tensor::from_slice(gpu, &values, [BATCH, 32, 32, 3])
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or("data_batch_1.bin".into());
    let steps = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(400);
    let bytes = std::fs::read(&file).map_err(Error::io(&file))?;

    let gpu = Gpu::open_default()?;
    let mut model = VqVae::new(&mut Init::new(&gpu, 0));
    let options = AdamOptions {
        lr: 2e-3,
        clip: 1.0,
        ..Default::default()
    };
    let mut adam = Adam::new(&gpu, &mut model, options);
    for step in 0..=steps {
        let (error, loss) = model.losses(&batch(&gpu, &bytes, step * BATCH));
        adam.step(&loss.backward())?;
        if step % (steps / 4).max(1) == 0 {
            // Pixel values differ by at most 2, so the squared peak is 4.
            let psnr = 10.0 * (4.0 / error.item()).log10();
            println!("step {step:3}: PSNR {psnr:.1} dB");
        }
    }
    Ok(())
}
