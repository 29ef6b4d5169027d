//! Every kernel of `dbvq-wgpu bench`, with criterion's statistics:
//! `cargo bench --bench kernels [-- FILTER]`. `DBVQ_ADAPTER` names the adapter.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dbvq_wgpu::commands::bench::clock::Clock;
use dbvq_wgpu::commands::bench::needs::Needs;
use dbvq_wgpu::commands::bench::prepared::Prepared;
use dbvq_wgpu::commands::bench::work::{Case, kernels};
use dbvq_wgpu::experiment::device::Device;
use dbvq_wgpu::gpu::Gpu;

fn open() -> Gpu {
    let device = Device {
        adapter: std::env::var("DBVQ_ADAPTER").ok(),
        ..Device::default()
    };
    device.open_for_kernels().expect("an adapter")
}

fn every_kernel(c: &mut Criterion) {
    let gpu = open();
    let roofs = dbvq_wgpu::commands::bench::ceiling::measure(&gpu).expect("ceilings");
    println!(
        "ceilings: {:.1} GFLOP/s in registers, {:.1} GB/s of copying",
        roofs.fma_gflops, roofs.copy_gbs
    );
    for work in kernels() {
        for &direction in work.directions() {
            let case = Case {
                work: work.clone(),
                direction,
            };
            let needs = Needs::of(&case);
            let mut group = c.benchmark_group(format!("{} {}", work.op(), work.shape()));
            group
                .sample_size(10)
                .warm_up_time(Duration::from_millis(200))
                .measurement_time(Duration::from_secs(2));
            // Criterion's "elements" are operations here.
            group.throughput(Throughput::Elements(needs.flops as u64));
            let mut last = 0.0;
            group.bench_function(direction.to_string(), |b| {
                // Prepared when it runs, so that filtered-out kernels take no memory.
                let mut clock = Clock::new(&gpu, Prepared::new(&gpu, &case).expect("it is ready"));
                clock.once().expect("it runs");
                b.iter_custom(|n| {
                    let seconds: f64 = (0..n).map(|_| clock.once().expect("it runs")).sum();
                    last = seconds / n as f64;
                    Duration::from_secs_f64(seconds)
                });
            });
            group.finish();
            if last > 0.0 {
                println!(
                    "  share of the ceiling: {:.1} %\n",
                    100.0 * needs.share(last, roofs)
                );
            }
        }
    }
}

criterion_group!(benches, every_kernel);
criterion_main!(benches);
