//! The results as text tables.

use super::missing::{Missing, sentences};
use super::{Evaluation, RunFacts};
use crate::report::table::{self, Column, fit, terminal_width};

/// Shown for a missing value.
const DASH: &str = "—";

/// A table under its title, with a note below.
pub(super) struct Section {
    pub title: String,
    pub columns: Vec<Column>,
    pub note: String,
}

/// Results by run; `None` if the metric is missing for that run.
pub(super) struct Rows<'a, R>(Vec<(&'a str, Option<&'a R>)>);

impl<'a, R> Rows<'a, R> {
    /// The rows of `metric`, if there are any.
    pub fn of(
        evaluation: &'a Evaluation,
        metric: &str,
        rows: Option<&'a Vec<R>>,
        run: fn(&R) -> &str,
    ) -> Option<Self> {
        let found = rows.into_iter().flatten().map(|row| (run(row), Some(row)));
        let missing = evaluation
            .missing
            .iter()
            .filter(|m| m.has(metric))
            .map(|m| (m.run.as_str(), None));
        let all: Vec<_> = found.chain(missing).collect();
        (!all.is_empty()).then_some(Rows(all))
    }

    pub fn runs(&self) -> Column {
        Column::left(
            "run",
            self.0.iter().map(|(run, _)| (*run).to_string()).collect(),
            0,
        )
    }

    /// The results.
    pub fn found(&self) -> impl Iterator<Item = &'a R> {
        self.0.iter().filter_map(|(_, row)| *row)
    }

    fn cells(&self, text: impl Fn(&R) -> String) -> Vec<String> {
        self.0
            .iter()
            .map(|(_, row)| row.map_or_else(|| DASH.into(), &text))
            .collect()
    }

    pub fn left(&self, head: &'static str, rank: u8, text: impl Fn(&R) -> String) -> Column {
        Column::left(head, self.cells(text), rank)
    }

    pub fn right(&self, head: &'static str, rank: u8, text: impl Fn(&R) -> String) -> Column {
        Column::right(head, self.cells(text), rank)
    }
}

/// The table of runs, then those of the metrics, `of_metrics`.
pub(super) fn text(evaluation: &Evaluation, of_metrics: Vec<Section>) -> String {
    let sections = std::iter::once(runs(evaluation)).chain(of_metrics);
    let width = terminal_width();
    let mut out = String::new();
    for Section {
        title,
        columns,
        note,
    } in sections
    {
        out += &format!(
            "\n{}\n{}",
            table::wrapped(&title, 0, width),
            table::text(&fit(columns, width))
        );
        if !note.is_empty() {
            out += &format!("{}\n", table::wrapped(&note, 0, width));
        }
    }
    out.trim_start().to_string()
}

/// `note`, followed by the reasons why these metrics are missing.
pub(super) fn noted(evaluation: &Evaluation, metrics: &[&str], note: &str) -> String {
    let missing = evaluation
        .missing
        .iter()
        .filter(|m: &&Missing| metrics.iter().any(|name| m.has(name)));
    let all: Vec<String> = std::iter::once(note.to_string())
        .chain(sentences(missing))
        .collect();
    all.join(" ").trim().to_string()
}

pub(super) fn or_dash(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| DASH.into(), |value| format!("{value:.decimals$}"))
}

/// The sampler's name, with its sharpening factor unless that is 1.
pub(super) fn sampler(name: &str, sharpen: Option<f64>) -> String {
    match sharpen {
        Some(factor) if factor != 1.0 => format!("{name}, sharpened × {factor}"),
        _ => name.into(),
    }
}

/// Explains what a floor is.
pub(super) fn floor(evaluation: &Evaluation) -> String {
    format!(
        "Floor: the same between two draws of the data, held-out images and {}.",
        evaluation.second_draw
    )
}

fn runs(evaluation: &Evaluation) -> Section {
    let own = |r: &RunFacts| {
        if r.first_runs_codes {
            ""
        } else {
            "a codebook of its own"
        }
        .to_string()
    };
    let runs = &evaluation.runs;
    let columns = vec![
        Column::left("run", runs.iter().map(|r| r.path.clone()).collect(), 0),
        Column::left(
            "stage",
            runs.iter().map(|r| r.stage.name().to_string()).collect(),
            0,
        ),
        Column::right(
            "training steps",
            runs.iter().map(|r| r.step.to_string()).collect(),
            1,
        ),
        Column::left("codes", runs.iter().map(own).collect(), 2),
    ];
    Section {
        title: "Runs".into(),
        columns,
        note: String::new(),
    }
}
