//! The table of cases as tests, one trial per adapter and case:
//! `cargo test --test kernels -- vulkan/llvmpipe/conv2d`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dbvq_wgpu::gpu::{AdapterFacts, Gpu, adapters};
use dbvq_wgpu::kernels_test::vectors::{self, Vector};
use dbvq_wgpu::kernels_test::{
    Case, Expectation, Mode, Outcome, Verdict, cases, modes, modes_of_f32, over_modes,
    with_known_failures,
};
use libtest_mimic::{Arguments, Failed, Trial};

thread_local! {
    /// One device per test thread, adapter and mode: opening one costs more than most cases. They
    /// are never closed: wgpu uses thread-locals that are already gone when this one would be
    /// dropped.
    static DEVICES: RefCell<HashMap<(usize, Mode), &'static Gpu>> = RefCell::default();
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for adapter in adapters().into_iter().filter(|a| a.usable.is_ok()) {
        for case in cases() {
            trials.push(trial(&adapter, case));
        }
        for file in golden() {
            trials.push(golden_trial(&adapter, file));
        }
    }
    if trials.is_empty() {
        // A run without trials would pass.
        trials.push(Trial::test("an_adapter_is_present", || {
            Err("no usable adapter; `cargo xtask test` installs a software one".into())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// `vulkan/llvmpipe/conv2d/shape`.
fn trial(adapter: &AdapterFacts, case: Case) -> Trial {
    let name = format!("{}/{}/{}", prefix(adapter), case.op, case.name);
    let facts = adapter.clone();
    Trial::test(name, move || {
        let expectation = Expectation::of(&case);
        run(&facts, modes(&facts, case.op), case.op, &case.name, |gpu| {
            expectation.check(gpu)
        })
    })
}

/// `vulkan/llvmpipe`.
fn prefix(adapter: &AdapterFacts) -> String {
    let short = adapter.name.split([' ', '(']).next().unwrap_or("adapter");
    format!("{}/{short}", adapter.backend)
}

/// The vectors that PyTorch made.
fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let entries = std::fs::read_dir(&folder).expect("the golden vectors are part of the source");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    files
}

/// `vulkan/llvmpipe/golden/conv2d_1x7`.
fn golden_trial(adapter: &AdapterFacts, file: PathBuf) -> Trial {
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let facts = adapter.clone();
    Trial::test(format!("{}/golden/{stem}", prefix(adapter)), move || {
        let vector: Vector = vectors::load(&file)?;
        let prepared = vector.prepared();
        run(
            &facts,
            modes_of_f32(&facts, &vector.op),
            &vector.op,
            &vector.name,
            |gpu| vector.check(&prepared, gpu),
        )
    })
}

/// Runs a case in these modes. A warning fails here, where the drivers are known.
fn run(
    adapter: &AdapterFacts,
    modes: Vec<Mode>,
    op: &str,
    name: &str,
    check: impl Fn(&Gpu) -> Outcome,
) -> Result<(), Failed> {
    let mut outcomes = Vec::new();
    for mode in modes {
        outcomes.push((mode.name, check(device(adapter.index, mode)?)));
    }
    let outcome = with_known_failures(adapter, op, name, over_modes(outcomes));
    match outcome.verdict {
        Verdict::Pass | Verdict::KnownFailure => Ok(()),
        verdict => Err(format!("{}: {}", verdict.word(), outcome.detail).into()),
    }
}

fn device(adapter: usize, mode: Mode) -> Result<&'static Gpu, Failed> {
    if let Some(gpu) = DEVICES.with_borrow(|d| d.get(&(adapter, mode)).copied()) {
        return Ok(gpu);
    }
    let gpu: &Gpu = Box::leak(Box::new(
        Gpu::open(mode.options(adapter)).map_err(|e| e.to_string())?,
    ));
    DEVICES.with_borrow_mut(|d| d.insert((adapter, mode), gpu));
    Ok(gpu)
}
