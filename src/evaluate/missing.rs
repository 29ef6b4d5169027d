//! Metrics that cannot be measured for a run, and why.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::experiment::trained::Trained;

/// Metrics of a run that are shown as a dash in the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// The run's directory.
    pub run: String,
    /// Names as in `--metrics`, or of a single value such as `ssim`.
    pub metrics: Vec<String>,
    /// Why.
    pub reason: String,
}

impl Missing {
    pub(super) fn new(trained: &Trained, metrics: &[&str], reason: impl Into<String>) -> Missing {
        let metrics = metrics.iter().map(|&name| name.to_string()).collect();
        Missing {
            run: trained.run.display().to_string(),
            metrics,
            reason: reason.into(),
        }
    }

    /// Whether the run is `trained` and `metric` is among them.
    pub(super) fn is_of(&self, trained: &Trained, metric: &str) -> bool {
        Path::new(&self.run) == trained.run && self.has(metric)
    }

    /// Whether `metric` is among them.
    pub fn has(&self, metric: &str) -> bool {
        self.metrics.iter().any(|name| name == metric)
    }
}

/// Messages to the user, one for each set of metrics and reason: what is missing, and why.
pub(crate) fn sentences<'a>(missing: impl Iterator<Item = &'a Missing>) -> Vec<String> {
    let mut groups: Vec<(&'a Missing, Vec<&'a str>)> = Vec::new();
    for one in missing {
        match groups
            .iter_mut()
            .find(|(first, _)| first.metrics == one.metrics && first.reason == one.reason)
        {
            Some((_, runs)) => runs.push(&one.run),
            None => groups.push((one, vec![&one.run])),
        }
    }
    let sentence = |(first, runs): (&Missing, Vec<&str>)| {
        format!(
            "No {} for {}: {}.",
            first.metrics.join(", "),
            runs.join(", "),
            first.reason
        )
    };
    groups.into_iter().map(sentence).collect()
}
