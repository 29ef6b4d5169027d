//! `dbvq-wgpu bench`: how close each kernel comes to this adapter's peak rates, and how long a
//! training step takes.

mod flags;

pub mod ceiling;
pub mod clock;
pub mod needs;
pub mod prepared;
pub mod startup;
mod text;
mod training;
pub mod work;
pub mod worker;

pub(crate) use flags::BenchFlags;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::experiment::device::{Device, keep_caches, print_profile};
use crate::gpu::{self, Gpu};
use crate::report::console::print_document;
use crate::report::figures::{self, Reached};
use crate::report::product::{self, Form};
use crate::report::progress::Progress;
use crate::report::table;
use clock::Clock;
use needs::{Ceilings, Needs};
use prepared::Prepared;
use work::{Case, Direction};

/// Time budget for the measurements of one case.
const BUDGET: Duration = Duration::from_millis(250);
/// Cases that would take longer than this even at the ceiling are skipped, seconds.
const TOO_LONG: f64 = 10.0;

/// Arguments of `bench`.
#[derive(Clone, Debug)]
pub struct BenchArgs {
    /// Print JSON.
    pub json: bool,
    /// PNG file for the roofline plot.
    pub out: Option<PathBuf>,
    /// Run only cases whose line contains this text.
    pub filter: Option<String>,
    /// Include training steps at the paper's sizes.
    pub large: bool,
    /// Start no case later than this after the first, seconds.
    pub limit: f64,
    /// The adapter.
    pub device: Device,
}

/// The results of a benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// The adapter's name.
    pub adapter: String,
    /// Its peak arithmetic rate, 10⁹ operations per second.
    pub fma_gflops: f64,
    /// Its peak memory bandwidth, 10⁹ bytes per second.
    pub copy_gbs: f64,
    /// The measured cases.
    pub cases: Vec<Row>,
}

/// One measured case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The op.
    pub op: String,
    /// Its shape.
    pub shape: String,
    /// Which part of it.
    pub direction: String,
    /// Median time, milliseconds.
    pub ms: f64,
    /// 10⁹ operations per second; `None` for rows that are only a time.
    pub gflops: Option<f64>,
    /// 10⁹ bytes of inputs and outputs per second; `None` if they are not counted.
    pub gbs: Option<f64>,
    /// The least time that the ceilings allow, divided by the measured time.
    pub share_of_ceiling: Option<f64>,
}

impl Row {
    /// A row with a time and no rates.
    fn of_time(op: &str, shape: &str, direction: &str, seconds: f64) -> Row {
        let [op, shape, direction] = [op, shape, direction].map(str::to_string);
        Row {
            op,
            shape,
            direction,
            ms: 1e3 * seconds,
            gflops: None,
            gbs: None,
            share_of_ceiling: None,
        }
    }

    /// The row of `case`, which took `seconds`.
    fn new(case: &Case, seconds: f64, needs: Needs, ceilings: Ceilings) -> Row {
        let row = Row::of_time(
            case.work.op(),
            &case.work.shape(),
            &case.direction.to_string(),
            seconds,
        );
        Row {
            gflops: Some(needs.flops / seconds / 1e9),
            gbs: needs.bytes.map(|bytes| bytes / seconds / 1e9),
            share_of_ceiling: Some(needs.share(seconds, ceilings)),
            ..row
        }
    }
}

/// Measures and reports.
///
/// # Errors
/// [`Error::Usage`] if nothing matches the filter; those of the adapter; [`Error::Io`] for the
/// plot.
pub fn run(args: &BenchArgs) -> Result<()> {
    let (cases, starts) = chosen(args)?;
    args.out
        .as_deref()
        .map_or(Ok(()), |file| product::check(file, Form::Picture))?;
    let gpus = Gpus::open(&args.device)?;
    let mut progress = Progress::new("bench", 0, (cases.len() + usize::from(starts)) as u64);
    let ceilings = ceiling::measure(&gpus.kernels)?;
    let mut rows = Vec::new();
    let mut left_out = Vec::new();
    let mut marks = Vec::new();
    let begin = Instant::now();
    for (i, case) in cases.iter().enumerate() {
        progress.at(i as u64, || case.to_string());
        if begin.elapsed().as_secs_f64() > args.limit {
            left_out.push(format!("{case}: the {} s of --limit were over", args.limit));
            continue;
        }
        match gpu::catch(|| gpus.measure(case, ceilings)) {
            Ok(Measured { row, needs }) => {
                marks.extend(needs.bytes.map(|bytes| mark(&row, needs.flops / bytes)));
                rows.push(row);
            }
            Err(error @ (Error::OutOfMemory(_) | Error::Usage(_))) => {
                left_out.push(format!("{case}: {error}"))
            }
            Err(error) => return Err(error),
        }
    }
    if starts {
        progress.at(cases.len() as u64, || "start-up".into());
        rows.extend(startup::measure(gpus.steps.facts().index)?);
    }
    progress.finish();
    print_profile(&gpus.steps);
    keep_caches(&gpus.kernels);
    keep_caches(&gpus.steps);
    let facts = gpus.kernels.facts();
    let adapter = format!("{} ({}, {})", facts.name, facts.backend, facts.driver_info);
    let bench = Bench {
        adapter,
        fma_gflops: ceilings.fma_gflops,
        copy_gbs: ceilings.copy_gbs,
        cases: rows,
    };
    if let Some(file) = &args.out {
        let picture = figures::roofline(&bench.adapter, [bench.fma_gflops, bench.copy_gbs], &marks);
        figures::save(
            file,
            &picture,
            &[
                ("Software", "dbvq-wgpu bench".into()),
                ("adapter", bench.adapter.clone()),
            ],
        )?;
        note!("{}", file.display());
    }
    if args.json {
        left_out.iter().for_each(|line| note!("left out: {line}"));
        return print_document(&(serde_json::to_string_pretty(&bench).expect("plain data") + "\n"));
    }
    print_document(&text::page(&bench, &left_out, table::terminal_width()))
}

/// The cases that match the filter, and whether start-up times match it.
fn chosen(args: &BenchArgs) -> Result<(Vec<Case>, bool)> {
    let passes = |name: &str| {
        args.filter
            .as_ref()
            .is_none_or(|text| name.contains(text.as_str()))
    };
    let mut cases = work::cases(args.large);
    cases.retain(|case| passes(&case.to_string()));
    let starts = passes("start-up");
    if cases.is_empty() && !starts {
        let ops: std::collections::BTreeSet<&str> = work::cases(true)
            .iter()
            .map(|case| case.work.op())
            .collect();
        let ops = ops.into_iter().collect::<Vec<_>>().join(", ");
        let text = args.filter.as_deref().unwrap_or_default();
        return Err(Error::Usage(format!(
            "no case matches '{text}'; --filter takes part of an op ({ops}, start-up), its shape or direction"
        )));
    }
    Ok((cases, starts))
}

/// One adapter, opened twice: with timestamps for kernels; for training steps without them, because
/// they cost time, unless a profile is requested.
struct Gpus {
    kernels: Gpu,
    steps: Gpu,
}

/// The result of measuring a case.
struct Measured {
    row: Row,
    needs: Needs,
}

impl Gpus {
    fn open(device: &Device) -> Result<Gpus> {
        Ok(Gpus {
            kernels: device.open_for_kernels()?,
            steps: device.open()?,
        })
    }

    fn measure(&self, case: &Case, ceilings: Ceilings) -> Result<Measured> {
        let least = Needs::of(case).least_seconds(ceilings);
        if least > TOO_LONG {
            let what = format!("takes {least:.0} s even at this adapter's ceiling");
            return Err(Error::Usage(what));
        }
        let gpu = if case.direction == Direction::Step {
            &self.steps
        } else {
            &self.kernels
        };
        let measured = Clock::new(gpu, Prepared::new(gpu, case)?).median(BUDGET)?;
        let mut needs = Needs::of(case);
        if case.direction == Direction::Step {
            needs.flops = measured.flops as f64;
        }
        Ok(Measured {
            row: Row::new(case, measured.seconds, needs, ceilings),
            needs,
        })
    }
}

/// The case's point in the roofline plot: operations per byte, and the rate it reached.
fn mark(row: &Row, intensity: f64) -> Reached {
    Reached {
        op: row.op.clone(),
        forward: row.direction == "forward",
        intensity,
        gflops: row.gflops.unwrap_or(0.0),
    }
}
