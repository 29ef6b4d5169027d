//! Every flag that a message names exists on the command that prints it.
//!
//! The test searches string literals of `src` for `--flag`. A table lists each file with the
//! commands that may print its messages. A flag must exist on all of them, or the literal names the
//! command that has it (`of train: --resize`, "`dbvq-wgpu data … --download`").

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Commands that read a data set for a model.
const READERS: &[&str] = &["train", "evaluate", "reconstruct", "reproduce"];
/// Commands that open an adapter.
const DEVICE: &[&str] = &[
    "train",
    "sample",
    "inpaint",
    "chain",
    "reconstruct",
    "evaluate",
    "figures",
    "bench",
    "reproduce",
];

/// Files and folders below `src`, with the commands that print their messages; the longest match
/// counts.
const PRINTED_BY: &[(&str, &[&str])] = &[
    ("bridge.rs", &["train"]),
    ("bridge/", &["train"]),
    ("commands.rs", &["sample", "inpaint"]),
    ("commands/adapters.rs", DEVICE),
    ("commands/bench", &["bench"]),
    ("commands/conformance.rs", &["conformance"]),
    ("commands/data", &["data"]),
    ("commands/download", &["data"]),
    ("commands/evaluate.rs", &["evaluate"]),
    ("commands/export", &["export"]),
    ("commands/chain.rs", &["chain"]),
    ("commands/inpaint.rs", &["inpaint"]),
    ("commands/reading.rs", READERS),
    ("commands/reconstruct.rs", &["reconstruct"]),
    ("commands/reproduce", &["reproduce"]),
    ("commands/sample.rs", &["sample"]),
    ("commands/schedule", &["schedule"]),
    ("commands/summary.rs", &["presets"]),
    ("config/", &["train"]),
    ("conformance", &["conformance"]),
    (
        "data/",
        &["train", "evaluate", "reconstruct", "reproduce", "data"],
    ),
    ("data/cifar10.rs", &["data"]),
    ("error.rs", &["train"]),
    ("evaluate", &["evaluate"]),
    ("evaluate/features/", &["evaluate", "reproduce"]),
    ("experiment/claim.rs", &["train"]),
    ("experiment/device.rs", DEVICE),
    ("experiment/asked.rs", &["sample"]),
    ("experiment/chain.rs", &["chain"]),
    ("experiment/stages/closing.rs", &["train"]),
    ("experiment/dataset.rs", READERS),
    ("experiment/inpaint.rs", &["inpaint"]),
    ("experiment/mask", &["inpaint", "chain"]),
    ("experiment/stages/mod.rs", &["train"]),
    (
        "experiment/pictures.rs",
        &["sample", "inpaint", "reconstruct", "chain"],
    ),
    ("experiment/reconstruct.rs", &["reconstruct"]),
    ("experiment/sample.rs", &["sample"]),
    ("experiment/stages/sources.rs", &["train"]),
    ("experiment/stages/toy.rs", &["train"]),
    ("experiment/trained.rs", &["sample"]),
    ("experiment/inherited.rs", &["train"]),
    ("experiment/known.rs", &["inpaint"]),
    ("experiment/memory.rs", &["train"]),
    ("experiment/run_dir.rs", &["train"]),
    ("experiment/session.rs", &["train"]),
    ("experiment/train", &["train"]),
    ("gpu/", DEVICE),
    ("main.rs", &["train"]),
    ("models/sampler.rs", &["sample", "evaluate"]),
    (
        "report/product.rs",
        &[
            "sample",
            "inpaint",
            "chain",
            "reconstruct",
            "evaluate",
            "figures",
            "export",
            "data",
        ],
    ),
];

/// Flags that no help text shows, with their commands.
const HIDDEN: [(&str, &str); 1] = [("pixelcnn-sampler", "sample")];

/// The flags of every command, from its help text.
fn flags() -> BTreeMap<String, BTreeSet<String>> {
    let help = |arguments: &[&str]| {
        let run = Command::new(env!("CARGO_BIN_EXE_dbvq-wgpu"))
            .args(arguments)
            .output()
            .expect("the program runs");
        String::from_utf8(run.stdout).expect("its help is text")
    };
    let list = help(&["--help"]);
    let commands = list
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    let mut flags: BTreeMap<String, BTreeSet<String>> = names
        .map(|name| (name.to_string(), named(&help(&[name, "--help"]))))
        .collect();
    for (flag, command) in HIDDEN {
        flags.entry(command.into()).or_default().insert(flag.into());
    }
    flags
}

/// The flags that `text` names.
fn named(text: &str) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let name: String = text[at + 2..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-' || c.is_ascii_digit())
            .collect();
        let before = text[..at].chars().next_back();
        if name.starts_with(|c: char| c.is_ascii_lowercase())
            && before.is_none_or(|c| !c.is_alphanumeric() && c != '-')
        {
            flags.insert(name.trim_end_matches('-').to_string());
        }
    }
    flags
}

/// The string literals of Rust code, with their lines, except in tests.
fn literals(code: &str) -> Vec<(usize, String)> {
    let code = code.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut line = 1;
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => line += 1,
            '/' if letters.peek() == Some(&'/') => {
                letters.by_ref().take_while(|c| *c != '\n').for_each(drop);
                line += 1;
            }
            // A character literal, which may be a quotation mark; a lifetime has no second
            // apostrophe.
            '\'' => {
                let ahead: Vec<char> = letters.clone().take(3).collect();
                match ahead[..] {
                    ['\\', _, '\''] => _ = letters.by_ref().take(3).count(),
                    [_, '\'', ..] => _ = letters.by_ref().take(2).count(),
                    _ => {}
                }
            }
            '"' => {
                let begin = line;
                let mut text = String::new();
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' => text.extend(letters.next()),
                        letter => text.push(letter),
                    }
                    line += usize::from(text.ends_with('\n') && letter != '"');
                }
                found.push((begin, text));
            }
            _ => {}
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("tests.rs")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_flag_that_a_message_names_is_on_its_command() {
    let flags = flags();
    assert!(
        flags.len() > 10 && flags["train"].contains("resume"),
        "{flags:?}"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files {
        let name = file
            .strip_prefix(&root)
            .expect("below src")
            .to_string_lossy()
            .replace('\\', "/");
        let code = std::fs::read_to_string(&file).expect("a source file");
        for (line, text) in literals(&code) {
            for flag in named(&text) {
                seen += 1;
                // Flags of other programs.
                let here = text.find(&format!("--{flag}"));
                if ["cargo ", "python -m "]
                    .iter()
                    .any(|other| text.find(other).is_some_and(|at| Some(at) < here))
                {
                    continue;
                }
                let words: BTreeSet<&str> = text
                    .split(|c: char| !c.is_alphanumeric() && c != '-')
                    .collect();
                if flags
                    .iter()
                    .any(|(command, own)| words.contains(command.as_str()) && own.contains(&flag))
                {
                    continue;
                }
                let matches = PRINTED_BY
                    .iter()
                    .filter(|(begin, _)| name.starts_with(begin));
                let Some((_, commands)) = matches.max_by_key(|(begin, _)| begin.len()) else {
                    wrong.push(format!(
                        "src/{name}:{line}: names --{flag}; add the file to PRINTED_BY"
                    ));
                    continue;
                };
                for command in commands
                    .iter()
                    .filter(|command| !flags[**command].contains(&flag))
                {
                    wrong.push(format!(
                        "src/{name}:{line}: `{command}` has no --{flag}: {text}"
                    ));
                }
            }
        }
    }
    assert!(seen > 50, "{seen} flags in messages");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn literals_and_flags_are_found() {
    let code = "let a = \"x --one\"; // \"--no\"\nlet b = '\"'; let c = \"two \\\"--two-b\\\" a--b ---- --3\";\n/// \"--no\"\nfn f<'a>() { g(\"--four)\") }";
    let found = literals(code);
    assert_eq!(
        found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [1, 2, 4]
    );
    let all: Vec<String> = found.iter().flat_map(|(_, text)| named(text)).collect();
    assert_eq!(all, ["one", "two-b", "four"]);
}
