//! Jobs in child processes: whatever becomes of a child is the verdict of the job it was at, and the rest goes on.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::worker::{Event, Job};
use crate::kernels_test::probes::{Fact, PROBES};
use crate::kernels_test::{Outcome, Verdict};

/// After so many jobs in a row without an answer the adapter is given up: the rest would only wait as long.
const UNANSWERED: u32 = 5;

/// What became of a job.
pub enum Found {
    /// Of a probe.
    Fact(Fact),
    /// Of a case or vector.
    Outcome(Outcome),
}

impl Found {
    fn bad(job: &Job, verdict: Verdict, mode: &str, what: &str) -> Found {
        match job {
            Job::Probe(number) => Found::Fact(PROBES[*number].fact(what)),
            _ => {
                let detail = if mode.is_empty() { what.to_string() } else { format!("{mode}: {what}") };
                Found::Outcome(Outcome::failed(verdict, detail))
            }
        }
    }
}

/// A child at work; killed when this goes.
struct Worker {
    child: Child,
    /// Held open: where it ends, the child does.
    _stdin: ChildStdin,
    events: Receiver<Event>,
    stderr: JoinHandle<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    fn start<'a>(adapter: usize, jobs: impl Iterator<Item = &'a Job>) -> std::io::Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["conformance-worker", &adapter.to_string()]);
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut stdin = stdin.expect("it was asked for");
        let lines: String = jobs.map(|job| serde_json::to_string(job).expect("jobs are plain data") + "\n").collect();
        // A child that is gone already is noticed by its silence.
        let _ = stdin.write_all((lines + "\n").as_bytes()).and_then(|()| stdin.flush());
        let (sender, events) = channel();
        std::thread::spawn(move || {
            // Drivers may print whatever they like between the events.
            let lines = BufReader::new(stdout.expect("it was asked for")).lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|event| {
                let _ = sender.send(event);
            });
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.expect("it was asked for").read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Worker { child, _stdin: stdin, events, stderr })
    }

    /// How it ended, and the last it said.
    fn last_words(mut self) -> String {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new));
        let said = stderr.join().unwrap_or_default();
        let tells = |line: &&str| !line.is_empty() && !line.starts_with("note: run with");
        let lines: Vec<&str> = said.lines().map(str::trim).filter(tells).collect();
        let last: String = lines[lines.len().saturating_sub(3)..].join(" | ").chars().take(400).collect();
        if last.is_empty() { status } else { format!("{status}; last words: {last}") }
    }
}

/// Runs `jobs` on the adapter of this index; `each` gets what became of every one, in order, and how long it took.
///
/// # Errors
/// Why the adapter was given up; the rest of the jobs was not done.
pub fn run(
    adapter: usize,
    jobs: &[Job],
    timeout: Duration,
    each: &mut dyn FnMut(&Job, Found, Duration),
) -> Result<(), String> {
    let mut rest: VecDeque<&Job> = jobs.iter().collect();
    let mut unanswered = 0;
    while !rest.is_empty() {
        let before = rest.len();
        let worker = Worker::start(adapter, rest.iter().copied()).map_err(|e| format!("no child process: {e}"))?;
        let (at, hangs) = follow(&worker, &mut rest, timeout, each);
        if rest.len() < before {
            unanswered = 0;
        }
        match (at, hangs) {
            (Some(at), true) => {
                unanswered += 1;
                let what = format!("no answer in {} s", timeout.as_secs_f64());
                each(at.job, Found::bad(at.job, Verdict::Timeout, &at.mode, &what), at.since.elapsed());
                rest.pop_front();
            }
            (Some(at), false) => {
                let took = at.since.elapsed();
                let what = format!("the process died ({})", worker.last_words());
                each(at.job, Found::bad(at.job, Verdict::Crash, &at.mode, &what), took);
                rest.pop_front();
            }
            (None, true) => return Err(format!("did not open in {} s", timeout.as_secs_f64())),
            (None, false) if rest.len() == before => return Err(format!("does not open ({})", worker.last_words())),
            (None, false) => {}
        }
        if unanswered >= UNANSWERED && !rest.is_empty() {
            return Err(format!("{UNANSWERED} jobs in a row got no answer"));
        }
    }
    Ok(())
}

/// The job that a child is at.
struct At<'a> {
    job: &'a Job,
    mode: String,
    since: Instant,
}

/// Takes finished jobs off `rest` until the child ends or hangs. Returns the job it was at, and whether it hangs.
fn follow<'a>(
    worker: &Worker,
    rest: &mut VecDeque<&'a Job>,
    timeout: Duration,
    each: &mut dyn FnMut(&Job, Found, Duration),
) -> (Option<At<'a>>, bool) {
    let (mut at, mut opening): (Option<At>, _) = (None, Instant::now());
    while !rest.is_empty() {
        let since = at.as_ref().map_or(opening, |at| at.since);
        let event = match worker.events.recv_timeout(timeout.saturating_sub(since.elapsed())) {
            Ok(event) => event,
            Err(reason) => return (at, reason == RecvTimeoutError::Timeout),
        };
        let found = match event {
            Event::Opened => continue,
            // A driver may hang in closing; nobody waits for that.
            Event::Leaves => return (None, false),
            Event::Begins(job, mode) => {
                // The time limit is the job's, over its modes.
                let since = at.as_ref().map_or_else(Instant::now, |at| at.since);
                at = rest.front().filter(|front| ***front == job).map(|job| At { job, mode, since });
                continue;
            }
            Event::Found(fact) => Found::Fact(fact),
            Event::Ended(outcome) => Found::Outcome(outcome),
        };
        if let Some(At { job, since, .. }) = at.take() {
            each(job, found, since.elapsed());
            rest.pop_front();
        }
        opening = Instant::now();
    }
    (None, false)
}
