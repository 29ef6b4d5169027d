//! TOML tables: parsing, merging and comparing.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// Most bytes of a configuration, which usually has a few thousand. Parsing TOML takes some hundred
/// times its length in memory.
const MOST_BYTES: usize = 1 << 20;

/// Reads `text`; messages call it `whose`.
///
/// # Errors
/// [`Error::Config`] with the line that is wrong.
pub fn parse(text: &str, whose: &str) -> Result<Table> {
    if text.len() > MOST_BYTES {
        let what = format!(
            "{} bytes are too many for a configuration ({MOST_BYTES} at most)",
            text.len()
        );
        return Err(Error::Config(format!("{whose}: {what}; name another file")));
    }
    text.parse().map_err(|e: toml::de::Error| {
        let before = |at: usize| text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        let line = e.span().map_or(1, |at| before(at.start) + 1);
        Error::Config(format!(
            "{whose}, line {line}: {}",
            in_one_line(e.message())
        ))
    })
}

pub(super) fn in_one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Keys that select a variant of a section, with the parameters of all variants.
const CHOICES: [(&str, &[&str]); 2] = [
    ("schedule", &["total_time", "beta_start", "beta_end"]),
    ("law", &LAW),
];
/// The parameters of the distributions of t (`law`).
pub(super) const LAW: [&str; 5] = ["centre", "width", "floor", "bins", "uniform"];

/// Removes the parameters of a section's schedule or law if `over` selects another one.
fn forget(section: &mut Table, over: &Table) {
    for (tag, numbers) in CHOICES {
        if over
            .get(tag)
            .is_some_and(|chosen| section.get(tag) != Some(chosen))
        {
            numbers.iter().for_each(|key| _ = section.remove(*key));
        }
    }
}

/// Merges `over` into `table`, section by section; `over` wins.
pub fn merge(table: &mut Table, over: Table) {
    forget(table, &over);
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            (_, value) => _ = table.insert(key, value),
        }
    }
}

/// Wraps `value` in nested tables along `path` (`a.b.c`).
pub(super) fn along(path: &str, value: Value) -> Table {
    match path.split_once('.') {
        None => Table::from_iter([(path.to_string(), value)]),
        Some((head, rest)) => {
            Table::from_iter([(head.to_string(), Value::Table(along(rest, value)))])
        }
    }
}

/// The value at `path`.
pub fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((head, rest)) => at(table.get(head)?.as_table()?, rest),
    }
}

/// Every value in which two tables differ: its path, and the value in each.
pub fn differences(a: &Table, b: &Table) -> Vec<(String, Option<Value>, Option<Value>)> {
    let mut found = Vec::new();
    collect(a, b, "", &mut found);
    found
}

fn collect(
    a: &Table,
    b: &Table,
    path: &str,
    found: &mut Vec<(String, Option<Value>, Option<Value>)>,
) {
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    for key in keys {
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                collect(a, b, &format!("{path}{key}."), found)
            }
            (a, b) if a != b => found.push((format!("{path}{key}"), a.cloned(), b.cloned())),
            _ => {}
        }
    }
}

/// `path = value`, or `no path` without a value.
pub fn line(path: &str, value: Option<&Value>) -> String {
    value.map_or_else(|| format!("no {path}"), |value| format!("{path} = {value}"))
}
