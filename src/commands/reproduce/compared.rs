//! Every value of the paper's tables next to ours, and why the two can or cannot be compared.

use serde::Serialize;

use super::model::Model;
use super::published::{Metric, PUBLISHED, Table};
use super::report::Report;

/// One of our values.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What is measured.
    pub metric: Metric,
    /// The model it belongs to.
    pub model: Model,
    /// Formatted value for the page.
    pub text: String,
    /// Mean over the seeds, for the JSON report.
    pub value: f64,
    /// Value of each seed.
    pub values: Vec<f64>,
    /// How it was measured.
    pub conditions: String,
    /// Whether it was measured as in the paper.
    pub as_paper: bool,
}

/// A value of the paper with our values.
#[derive(Serialize)]
struct Compared<'a> {
    table: Table,
    metric: Metric,
    model: Model,
    paper: &'a str,
    ours: Vec<&'a Line>,
    comparable: &'static str,
    why: Vec<String>,
}

/// Reasons why our values differ from the paper's.
pub struct Circumstances {
    /// The table of the data set.
    pub table: Table,
    /// The adapter.
    pub adapter: String,
    /// Whether networks and training runs are smaller than the paper's.
    pub small: bool,
    /// Why there is no FID, if there is none.
    pub no_fid: String,
}

impl Circumstances {
    /// Whether a value of the paper can be compared with ours, and the caveats.
    fn comparable(&self, metric: Metric, model: Model) -> (&'static str, Vec<String>) {
        let (word, mut why) = self.of_metric(metric);
        if model == Model::Diffusion {
            why.push(
                "The paper's value is of its own prior: that is the row *as in the paper*.".into(),
            );
        }
        (word, why)
    }

    fn of_metric(&self, metric: Metric) -> (&'static str, Vec<String>) {
        let (word, why) = match metric {
            Metric::Kl => (
                "in kind",
                "The paper does not say for which data set, nor how far apart two draws of the data are (the floor), and the \
                 value depends on both: what can be compared is which prior is nearer."
                    .to_string(),
            ),
            Metric::Nll => (
                "no",
                "A Monte Carlo estimate of a density at τ = 1 depends on the scale of the latents and on the number of \
                 fillings, which the paper does not give, and the PixelCNN's value, each code given the true ones before it, \
                 is a different quantity from ours for all hidden codes. Below are estimates with the temperature fitted, and \
                 for each code alone, which all priors have."
                    .to_string(),
            ),
            Metric::Fid => (
                "roughly",
                "The paper gives neither the number of images nor the weights of the network, and FID depends on both.".to_string(),
            ),
            Metric::Time => ("no", format!("A GTX TITAN Xp there, {} here.", self.adapter)),
        };
        let reduced = "Networks and trainings are smaller than the paper's by orders of magnitude."
            .to_string();
        if self.small && metric != Metric::Time {
            ("no", vec![reduced, why])
        } else {
            (word, vec![why])
        }
    }

    /// Table 1 belongs to every data set, since the paper does not say which one it is for.
    fn belongs(&self, table: Table) -> bool {
        table == self.table || table == Table::Kl
    }

    fn compared<'a>(&self, table: Table, lines: &'a [Line]) -> Vec<Compared<'a>> {
        let compare = |(metric, model, paper)| {
            let ours = lines
                .iter()
                .filter(|line| line.metric == metric && line.model == model);
            let (comparable, why) = self.comparable(metric, model);
            Compared {
                table,
                metric,
                model,
                paper,
                ours: ours.collect(),
                comparable,
                why,
            }
        };
        rows(table).map(compare).collect()
    }
}

/// The paper's values of `table`; those of its diffusion prior are compared with both of ours.
fn rows(table: Table) -> impl Iterator<Item = (Metric, Model, &'static str)> {
    let of_table = PUBLISHED.iter().filter(move |(of, ..)| *of == table);
    of_table.flat_map(|&(_, metric, model, paper)| {
        let second = (model == Model::Diffusion).then_some(Model::PaperDiffusion);
        std::iter::once(model)
            .chain(second)
            .map(move |model| (metric, model, paper))
    })
}

/// Writes one table for each of the paper's: its values, ours, how ours were measured, and whether
/// they can be compared; then all of our values.
pub fn tables(report: &mut Report, lines: &[Line], circumstances: &Circumstances) {
    let mut all = Vec::new();
    for table in [Table::Kl, Table::MiniImageNet, Table::Cifar10] {
        report.heading(table.title());
        if !circumstances.belongs(table) {
            of_another(report, table);
            continue;
        }
        let compared = circumstances.compared(table, lines);
        let mut notes: Vec<&String> = Vec::new();
        compared.iter().flat_map(|c| &c.why).for_each(|why| {
            if !notes.contains(&why) {
                notes.push(why);
            }
        });
        let number = |why: &String| {
            notes
                .iter()
                .position(|note| *note == why)
                .map_or(0, |i| i + 1)
                .to_string()
        };
        let comparable = |c: &Compared| {
            format!(
                "{} ({})",
                c.comparable,
                c.why.iter().map(number).collect::<Vec<_>>().join(", ")
            )
        };
        let row = |c: &Compared| {
            let line = c.ours.iter().find(|line| line.as_paper).or(c.ours.first());
            let missing = if c.metric == Metric::Fid {
                circumstances.no_fid.clone()
            } else {
                "not measured".into()
            };
            let (text, how) = line.map_or(("—".to_string(), missing), |line| {
                (line.text.clone(), line.conditions.clone())
            });
            vec![
                c.metric.name().into(),
                c.model.name().into(),
                c.paper.into(),
                text,
                comparable(c),
                how,
            ]
        };
        let rows: Vec<Vec<String>> = compared.iter().map(row).collect();
        report.table(
            &[
                "",
                "",
                "paper",
                "ours",
                "comparable",
                "how ours was measured",
            ],
            &rows,
        );
        let notes = notes
            .iter()
            .enumerate()
            .map(|(i, note)| format!("({}) {note}", i + 1))
            .collect::<Vec<_>>();
        report.paragraph(&notes.join(" "));
        all.extend(compared);
    }
    report.put("published", all);
    report.put("values", lines);
    for (metric, title) in [
        (Metric::Nll, "NLL of a masked patch, in bits per code"),
        (Metric::Time, "Seconds per sample"),
    ] {
        details(
            report,
            title,
            lines.iter().filter(|line| line.metric == metric),
        );
    }
}

/// The paper's values alone, with the command that measures ours.
fn of_another(report: &mut Report, table: Table) {
    let command = format!("`reproduce {}`", table.experiment());
    let row = |(metric, model, paper): (Metric, Model, &str)| {
        vec![
            metric.name().into(),
            model.name().into(),
            paper.into(),
            command.clone(),
        ]
    };
    report.table(
        &["", "", "paper", "ours"],
        &rows(table).map(row).collect::<Vec<_>>(),
    );
}

fn details<'a>(report: &mut Report, title: &str, lines: impl Iterator<Item = &'a Line>) {
    let row = |line: &Line| {
        vec![
            line.model.name().into(),
            line.text.clone(),
            line.conditions.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.map(row).collect();
    if !rows.is_empty() {
        report.heading(title);
        report.table(&["", "ours", "how"], &rows);
    }
}

impl Table {
    fn title(self) -> &'static str {
        match self {
            Table::Kl => "Table 1: averaged KL on the feature map",
            Table::MiniImageNet => "Table 2: mini-ImageNet",
            Table::Cifar10 => "Table 3: CIFAR-10",
        }
    }

    fn experiment(self) -> &'static str {
        if self == Table::MiniImageNet {
            "mini-imagenet"
        } else {
            "cifar10"
        }
    }
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Metric::Kl => "KL, nats",
            Metric::Nll => "NLL, bits per code",
            Metric::Fid => "FID",
            Metric::Time => "s/sample",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(metric: Metric, text: &str, as_paper: bool) -> Line {
        Line {
            metric,
            model: Model::PixelCnn,
            text: text.to_string(),
            value: 1.0,
            values: vec![1.0],
            conditions: format!("how {text}"),
            as_paper,
        }
    }

    fn page(small: bool) -> String {
        let adapter = "an adapter".into();
        let no_fid = "name weights".into();
        let circumstances = Circumstances {
            table: Table::Cifar10,
            adapter,
            small,
            no_fid,
        };
        let lines = [
            line(Metric::Nll, "1.0", false),
            line(Metric::Nll, "2.0", true),
            line(Metric::Kl, "3.0", true),
        ];
        let mut report = Report::new("Title", "");
        tables(&mut report, &lines, &circumstances);
        report.page().to_string()
    }

    #[test]
    fn every_published_value_has_a_row_with_ours_or_the_reason() {
        let page = page(true);
        for (.., paper) in PUBLISHED {
            assert!(page.contains(&format!("| {paper} |")), "{paper}");
        }
        for row in [
            "| KL, nats | PixelCNN | 0.809 | 3.0 | no (1, 2) | how 3.0 |",
            // The value measured as in the paper, not the first one.
            "| NLL, bits per code | PixelCNN | 1.41 (± 0.06) | 2.0 | no (1, 2) | how 2.0 |",
            "| FID | End-to-end | 92 | — | no (1, 4) | name weights |",
            // The diffusion prior's values are compared with both of ours.
            "| FID | Diffusion prior | 104 | — | no (1, 4, 3) | name weights |",
            "| FID | Diffusion prior, as in the paper | 104 | — | no (1, 4) | name weights |",
            "| s/sample | PixelCNN | 0.21 s (± 0.8 ms) | — | no (5) | not measured |",
            "| NLL, bits per code | PixelCNN | 1.00 (± 0.05) | `reproduce mini-imagenet` |",
            // All of ours.
            "| PixelCNN | 1.0 | how 1.0 |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
        assert!(
            page.contains("(5) A GTX TITAN Xp there, an adapter here."),
            "{page}"
        );
    }

    #[test]
    fn at_full_size_kinds_can_be_compared() {
        let page = page(false);
        for row in [
            "| 0.809 | 3.0 | in kind (1) |",
            "| 109 | — | roughly (3) |",
            "| 1.41 (± 0.06) | 2.0 | no (1) |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }
}
