//! Progress: a bar on a terminal, otherwise a plain line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// Least time between two plain lines.
const QUIET: Duration = Duration::from_secs(10);

/// Progress of something with a known number of steps.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    first: u64,
    done: u64,
    begin: Instant,
    said: Instant,
}

impl Progress {
    /// Starts at `first` of `total`.
    pub fn new(what: &'static str, first: u64, total: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{prefix} {wide_bar} {pos}/{len} {rate} {eta} left {msg}";
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.1}/s", state.per_sec());
            };
            let style =
                ProgressStyle::with_template(template).map(|style| style.with_key("rate", rate));
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total)
                .with_style(style)
                .with_prefix(what)
                .with_position(first);
            bar.reset_eta();
            bar
        });
        Progress {
            bar,
            what,
            total,
            first,
            done: first,
            begin: Instant::now(),
            said: Instant::now(),
        }
    }

    /// Sets the position to `done`; `message` is only called if it is shown.
    pub fn at(&mut self, done: u64, message: impl FnOnce() -> String) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if self.said.elapsed() >= QUIET {
            self.said = Instant::now();
            let rate = (done - self.first) as f64 / self.begin.elapsed().as_secs_f64();
            let left = (self.total - done) as f64 / rate.max(1e-9);
            note!(
                "{} {done}/{} {rate:.1}/s {left:.0} s left {}",
                self.what,
                self.total,
                message()
            );
        }
    }

    /// Steps done.
    pub fn position(&self) -> u64 {
        self.done
    }

    /// Prints a separate line, above the bar if there is one.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }

    /// Ends the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
