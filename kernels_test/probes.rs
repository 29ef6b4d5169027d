//! Facts about a driver where WGSL leaves it a choice, and what the kernels do so that the choice
//! does not matter.
//!
//! A probe has no right answer: no fact here fails a run.

mod look;

use serde::{Deserialize, Serialize};

use crate::gpu::{Gpu, Origin, Shader};

/// Kernels of the probes.
pub static SHADER: Shader = Shader {
    origin: Origin::BuiltIn,
    name: "probes",
    source: include_str!("probes.wgsl"),
    instead: None,
};

/// The kernel that packs f16.
pub static HALVES: Shader = Shader {
    origin: Origin::BuiltIn,
    name: "probes_f16",
    source: include_str!("probes_f16.wgsl"),
    instead: None,
};

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The probe.
    pub name: String,
    /// What the driver does.
    pub found: String,
    /// What the kernels do about it.
    pub consequence: String,
}

/// One question to a driver.
pub struct Probe {
    /// A short name.
    pub name: &'static str,
    /// What the kernels do about it, whatever the answer.
    pub consequence: &'static str,
    /// Whether a driver may crash on it, so that it needs its own process.
    pub isolated: bool,
    look: fn(&Gpu) -> String,
}

impl Probe {
    /// Asks the driver of `gpu`, which should be opened without poison and without run-time checks,
    /// since those would answer in its place.
    pub fn look(&self, gpu: &Gpu) -> Fact {
        self.fact((self.look)(gpu))
    }

    /// A fact with this `found`, for example that the driver died.
    pub fn fact(&self, found: impl Into<String>) -> Fact {
        Fact {
            name: self.name.into(),
            found: found.into(),
            consequence: self.consequence.into(),
        }
    }
}

/// All probes, those that a driver may crash on last.
pub const PROBES: [Probe; 12] = [
    Probe {
        name: "NaN compared",
        consequence: "No kernel asks whether a number is NaN; the host looks at bit patterns.",
        isolated: false,
        look: look::nan_compared,
    },
    Probe {
        name: "log(0) and exp(NaN)",
        consequence: "Kernels keep logarithms to positive normal numbers (`accurate_log`); as a NaN need not survive a \
            kernel, training looks for the first one on the host.",
        isolated: false,
        look: look::log_and_exp,
    },
    Probe {
        name: "large tanh",
        consequence: "Kernels use `accurate_tanh`, which clamps its argument.",
        isolated: false,
        look: look::large_tanh,
    },
    Probe {
        name: "subnormals",
        consequence: "Error bounds never go below the smallest normal number, so both are right.",
        isolated: false,
        look: look::subnormals,
    },
    Probe {
        name: "rounding and reassociation",
        consequence: "No kernel relies on a compensated sum or on `fma` being fused; bounds count one rounding of \
            2^-23 an operation.",
        isolated: false,
        look: look::rounding,
    },
    Probe {
        name: "f16 rounding",
        consequence: "Kernels store and compute f32; a path through f16 would need bounds of its own.",
        isolated: false,
        look: look::halves,
    },
    Probe {
        name: "builtins",
        consequence: "Bounds take WGSL's limits for exp, inverseSqrt, sqrt and division; sin, cos, tanh and log are \
            replaced by `accurate.wgsl`.",
        isolated: false,
        look: look::builtins,
    },
    Probe {
        name: "integer division by 0",
        consequence: "Kernels divide by sizes, which are never 0.",
        isolated: false,
        look: look::integers,
    },
    Probe {
        name: "loop budget",
        consequence: "No invocation loops more than 60,000 times in sum; longer sums are split (`ops::LOOPS`).",
        isolated: false,
        look: look::loops,
    },
    Probe {
        name: "read out of bounds",
        consequence: "Kernels read inside their tensors only; cases run on poisoned memory, with and without checks.",
        isolated: false,
        look: look::read_outside,
    },
    Probe {
        name: "write out of bounds",
        consequence: "Kernels write inside their tensors only; cases watch the words behind every tensor.",
        isolated: false,
        look: look::write_outside,
    },
    Probe {
        name: "access far out of bounds",
        consequence: "As above; nothing of it can happen to a kernel that stays inside.",
        isolated: true,
        look: look::far_outside,
    },
];
