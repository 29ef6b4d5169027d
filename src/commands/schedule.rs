//! `dbvq-wgpu schedule`: prints the noise schedule as JSON (`--json`) or as a table, and checks its
//! terminal level.

mod flags;

use serde::Serialize;

use crate::bridge::{Bridge, ReverseVariance, Target};
use crate::error::Result;
use crate::experiment::terminal;
use crate::report::console::print_document;
use crate::report::table;

pub(crate) use flags::ScheduleFlags;

/// Longer schedules are subsampled in [`text`].
const MAX_ROWS: usize = 24;

/// A schedule and every coefficient of its training and its ancestral sampling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleTable {
    /// ϑ.
    pub theta: f64,
    /// η.
    pub eta: f64,
    /// z*: one number, or one per channel.
    pub target: Target,
    /// v = η² / 2ϑ.
    pub stationary_variance: f64,
    /// L_T of unit-variance data about z*, in nats per dimension.
    pub terminal_kl_per_dim: f64,
    /// Steps 1 to T.
    pub steps: Vec<ScheduleStep>,
}

/// One row: step t, between the levels t − 1 and t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScheduleStep {
    /// 1..=T.
    pub t: usize,
    /// δ_t.
    pub delta: f64,
    /// β_t = 1 − e^(−2ϑ δ_t).
    pub beta: f64,
    /// ᾱ_t.
    pub alpha_bar: f64,
    /// ln(ᾱ_t / (v (1 − ᾱ_t))), for unit-variance data.
    pub log_snr: f64,
    /// Coefficient of z_t − z* in the reverse mean (E3).
    pub mean_z: f64,
    /// Coefficient of ε_θ in the reverse mean (E3).
    pub mean_eps: f64,
    /// σ_t², the bridge's: 0 at t = 1.
    pub sigma2_bridge: f64,
    /// σ_t² = v β_t.
    pub sigma2_forward: f64,
    /// Loss weight under the bridge variance, eq. (4): infinite at t = 1, `null` in JSON.
    pub weight_bridge: f64,
    /// Loss weight under the forward variance (E6).
    pub weight_forward: f64,
}

/// Prints the schedule of `bridge`, as JSON if `json`.
///
/// # Errors
/// Those of [`check_terminal`](terminal::check_terminal).
pub fn run(bridge: &Bridge, allow_bad_terminal: bool, json: bool) -> Result<()> {
    terminal::check_terminal(bridge, allow_bad_terminal)?;
    let table = table(bridge);
    if json {
        return print_document(
            &(serde_json::to_string_pretty(&table).expect("a table is plain data") + "\n"),
        );
    }
    print_document(&text(&table, table::terminal_width()))
}

/// The table of `bridge`.
pub fn table(bridge: &Bridge) -> ScheduleTable {
    ScheduleTable {
        theta: bridge.theta(),
        eta: bridge.eta(),
        target: bridge.target().clone(),
        stationary_variance: bridge.stationary_variance(),
        terminal_kl_per_dim: bridge.terminal_kl(1.0),
        steps: (1..=bridge.steps()).map(|t| step(bridge, t)).collect(),
    }
}

fn step(bridge: &Bridge, t: usize) -> ScheduleStep {
    let mean = bridge.reverse_mean(t);
    ScheduleStep {
        t,
        delta: bridge.delta(t),
        beta: bridge.beta(t),
        alpha_bar: bridge.alpha_bar(t),
        log_snr: bridge.log_snr(t),
        mean_z: mean.z,
        mean_eps: mean.net,
        sigma2_bridge: bridge.sigma2(t, ReverseVariance::Bridge),
        sigma2_forward: bridge.sigma2(t, ReverseVariance::Forward),
        weight_bridge: bridge.weight(t, ReverseVariance::Bridge),
        weight_forward: bridge.weight(t, ReverseVariance::Forward),
    }
}

/// A column of the text: its heading, its value, and how early it is dropped on a narrow terminal
/// (0: never).
type Column = (&'static str, fn(&ScheduleStep) -> f64, u8);

const COLUMNS: [Column; 10] = [
    ("delta", |s| s.delta, 3),
    ("beta", |s| s.beta, 0),
    ("alpha_bar", |s| s.alpha_bar, 0),
    ("log_snr", |s| s.log_snr, 1),
    ("mean_z", |s| s.mean_z, 2),
    ("mean_eps", |s| s.mean_eps, 1),
    ("sigma2_br", |s| s.sigma2_bridge, 1),
    ("sigma2_fw", |s| s.sigma2_forward, 3),
    ("weight_br", |s| s.weight_bridge, 1),
    ("weight_fw", |s| s.weight_forward, 3),
];

/// The table as aligned text of at most `width` columns (as far as t, beta and alpha_bar allow),
/// ending with a newline.
///
/// A header with the parameters, then the steps. A long schedule shows its first four steps and
/// sixteen evenly spaced ones up to T; on a narrow terminal columns are dropped (br, fw: under the
/// bridge and the forward variance). The last line tells what is missing.
pub fn text(table: &ScheduleTable, width: usize) -> String {
    let rows = chosen_rows(&table.steps);
    let columns = chosen_columns(&rows, width);
    let mut out = wrap(&facts(table), width);
    out.push_str(&table::text(&columns));
    out + &wrap(
        &omissions(rows.len(), columns.len() - 1, table.steps.len()),
        width,
    )
}

/// `t` and the columns that fit.
fn chosen_columns(rows: &[ScheduleStep], width: usize) -> Vec<table::Column> {
    let mut columns = vec![table::Column::right(
        "t",
        rows.iter().map(|s| s.t.to_string()).collect(),
        0,
    )];
    columns.extend(COLUMNS.map(|(head, value, rank)| {
        table::Column::right(head, rows.iter().map(|s| number(value(s))).collect(), rank)
    }));
    table::fit(columns, width)
}

/// All rows, or the first four and sixteen evenly spaced ones up to the last.
fn chosen_rows(steps: &[ScheduleStep]) -> Vec<ScheduleStep> {
    if steps.len() <= MAX_ROWS {
        return steps.to_vec();
    }
    let spaced = (1..=16).map(|i| steps[3 + (steps.len() - 4) * i / 16]);
    steps[..4].iter().copied().chain(spaced).collect()
}

fn facts(table: &ScheduleTable) -> Vec<String> {
    let target = match &table.target {
        Target::Scalar(value) => number(*value),
        Target::PerChannel(values) => format!("{} values", values.len()),
    };
    vec![
        format!("T {}", table.steps.len()),
        format!("theta {}", number(table.theta)),
        format!("eta {}", number(table.eta)),
        format!("target {target}"),
        format!("stationary variance {}", number(table.stationary_variance)),
        format!(
            "terminal KL {} nats per dimension",
            number(table.terminal_kl_per_dim)
        ),
    ]
}

fn omissions(rows: usize, columns: usize, steps: usize) -> Vec<String> {
    let mut out = Vec::new();
    if rows < steps {
        out.push(format!("{rows} of {steps} steps"));
    }
    if columns < COLUMNS.len() {
        out.push(format!("{columns} of {} columns", COLUMNS.len()));
    }
    if !out.is_empty() {
        out.push("--json has all".into());
    }
    out
}

/// The parts joined by commas, in lines of at most `width` as far as the parts allow.
fn wrap(parts: &[String], width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (i, part) in parts.iter().enumerate() {
        let comma = usize::from(i + 1 < parts.len());
        if column > 0 && column + 1 + part.len() + comma > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(part);
        out.push_str(&","[..comma]);
        column += part.len() + comma;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Four to five significant digits in at most ten characters.
fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if (0.1..1e3).contains(&size) => {
            let decimals = 4 - size.log10().floor() as i32;
            format!("{x:.*}", decimals.clamp(2, 4) as usize)
        }
        _ => format!("{x:.3e}"),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test says by panicking that it failed"
)]
mod tests {
    use super::*;
    use crate::bridge::Spacing;

    fn toy() -> Bridge {
        Bridge::new(
            2.0,
            0.1,
            Target::Scalar(0.0),
            50,
            Spacing::Constant { total_time: 1.727 },
        )
        .unwrap()
    }

    fn linear(steps: usize, beta_end: f64) -> Bridge {
        let spacing = Spacing::Linear {
            beta_start: 1e-4,
            beta_end,
        };
        Bridge::new(1.0, f64::sqrt(2.0), Target::Scalar(0.0), steps, spacing).unwrap()
    }

    #[test]
    fn json_has_exactly_the_documented_keys() {
        let json = serde_json::to_string(&table(&toy())).unwrap();
        let keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
        let head = [
            "theta",
            "eta",
            "target",
            "stationary_variance",
            "terminal_kl_per_dim",
            "steps",
        ];
        let step = [
            "t",
            "delta",
            "beta",
            "alpha_bar",
            "log_snr",
            "mean_z",
            "mean_eps",
            "sigma2_bridge",
            "sigma2_forward",
        ];
        assert_eq!(keys[..6], head);
        assert_eq!(keys[6..15], step);
        assert_eq!(keys[15..17], ["weight_bridge", "weight_forward"]);
        assert_eq!(keys.len(), 6 + 50 * 11);
    }

    #[test]
    fn json_keeps_every_digit_and_has_null_for_infinity() {
        let bridge = toy();
        let json: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&table(&bridge)).unwrap()).unwrap();
        assert!(
            json["steps"][0]["weight_bridge"].is_null()
                && json["steps"][1]["weight_bridge"].is_f64()
        );
        assert_eq!(json["steps"][49]["t"], 50);
        for t in 1..=50 {
            let log_snr = json["steps"][t - 1]["log_snr"].as_f64().unwrap();
            assert!(
                (log_snr - bridge.log_snr(t)).abs() <= 1e-15 * log_snr.abs(),
                "step {t}"
            );
        }
        let channels = Target::PerChannel(vec![0.5, -1.0]);
        let bridge = Bridge::new(1.0, 1.0, channels, 3, Spacing::Cosine {}).unwrap();
        assert!(
            serde_json::to_string(&table(&bridge))
                .unwrap()
                .contains(r#""target":[0.5,-1.0]"#)
        );
    }

    #[test]
    fn text_fits_the_terminal() {
        for (bridge, widest) in [
            (toy(), 200),
            (linear(1000, 0.02), 200),
            (linear(8, 0.9), 200),
            (linear(1, 0.9), 200),
        ] {
            let table = table(&bridge);
            for width in [40, 60, 80, 100, widest] {
                let text = text(&table, width);
                let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(longest <= width, "{longest} > {width}:\n{text}");
                assert!(text.lines().count() <= 30 && text.ends_with('\n'));
            }
        }
    }

    #[test]
    fn text_keeps_the_ends_and_says_what_is_missing() {
        let long = text(&table(&linear(1000, 0.02)), 80);
        let first = |line: &str| {
            line.split_whitespace()
                .next()
                .and_then(|word| word.parse::<usize>().ok())
        };
        let rows: Vec<usize> = long.lines().filter_map(first).filter(|&t| t > 0).collect();
        assert_eq!(
            (&rows[..5], rows[19]),
            (&[1, 2, 3, 4, 66][..], 1000),
            "{long}"
        );
        assert!(
            long.ends_with("20 of 1000 steps, 7 of 10 columns, --json has all\n"),
            "{long}"
        );
        let short = text(&table(&linear(5, 0.9)), 200);
        assert!(!short.contains("--json"), "{short}");
        assert!(text(&table(&toy()), 0).contains("alpha_bar"));
    }

    #[test]
    fn numbers_are_short() {
        for (x, set) in [
            (0.0, "0"),
            (1e-4, "1.000e-4"),
            (0.5, "0.5000"),
            (-12.34567, "-12.346"),
            (999.99, "999.99"),
        ] {
            assert_eq!(number(x), set);
        }
        assert_eq!(
            (number(f64::INFINITY), number(1234.5)),
            ("inf".into(), "1.234e3".into())
        );
    }
}
