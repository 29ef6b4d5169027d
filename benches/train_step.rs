//! Training steps by the wall clock, those of the paper's sizes included:
//! `cargo bench --bench train_step [-- FILTER]`. `DBVQ_ADAPTER` names the adapter.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use dbvq_wgpu::commands::bench::clock::Clock;
use dbvq_wgpu::commands::bench::prepared::Prepared;
use dbvq_wgpu::commands::bench::work::{Case, Direction, trainings};
use dbvq_wgpu::experiment::device::Device;

fn every_training(c: &mut Criterion) {
    let device = Device {
        adapter: std::env::var("DBVQ_ADAPTER").ok(),
        ..Device::default()
    };
    for work in trainings(true) {
        let mut group = c.benchmark_group(work.op());
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(5));
        group.bench_function(work.shape(), |b| {
            // A device of its own, so that the memory pool of a large training does not burden the
            // next.
            let gpu = device.open().expect("an adapter");
            let case = Case {
                work: work.clone(),
                direction: Direction::Step,
            };
            let mut clock = Clock::new(&gpu, Prepared::new(&gpu, &case).expect("it is ready"));
            b.iter_custom(|n| {
                Duration::from_secs_f64((0..n).map(|_| clock.once().expect("it runs")).sum())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, every_training);
criterion_main!(benches);
