//! Batches per second of the loader, from memory and from a packed file; compare with a training
//! step of the same batch.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput};
use dbvq_wgpu::data::loader::Batches;
use dbvq_wgpu::data::{ImageSet, LoaderOptions, Reading, open};
use image::{Rgb, RgbImage};

/// Images in a set and in a batch.
const COUNT: u32 = 512;
const BATCH: usize = 64;

/// A folder of JPEGs of `side` × `side`.
fn fill(folder: &Path, side: u32) {
    for i in 0..COUNT {
        let image = RgbImage::from_fn(side, side, |x, y| {
            Rgb([(x * 7 + i) as u8, (y * 5) as u8, (x * y + i) as u8])
        });
        image
            .save(folder.join(format!("{i:04}.jpg")))
            .expect("a temporary file");
    }
}

fn read(folder: &Path, memory: u64, cache: &Path) -> ImageSet {
    let reading = Reading {
        memory,
        cache: Some(cache.into()),
        ..Reading::default()
    };
    open(folder, None, &reading).expect("a data set").train
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    for side in [32, 64, 256] {
        let [folder, cache] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
        fill(folder.path(), side);
        let mut group = criterion.benchmark_group(format!("loader/{side}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        for (place, memory) in [("memory", u64::MAX), ("packed", 0)] {
            let set = read(folder.path(), memory, cache.path());
            let options = LoaderOptions {
                batch: BATCH,
                seed: 0,
                flip: true,
                first_step: 0,
            };
            let mut batches = Batches::new(set.into(), options).expect("a set");
            let mut step = 0;
            group.bench_function(BenchmarkId::from_parameter(place), |bencher| {
                bencher.iter(|| {
                    step += 1;
                    black_box(batches.at(step).expect("it reads"))
                });
            });
        }
        group.throughput(Throughput::Elements(u64::from(COUNT)));
        group.bench_function("decoding", |bencher| {
            bencher.iter(|| read(folder.path(), u64::MAX, cache.path()))
        });
        group.finish();
    }
    criterion.final_summary();
}
