//! Fits y = a x + b to points by gradient descent. Shows tensors, operators, and the tape.

use dbvq_wgpu::prelude::*;

fn main() -> Result<()> {
    // Vulkan, Metal or DX12; a CPU driver if there is no GPU.
    let gpu = Gpu::open_default()?;
    let x = Tensor::from_slice(&gpu, &[0.0, 1.0, 2.0, 3.0], [4]);
    let y = Tensor::from_slice(&gpu, &[1.0, 3.0, 5.0, 7.0], [4]);
    let mut a = Tensor::zeros(&gpu, [1]);
    let mut b = Tensor::zeros(&gpu, [1]);
    for step in 0..=200 {
        // Only leaves of the tape get gradients.
        let [leaf_a, leaf_b] = [a.leaf(), b.leaf()];
        let loss = (&leaf_a * &x + &leaf_b).mse(&y);
        let grads = loss.backward();
        for (value, leaf) in [(&mut a, &leaf_a), (&mut b, &leaf_b)] {
            if let Some(gradient) = grads.get(leaf) {
                *value = &*value - gradient * 0.1;
            }
        }
        // `item` waits for the GPU, so call it rarely.
        if step % 50 == 0 {
            println!("step {step:3}: loss {:.6}", loss.item());
        }
    }
    println!("y = {:.3} x + {:.3}", a.item(), b.item());
    Ok(())
}
