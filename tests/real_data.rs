//! The loaders on real data sets, which are not in the repository: `DBVQ_DATA` names a folder with
//! `cifar-10-batches-bin/` and `mini-imagenet-84/`. Without it these tests say so and pass.

use std::path::PathBuf;
use std::time::Instant;

use dbvq_wgpu::data::{Held, Kind, Reading, Splits, hold_out, open};

/// What `name` below `DBVQ_DATA` holds; otherwise prints why it is missing and returns `None`.
fn read(name: &str) -> Option<Splits> {
    let Some(root) = std::env::var_os("DBVQ_DATA") else {
        eprintln!("skipped: DBVQ_DATA names no folder with {name}");
        return None;
    };
    let dir = PathBuf::from(root).join(name);
    if !dir.is_dir() {
        eprintln!("skipped: {} is not there", dir.display());
        return None;
    }
    let begin = Instant::now();
    let splits = open(&dir, None, &Reading::default()).expect("a data set");
    eprintln!("{name}: read in {:.2} s", begin.elapsed().as_secs_f64());
    Some(splits)
}

#[test]
fn cifar10() {
    let Some(splits) = read("cifar-10-batches-bin") else {
        return;
    };
    let test = splits.test.expect("test_batch.bin");
    assert_eq!(
        (splits.kind, splits.train.len(), test.len()),
        (Kind::Cifar10, 30_000, 1_017)
    );
    assert_eq!((splits.train.height, splits.train.width), (32, 32));
    for (channel, [mean, std]) in splits
        .train
        .moments()
        .expect("it reads")
        .into_iter()
        .enumerate()
    {
        let right_mean = [0.4914, 0.4822, 0.4465][channel];
        let right_std = [0.2470, 0.2435, 0.2616][channel];
        assert!(
            (mean - right_mean).abs() < 1e-3 && (std - right_std).abs() < 1e-3,
            "{channel}: {mean} {std}"
        );
    }
}

#[test]
fn mini_imagenet() {
    let Some(splits) = read("mini-imagenet-84") else {
        return;
    };
    let sets: Vec<_> = splits
        .each()
        .map(|(name, set)| (name, set.len(), set.classes.len()))
        .collect();
    assert_eq!(
        (splits.kind, sets),
        (
            Kind::MiniImageNet,
            vec![("train", 5120, 64), ("val", 480, 16), ("test", 800, 20)]
        )
    );
    assert_eq!(
        (
            splits.train.height,
            splits.train.width,
            splits.skipped.len()
        ),
        (84, 84, 0)
    );
    assert_eq!(
        splits.notes[0],
        "5120 of the 38400 images of splits/train.csv are here"
    );
    let [kept, aside] = hold_out(&splits.train, Held::PerClass(8)).expect("eight of eighty");
    assert_eq!(
        (kept.len(), aside.len(), aside.counts()),
        (64 * 72, 64 * 8, vec![8; 64])
    );
}
