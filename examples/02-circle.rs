//! Trains a perceptron that maps an angle to its point on the unit circle, then saves and loads it.

use dbvq_wgpu::prelude::*;

module! {
    struct Mlp { a: Linear, b: Linear, c: Linear }
}

impl Mlp {
    fn new(init: &mut Init) -> Mlp {
        Mlp {
            a: Linear::new(init, [1, 64]),
            b: Linear::new(init, [64, 64]),
            c: Linear::new(init, [64, 2]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.a.forward(x).silu();
        let h = self.b.forward(&h).silu() + &h;
        self.c.forward(&h)
    }
}

/// Returns 64 angles from about −π to π, shifted a little from step to step, and their points.
fn batch(gpu: &Gpu, step: u32) -> (Tensor, Tensor) {
    let angles: Vec<f32> = (0..64)
        .map(|i| 0.1 * (i as f32 - 31.5) + 0.001 * (step % 100) as f32)
        .collect();
    let points: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
    (
        Tensor::from_slice(gpu, &angles, [64, 1]),
        Tensor::from_slice(gpu, &points, [64, 2]),
    )
}

fn main() -> Result<()> {
    let gpu = Gpu::open_default()?;
    let mut net = Mlp::new(&mut Init::new(&gpu, 0));
    let options = AdamOptions {
        lr: 3e-3,
        ..Default::default()
    };
    let mut adam = Adam::new(&gpu, &mut net, options);
    for step in 0..1000 {
        let (x, goal) = batch(&gpu, step);
        let loss = net.forward(&x).mse(&goal);
        adam.step(&loss.backward())?;
        if step % 200 == 0 {
            println!("step {step:4}: loss {:.6}", loss.item());
        }
    }

    // Names and layouts are PyTorch's: a.weight, a.bias, …
    let file = std::env::temp_dir().join("dbvq-wgpu-circle.safetensors");
    net.save(&file)?;
    let mut loaded = Mlp::new(&mut Init::blank(&gpu));
    loaded.load(&file)?;
    let quarter = Tensor::from_slice(&gpu, &[std::f32::consts::FRAC_PI_2], [1, 1]);
    let point = loaded.forward(&quarter).to_vec();
    println!("a quarter turn is at ({:.2}, {:.2})", point[0], point[1]);
    Ok(())
}
