//! Runs jobs in child processes. If a child crashes or hangs, that is the verdict of its current
//! job, and the rest goes on.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dump;
use super::worker::{Event, Job};
use crate::kernels_test::probes::{Fact, PROBES};
use crate::kernels_test::{Outcome, Verdict};

/// Timeouts in a row after which the adapter is given up: the rest would only wait as long.
const UNANSWERED: u32 = 5;

/// Interval at which signals are polled.
const LOOK: Duration = Duration::from_millis(100);

/// Result of a job.
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
                let detail = if mode.is_empty() {
                    what.to_string()
                } else {
                    format!("{mode}: {what}")
                };
                Found::Outcome(Outcome::failed(verdict, detail))
            }
        }
    }
}

/// A running child; killed on drop.
struct Worker {
    child: Child,
    /// Held open: the child exits when it closes.
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
    fn start<'a>(by: &Supervisor, jobs: impl Iterator<Item = &'a Job>) -> std::io::Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["conformance-worker", &by.adapter.to_string()]);
        match &by.dump {
            Some(folder) => command.env(dump::VARIABLE, folder),
            None => command.env_remove(dump::VARIABLE),
        };
        // On Ctrl-C the parent kills the child; the signal itself would look like a crash.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut stdin = stdin.expect("it was asked for");
        let lines: String = jobs
            .map(|job| serde_json::to_string(job).expect("jobs are plain data") + "\n")
            .collect();
        // A child that has already exited is noticed by its closed output.
        let _ = stdin
            .write_all((lines + "\n").as_bytes())
            .and_then(|()| stdin.flush());
        let (sender, events) = channel();
        std::thread::spawn(move || {
            // Drivers may print whatever they like between the events.
            let lines = BufReader::new(stdout.expect("it was asked for"))
                .lines()
                .map_while(Result::ok);
            lines
                .filter_map(|line| serde_json::from_str(&line).ok())
                .for_each(|event| {
                    let _ = sender.send(event);
                });
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.expect("it was asked for").read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Worker {
            child,
            _stdin: stdin,
            events,
            stderr,
        })
    }

    /// Its exit status, and the last lines of its stderr.
    fn last_words(mut self) -> String {
        let status = self
            .child
            .wait()
            .map_or_else(|e| e.to_string(), |status| status.to_string());
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new));
        let said = stderr.join().unwrap_or_default();
        let tells = |line: &&str| !line.is_empty() && !line.starts_with("note: run with");
        let lines: Vec<&str> = said.lines().map(str::trim).filter(tells).collect();
        let last: String = lines[lines.len().saturating_sub(3)..]
            .join(" | ")
            .chars()
            .take(400)
            .collect();
        if last.is_empty() {
            status
        } else {
            format!("{status}; last words: {last}")
        }
    }
}

/// Runs jobs under supervision.
pub struct Supervisor<'a> {
    /// Index of the adapter.
    pub adapter: usize,
    /// Time limit of a job.
    pub timeout: Duration,
    /// Where children write what failed.
    pub dump: Option<PathBuf>,
    /// Set to non-zero by a signal, which ends the run.
    pub stop: &'a AtomicUsize,
}

/// State of a child.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It has ended, or takes no more jobs.
    Ended,
    /// It does not answer.
    Hangs,
    /// A signal came.
    Stopped,
}

impl Supervisor<'_> {
    /// Runs `jobs`; `each` gets the result of every one, in order, and how long it took.
    ///
    /// # Errors
    /// Why the run ended early; the remaining jobs were not done.
    pub fn run(
        &self,
        jobs: &[Job],
        each: &mut dyn FnMut(&Job, Found, Duration),
    ) -> Result<(), String> {
        let mut rest: VecDeque<&Job> = jobs.iter().collect();
        let mut unanswered = 0;
        let seconds = self.timeout.as_secs_f64();
        while !rest.is_empty() {
            let before = rest.len();
            let worker = Worker::start(self, rest.iter().copied())
                .map_err(|e| format!("cannot start a child process: {e}"))?;
            let (at, state) = self.follow(&worker, &mut rest, each);
            if rest.len() < before {
                unanswered = 0;
            }
            match (at, state) {
                (_, State::Stopped) => return Err("received a signal".into()),
                (Some(at), State::Hangs) => {
                    unanswered += 1;
                    let what = format!("no answer in {seconds} s");
                    each(
                        at.job,
                        Found::bad(at.job, Verdict::Timeout, &at.mode, &what),
                        at.since.elapsed(),
                    );
                    rest.pop_front();
                }
                (Some(at), State::Ended) => {
                    let took = at.since.elapsed();
                    let what = format!("the process died ({})", worker.last_words());
                    each(
                        at.job,
                        Found::bad(at.job, Verdict::Crash, &at.mode, &what),
                        took,
                    );
                    rest.pop_front();
                }
                (None, State::Hangs) => return Err(format!("did not open in {seconds} s")),
                (None, State::Ended) if rest.len() == before => {
                    return Err(format!("does not open ({})", worker.last_words()));
                }
                (None, State::Ended) => {}
            }
            if unanswered >= UNANSWERED && !rest.is_empty() {
                return Err(format!("{UNANSWERED} jobs in a row got no answer"));
            }
        }
        Ok(())
    }

    /// Takes finished jobs off `rest` until the child ends or hangs. Returns the job it was at.
    fn follow<'a>(
        &self,
        worker: &Worker,
        rest: &mut VecDeque<&'a Job>,
        each: &mut dyn FnMut(&Job, Found, Duration),
    ) -> (Option<At<'a>>, State) {
        let (mut at, mut opening): (Option<At>, _) = (None, Instant::now());
        while !rest.is_empty() {
            let since = at.as_ref().map_or(opening, |at| at.since);
            let event = match self.next(worker, since) {
                Ok(event) => event,
                Err(state) => return (at, state),
            };
            let found = match event {
                Event::Opened => continue,
                // A driver may hang while closing; do not wait for it.
                Event::Leaves => return (None, State::Ended),
                Event::Begins(job, mode) => {
                    // The time limit is per job, over all its modes.
                    let since = at.as_ref().map_or_else(Instant::now, |at| at.since);
                    at = rest.front().filter(|front| ***front == job).map(|job| At {
                        job,
                        mode,
                        since,
                    });
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
        (None, State::Ended)
    }

    /// The child's next event; the time limit runs from `since`.
    fn next(&self, worker: &Worker, since: Instant) -> Result<Event, State> {
        loop {
            if self.stop.load(Ordering::Relaxed) != 0 {
                return Err(State::Stopped);
            }
            let left = self.timeout.saturating_sub(since.elapsed());
            match worker.events.recv_timeout(left.min(LOOK)) {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) if left > LOOK => {}
                Err(RecvTimeoutError::Timeout) => return Err(State::Hangs),
                Err(RecvTimeoutError::Disconnected) => return Err(State::Ended),
            }
        }
    }
}

/// The job that a child is at.
struct At<'a> {
    job: &'a Job,
    mode: String,
    since: Instant,
}
