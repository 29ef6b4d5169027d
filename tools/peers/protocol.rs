//! How a peer talks with `cargo xtask peers`: one JSON object a line. It gets
//! `{"work": …, "gradients": …}` and makes that ready, or `{"run": true}` and runs it; it answers
//! `answer {"first_ms": …}`, `answer {"ms": …}` or `answer {"error": …}`. The first time is from
//! the request to the first result, compiling and tuning included. A run lasts some 50 ms, in which
//! the work is done as often as fits, and is waited for.

use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use serde_json::{Value, json};

/// Does the work so many times and waits until all is done.
pub type Run = Box<dyn FnMut(usize) -> Result<(), String>>;

/// Seconds that a run lasts, where the work is shorter.
const LONG: f64 = 0.05;

/// Answers until the input ends; `prepare(work, gradients)` makes work ready, with or without its
/// gradients.
pub fn serve(mut prepare: impl FnMut(&Value, bool) -> Result<Run, String>) {
    let mut ready: Option<(Run, usize)> = None;
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap_or_default();
        let answer = match (request.get("work"), &mut ready) {
            (Some(work), _) => {
                // What was ready before frees its memory first.
                ready = None;
                let gradients = request["gradients"] == json!(true);
                let first = caught(|| {
                    let begin = Instant::now();
                    let mut run = prepare(work, gradients)?;
                    run(1)?;
                    Ok((run, begin.elapsed().as_secs_f64()))
                });
                first.and_then(|(mut run, first)| {
                    let steady = caught(|| timed(&mut run, 1))?;
                    ready = Some((run, (LONG / steady).ceil().clamp(1.0, 100.0) as usize));
                    Ok(json!({ "first_ms": 1e3 * first }))
                })
            }
            (None, Some((run, times))) => caught(|| timed(run, *times))
                .map(|seconds| json!({ "ms": 1e3 * seconds / *times as f64 })),
            (None, None) => Err("there is nothing to run".into()),
        };
        println!(
            "answer {}",
            answer.unwrap_or_else(|why| json!({ "error": why }))
        );
    }
}

fn timed(run: &mut Run, times: usize) -> Result<f64, String> {
    let begin = Instant::now();
    run(times)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// A panic of the peer is an answer too.
fn caught<R>(f: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(text
            .unwrap_or_else(|| "it panicked".into())
            .lines()
            .next()
            .unwrap_or_default()
            .to_string())
    })
}

/// The number `name` of `work`.
fn number(work: &Value, name: &str) -> Result<usize, String> {
    let found = work[name]
        .as_u64()
        .ok_or_else(|| format!("the work has no {name}"))?;
    Ok(found as usize)
}

/// The numbers of those names.
pub fn numbers<const N: usize>(work: &Value, names: [&str; N]) -> Result<[usize; N], String> {
    let mut all = [0; N];
    for (slot, name) in all.iter_mut().zip(names) {
        *slot = number(work, name)?;
    }
    Ok(all)
}
