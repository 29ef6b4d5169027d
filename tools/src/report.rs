//! The end of the quickstart: where the figures are, what was reached, and what to do next.

use crate::Result;
use crate::quickstart::SAMPLES;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Prints the report of the run in `folder`, shown to people as `name`.
pub fn print(folder: &Path, name: &Path) -> Result<()> {
    let samples = summary(&folder.join("samples"))?;
    let inpaint = summary(&folder.join("inpaint"))?;
    let pictures = pictures(folder);
    if pictures.is_empty() {
        return Err(format!("the run in {} left no picture", name.display()));
    }
    println!("\nPictures:");
    for picture in pictures {
        println!(
            "   {}",
            picture
                .strip_prefix(folder)
                .map_or(picture.clone(), |rest| name.join(rest))
                .display()
        );
    }
    println!("\n{}", table(&samples, &inpaint));
    println!(
        "\nThis was a shortened run; the reference was trained for the full length. The full run:"
    );
    println!("   cargo run --release -- train toy --out runs/toy");
    Ok(())
}

/// The `summary.json` that a command of the program left in `folder`.
fn summary(folder: &Path) -> Result<Value> {
    let file = folder.join("summary.json");
    let text = fs::read(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    serde_json::from_slice(&text)
        .map_err(|e| format!("{} is not what was expected: {e}", file.display()))
}

/// The PNG files in the folders of a run, sorted.
fn pictures(folder: &Path) -> Vec<PathBuf> {
    let folders = [
        folder.to_path_buf(),
        folder.join("samples"),
        folder.join("inpaint"),
        folder.join("figures"),
    ];
    let entries = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let files = entries.map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "png"))
        .collect();
    files.sort();
    files
}

/// What was reached, next to a PyTorch reference after 20,000 steps.
fn table(samples: &Value, inpaint: &Value) -> String {
    let count = format!("{},{:03}", SAMPLES / 1000, SAMPLES % 1000);
    let paths = format!(
        "{} and {}",
        percent(&inpaint["paths"][0]),
        percent(&inpaint["paths"][1])
    );
    let rows = [
        [
            "reached".to_owned(),
            "this run".to_owned(),
            "reference".to_owned(),
        ],
        [
            format!("valid chains of {count} samples"),
            percent(&samples["valid"]),
            "93.4–93.9 % (chance: 0.4 %)".into(),
        ],
        [
            "total variation to the uniform law".to_owned(),
            decimal(&samples["total_variation"], 3),
            "0.042–0.051 (sampling noise alone: 0.035)".to_owned(),
        ],
        [
            "distinct sequences".to_owned(),
            whole(&samples["distinct"]),
            "128 exist that are valid".to_owned(),
        ],
        [
            "inpainted on one of the two paths".to_owned(),
            percent(&inpaint["consistent"]),
            "85–90 %".to_owned(),
        ],
        [
            "   the one path and the other".to_owned(),
            paths,
            "balanced".to_owned(),
        ],
    ];
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let first = width(0);
    let second = width(1);
    let mut lines: Vec<_> = rows
        .iter()
        .map(|[what, here, there]| format!("{what:first$}   {here:>second$}   {there}"))
        .collect();
    lines.push(format!(
        "Sampling: {}, {} steps, {} s on {}. Inpainting: {} s.",
        text(&samples["sampler"]),
        whole(&samples["steps"]),
        decimal(&samples["seconds"], 1),
        text(&samples["adapter"]),
        decimal(&inpaint["seconds"], 1)
    ));
    lines.insert(lines.len() - 1, String::new());
    lines.join("\n")
}

/// A share as a percentage; a dash where there is none.
fn percent(share: &Value) -> String {
    share
        .as_f64()
        .map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A number with this many decimals; a dash if there is none.
fn decimal(number: &Value, digits: usize) -> String {
    number
        .as_f64()
        .map_or("–".to_owned(), |number| format!("{number:.digits$}"))
}

/// A count; a dash where there is none.
fn whole(number: &Value) -> String {
    number
        .as_u64()
        .map_or("–".to_owned(), |number| number.to_string())
}

/// A string; a dash where there is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_lines_up() {
        let samples = json!({"sampler": "ancestral", "steps": 50, "valid": 0.9123, "total_variation": 0.0521,
                             "distinct": 402, "seconds": 3.21, "adapter": "llvmpipe"});
        let inpaint = json!({"consistent": 0.861, "paths": [0.431, 0.43], "seconds": 2.0});
        let table = table(&samples, &inpaint);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[1],
            "valid chains of 16,384 samples                  91.2 %   93.4–93.9 % (chance: 0.4 %)"
        );
        assert_eq!(
            lines[5],
            "   the one path and the other        43.1 % and 43.0 %   balanced"
        );
        assert_eq!(
            lines[7],
            "Sampling: ancestral, 50 steps, 3.2 s on llvmpipe. Inpainting: 2.0 s."
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        assert_eq!(percent(&Value::Null), "–");
        assert_eq!(decimal(&json!({})["none"], 2), "–");
    }
}
