//! A report builder: a Markdown page for people, and the same numbers as JSON for programs.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::training::Training;
use crate::error::Result;
use crate::number::thousands;
use crate::report::product::{self, Form};
use crate::report::table;

/// Files of a report.
pub const FILES: [(&str, Form); 2] = [("report.json", Form::Json), ("report.md", Form::Page)];

/// The report.
pub struct Report {
    page: String,
    numbers: Map<String, Value>,
    figures: Vec<Value>,
}

impl Report {
    /// Starts a page with a title and a first paragraph.
    pub fn new(title: &str, introduction: &str) -> Report {
        let numbers = [
            ("title", json!(title)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
        ];
        let numbers = numbers
            .map(|(key, value)| (key.to_string(), value))
            .into_iter()
            .collect();
        Report {
            page: format!("# {title}\n\n{introduction}\n"),
            numbers,
            figures: Vec::new(),
        }
    }

    /// Adds the heading of a section.
    pub fn heading(&mut self, text: &str) {
        self.page += &format!("\n## {text}\n");
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.page += &format!("\n{text}\n");
    }

    /// Adds a list.
    pub fn list(&mut self, items: &[String]) {
        self.page += "\n";
        items
            .iter()
            .for_each(|item| self.page += &format!("* {item}\n"));
    }

    /// Adds a table.
    pub fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        let heads: Vec<String> = heads.iter().map(|head| head.to_string()).collect();
        self.page += &format!("\n{}", table::markdown(&heads, rows));
    }

    /// Adds the figure `file`, which lies next to the report, with its caption.
    pub fn figure(&mut self, file: &str, caption: &str) {
        let alt = caption.split([':', '.']).next().unwrap_or(file);
        self.page += &format!("\n![{alt}]({file})\n\n*{caption}*\n");
        self.figures
            .push(json!({ "file": file, "caption": caption }));
    }

    /// Adds a value to the JSON report.
    pub fn put(&mut self, key: &str, value: impl Serialize) {
        self.numbers.insert(key.into(), json!(value));
    }

    /// Adds the table of trainings, with their cost if known.
    pub fn trainings(&mut self, trainings: &[Training]) {
        self.heading("Training");
        let costs = trainings.iter().any(|training| training.work.is_some());
        let row = |training: &Training| {
            let wall = training.seconds.map_or("—".into(), duration);
            let mut row = vec![format!("`runs/{}`", training.name)];
            if costs {
                row.extend(work(training));
            } else {
                row.push(training.steps.to_string());
            }
            row.push(wall);
            row
        };
        let heads: &[&str] = if costs {
            &[
                "run",
                "parameters",
                "steps × batch",
                "GFLOP per step",
                "TFLOP in all",
                "wall time",
            ]
        } else {
            &["run", "steps", "wall time"]
        };
        self.table(heads, &trainings.iter().map(row).collect::<Vec<_>>());
        let counted = "FLOPs are the multiplications and additions of products, convolutions, attention and distances to codes, \
                       forward and backward. ";
        self.paragraph(&format!(
            "{}Wall time is that of the steps that count, as the log of the run has it: parts of a run stopped and resumed \
             are added up; evaluations, checkpoints and whatever else the machine did meanwhile are included.",
            if costs { counted } else { "" }
        ));
        self.put("trainings", trainings);
    }

    /// The page so far.
    #[cfg(test)]
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Writes `report.md` and `report.json` into `out`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn write(mut self, out: &Path) -> Result<()> {
        self.numbers
            .insert("figures".into(), Value::Array(self.figures));
        let text = serde_json::to_string_pretty(&self.numbers).expect("plain data") + "\n";
        product::write(&out.join(FILES[0].0), Form::Json, text.as_bytes())?;
        product::write(&out.join(FILES[1].0), Form::Page, self.page.as_bytes())
    }
}

/// Mean with `places` decimals; for several values with ± their standard deviation (n − 1).
pub fn spread(values: &[f64], places: usize) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return format!("{mean:.places$}");
    }
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    format!("{mean:.places$} ± {:.places$}", variance.sqrt())
}

/// Parameters, steps and FLOPs of a training.
fn work(training: &Training) -> [String; 4] {
    let dash = || "—".to_string();
    let Some(work) = &training.work else {
        return [dash(), training.steps.to_string(), dash(), dash()];
    };
    [
        thousands(work.parameters),
        format!("{} × {}", training.steps, work.batch),
        scaled(work.flop_a_step, GIGA),
        scaled(work.flop, TERA),
    ]
}

/// Prefixes of FLOPs.
pub const GIGA: f64 = 1e9;
/// See [`GIGA`].
pub const TERA: f64 = 1e12;

/// FLOPs in units of `unit`, with a suitable number of decimals.
pub fn scaled(flop: f64, unit: f64) -> String {
    let value = flop / unit;
    if value >= 1000.0 {
        thousands(value.round() as usize)
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else if value >= 0.001 {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

/// A duration in s, min or h.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::reproduce::training::Work;

    #[test]
    fn numbers_are_set_as_people_read_them() {
        assert_eq!(spread(&[0.5], 2), "0.50");
        assert_eq!(spread(&[1.0, 2.0, 3.0], 1), "2.0 ± 1.0");
        assert_eq!(
            [0.0, 2e6, 7.2e10, 8.2e16].map(|flop| scaled(flop, TERA)),
            ["0.0e0", "2.0e-6", "0.072", "82,000"]
        );
        assert_eq!(
            [59.6, 600.0, 9000.0].map(duration),
            ["60 s", "10 min", "2.5 h"]
        );
    }

    #[test]
    fn a_report_is_a_page_and_the_same_numbers() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut report = Report::new("Title", "Introduction.");
        report.heading("Section");
        report.table(&["a", "b"], &[vec!["1".into(), "x | y".into()]]);
        report.list(&["first".into(), "second".into()]);
        report.figure("figure.png", "Figure 1: what it shows.");
        let training = Training {
            name: "prior".into(),
            steps: 7,
            seconds: Some(90.0),
            work: None,
        };
        report.trainings(std::slice::from_ref(&training));
        let work = Work {
            parameters: 1234,
            batch: 4,
            flop_a_step: 2.5e9,
            flop: 17.5e9,
        };
        report.trainings(&[Training {
            work: Some(work),
            ..training
        }]);
        report.put("answer", 42);
        report.write(folder.path()).expect("written");
        let page = std::fs::read_to_string(folder.path().join("report.md")).expect("a page");
        for part in [
            "# Title\n\nIntroduction.\n\n## Section\n\n| a | b |\n|---|---|\n| 1 | x \\| y |\n",
            "\n* first\n* second\n",
            "\n![Figure 1](figure.png)\n\n*Figure 1: what it shows.*\n",
            "| `runs/prior` | 7 | 90 s |",
            "| run | parameters | steps × batch | GFLOP per step | TFLOP in all | wall time |\n",
            "| `runs/prior` | 1,234 | 7 × 4 | 2.5 | 0.018 | 90 s |",
        ] {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
        let numbers = std::fs::read(folder.path().join("report.json")).expect("a file");
        let numbers: Value = serde_json::from_slice(&numbers).expect("JSON");
        assert_eq!(
            (&numbers["answer"], &numbers["trainings"][0]["steps"]),
            (&json!(42), &json!(7))
        );
        assert_eq!(numbers["figures"][0]["file"], "figure.png");
        assert_eq!(
            (
                &numbers["trainings"][0]["parameters"],
                &numbers["trainings"][0]["batch"]
            ),
            (&json!(1234), &json!(4))
        );
    }
}
