//! The modes in which kernels are run, and a case's outcome over all of them.

use std::fmt::Display;

use super::{Outcome, Verdict};
use crate::gpu::{AdapterFacts, Cooperative, GpuOptions, Precision, Prefer};

/// A way to run kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// Its name in messages.
    pub name: &'static str,
    /// Whether kernels have WebGPU's run-time checks.
    pub checked: bool,
    /// For probes, which reach outside of bindings to see what the driver does: the driver's bounds
    /// checks are on, and memory is neither poisoned nor watched.
    pub probes: bool,
    /// Which kernels to run where an op has several.
    pub prefer: Prefer,
    /// Precision of the operands of products.
    pub precision: Precision,
}

impl Mode {
    const fn new(name: &'static str, checked: bool, prefer: Prefer) -> Mode {
        Mode {
            name,
            checked,
            probes: false,
            prefer,
            precision: Precision::F32,
        }
    }

    const fn f16(name: &'static str, checked: bool, tile: usize) -> Mode {
        Mode {
            precision: Precision::F16,
            ..Mode::new(name, checked, Prefer::Tiles(tile))
        }
    }

    /// Options that open a device in this mode.
    pub fn options(self, adapter: impl Display) -> GpuOptions {
        let Mode {
            checked,
            probes,
            prefer,
            precision,
            ..
        } = self;
        let adapter = Some(adapter.to_string());
        let driver_checks = probes;
        let poison = !probes;
        GpuOptions {
            adapter,
            checked,
            driver_checks,
            prefer,
            precision,
            poison,
            ..GpuOptions::default()
        }
    }
}

/// As in debug builds.
pub const CHECKED: Mode = Mode::new("checked", true, Prefer::Rule);
/// As in release builds.
pub const UNCHECKED: Mode = Mode::new("unchecked", false, Prefer::Rule);
/// For probes.
pub const PROBED: Mode = Mode {
    probes: true,
    ..UNCHECKED
};
/// As in release builds on adapters without specialised kernels.
const PORTABLE: Mode = Mode::new("portable", false, Prefer::Portable);
/// As in release builds on GPUs, with each tile that tuning may choose; the smallest one also as in
/// debug builds.
const TILES: [Mode; 8] = [
    Mode::new("32x32", false, Prefer::Tiles(4)),
    Mode::new("32x32 checked", true, Prefer::Tiles(4)),
    Mode::new("32x32 in parts", false, Prefer::Tiles(7)),
    Mode::new("64x64", false, Prefer::Tiles(2)),
    Mode::new("64x64 by 256", false, Prefer::Tiles(3)),
    Mode::new("64x64 by 256 in parts", false, Prefer::Tiles(6)),
    Mode::new("128x64", false, Prefer::Tiles(1)),
    Mode::new("128x128", false, Prefer::Tiles(0)),
];
/// With the kernels for GPUs, for ops that have no tiles; also as in debug builds.
const ON_GPUS: Mode = Mode::new("for GPUs", false, Prefer::Tiles(4));
const CHECKED_ON_GPUS: Mode = Mode::new("for GPUs checked", true, Prefer::Tiles(4));
/// As where tuning on a GPU has chosen Winograd's algorithm for a convolution; also as in debug
/// builds.
const WINOGRAD: [Mode; 2] = [
    Mode::new("winograd", false, Prefer::WinogradOnGpus),
    Mode::new("winograd checked", true, Prefer::WinogradOnGpus),
];
/// The same with the lanes kernels.
const WINOGRAD_ON_LANES: [Mode; 2] = [
    Mode::new("winograd on lanes", false, Prefer::Winograd),
    Mode::new("winograd on lanes checked", true, Prefer::Winograd),
];
/// As with `--precision f16`, with each tile that fits into a workgroup; the first also as in debug
/// builds.
const HALVES: [Mode; 4] = [
    Mode::f16("f16 checked", true, 0),
    Mode::f16("f16, most subgroups", false, 0),
    Mode::f16("f16, fewer subgroups", false, 1),
    Mode::f16("f16, fewest subgroups", false, 2),
];

/// Ops with kernels for CPU drivers. On CPU drivers with lanes, any op may have one.
const ON_CPUS: [&str; 7] = [
    "adam",
    "attention",
    "code_law_cross_entropy",
    "code_law_mean",
    "group_norm",
    "group_norm_silu",
    "layer_norm",
];
/// Ops that may do most of their work as a matrix product.
const BY_PRODUCTS: [&str; 1] = ["nearest_code"];
/// Ops with tiled kernels, and others for adapters with subgroups of eight lanes.
const TILED: [&str; 7] = [
    "matmul",
    "linear",
    "linear_residual",
    "conv1d",
    "conv2d",
    "conv2d_residual",
    "conv_transpose2d",
];
/// Ops with kernels for GPUs beside those of CPU drivers.
const FOR_GPUS: [&str; 5] = ["sum", "mean", "sum_all", "mean_all", "squared_norm"];
/// Ops that may use Winograd's algorithm.
const BY_WINOGRAD: [&str; 3] = ["conv2d", "conv2d_residual", "conv_transpose2d"];

/// The modes in which `op` is run on an adapter.
pub fn modes(adapter: &AdapterFacts, op: &str) -> Vec<Mode> {
    let mut modes = vec![CHECKED, UNCHECKED];
    if TILED.contains(&op) {
        modes.push(PORTABLE);
        modes.extend(TILES);
    } else if BY_PRODUCTS.contains(&op)
        || adapter.is_cpu() && ON_CPUS.contains(&op)
        || adapter.has_lanes()
    {
        modes.push(PORTABLE);
    }
    if FOR_GPUS.contains(&op) {
        modes.extend([ON_GPUS, CHECKED_ON_GPUS]);
    }
    if BY_WINOGRAD.contains(&op) {
        modes.extend(WINOGRAD);
        modes.extend(
            WINOGRAD_ON_LANES
                .into_iter()
                .filter(|_| adapter.has_lanes()),
        );
    }
    if TILED.contains(&op) || BY_PRODUCTS.contains(&op) {
        let tiles = adapter.cooperative().map_or(0, Cooperative::tiles);
        modes.extend(
            HALVES
                .into_iter()
                .filter(|mode| matches!(mode.prefer, Prefer::Tiles(tile) if tile < tiles)),
        );
    }
    modes
}

/// Whether `op` rounds its operands under [`Precision::F16`].
pub(super) fn rounds_to_f16(op: &str) -> bool {
    TILED.contains(&op)
}

/// The modes of `op` that do not round to f16.
pub fn modes_of_f32(adapter: &AdapterFacts, op: &str) -> Vec<Mode> {
    modes(adapter, op)
        .into_iter()
        .filter(|mode| mode.precision == Precision::F32)
        .collect()
}

impl Verdict {
    /// Whether something is wrong and unexplained.
    pub fn is_failure(self) -> bool {
        self >= Verdict::Fail
    }

    /// The verdict in words, for people and JUnit.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::QualityWarning => "quality warning",
            Verdict::Fail => "fail",
            Verdict::NotSupported => "not supported",
            Verdict::ResourceError => "resource error",
            Verdict::Crash => "crash",
            Verdict::Timeout => "timeout",
            Verdict::KnownFailure => "known failure",
        }
    }
}

/// Combines outcomes: the worst verdict, the worst shares, and every detail after the modes that
/// gave it.
///
/// # Panics
/// If there are no outcomes.
pub fn over_modes(outcomes: Vec<(&str, Outcome)>) -> Outcome {
    let mut details: Vec<(Vec<&str>, String)> = Vec::new();
    for (mode, outcome) in outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.detail.is_empty())
    {
        match details
            .iter_mut()
            .find(|(_, detail)| *detail == outcome.detail)
        {
            Some((modes, _)) => modes.push(mode),
            None => details.push((vec![mode], outcome.detail.clone())),
        }
    }
    let count = outcomes.len();
    let told = details
        .into_iter()
        .map(|(modes, detail)| match modes.len() {
            all if all == count && count > 1 => format!("in all {count} modes: {detail}"),
            _ => format!("{}: {detail}", modes.join(", ")),
        });
    let detail = told.collect::<Vec<_>>().join("; ");
    let worse = |a: Outcome, b: Outcome| {
        let fault = if b.verdict > a.verdict {
            b.fault
        } else {
            a.fault
        };
        Outcome {
            verdict: a.verdict.max(b.verdict),
            forward: a.forward.max(b.forward),
            gradient: a.gradient.into_iter().chain(b.gradient).reduce(f64::max),
            fault,
            ..a
        }
    };
    let all = outcomes
        .into_iter()
        .map(|(_, outcome)| outcome)
        .reduce(worse)
        .expect("a case is run in at least one mode");
    Outcome { detail, ..all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_mode_counts() {
        let outcome = |verdict, forward, gradient, detail: &str| Outcome {
            forward,
            gradient,
            ..Outcome::failed(verdict, detail)
        };
        let checked = outcome(Verdict::Pass, 0.5, Some(0.1), "");
        let unchecked = outcome(Verdict::Fail, 0.25, None, "element 3");
        let both = over_modes(vec![("checked", checked.clone()), ("unchecked", unchecked)]);
        assert_eq!(
            (both.verdict, both.forward, both.gradient),
            (Verdict::Fail, 0.5, Some(0.1))
        );
        assert_eq!(both.detail, "unchecked: element 3");
        assert_eq!(
            over_modes(vec![("checked", checked)]).verdict,
            Verdict::Pass
        );
        let panic = || Outcome::failed(Verdict::Fail, "panic: shapes");
        let both = over_modes(vec![("checked", panic()), ("unchecked", panic())]);
        assert_eq!(both.detail, "in all 2 modes: panic: shapes");
        let three = over_modes(vec![
            ("checked", panic()),
            ("portable", Outcome::failed(Verdict::Fail, "other")),
            ("unchecked", panic()),
        ]);
        assert_eq!(
            three.detail,
            "checked, unchecked: panic: shapes; portable: other"
        );
    }

    #[test]
    fn what_is_explained_is_no_failure() {
        for (verdict, failure) in [
            (Verdict::Pass, false),
            (Verdict::KnownFailure, false),
            (Verdict::QualityWarning, false),
            (Verdict::NotSupported, false),
            (Verdict::Fail, true),
            (Verdict::ResourceError, true),
            (Verdict::Timeout, true),
            (Verdict::Crash, true),
        ] {
            assert_eq!(verdict.is_failure(), failure, "{}", verdict.word());
        }
    }
}
