//! Adds a kernel of your own, swish, x σ(βx), with its gradient. Checks both against the definition
//! in f64 on every adapter of this machine.

use dbvq_wgpu::kernels_test::{Case, Input, Real, verify};
use dbvq_wgpu::prelude::*;

const SWISH: &str = "
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<immediate> beta: f32;
    @compute @workgroup_size(64)
    fn swish(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < arrayLength(&y) {
            y[id.x] = x[id.x] / (1.0 + exp(-beta * x[id.x]));
        }
    }";

/// Computes x σ(βx).
fn swish(x: &Tensor, beta: f32) -> Tensor {
    let y = Kernel::new(SWISH).run(x.gpu(), &[x], x.shape(), &beta);
    let saved = x.detach();
    y.with_vjp([x], move |dy, _| {
        // d/dx x σ(βx) = σ(βx) (1 + βx (1 − σ(βx)))
        let s = (&saved * beta).sigmoid();
        [Some(dy * &s * ((&saved * beta) * (1.0 - &s) + 1.0))]
    })
}

fn main() -> Result<()> {
    let case = |beta: f32, dims: &[usize]| {
        Case::new(
            "swish",
            format!("{dims:?}, β = {beta}"),
            vec![Input::normal(dims)],
            move |_, x| swish(&x[0], beta),
            move |x| {
                let beta = Real::rounded(f64::from(beta));
                x[0].iter().map(|&x| x * (x * beta).sigmoid()).collect()
            },
        )
    };
    let cases = [case(1.0, &[1]), case(1.5, &[3, 65]), case(-0.5, &[4096])];
    let failures = verify(&cases)?;
    for failure in &failures {
        println!("{failure}");
    }
    println!("{} cases, {} failures", cases.len(), failures.len());

    let gpu = Gpu::open_default()?;
    let x = Tensor::from_slice(&gpu, &[-1.0, 0.0, 1.0], [3]).leaf();
    let grads = swish(&x, 1.0).sum_all().backward();
    let dx = grads.get(&x).map(Tensor::to_vec).unwrap_or_default();
    println!("gradient at -1, 0, 1: {dx:.4?}");
    Ok(())
}
