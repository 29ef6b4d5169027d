//! The table of ratios.

use crate::Result;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// One piece of work; this engine is its first entry.
pub struct Line {
    /// The work.
    pub title: String,
    /// The result of each peer.
    pub entries: Vec<Entry>,
}

/// The result of one peer.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Median and first call, ms; or why there are none.
    pub result: Result<(f64, f64)>,
}

/// The median; for an even count the lower of the middle two.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times
        .get(times.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// A row for each piece of work: our ms, and the others' with their ratio to ours. First calls come
/// separately, and below is why some have no figure.
pub fn markdown(names: &[&str], lines: &[Line]) -> String {
    let mut out = format!(
        "| ms (times ours) | ours | {} | first call, ms |\n",
        names.join(" | ")
    );
    let _ = writeln!(out, "|---|{}", "---|".repeat(names.len() + 2));
    let mut reasons: Vec<String> = Vec::new();
    for line in lines {
        let ours = line
            .entries
            .first()
            .and_then(|entry| entry.result.as_ref().ok())
            .map(|(ms, _)| *ms);
        let _ = write!(out, "| {} |", line.title);
        for (i, entry) in line.entries.iter().enumerate() {
            let cell = match (&entry.result, ours) {
                (Ok((ms, _)), Some(ours)) if i > 0 => {
                    format!("{} ({}×)", digits(*ms), digits(ms / ours))
                }
                (Ok((ms, _)), _) => digits(*ms),
                (Err(why), _) => {
                    let reason = format!("{}: {why}", entry.name);
                    let at = reasons
                        .iter()
                        .position(|known| *known == reason)
                        .unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                    format!("– [{}]", at + 1)
                }
            };
            let _ = write!(out, " {cell} |");
        }
        let first = line.entries.iter().filter_map(|entry| {
            let (_, first) = entry.result.as_ref().ok()?;
            Some(format!("{} {}", entry.name, digits(*first)))
        });
        let _ = writeln!(out, " {} |", first.collect::<Vec<_>>().join(", "));
    }
    for (i, reason) in reasons.iter().enumerate() {
        let _ = write!(out, "\n[{}] {reason}\n", i + 1);
    }
    out
}

/// The same as JSON, for programs.
pub fn json(lines: &[Line]) -> String {
    let line = |line: &Line| {
        let entry = |entry: &Entry| {
            let result = match &entry.result {
                Ok((ms, first)) => json!({ "ms": ms, "first_ms": first }),
                Err(why) => json!({ "error": why }),
            };
            (entry.name.clone(), result)
        };
        json!({ "work": line.title, "results": line.entries.iter().map(entry).collect::<Map<String, Value>>() })
    };
    let all = Value::Array(lines.iter().map(line).collect());
    format!("{all:#}")
}

/// Three significant digits, or all before the decimal point.
fn digits(value: f64) -> String {
    let places = (2.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let entry = |name: &str, result| Entry {
            name: name.into(),
            result,
        };
        let entries = vec![
            entry("ours", Ok((2.0, 50.0))),
            entry("burn", Ok((9.0, 4000.0))),
            entry("candle", Err("does not build here".into())),
        ];
        vec![Line {
            title: "matmul".into(),
            entries,
        }]
    }

    #[test]
    fn ratios_are_to_ours_and_reasons_stand_below() {
        let page = markdown(&["burn", "candle"], &lines());
        let row = "| matmul | 2.00 | 9.00 (4.50×) | – [1] | ours 50.0, burn 4000 |";
        assert_eq!(page.lines().nth(2), Some(row));
        assert!(
            page.ends_with("[1] candle: does not build here\n"),
            "{page}"
        );
        let heads = page
            .lines()
            .map(|line| line.matches('|').count())
            .take(3)
            .collect::<Vec<_>>();
        assert_eq!(heads, [6, 6, 6]);
    }

    #[test]
    fn programs_get_numbers() {
        let found: Value = serde_json::from_str(&json(&lines())).unwrap_or_default();
        assert_eq!(found[0]["results"]["burn"]["first_ms"], json!(4000.0));
        assert_eq!(
            found[0]["results"]["candle"]["error"],
            json!("does not build here")
        );
        assert_eq!(median(vec![5.0, 1.0, 3.0]), 3.0);
    }
}
