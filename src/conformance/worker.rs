//! The child process that does the jobs, so that a driver that crashes or hangs takes only the
//! child down.
//!
//! Jobs come as JSON lines on the standard input, up to an empty one; events go out as JSON lines.
//! After a failure the child ends early, since its device may be unusable, and the supervisor
//! starts another for the rest. When standard input closes, the supervisor is gone and the child
//! exits too, even if a driver hangs.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dump;
use crate::error::{Error, Result};
use crate::gpu::{AdapterFacts, Gpu};
use crate::kernels_test::probes::{Fact, PROBES};
use crate::kernels_test::{
    CHECKED, Case, Expectation, Fault, Mode, Outcome, PROBED, Verdict, cases, modes, modes_of_f32,
    over_modes, spoil, vectors,
};

/// A job for a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Job {
    /// The probe with this index.
    Probe(usize),
    /// The case with this index in the whole table.
    Case(usize),
    /// The golden vector in this file.
    Vector(PathBuf),
}

/// An event that a child reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The adapter is open; what goes wrong from now on is a job's fault.
    Opened,
    /// A job begins, or begins again in another mode.
    Begins(Job, String),
    /// A probe has ended.
    Found(Fact),
    /// A case or vector has ended.
    Ended(Outcome),
    /// The child ends, though there may be more to do.
    Leaves,
}

fn say(event: &Event) -> Result<()> {
    let line = serde_json::to_string(event).expect("events are plain data") + "\n";
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::io("standard output"))
}

/// Devices of one adapter by mode. Never closed: closing is one more thing that drivers get wrong.
struct Devices<'a> {
    adapter: &'a str,
    open: HashMap<Mode, &'static Gpu>,
}

impl Devices<'_> {
    fn get(&mut self, mode: Mode) -> Result<&'static Gpu> {
        if let Some(gpu) = self.open.get(&mode) {
            return Ok(gpu);
        }
        let gpu: &Gpu = Box::leak(Box::new(Gpu::open(mode.options(self.adapter))?));
        self.open.insert(mode, gpu);
        Ok(gpu)
    }
}

fn jobs() -> Result<Vec<Job>> {
    let read = |line: std::io::Result<String>| {
        let line = line.map_err(Error::io("standard input"))?;
        serde_json::from_str(&line)
            .map_err(|e| Error::Usage(format!("conformance-worker: {line}: {e}")))
    };
    let lines = std::io::stdin()
        .lines()
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    lines.map(read).collect()
}

/// Runs the jobs from standard input on the adapter with this index.
///
/// # Errors
/// [`Error::Adapter`] if it does not open, [`Error::Usage`] if a job cannot be parsed. A probe may
/// unwind with the engine's errors.
pub fn run(adapter: &str) -> Result<()> {
    let jobs = jobs()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let mut devices = Devices {
        adapter,
        open: HashMap::new(),
    };
    let table = cases();
    match jobs.first() {
        Some(Job::Probe(_)) => devices.get(PROBED)?,
        _ => devices.get(CHECKED)?,
    };
    say(&Event::Opened)?;
    for job in &jobs {
        let fresh = match job {
            Job::Probe(number) => probe(&mut devices, *number)?,
            Job::Case(number) => case(&mut devices, job, &table[*number])?,
            Job::Vector(file) => vector(&mut devices, job, file)?,
        };
        if fresh {
            return say(&Event::Leaves);
        }
    }
    Ok(())
}

/// Like the next two, returns whether a fresh child should do the rest.
fn probe(devices: &mut Devices, number: usize) -> Result<bool> {
    let probe = &PROBES[number];
    say(&Event::Begins(Job::Probe(number), String::new()))?;
    fault(probe.name);
    say(&Event::Found(probe.look(devices.get(PROBED)?)))?;
    Ok(probe.isolated)
}

fn case(devices: &mut Devices, job: &Job, case: &Case) -> Result<bool> {
    let expectation = OnceCell::new();
    all_modes(
        devices,
        job,
        modes,
        case.op,
        &format!("{}/{}", case.op, case.name),
        &|gpu| expectation.get_or_init(|| Expectation::of(case)).check(gpu),
    )
}

fn vector(devices: &mut Devices, job: &Job, file: &Path) -> Result<bool> {
    let loaded = OnceCell::new();
    let read =
        || loaded.get_or_init(|| vectors::load(file).map(|vector| (vector.prepared(), vector)));
    let op = read()
        .as_ref()
        .map(|(_, vector)| vector.op.clone())
        .unwrap_or_default();
    all_modes(
        devices,
        job,
        modes_of_f32,
        &op,
        &file.display().to_string(),
        &|gpu| match read() {
            Ok((prepared, vector)) => vector.check(prepared, gpu),
            Err(what) => Outcome {
                fault: Fault::File,
                ..Outcome::failed(Verdict::Fail, what)
            },
        },
    )
}

fn all_modes(
    devices: &mut Devices,
    job: &Job,
    modes: fn(&AdapterFacts, &str) -> Vec<Mode>,
    op: &str,
    name: &str,
    check: &dyn Fn(&Gpu) -> Outcome,
) -> Result<bool> {
    let mut outcomes = Vec::new();
    for mode in modes(devices.get(CHECKED)?.facts(), op) {
        say(&Event::Begins(job.clone(), mode.name.into()))?;
        fault(name);
        let mut outcome = check(devices.get(mode)?);
        dumped(&mut outcome, name, mode);
        outcomes.push((mode.name, outcome));
        // A lost device would fail in every further mode.
        if outcomes
            .last()
            .is_some_and(|(_, o)| spoils_the_device(o.verdict))
        {
            break;
        }
    }
    let mut outcome = over_modes(outcomes);
    // JSON has no infinity.
    outcome.forward = outcome.forward.min(f64::MAX);
    outcome.gradient = outcome.gradient.map(|share| share.min(f64::MAX));
    let fresh = outcome.verdict.is_failure();
    say(&Event::Ended(outcome))?;
    Ok(fresh)
}

/// Dumps the tensors of a failed case, if a folder is set, and adds the path to its detail.
fn dumped(outcome: &mut Outcome, name: &str, mode: Mode) {
    let Some(evidence) = outcome.evidence.take() else {
        return;
    };
    let Some(folder) = std::env::var_os(dump::VARIABLE) else {
        return;
    };
    outcome.detail += &match dump::write(Path::new(&folder), name, mode, &outcome.detail, &evidence)
    {
        // The same text for every mode, so that modes with equal details are reported together.
        Ok(place) => format!("; dumped to {}", place.parent().unwrap_or(&place).display()),
        Err(error) => format!("; not dumped: {error}"),
    };
}

fn spoils_the_device(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Crash | Verdict::ResourceError | Verdict::Timeout
    )
}

/// Environment variable that controls [`fault`].
const FAULT: &str = "DBVQ_CONFORMANCE_FAULT";

/// Which failures are made up, if any.
pub fn provoked() -> Option<String> {
    std::env::var(FAULT).ok()
}

/// Warns if failures are made up.
pub fn announce_fault() {
    if let Some(wanted) = provoked() {
        note!(
            "{FAULT}={wanted} is set: jobs crash, hang or fail on purpose to test the command itself"
        );
    }
}

/// Crashes, hangs or computes a wrong number on purpose, so that tests see what a user would:
/// `abort:relu/`, `hang:relu/` or `wrong:relu/` as `DBVQ_CONFORMANCE_FAULT` does so at every job
/// whose name begins with `relu/`.
fn fault(name: &str) {
    spoil(false);
    let Ok(wanted) = std::env::var(FAULT) else {
        return;
    };
    match wanted.split_once(':') {
        Some(("abort", start)) if name.starts_with(start) => std::process::abort(),
        Some(("wrong", start)) if name.starts_with(start) => spoil(true),
        Some(("hang", start)) if name.starts_with(start) => loop {
            std::thread::park();
        },
        _ => {}
    }
}
