//! The conformance suite catches broken kernels. Every shader below gets one deliberate fault in
//! its text, and at least one case of an op that runs it must then fail. `cargo test --test
//! kernels` checks that the kernels pass unmodified. Needs a GPU adapter.

mod by_winograd;
mod in_arithmetic;
mod in_layers;
mod in_parts;
mod in_tiles;
mod on_cpus;
mod on_matrices;

use by_winograd::{BY_WINOGRAD, BY_WINOGRAD_ON_LANES};
use dbvq_wgpu::gpu::{Gpu, GpuOptions, Precision, Prefer, Shader, adapters, parse};
use dbvq_wgpu::kernels_test::{Outcome, Verdict, cases, check};
use dbvq_wgpu::ops;
use in_arithmetic::IN_ARITHMETIC;
use in_layers::IN_LAYERS;
use in_parts::{IN_PARTS, IN_PARTS_TILE};
use in_tiles::{IN_TILES, TILE};
use libtest_mimic::{Arguments, Failed, Trial};
use on_cpus::{ON_CPUS, ON_LANES};
use on_matrices::ON_MATRICES;

/// A shader, the ops whose cases run it, and replacements in its text; the text to replace must
/// occur exactly once.
pub struct Faults {
    shader: &'static str,
    ops: &'static [&'static str],
    faults: &'static [(&'static str, &'static str)],
}

fn main() {
    let arguments = Arguments::from_args();
    let adapter = adapters().into_iter().find(|a| a.default);
    let on_cpus = if adapter.as_ref().is_some_and(|a| a.kind == "cpu") {
        ON_CPUS
    } else {
        &[]
    };
    let has_lanes = adapter.as_ref().is_some_and(|a| a.has_lanes());
    let (on_lanes, winograd_on_lanes) = if has_lanes {
        (ON_LANES, BY_WINOGRAD_ON_LANES)
    } else {
        (&[][..], &[][..])
    };
    // The text for matrices of 16 x 16 is the same.
    let matrices = adapter
        .and_then(|a| a.cooperative())
        .is_some_and(|matrices| matrices.edge == 8);
    let on_matrices = if matrices { ON_MATRICES } else { &[] };
    let mut trials = Vec::new();
    let portable = IN_ARITHMETIC.len() + IN_LAYERS.len();
    let anywhere = portable + IN_TILES.len() + BY_WINOGRAD.len();
    let on_any = IN_ARITHMETIC
        .iter()
        .chain(IN_LAYERS)
        .chain(IN_TILES)
        .chain(BY_WINOGRAD);
    let in_parts = anywhere..anywhere + IN_PARTS.len();
    for (at, faults) in on_any
        .chain(IN_PARTS)
        .chain(on_cpus)
        .chain(on_lanes)
        .chain(winograd_on_lanes)
        .chain(on_matrices)
        .enumerate()
    {
        // A shader may have faults in several lists.
        let first = if at < portable {
            0
        } else if at < anywhere {
            100
        } else if in_parts.contains(&at) {
            200
        } else {
            300
        };
        for number in 0..faults.faults.len() {
            let name = format!("{}/{}", faults.shader, first + number);
            trials.push(Trial::test(name, move || is_caught(faults, number)));
        }
    }
    trials.push(Trial::test("every_op_is_known", every_op_is_known));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs the ops' cases with the fault until one fails.
fn is_caught(faults: &Faults, number: usize) -> Result<(), Failed> {
    let is_of = |list: &[Faults]| list.iter().any(|of_list| std::ptr::eq(of_list, faults));
    let precision = if is_of(ON_MATRICES) {
        Precision::F16
    } else {
        Precision::F32
    };
    let prefer = match faults {
        _ if is_of(IN_ARITHMETIC) || is_of(IN_LAYERS) => Prefer::Portable,
        _ if is_of(IN_TILES) => Prefer::Tiles(TILE),
        _ if is_of(IN_PARTS) => Prefer::Tiles(IN_PARTS_TILE),
        _ if is_of(BY_WINOGRAD) => Prefer::WinogradOnGpus,
        _ if is_of(BY_WINOGRAD_ON_LANES) => Prefer::Winograd,
        _ => Prefer::Rule,
    };
    let stand_ins = vec![broken(faults, number)];
    // A fault may access memory out of bounds; the driver's checks keep it from affecting other
    // trials.
    let checked = false;
    let driver_checks = true;
    let poison = true;
    let options = GpuOptions {
        checked,
        driver_checks,
        poison,
        prefer,
        precision,
        stand_ins,
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(options).map_err(|e| e.to_string())?;
    // It must be caught by wrong numbers: a fault that removes the last use of a binding would make
    // the engine panic.
    let caught =
        |outcome: Outcome| outcome.verdict == Verdict::Fail && !outcome.detail.starts_with("panic");
    if cases()
        .iter()
        .filter(|case| faults.ops.contains(&case.op))
        .any(|case| caught(check(&gpu, case)))
    {
        Ok(())
    } else {
        Err(format!(
            "all cases of {:?} pass with `{}`",
            faults.ops, faults.faults[number].1
        )
        .into())
    }
}

/// The shader with one of its faults applied.
#[expect(unsafe_code, reason = "it breaks kernels on purpose")]
fn broken(faults: &Faults, number: usize) -> Shader {
    let whole = ops::shaders()
        .into_iter()
        .find(|s| s.name() == faults.shader)
        .expect("it is listed");
    let (from, to) = faults.faults[number];
    // The text may be in an imported file, or in one imported instead; then the full text is used,
    // which imports nothing.
    let own = whole.source().contains(from);
    let text = if own {
        whole.source().to_string()
    } else {
        whole.text()
    };
    assert_eq!(
        text.matches(from).count(),
        1,
        "shaders/{}.wgsl: `{from}` is to stand there once",
        whole.name()
    );
    // SAFETY: the device checks bounds.
    let shader = unsafe { whole.with_source(text.replacen(from, to, 1)) };
    if let Err(e) = parse(&shader) {
        panic!("a fault must still be WGSL: {e}");
    }
    shader
}

fn every_op_is_known() -> Result<(), Failed> {
    let known: Vec<&str> = cases().iter().map(|case| case.op).collect();
    let unknown = IN_ARITHMETIC
        .iter()
        .chain(IN_LAYERS)
        .flat_map(|f| f.ops)
        .find(|op| !known.contains(op));
    unknown.map_or(Ok(()), |op| Err(format!("no case is called {op}").into()))
}
