//! Every value of the paper's tables beside ours.

use serde::Serialize;

use super::published::{Metric, Model, PUBLISHED, Table};
use super::report::Report;

/// A value of ours for a cell of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What is measured.
    pub metric: Metric,
    /// Of what.
    pub model: Model,
    /// As people read it.
    pub text: String,
    /// For programs.
    pub value: f64,
    /// How it was measured.
    pub conditions: String,
}

/// A value of the paper, with ours.
#[derive(Serialize)]
struct Compared<'a> {
    table: Table,
    metric: Metric,
    model: Model,
    paper: &'a str,
    ours: Vec<&'a Line>,
    comparable: String,
}

/// What makes our values other ones than the paper's.
pub struct Circumstances {
    /// The table of the data set.
    pub table: Table,
    /// The adapter.
    pub adapter: String,
    /// Whether networks and trainings are smaller than the paper's.
    pub small: bool,
    /// Why there is no FID, if there is none.
    pub no_fid: String,
}

impl Circumstances {
    /// Whether a value of the paper can be compared with ours, and why not.
    fn comparable(&self, table: Table, metric: Metric) -> String {
        let reduced = "no: smaller networks, trained for minutes; ";
        let size = if self.small && metric != Metric::Time { reduced } else { "" };
        let what = match metric {
            _ if !self.belongs(table) => return "of the other data set".into(),
            Metric::Kl => {
                "in kind: the paper names neither the data set nor the floor of its estimator, and the value depends on both"
            }
            Metric::Nll => {
                "no: the Monte Carlo value depends on the scale of the latents, on temperature and number of samples, which the \
                 paper does not give, and the PixelCNN's teacher-forced value is another quantity"
            }
            Metric::Fid => "roughly: the paper gives neither the number of pictures nor the weights of the network",
            Metric::Time => return format!("no: a TITAN Xp there, {} here", self.adapter),
        };
        format!("{size}{what}")
    }

    /// Table 1 does not say of which data set it is.
    fn belongs(&self, table: Table) -> bool {
        table == self.table || table == Table::Kl
    }
}

/// A table for each of the paper's: its values, ours, how ours were measured, and whether they can be compared.
pub fn tables(report: &mut Report, lines: &[Line], circumstances: &Circumstances) {
    let mut all = Vec::new();
    for table in [Table::Kl, Table::MiniImageNet, Table::Cifar10] {
        let of_table: Vec<Compared> = PUBLISHED
            .iter()
            .filter(|(t, ..)| *t == table)
            .map(|&(table, metric, model, paper)| {
                let belongs = circumstances.belongs(table);
                let ours = lines.iter().filter(|line| belongs && line.metric == metric && line.model == model);
                let comparable = circumstances.comparable(table, metric);
                Compared { table, metric, model, paper, ours: ours.collect(), comparable }
            })
            .collect();
        report.heading(table.title());
        if !circumstances.belongs(table) {
            report.paragraph(&format!("Of the other data set: `reproduce {}` makes it.", table.experiment()));
        }
        report.table(
            &["", "", "paper", "ours", "how", "comparable"],
            &of_table.iter().flat_map(|compared| rows(compared, circumstances)).collect::<Vec<_>>(),
        );
        all.extend(of_table);
    }
    report.put("published", all);
}

fn rows(compared: &Compared, circumstances: &Circumstances) -> Vec<Vec<String>> {
    let head = [compared.model.name(), compared.metric.name(), compared.paper].map(String::from);
    if compared.ours.is_empty() {
        let missing = compared.metric == Metric::Fid && circumstances.belongs(compared.table);
        let how = if missing { circumstances.no_fid.clone() } else { String::new() };
        return vec![head.into_iter().chain(["—".into(), how, compared.comparable.clone()]).collect()];
    }
    // What is the same in all rows of a value stands in the first.
    let row = |(i, line): (usize, &&Line)| {
        let same = |text: &String| if i == 0 { text.clone() } else { String::new() };
        let ours = [line.text.clone(), line.conditions.clone(), same(&compared.comparable)];
        head.iter().map(same).chain(ours).collect()
    };
    compared.ours.iter().enumerate().map(row).collect()
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
        if self == Table::MiniImageNet { "mini-imagenet" } else { "cifar10" }
    }
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Metric::Kl => "KL, nats",
            Metric::Nll => "NLL, bits a code",
            Metric::Fid => "FID",
            Metric::Time => "s/sample",
        }
    }
}

impl Model {
    /// As the paper's rows are called.
    pub fn name(self) -> &'static str {
        match self {
            Model::PixelCnn => "PixelCNN",
            Model::Diffusion => "Diffusion prior",
            Model::EndToEnd => "End-to-end",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_value_has_a_row_that_says_whether_it_is_comparable() {
        let circumstances = Circumstances {
            table: Table::Cifar10,
            adapter: "an adapter".into(),
            small: true,
            no_fid: "name weights".into(),
        };
        let line = |metric, model, text: &str| Line {
            metric,
            model,
            text: text.into(),
            value: 1.0,
            conditions: format!("how {text}"),
        };
        let lines = [line(Metric::Nll, Model::PixelCnn, "1.0"), line(Metric::Nll, Model::PixelCnn, "2.0")];
        let mut report = Report::new("Title", "");
        tables(&mut report, &lines, &circumstances);
        let page = report.page();
        let rows = page.lines().filter(|row| row.starts_with("| ") && !row.contains("comparable |"));
        assert_eq!(rows.count(), PUBLISHED.len() + 1, "{page}");
        for (.., paper) in PUBLISHED {
            assert!(page.contains(&format!("| {paper} |")), "{paper}");
        }
        for part in [
            "| 1.0 | how 1.0 | no: smaller",
            "|  |  |  | 2.0 | how 2.0 |  |",
            "| — | name weights |",
            "`reproduce mini-imagenet`",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        // One of the other data set has none of ours.
        assert!(
            page.contains("| PixelCNN | NLL, bits a code | 1.00 (± 0.05) | — |  | of the other data set |"),
            "{page}"
        );
        assert!(page.contains("a TITAN Xp there, an adapter here"));
    }
}
