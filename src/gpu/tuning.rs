//! Measures which of several kernels is the fastest for a shape on this adapter, and keeps the
//! answers between runs in one JSON file per adapter.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{AdapterFacts, Gpu, WGPU_VERSION};
use crate::error::Result;

/// Seconds of measuring after which a program starts no further measurement.
pub const TUNING_SECONDS: u64 = 30;
/// Seconds of one measurement (shorter work is repeated), and of all of them together.
const ONE: f64 = 2e-3;
const ALL: f64 = 50e-3;
/// Most measurements; their median counts.
const ROUNDS: usize = 5;

/// What a kernel is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The op, and which part of it.
    pub op: &'static str,
    /// Hash of the op and its kernels' sources, so that changed kernels are measured anew.
    pub digest: u64,
    /// The shape in the op's own numbers.
    pub sizes: [u32; 16],
}

/// Identifies a question.
type Key = (u64, [u32; 16]);

impl Question {
    fn key(&self) -> Key {
        (self.digest, self.sizes)
    }
}

/// The answer to a [`Question`], as stored in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    op: String,
    digest: u64,
    sizes: [u32; 16],
    /// The fastest of the kernels that agree with the portable one.
    choice: String,
    /// Milliseconds per kernel.
    ms: BTreeMap<String, f64>,
    /// Kernels whose numbers differed: the adapter's driver or the kernel is broken.
    wrong: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    adapter: String,
    driver: String,
    wgpu: String,
    answers: Vec<Answer>,
}

/// All answers so far.
#[derive(Default)]
pub(super) struct Tuning {
    file: Option<PathBuf>,
    answers: FxHashMap<Key, Answer>,
    /// Questions that could not be measured for lack of memory.
    given_up: FxHashSet<Key>,
    /// How many answers were found in this run, how many of these are saved, and the time spent.
    found: usize,
    kept: Cell<usize>,
    spent: Duration,
}

impl Tuning {
    /// Loads earlier answers of this adapter, driver and wgpu; none if the file is damaged.
    pub fn load(facts: &AdapterFacts, dir: Option<&Path>) -> Tuning {
        let Some(dir) = dir else {
            return Tuning::default();
        };
        let file = dir.join(format!("kernels-{}.json", super::cache::digest(facts)));
        Tuning {
            answers: read(&file),
            file: Some(file),
            ..Tuning::default()
        }
    }
}

/// The answers in `file`; none if it cannot be read.
fn read(file: &Path) -> FxHashMap<Key, Answer> {
    parse(&std::fs::read(file).unwrap_or_default())
}

/// The answers in a file's bytes; none if another version of wgpu measured them.
fn parse(bytes: &[u8]) -> FxHashMap<Key, Answer> {
    let known = serde_json::from_slice(bytes)
        .ok()
        .filter(|known: &File| known.wgpu == WGPU_VERSION);
    let answers = known.map_or(Vec::new(), |known| known.answers);
    answers
        .into_iter()
        .map(|a| ((a.digest, a.sizes), a))
        .collect()
}

/// How many answers there are in a file's bytes.
#[cfg(feature = "app")]
pub(crate) fn count_answers(bytes: &[u8]) -> usize {
    parse(bytes).len()
}

impl Gpu {
    /// The kernel that was measured to be the fastest for `question`.
    pub fn answer(&self, question: &Question) -> Option<String> {
        self.0
            .tuning
            .borrow()
            .answers
            .get(&question.key())
            .map(|answer| answer.choice.clone())
    }

    /// Whether there are no measurements for this adapter.
    pub fn is_unmeasured(&self) -> bool {
        self.0.tuning.borrow().answers.is_empty()
    }

    /// Whether to measure for `question`, which has no answer yet.
    pub fn may_measure(&self, question: &Question) -> bool {
        let tuning = self.0.tuning.borrow();
        !self.0.preparing.get()
            && tuning.spent.as_secs() < TUNING_SECONDS
            && !tuning.given_up.contains(&question.key())
    }

    /// Never measures for `question` again in this run.
    pub fn give_up(&self, question: &Question) {
        self.0.tuning.borrow_mut().given_up.insert(question.key());
    }

    /// Answers `question` with the fastest of the `candidates` that are `right` (`None`: not enough
    /// memory to try it); `run` records one of them.
    pub fn measure(
        &self,
        question: &Question,
        candidates: &[&str],
        right: &dyn Fn(&str) -> Option<bool>,
        run: &dyn Fn(&str),
    ) {
        // This time includes that of measurements nested in the candidates.
        let start = Instant::now();
        let before = self.0.tuning.borrow().spent;
        let (mut ms, mut wrong): (BTreeMap<String, f64>, Vec<String>) = Default::default();
        let mut best: Option<(f64, &str)> = None;
        for &candidate in candidates {
            // New memory is zero; old memory may hold the right numbers where a kernel writes none.
            self.trim();
            match right(candidate) {
                Some(true) => {}
                Some(false) => {
                    wrong.push(candidate.to_string());
                    continue;
                }
                None => continue,
            }
            let seconds = self.seconds_of(
                &|| run(candidate),
                best.map_or(f64::MAX, |(seconds, _)| seconds),
            );
            ms.insert(candidate.to_string(), (seconds * 1e6).round() / 1e3);
            if best.is_none_or(|(least, _)| seconds < least) {
                best = Some((seconds, candidate));
            }
        }
        self.0.tuning.borrow_mut().spent = before + start.elapsed();
        let Some((_, choice)) = best else {
            return self.give_up(question);
        };
        let Question { op, digest, sizes } = *question;
        let answer = Answer {
            op: op.into(),
            digest,
            sizes,
            choice: choice.into(),
            ms,
            wrong,
        };
        let mut tuning = self.0.tuning.borrow_mut();
        tuning.answers.insert(question.key(), answer);
        tuning.found += 1;
    }

    /// Median seconds of the work that `record` records; from a single run if that takes much
    /// longer than `best`.
    fn seconds_of(&self, record: &dyn Fn(), best: f64) -> f64 {
        let timed = |repeats: usize| {
            let start = Instant::now();
            (0..repeats).for_each(|_| record());
            self.finish();
            start.elapsed().as_secs_f64() / repeats as f64
        };
        self.finish();
        let once = timed(1);
        // Kernels this short are dominated by submit overhead.
        if once > 4.0 * best && once > ONE {
            return once;
        }
        let repeats = (ONE / once).ceil().clamp(1.0, 64.0) as usize;
        let rounds = ((ALL / (once * repeats as f64)) as usize).clamp(1, ROUNDS);
        let mut times: Vec<f64> = (0..rounds).map(|_| timed(repeats)).collect();
        times.sort_by(f64::total_cmp);
        times[rounds / 2]
    }

    /// How many questions were answered by measuring in this run, in how many seconds, and which
    /// kernels were wrong.
    pub fn measured(&self) -> (usize, f64, Vec<String>) {
        let tuning = self.0.tuning.borrow();
        let wrong = tuning
            .answers
            .values()
            .flat_map(|a| a.wrong.iter().map(|w| (a.op.as_str(), w.as_str())));
        let wrong: BTreeSet<String> = wrong
            .map(|(op, by)| format!("{op} with {by} gives wrong numbers"))
            .collect();
        (
            tuning.found,
            tuning.spent.as_secs_f64(),
            wrong.into_iter().collect(),
        )
    }

    /// Writes the answers to the cache directory, if one was given and there are new ones.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) if the file cannot be written.
    pub fn save_answers(&self) -> Result<()> {
        let tuning = self.0.tuning.borrow();
        let Some(file) = tuning
            .file
            .as_ref()
            .filter(|_| tuning.found > tuning.kept.get())
        else {
            return Ok(());
        };
        // Another program may have written to it meanwhile.
        let mut all = read(file);
        all.extend(tuning.answers.clone());
        let mut answers: Vec<Answer> = all.into_values().collect();
        answers.sort_by(|a, b| (&a.op, a.sizes).cmp(&(&b.op, b.sizes)));
        let AdapterFacts {
            name,
            driver,
            driver_info,
            ..
        } = &self.0.facts;
        let adapter = name.clone();
        let driver = format!("{driver} {driver_info}");
        let all = File {
            adapter,
            driver,
            wgpu: WGPU_VERSION.into(),
            answers,
        };
        let text = serde_json::to_string_pretty(&all).expect("plain data") + "\n";
        super::cache::write(file, &[text.as_bytes()])?;
        tuning.kept.set(tuning.found);
        Ok(())
    }
}
