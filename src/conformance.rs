//! `dbvq-wgpu conformance`: runs the table of cases on every adapter, in child processes that may
//! crash.
//!
//! `choice` selects what is run. [`worker`] is the child that runs cases, `dump` writes what
//! failed, `supervise` starts children and handles how they end. `report` is the result as data
//! with a `summary` of each op; `text`, `markdown` and `junit` format it, and `conclusion` says
//! whose fault a failure is.

mod choice;
mod conclusion;
mod dump;
mod files;
mod junit;
mod markdown;
mod report;
mod summary;
mod supervise;
mod text;
mod vectors;
pub mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::experiment::session::stop_flag;
use crate::gpu::AdapterFacts;
use crate::kernels_test::probes::PROBES;
use crate::kernels_test::{
    Case, KnownFailure, Outcome, cases, in_the_light_of, known_failures, parse_known_failures,
};
use crate::report::console::print_document;
use crate::report::progress::Progress;
use crate::report::table;
use report::{AdapterReport, CaseReport, Report, label};
use supervise::Found;
use worker::Job;

/// Prefix of a vector's file in case names.
const VECTOR: &str = "vector ";

/// Time limit of one case, seconds; the slowest takes a few on a CPU, compiling kernels included.
pub const TIMEOUT: f64 = 120.0;

/// Arguments of the command.
#[derive(Clone, Debug, Default)]
pub struct ConformanceArgs {
    /// `--adapter`.
    pub adapter: Option<String>,
    /// `--all`: every usable adapter instead of one.
    pub all: bool,
    /// `--op`.
    pub op: Option<String>,
    /// `--case`: a case's name, or a part of names.
    pub case: Option<String>,
    /// `--grad`: only cases and vectors with a gradient.
    pub grad: bool,
    /// `--probes`: only the probes.
    pub probes: bool,
    /// `--timeout`, seconds.
    pub timeout: Option<f64>,
    /// `--report`.
    pub report: Option<PathBuf>,
    /// `--vectors`.
    pub vectors: Option<PathBuf>,
    /// `--dump`.
    pub dump: Option<PathBuf>,
    /// `--known-failures`.
    pub known_failures: Option<PathBuf>,
}

/// Inputs of a run.
struct Run<'a> {
    args: &'a ConformanceArgs,
    table: &'a [Case],
    jobs: &'a [Job],
    known: &'a [KnownFailure],
    /// Set to the exit code by signals.
    stop: &'a AtomicUsize,
}

/// Prints the ops and cases that the flags choose.
///
/// # Errors
/// [`Error::Usage`] if they choose none.
pub fn list(args: &ConformanceArgs) -> Result<()> {
    print_document(&choice::list(args, &cases())?)
}

/// Runs the suite, prints the results, and writes the report.
///
/// # Errors
/// [`Error::Conformance`] if something failed; [`Error::Usage`] and [`Error::Adapter`] before
/// anything is run; [`Error::Interrupted`] after a signal, once the results so far are printed and
/// written.
pub fn run(args: &ConformanceArgs) -> Result<()> {
    let table = cases();
    let jobs = choice::jobs(args, &table)?;
    args.report.as_deref().map_or(Ok(()), files::writable)?;
    let known = known(args.known_failures.as_deref())?;
    worker::announce_fault();
    let adapters = choice::adapters(args)?;
    args.dump.as_deref().map_or(Ok(()), dump::prepare)?;
    let stop = stop_flag(Path::new("signals"))?;
    let mut report = Report::new();
    report.command = command();
    report.scope = choice::scope(args, &jobs, &table);
    report.provoked = worker::provoked();
    let run = Run {
        args,
        table: &table,
        jobs: &jobs,
        known: &known,
        stop: &stop,
    };
    let mut progress = Progress::new("conformance", 0, (jobs.len() * adapters.len()) as u64);
    for facts in &adapters {
        match stop.load(Ordering::Relaxed) {
            0 => report.adapters.push(run.on(facts.clone(), &mut progress)),
            _ => break,
        }
    }
    progress.finish();
    report.stopped = stopped(&report, &adapters, jobs.len(), stop.load(Ordering::Relaxed));
    report.unused = run.unused(&report);
    finish(args, &report, stop.load(Ordering::Relaxed))
}

/// Prints and writes a report; an error if something is wrong in it.
fn finish(args: &ConformanceArgs, report: &Report, signal: usize) -> Result<()> {
    let width = table::terminal_width();
    let shown = report.adapters.iter().map(|adapter| {
        if args.probes {
            text::probes(adapter, width)
        } else {
            text::adapter(report, adapter, width)
        }
    });
    print_document(&shown.collect::<Vec<_>>().join("\n"))?;
    for what in &report.unused {
        note!("{what}");
    }
    let mut written = String::new();
    if let Some(file) = &args.report {
        let files = files::write(report, file)?
            .map(|file| file.display().to_string())
            .join(", ");
        note!("wrote {files}");
        written = format!("; {files} hold the results so far");
    }
    match (&report.stopped, u8::try_from(signal)) {
        (Some(what), Ok(code)) => Err(Error::Interrupted {
            code,
            what: format!("{what}{written}"),
        }),
        _ => conclusion::of(report),
    }
}

/// The command of this process, as it was typed.
fn command() -> String {
    let words = std::env::args_os()
        .skip(1)
        .map(|word| text::quoted(&word.to_string_lossy()));
    std::iter::once("dbvq-wgpu".to_string())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The user's known failures, then the built-in ones.
fn known(file: Option<&Path>) -> Result<Vec<KnownFailure>> {
    let mut list = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
            let shown = file.display().to_string();
            parse_known_failures(&text, &shown)
                .map_err(|what| Error::Config(format!("{shown}: {what}")))?
        }
        None => Vec::new(),
    };
    list.extend_from_slice(known_failures());
    Ok(list)
}

/// How far the run had come, if a signal ended it.
fn stopped(
    report: &Report,
    adapters: &[AdapterFacts],
    jobs: usize,
    signal: usize,
) -> Option<String> {
    let done = |adapter: &AdapterReport| adapter.cases.len() + adapter.probes.len() == jobs;
    // A signal after the last job stopped nothing.
    if signal == 0 || report.adapters.len() == adapters.len() && report.adapters.iter().all(done) {
        return None;
    }
    let at = report.adapters.last().map_or(String::new(), |adapter| {
        let done = adapter.cases.len() + adapter.probes.len();
        format!(" after {done} of {jobs} jobs on {}", adapter.label())
    });
    let rest: Vec<String> = adapters[report.adapters.len()..]
        .iter()
        .map(label)
        .collect();
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!("; not started: {}", rest.join(", "))
    };
    Some(format!("stopped by a signal{at}{rest}"))
}

/// Prints several reports as one page.
///
/// # Errors
/// [`Error::Io`], or [`Error::Data`] if a file is no report.
pub fn merge(files: &[PathBuf]) -> Result<()> {
    print_document(&page(files)?)
}

/// Several reports as one Markdown page.
pub(super) fn page(files: &[PathBuf]) -> Result<String> {
    let reports = files
        .iter()
        .map(|file| Report::read(file))
        .collect::<Result<Vec<_>>>()?;
    Ok(markdown::text(&reports))
}

impl Run<'_> {
    /// Runs the jobs on one adapter.
    fn on(&self, facts: AdapterFacts, progress: &mut Progress) -> AdapterReport {
        let begin = Instant::now();
        let name = label(&facts);
        let done = progress.position();
        let mut probes = Vec::new();
        let mut cases = Vec::new();
        let mut each = |job: &Job, found: Found, took: Duration| {
            match (job, found) {
                (_, Found::Fact(fact)) => probes.push(fact),
                (job, Found::Outcome(outcome)) => {
                    cases.push(self.case_report(&facts, job, outcome, took))
                }
            }
            if let Some(case) = cases
                .last()
                .filter(|case| case.verdict.is_failure() && !matches!(job, Job::Probe(_)))
            {
                progress.note(&format!(
                    "{}: {name} {} {}",
                    case.verdict.word(),
                    case.op,
                    case.case
                ));
            }
            progress.at(done + (probes.len() + cases.len()) as u64, || name.clone());
        };
        let supervisor = supervise::Supervisor {
            adapter: facts.index,
            timeout: Duration::from_secs_f64(self.args.timeout.unwrap_or(TIMEOUT)),
            dump: self.args.dump.clone(),
            stop: self.stop,
        };
        let error = supervisor.run(self.jobs, &mut each).err();
        let left = self.jobs.len() - probes.len() - cases.len();
        let error =
            error.map(|what| format!("{what}; {left} of {} jobs were not done", self.jobs.len()));
        if let Some(what) = error
            .as_ref()
            .filter(|_| self.stop.load(Ordering::Relaxed) == 0)
        {
            progress.note(&format!("{name} is given up: {what}"));
        }
        progress.at(done + self.jobs.len() as u64, || name.clone());
        AdapterReport {
            facts,
            error,
            probes,
            cases,
            seconds: begin.elapsed().as_secs_f64(),
        }
    }

    fn case_report(
        &self,
        facts: &AdapterFacts,
        job: &Job,
        outcome: Outcome,
        took: Duration,
    ) -> CaseReport {
        let (op, name) = self.name(job);
        let outcome = in_the_light_of(self.known, facts, &op, &name, outcome);
        let mut report = CaseReport::new(&op, &name, outcome, took);
        if !report.passed() || !report.detail.is_empty() {
            report.repeat = text::repeat(facts.index, &report, self.args);
        }
        report
    }

    /// The op of a job, and the name of its case.
    fn name(&self, job: &Job) -> (String, String) {
        match job {
            Job::Case(number) => (
                self.table[*number].op.into(),
                self.table[*number].name.clone(),
            ),
            Job::Vector(file) => (vectors::op(file), format!("{VECTOR}{}", file.display())),
            Job::Probe(number) => (PROBES[*number].name.into(), String::new()),
        }
    }

    /// Entries of the lists of known failures that fit no adapter of this run, or no case at all.
    fn unused(&self, report: &Report) -> Vec<String> {
        let vectors: Vec<(String, String)> = self
            .jobs
            .iter()
            .filter(|job| matches!(job, Job::Vector(_)))
            .map(|job| self.name(job))
            .collect();
        let mut notices = Vec::new();
        for (number, entry) in self.known.iter().enumerate() {
            let of_table = self
                .table
                .iter()
                .any(|case| entry.names(case.op, &case.name));
            let known = of_table || vectors.iter().any(|(op, name)| entry.names(op, name));
            let adapter = report
                .adapters
                .iter()
                .any(|adapter| entry.is_of(&adapter.facts));
            let first = self
                .known
                .iter()
                .take_while(|other| other.file != entry.file)
                .count();
            let mut say = |what: &str| {
                notices.push(format!(
                    "{}: entry {} ({}) {what}",
                    entry.file,
                    number - first + 1,
                    entry.reason
                ));
            };
            match (known, adapter) {
                (false, _) => say("matches no case; `dbvq-wgpu conformance --list` lists all"),
                (_, false) => say("matches no adapter of this run"),
                _ => {}
            }
        }
        notices
    }
}
