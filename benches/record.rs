//! What recording an op costs on the CPU: no waiting, no kernel time. `cargo bench --bench record`.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::ops;
use dbvq_wgpu::tensor::Tensor;

/// Ops recorded between two submits, about a training step of the toy.
const OPS: u32 = 128;

fn record(c: &mut Criterion) {
    let gpu = Gpu::open(GpuOptions::default()).expect("an adapter");
    let x = Tensor::from_slice(&gpu, &[1.0; 64], [64]);
    let leaf = x.leaf();
    let run = |f: &dyn Fn() -> Tensor, iterations: u64| {
        let mut total = std::time::Duration::ZERO;
        for _ in 0..iterations {
            let begin = Instant::now();
            for _ in 0..OPS {
                std::hint::black_box(f());
            }
            total += begin.elapsed();
            gpu.wait();
        }
        total / OPS
    };
    c.bench_function("record one op", |b| {
        b.iter_custom(|n| run(&|| ops::add(&x, &x), n))
    });
    c.bench_function("record one op and its gradient rule", |b| {
        b.iter_custom(|n| run(&|| ops::silu(&leaf), n))
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
