//! The keys that a configuration may have, and suggestions for unknown ones.

use serde::Serialize;
use toml::{Table, Value};

use super::table::LAW;
use crate::error::{Error, Result};

/// Options of `train` that users mistake for keys, with what to do instead.
const FLAGS: [(&str, &str); 10] = [
    ("data", "name the folder with train's --data"),
    ("from", "name the run with train's --from"),
    ("out", "name the run directory with train's --out"),
    ("stage", "choose it with train's --stage"),
    ("resume", "use train's --resume"),
    ("adapter", "choose it with train's --adapter"),
    ("gpu_memory", "use train's --gpu-memory"),
    ("precision", "use train's --precision"),
    (
        "preset",
        "write it at the top of a file, or give it to train in place of the file",
    ),
    ("kind", "write it at the top of a file; presets set it"),
];
/// Longest word, in bytes, for which a similar one is looked up.
const MOST_ALIKE: usize = 100;
/// Most keys named in a message.
const NAMED: usize = 4;

/// All key paths that a configuration like `full` may have.
pub(super) fn known(full: &impl Serialize) -> Vec<String> {
    let mut keys = Vec::new();
    collect(
        &Table::try_from(full).expect("a configuration is a TOML table"),
        "",
        &mut keys,
    );
    keys.extend(["bridge.total_time", "bridge.beta_start", "bridge.beta_end"].map(String::from));
    let laws: Vec<String> = keys
        .iter()
        .filter_map(|key| key.strip_suffix(".law"))
        .map(String::from)
        .collect();
    keys.extend(
        laws.iter()
            .flat_map(|levels| LAW.map(|number| format!("{levels}.{number}"))),
    );
    keys
}

fn collect(table: &Table, at: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        keys.push(format!("{at}{key}"));
        if let Value::Table(inner) = value {
            collect(inner, &format!("{at}{key}."), keys);
        }
    }
}

/// An error unless every key of `table`, whose path prefix is `at`, is one of `known`.
pub(super) fn check(table: &Table, at: &str, known: &[String], whose: &str) -> Result<()> {
    for (key, value) in table {
        let path = format!("{at}{key}");
        if !known.contains(&path) {
            return Err(Error::Config(format!(
                "{whose}: unknown key `{path}`{}",
                hint(&path, known)
            )));
        }
        let section = format!("{path}.");
        if !value.is_table() && known.iter().any(|key| key.starts_with(&section)) {
            return Err(Error::Config(format!(
                "{whose}: `{path}` is a section{}",
                of_flag(&path).unwrap_or_default()
            )));
        }
        if let Value::Table(inner) = value {
            check(inner, &format!("{path}."), known, whose)?;
        }
    }
    Ok(())
}

/// What the unknown key `path` may mean: a flag, keys with the same last part, else the most
/// similar key.
fn hint(path: &str, known: &[String]) -> String {
    let last = |path: &str| {
        path.rsplit('.')
            .next()
            .unwrap_or_default()
            .replace('-', "_")
            .to_lowercase()
    };
    if let Some(flag) = of_flag(path) {
        return flag;
    }
    let alike: Vec<&str> = known
        .iter()
        .map(String::as_str)
        .filter(|key| last(key) == last(path))
        .collect();
    match &alike[..] {
        [] => nearest(path, known.iter().map(String::as_str))
            .map_or(String::new(), |n| format!("; did you mean `{n}`?")),
        [all @ .., one] if all.len() < NAMED => {
            let all: String = all.iter().map(|key| format!("`{key}`, ")).collect();
            let all = all
                .strip_suffix(", ")
                .map_or(String::new(), |all| format!("{all} or "));
            format!("; did you mean {all}`{one}`?")
        }
        all => {
            let some = all[..NAMED]
                .iter()
                .map(|key| format!("`{key}`"))
                .collect::<Vec<_>>()
                .join(", ");
            format!(
                "; did you mean {some} or another that ends in {}?",
                last(path)
            )
        }
    }
}

/// The hint for a key that is a flag.
fn of_flag(path: &str) -> Option<String> {
    let name = path.replace('-', "_").to_lowercase();
    let (_, what) = FLAGS.iter().find(|(flag, _)| *flag == name)?;
    Some(format!("; it is not a key: {what}"))
}

/// The candidate most similar to `word`, if any is similar.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let score = |c: &str| {
        if word.len() > MOST_ALIKE {
            0.0
        } else {
            strsim::jaro_winkler(word, c)
        }
    };
    candidates
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .filter(|c| score(c) > 0.7)
}
