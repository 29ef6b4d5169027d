//! This engine's side of `cargo xtask peers`: runs the requested work and times it by the wall
//! clock, as all peers do. It speaks the protocol of `tools/peers/protocol.rs`, plus `list`, which
//! returns the available work.

use std::io::BufRead;
use std::time::Instant;

use serde_json::{Value, json};

use super::prepared::Prepared;
use super::work::{Case, Direction, Work, kernels, trainings};
use crate::error::{Error, Result};
use crate::experiment::device::Device;
use crate::gpu::{self, Gpu};
use crate::report::console::print_document;

/// Minimum duration of a run, seconds; shorter work is repeated, up to 100 times.
const LONG: f64 = 0.05;

enum Request {
    /// List the available work.
    List,
    /// Prepare work, with its gradients or without.
    Prepare(Work, bool),
    /// Run the prepared work.
    Run,
}

impl Request {
    fn read(line: &str) -> Option<Request> {
        let value: Value = serde_json::from_str(line).ok()?;
        match value.get("work") {
            Some(work) => Some(Request::Prepare(
                serde_json::from_value(work.clone()).ok()?,
                value["gradients"] == true,
            )),
            None if value["list"] == true => Some(Request::List),
            None => (value["run"] == true).then_some(Request::Run),
        }
    }
}

/// Answers requests until the end of standard input.
///
/// # Errors
/// [`Error::Adapter`], [`Error::Usage`] for a request that makes no sense.
pub fn run(device: &Device) -> Result<()> {
    let gpu = device.open()?;
    let mut ready: Option<(Prepared, usize, u64)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(Error::io("standard input"))?;
        let request = Request::read(&line)
            .ok_or_else(|| Error::Usage(format!("`{line}` is not a request")))?;
        let answer = match request {
            Request::List => Ok(list()),
            Request::Prepare(work, gradients) => {
                ready = None;
                gpu::catch(|| {
                    let begin = Instant::now();
                    let mut prepared = Prepared::new(&gpu, &case(work, gradients))?;
                    let mut step = 0;
                    timed(&gpu, &mut prepared, 1, &mut step)?;
                    let first = begin.elapsed().as_secs_f64();
                    let steady = timed(&gpu, &mut prepared, 1, &mut step)?;
                    ready = Some((
                        prepared,
                        (LONG / steady).ceil().clamp(1.0, 100.0) as usize,
                        step,
                    ));
                    Ok(json!({ "first_ms": 1e3 * first }))
                })
            }
            Request::Run => match &mut ready {
                Some((prepared, times, step)) => gpu::catch(|| timed(&gpu, prepared, *times, step))
                    .map(|seconds| json!({ "ms": 1e3 * seconds / *times as f64 })),
                None => Err(Error::Usage("there is nothing to run".into())),
            },
        };
        let answer = answer.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        print_document(&format!("answer {answer}\n"))?;
    }
    Ok(())
}

fn case(work: Work, gradients: bool) -> Case {
    let direction = match work.directions() {
        [Direction::Step] => Direction::Step,
        _ if gradients => Direction::Backward,
        _ => Direction::Forward,
    };
    Case { work, direction }
}

/// The available work, each with a readable name and whether it has gradients.
fn list() -> Value {
    let all = kernels().into_iter().chain(trainings(false));
    let entry = |work: Work| {
        let name = format!("{} {}", work.op(), work.shape());
        let gradients = work.directions().len() > 1;
        json!({ "work": work, "name": name, "gradients": gradients })
    };
    Value::Array(all.map(entry).collect())
}

/// Seconds for `times` runs, including waiting for the GPU; gradients include the forward op.
fn timed(gpu: &Gpu, prepared: &mut Prepared, times: usize, step: &mut u64) -> Result<f64> {
    gpu.wait();
    let begin = Instant::now();
    for _ in 0..times {
        match prepared {
            Prepared::Forward(op) => op(),
            Prepared::Backward(op, dy) => drop(op().backward_from(dy.clone())),
            Prepared::Step(run) => {
                run(*step)?;
                *step += 1;
            }
        }
        gpu.submit();
    }
    gpu.wait();
    Ok(begin.elapsed().as_secs_f64())
}
