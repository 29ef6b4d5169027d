//! `dbvq-wgpu conformance`: the table of cases on every adapter, each case in a process that may die of it.
//!
//! [`worker`] is the child that runs cases, `supervise` starts children and sees how they end, `report` is the result as
//! data with a `summary` of each op, and `text`, `markdown` and `junit` set it in type.

mod junit;
mod markdown;
mod report;
mod summary;
mod supervise;
mod text;
mod vectors;
pub mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::{print_document, table};
use crate::config;
use crate::error::{Error, Result};
use crate::gpu::{AdapterFacts, every_adapter, find_adapter, none_found};
use crate::kernels_test::probes::PROBES;
use crate::kernels_test::{Case, Outcome, cases, with_known_failures};
use report::{AdapterReport, CaseReport, Report, label};
use supervise::Found;
use worker::Job;

/// What stands before the file of a vector in the names of cases.
const VECTOR: &str = "vector ";

/// Longest that one case may take, seconds; the slowest takes a few on a CPU, kernels compiled and all.
pub const TIMEOUT: f64 = 120.0;

/// What the command was asked for.
#[derive(Clone, Debug)]
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
}

/// Runs the suite, prints what came of it, and writes the report.
///
/// # Errors
/// [`Error::Conformance`] if something failed; [`Error::Usage`] and [`Error::Adapter`] before anything is run.
pub fn run(args: &ConformanceArgs) -> Result<()> {
    let table = cases();
    let jobs = jobs(args, &table)?;
    args.report.as_deref().map_or(Ok(()), Report::writable)?;
    worker::announce_fault();
    let adapters = adapters(args)?;
    let mut report = Report::new();
    let mut progress = Progress::new("conformance", 0, (jobs.len() * adapters.len()) as u64);
    for facts in adapters {
        report.adapters.push(one(args, facts, &jobs, &table, &mut progress));
    }
    progress.finish();
    let width = table::terminal_width();
    let shown = report.adapters.iter().map(|adapter| match args.probes {
        true => text::probes(adapter, width),
        false => text::adapter(adapter, args.timeout, width),
    });
    print_document(&shown.collect::<Vec<_>>().join("\n"))?;
    if let Some(file) = &args.report {
        let files = report.write(file)?;
        note!("wrote {}", files.map(|file| file.display().to_string()).join(", "));
    }
    conclusion(&report)
}

/// Prints the page of several reports.
///
/// # Errors
/// [`Error::Io`], or [`Error::Data`] if a file is no report.
pub fn merge(files: &[PathBuf]) -> Result<()> {
    let reports = files.iter().map(|file| Report::read(file)).collect::<Result<Vec<_>>>()?;
    print_document(&markdown::text(&reports))
}

/// The probes, the cases that fit the flags, and the vectors.
fn jobs(args: &ConformanceArgs, table: &[Case]) -> Result<Vec<Job>> {
    let probes = (0..PROBES.len()).map(Job::Probe);
    if args.probes {
        return Ok(probes.collect());
    }
    let files = args.vectors.as_deref().map_or(Ok(Vec::new()), |place| vectors::files(place, args.grad))?;
    // Vectors alone, unless cases are asked for as well.
    let wants_cases = args.vectors.is_none() || args.op.is_some() || args.case.is_some();
    let chosen = if wants_cases { chosen(args, table)? } else { Vec::new() };
    Ok(probes.chain(chosen.into_iter().map(Job::Case)).chain(files.into_iter().map(Job::Vector)).collect())
}

/// Numbers of the cases that fit the flags.
fn chosen(args: &ConformanceArgs, table: &[Case]) -> Result<Vec<usize>> {
    let of_op = |case: &Case| args.op.as_ref().is_none_or(|op| case.op == *op);
    if let Some(op) = args.op.as_ref().filter(|_| !table.iter().any(of_op)) {
        let near = config::nearest(op, table.iter().map(|case| case.op));
        let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
        return Err(Error::Usage(format!("--op {op}: there is no such op{hint}")));
    }
    let exact = |case: &Case| of_op(case) && args.case.as_ref().is_none_or(|name| case.name == *name);
    let exactly = table.iter().any(exact);
    let named = |case: &Case| args.case.as_ref().is_none_or(|name| !exactly && case.name.contains(name));
    let fits = |case: &Case| {
        (exact(case) || (of_op(case) && named(case))) && (!args.grad || case.inputs.iter().any(|i| i.wants_grad))
    };
    let list: Vec<usize> = (0..table.len()).filter(|&i| fits(&table[i])).collect();
    match list.is_empty() {
        true => Err(Error::Usage("no case fits --op, --case and --grad together".into())),
        false => Ok(list),
    }
}

fn adapters(args: &ConformanceArgs) -> Result<Vec<AdapterFacts>> {
    if !args.all {
        return Ok(vec![find_adapter(args.adapter.as_deref())?]);
    }
    let (usable, not): (Vec<_>, Vec<_>) = every_adapter().into_iter().partition(|facts| facts.usable.is_ok());
    for facts in not {
        let why = facts.usable.err().unwrap_or_default();
        note!("{} {}: left out, as it {why}", facts.index, facts.name);
    }
    if usable.is_empty() { Err(Error::Adapter(none_found())) } else { Ok(usable) }
}

/// Runs the jobs on one adapter.
fn one(
    args: &ConformanceArgs,
    facts: AdapterFacts,
    jobs: &[Job],
    table: &[Case],
    progress: &mut Progress,
) -> AdapterReport {
    let (begin, name, done) = (Instant::now(), label(&facts), progress.position());
    let (mut probes, mut cases) = (Vec::new(), Vec::new());
    let mut each = |job: &Job, found: Found, took: Duration| {
        match (job, found) {
            (_, Found::Fact(fact)) => probes.push(fact),
            (job, Found::Outcome(outcome)) => cases.push(case_report(&facts, job, table, outcome, took)),
        }
        if let Some(case) = cases.last().filter(|case| case.verdict.is_failure() && !matches!(job, Job::Probe(_))) {
            progress.note(&format!("{}: {name} {} {}", case.verdict.word(), case.op, case.case));
        }
        progress.at(done + (probes.len() + cases.len()) as u64, || name.clone());
    };
    let timeout = Duration::from_secs_f64(args.timeout.unwrap_or(TIMEOUT));
    let error = supervise::run(facts.index, jobs, timeout, &mut each).err();
    let left = jobs.len() - probes.len() - cases.len();
    let error = error.map(|what| format!("{what}; {left} of {} jobs were not done", jobs.len()));
    if let Some(what) = &error {
        progress.note(&format!("{name} is given up: {what}"));
    }
    progress.at(done + jobs.len() as u64, || name.clone());
    AdapterReport { facts, error, probes, cases, seconds: begin.elapsed().as_secs_f64() }
}

fn case_report(facts: &AdapterFacts, job: &Job, table: &[Case], outcome: Outcome, took: Duration) -> CaseReport {
    let (op, name) = match job {
        Job::Case(number) => (table[*number].op.into(), table[*number].name.clone()),
        Job::Vector(file) => (vectors::op(file), format!("{VECTOR}{}", file.display())),
        Job::Probe(number) => (PROBES[*number].name.into(), String::new()),
    };
    CaseReport::new(&op, &name, with_known_failures(facts, &op, &name, outcome), took)
}

/// Ok if nothing is worse than a warning or a known failure.
fn conclusion(report: &Report) -> Result<()> {
    let failed: Vec<String> = report.adapters.iter().filter(|adapter| adapter.failed()).map(of_adapter).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::Conformance(format!("not conformant: {}", failed.join("; ")))),
    }
}

fn of_adapter(adapter: &AdapterReport) -> String {
    let bad = adapter.count(|case| case.verdict.is_failure());
    let given_up = if adapter.error.is_some() { ", given up" } else { "" };
    let none = if bad == 0 && given_up.is_empty() { ", none passes" } else { "" };
    format!("{}: {bad} of {} cases fail{given_up}{none}", adapter.label(), adapter.cases.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels_test::Verdict;

    fn args() -> ConformanceArgs {
        ConformanceArgs {
            adapter: None,
            all: false,
            op: None,
            case: None,
            grad: false,
            probes: false,
            timeout: None,
            report: None,
            vectors: None,
        }
    }

    #[test]
    fn cases_are_chosen_by_op_name_and_gradient() {
        let table = cases();
        let count = |args: ConformanceArgs| chosen(&args, &table).map_or(0, |list| list.len());
        assert_eq!(count(args()), table.len());
        let relu = ConformanceArgs { op: Some("relu".into()), ..args() };
        let of_relu = table.iter().filter(|case| case.op == "relu").count();
        assert_eq!(count(relu.clone()), of_relu);
        assert_eq!(count(ConformanceArgs { case: Some("-2..2 [3]".into()), ..relu.clone() }), 1, "a whole name");
        assert!(count(ConformanceArgs { case: Some("25".into()), ..relu }) > 1, "a part of names");
        let with_gradient = count(ConformanceArgs { grad: true, ..args() });
        assert!(with_gradient > 0 && with_gradient < table.len());
    }

    #[test]
    fn an_unknown_op_names_the_nearest() {
        let error = chosen(&ConformanceArgs { op: Some("relo".into()), ..args() }, &cases()).expect_err("no such op");
        assert!(error.exit_code() == 2 && error.to_string().contains("'relu'"), "{error}");
    }

    #[test]
    fn warnings_and_known_failures_are_no_failure_of_the_run() {
        let mut report = report::tests::example();
        let error = conclusion(&report).expect_err("four cases failed");
        assert!(error.exit_code() == 12 && error.to_string().contains("4 of 9 cases fail"), "{error}");
        report.adapters[0].cases.retain(|case| !case.verdict.is_failure());
        assert!(conclusion(&report).is_ok());
        report.adapters[0].cases.retain(|case| case.verdict == Verdict::NotSupported);
        assert!(conclusion(&report).is_err(), "where nothing runs nothing is shown");
        report.adapters[0].cases.clear();
        report.adapters[0].error = Some("does not open".into());
        assert!(conclusion(&report).is_err());
    }
}
