//! Readers of untrusted bytes, each on thousands of damaged files: none panics, none takes memory
//! beyond a multiple of the file's length, and errors are one line. The same readers are fuzzed by
//! the targets in `fuzz`.
//!
//! Every case is a function of its number. `DBVQ_READERS_CASES=N` runs more of them,
//! `DBVQ_READERS_SEED=N` other ones, and `DBVQ_READERS_CASE=N` a single one.
//! `DBVQ_READERS_CORPUS=FOLDER` writes the valid files as a corpus for the fuzzer.

mod corpus;
mod entries;
mod memory;
mod mutate;

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use corpus::Seed;
use dbvq_wgpu::commands::readers;
use dbvq_wgpu::config::GridConfig;
use entries::{ALL, Reader, check};
use mutate::{Random, mutated};

/// Damaged files per reader. Archives get fewer, since what is unpacked is written to disk and
/// waited for.
const CASES: u64 = 5000;
const ARCHIVES: u64 = 2000;
/// The seed of all cases.
const SEED: u64 = 1;

/// Memory is counted per process, so tests run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

/// The damaged file of a case.
fn case(reader: &Reader, seeds: &[Seed], seed: u64, case: u64) -> Vec<u8> {
    let mut random = Random::new(seed, reader.name, case);
    let all: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.bytes.clone()).collect();
    let chosen = random.of(seeds);
    (chosen.wrap)(mutated(&mut random, &all, &chosen.bytes))
}

/// Runs a case; returns the memory it took in bytes, or what is wrong.
fn run(reader: &Reader, bytes: &[u8]) -> Result<usize, String> {
    let before = memory::begin();
    let outcome = catch_unwind(|| check(reader.name, bytes));
    let peak = memory::peak().saturating_sub(before);
    outcome.map_err(|panic| dbvq_wgpu::error::panic_text(&*panic).to_string())?;
    let most = reader.memory.constant + reader.memory.multiple * bytes.len();
    if peak <= most {
        Ok(peak)
    } else {
        Err(format!(
            "{peak} bytes of memory for a file of {}; {most} are allowed",
            bytes.len()
        ))
    }
}

fn hold(name: &str) {
    let _alone = alone();
    let reader = ALL
        .iter()
        .find(|reader| reader.name == name)
        .expect("a reader of the list");
    let seeds = corpus::of(name);
    let seed = number("DBVQ_READERS_SEED").unwrap_or(SEED);
    for valid in &seeds {
        (reader.read)(&valid.file())
            .unwrap_or_else(|error| panic!("a valid file is refused: {error}"));
    }
    let most = if name == "archive" { ARCHIVES } else { CASES };
    let cases = match number("DBVQ_READERS_CASE") {
        Some(one) => one..one + 1,
        None => 0..number("DBVQ_READERS_CASES").unwrap_or(most),
    };
    let begin = Instant::now();
    let mut most = 0;
    for number in cases.clone() {
        let bytes = case(reader, &seeds, seed, number);
        match run(reader, &bytes) {
            Ok(peak) => most = most.max(peak),
            Err(what) => {
                let again = format!("DBVQ_READERS_SEED={seed} DBVQ_READERS_CASE={number}");
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
                panic!(
                    "{what}\n{again} cargo test --test readers {name}\n{} bytes: {text:?}",
                    bytes.len()
                );
            }
        }
    }
    let count = cases.count();
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {count} files in {seconds:.2} s, at most {} KiB of memory",
        most >> 10
    );
}

macro_rules! tests {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

tests!(
    archive,
    checkpoint,
    cifar,
    cifar_names,
    codes,
    configuration,
    draws,
    features,
    kept,
    kernels,
    latents,
    list,
    log,
    mask,
    npz,
    packed,
    picture,
    pipelines,
    report,
    run_configuration,
    vector,
    weights
);

#[test]
fn caches_give_back_what_was_kept() {
    let _alone = alone();
    let valid = |name: &str| corpus::of(name)[0].file();
    assert_eq!(readers::draws(&valid("draws")), 12);
    assert_eq!(readers::features(&valid("features")), 20 + 42);
    assert!(readers::kept(valid("kept").as_slice()));
    assert_eq!(readers::kernels(&valid("kernels")), 1);
    assert_eq!(readers::pipelines(&valid("pipelines")), 40);
    assert!(readers::log(&valid("log")) > 10);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("latents.bin");
    std::fs::write(&file, valid("latents")).expect("a temporary file");
    assert_eq!(readers::latents(&file).expect("it is there"), 15);
    std::fs::write(&file, valid("packed")).expect("a temporary file");
    assert_eq!(readers::packed(&file), Some([3, 3]));
}

/// Sizes that once overflowed arithmetic, and texts that take too long.
#[test]
fn configurations_out_of_bounds_are_refused_by_name() {
    let _alone = alone();
    let huge = u32::MAX as usize + 1;
    for (text, words) in [
        (
            "[unet]\nmultipliers = []\nattention = [0]".into(),
            "unet.multipliers must not be empty",
        ),
        (
            format!("[unet]\nmultipliers = [{huge}, {huge}, {huge}]"),
            "unet.base times its multipliers",
        ),
        (
            format!("[unet]\nblocks = {huge}"),
            "unet.blocks = 4294967296 is over 1024",
        ),
        (
            format!("[vqvae]\nsize = {huge}"),
            "vqvae.size = 4294967296 is over 8192",
        ),
        (
            format!("[vqvae]\ncodes = {huge}"),
            "vqvae.codes = 4294967296 is over 65536",
        ),
        (
            format!("[pixelcnn]\nlayers = {huge}"),
            "pixelcnn.layers = 4294967296 is over 1024",
        ),
        (
            "[pixelcnn]\nkernel = 4294967295".into(),
            "pixelcnn.kernel = 4294967295 is over 31",
        ),
        (format!("{} = 1", "a".repeat(1 << 19)), "unknown key `aaaa"),
        (
            "#\n".repeat(1 << 20),
            "2097152 bytes are too many for a configuration",
        ),
    ] {
        let error = GridConfig::parse(&text, "own.toml", &[]).expect_err("refused");
        assert!(
            error.exit_code() == 3 && error.to_string().contains(words),
            "{words}: {error}"
        );
    }
}

/// Files that are small, or made of the smallest possible pieces, and demand much memory.
#[test]
fn greedy_files_get_no_more_memory_than_others() {
    let _alone = alone();
    for (name, bytes) in corpus::greedy() {
        let reader = ALL
            .iter()
            .find(|reader| reader.name == name)
            .expect("a reader of the list");
        run(reader, &bytes).unwrap_or_else(|what| panic!("{name}: {what}"));
    }
}

#[test]
fn every_reader_has_its_test_and_its_fuzz_target() {
    let names: Vec<&str> = ALL.iter().map(|reader| reader.name).collect();
    assert_eq!(names, TESTED);
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest =
        std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzz targets are there");
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml has no target {name}"
        );
        let target = std::fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).expect(name);
        assert!(
            target.contains(&format!("check(\"{name}\", bytes)")),
            "fuzz/targets/{name}.rs checks another reader"
        );
    }
}

#[test]
fn cases_are_the_same_every_time_and_differ_from_each_other() {
    let _alone = alone();
    let reader = ALL
        .iter()
        .find(|reader| reader.name == "log")
        .expect("a reader of the list");
    let seeds = corpus::of("log");
    let all = || {
        (0..50)
            .map(|i| case(reader, &seeds, SEED, i))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(), all());
    let different: std::collections::HashSet<_> = all().into_iter().collect();
    assert!(different.len() > 45, "{} of 50", different.len());
}

#[test]
fn memory_and_messages_are_watched() {
    let _alone = alone();
    let memory = entries::Memory {
        constant: 1 << 20,
        multiple: 1,
    };
    let greedy = |bytes: &[u8]| {
        drop(std::hint::black_box(vec![bytes.len() as u8; 3 << 20]));
        Ok(())
    };
    let before = memory::begin();
    greedy(b"x").unwrap_or_else(|error: dbvq_wgpu::error::Error| panic!("{error}"));
    let peak = memory::peak() - before;
    assert!(peak > memory.constant && peak < 4 << 20, "{peak}");
}

/// Writes the valid files into a folder for each reader, on request.
#[test]
fn seeds_can_be_written() {
    let Some(folder) = std::env::var_os("DBVQ_READERS_CORPUS") else {
        return;
    };
    for reader in &ALL {
        let folder = Path::new(&folder).join(reader.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (i, seed) in corpus::of(reader.name).iter().enumerate() {
            std::fs::write(folder.join(format!("valid-{i}")), seed.file()).expect("a file");
        }
    }
}
