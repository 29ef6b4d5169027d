//! `dbvq-wgpu conformance` as a vendor meets it: verdicts, exit codes, reports, and drivers that crash or hang.
//! Needs a GPU adapter.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::assert::OutputAssertExt;
use common::program;
use predicates::str::contains;
use serde_json::Value;

fn conformance(arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("conformance").args(arguments);
    command
}

fn output(mut command: Command) -> (Output, String, String) {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output, stdout, stderr)
}

fn report(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("the report")).expect("JSON")
}

/// Verdicts of a report's first adapter, as `op name: verdict`.
fn verdicts(report: &Value) -> Vec<String> {
    let cases = report["adapters"][0]["cases"].as_array().expect("cases").iter();
    let word = |value: &Value| value.as_str().expect("a word").to_string();
    cases.map(|case| format!("{} {}: {}", word(&case["op"]), word(&case["case"]), word(&case["verdict"]))).collect()
}

#[test]
fn an_op_passes_and_the_report_says_so() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("report.json");
    let mut command = conformance(&["--op", "relu", "--report"]);
    command.arg(&file);
    let (outcome, stdout, stderr) = output(command);
    assert!(outcome.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("relu") && stdout.contains("6 of 6 cases pass"), "{stdout}");
    let report = report(&file);
    for key in ["schema", "version", "revision", "wgpu", "system", "date", "shaders", "adapters"] {
        assert!(!report[key].is_null(), "{key}");
    }
    let adapter = &report["adapters"][0];
    for key in ["name", "backend", "driver", "limits", "features"] {
        assert!(!adapter["facts"][key].is_null(), "{key}");
    }
    assert_eq!(verdicts(&report).len(), 6);
    assert!(verdicts(&report).iter().all(|line| line.starts_with("relu ") && line.ends_with(": Pass")));
    assert!(adapter["cases"].as_array().expect("cases").iter().all(|case| {
        case["forward"].as_f64().is_some_and(|share| share <= 1.0) && case["gradient"].is_f64() && case["detail"] == ""
    }));
    let probes = adapter["probes"].as_array().expect("probes");
    assert!(probes.len() > 10);
    for probe in &probes[..probes.len() - 1] {
        let found = probe["found"].as_str().expect("a fact");
        assert!(!found.contains("process died") && !found.contains("no answer"), "{probe}");
    }
    let xml = std::fs::read_to_string(file.with_extension("xml")).expect("the XML");
    assert!(xml.starts_with("<?xml") && xml.contains("tests=\"6\" failures=\"0\" errors=\"0\" skipped=\"0\""), "{xml}");
    let page = std::fs::read_to_string(file.with_extension("md")).expect("the page");
    assert!(page.contains("| `relu` | 6/6,"), "{page}");

    // Two reports side by side, whatever else the environment says.
    let mut merge = conformance(&["--merge"]);
    merge.args([&file, &file]).env("DBVQ_ADAPTER", "0");
    let (outcome, merged, stderr) = output(merge);
    assert!(outcome.status.success() && merged.contains("(2)"), "{merged}{stderr}");
    let mut unfit = conformance(&["--merge"]);
    unfit.arg(file.with_extension("md"));
    unfit.assert().code(8).stderr(contains("report.md"));
}

#[test]
fn probes_are_printed_as_facts() {
    let outcome = conformance(&["--probes"]).assert().success();
    outcome.stdout(contains("NaN compared")).stdout(contains("131,072 rounds")).stdout(contains("60,000"));
}

#[test]
fn wrong_flags_are_2_and_name_the_right_ones() {
    conformance(&["--op", "relo"]).assert().code(2).stderr(contains("--op relo")).stderr(contains("'relu'"));
    conformance(&["--op", "relu", "--case", "[no such]"]).assert().code(2).stderr(contains("no case fits"));
    conformance(&["--timeout", "0"]).assert().code(2).stderr(contains("--timeout"));
    conformance(&["--timeout", "2000000"]).assert().code(2).stderr(contains("at most 1000000 seconds"));
    conformance(&["--report", "r.md"]).assert().code(2).stderr(contains("--report r.md"));
    conformance(&["--op", "relu", "--report", "no/such/r.json"]).assert().code(9).stderr(contains("no/such"));
    conformance(&["--probes", "--op", "relu"]).assert().code(2);
    conformance(&["--adapter", "no such thing"]).assert().code(4).stderr(contains("no such thing"));
}

/// Runs relu with a fault at its third case; the report must tell that one from the others.
fn with_fault(fault: &str, timeout: &str, verdict: &str, detail: &str) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("report.json");
    let mut command = conformance(&["--op", "relu", "--timeout", timeout, "--report"]);
    command.arg(&file).env("DBVQ_CONFORMANCE_FAULT", format!("{fault}:relu/-2..2 [255]"));
    let (outcome, stdout, stderr) = output(command);
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(stderr.contains("1 of 6 cases fail") && stderr.contains("DBVQ_CONFORMANCE_FAULT="), "{stderr}");
    let again = "--op relu --case '-2..2 [255]'";
    assert!(stdout.contains("5 of 6 cases pass") && stdout.contains(again), "{stdout}");
    let report = report(&file);
    let lines = verdicts(&report);
    assert_eq!(lines.len(), 6);
    // What is printed repeats this one.
    conformance(&["--op", "relu", "--case", "-2..2 [255]"]).assert().success().stdout(contains("1 of 1 cases pass"));
    for (i, line) in lines.iter().enumerate() {
        assert!(line.ends_with(if i == 2 { verdict } else { ": Pass" }), "{line}");
    }
    let said = report["adapters"][0]["cases"][2]["detail"].as_str().expect("a detail").to_string();
    assert!(said.starts_with("checked: ") && said.contains(detail), "{said}");
}

#[test]
fn a_crash_is_the_verdict_of_its_case_alone() {
    with_fault("abort", "120", ": Crash", if cfg!(unix) { "SIGABRT" } else { "exit code" });
}

#[test]
fn a_hang_is_the_verdict_of_its_case_alone() {
    // Long enough for the other cases on a busy machine.
    with_fault("hang", "10", ": Timeout", "no answer in 10 s");
}

#[test]
fn an_adapter_that_never_answers_is_given_up() {
    let mut command = conformance(&["--op", "relu", "--timeout", "0.001"]);
    command.env("DBVQ_CONFORMANCE_FAULT", "hang:");
    let (outcome, stdout, stderr) = output(command);
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(stdout.contains("given up") && stderr.contains("given up"), "{stdout}{stderr}");
}

#[test]
fn vectors_run_and_a_file_that_is_none_is_named() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let vectors = |folder: &Path| {
        let mut command = conformance(&["--vectors"]);
        command.arg(folder);
        command
    };
    vectors(folder.path()).assert().code(2).stderr(contains("no .safetensors file"));
    vectors(&folder.path().join("nowhere")).assert().code(9).stderr(contains("nowhere"));
    let good = folder.path().join("good.safetensors");
    std::fs::copy(golden.join("relu.safetensors"), good).expect("a golden vector");
    std::fs::write(folder.path().join("notes.txt"), "no vector").expect("a temporary file");
    vectors(folder.path()).assert().success().stdout(contains("1 of 1 cases pass"));
    let with_gradients = |folder: &Path| {
        let mut command = vectors(folder);
        command.arg("--grad");
        command
    };
    // Without those of the table.
    let step = folder.path().join("step.safetensors");
    std::fs::copy(golden.join("ou_step.safetensors"), &step).expect("a golden vector");
    with_gradients(folder.path()).assert().success().stdout(contains("1 of 1 cases pass"));
    with_gradients(&step).assert().code(2).stderr(contains("no file has a gradient"));
    std::fs::remove_file(&step).expect("a temporary file");
    std::fs::write(folder.path().join("bad.safetensors"), "no vector").expect("a temporary file");
    let (outcome, stdout, stderr) = output(vectors(folder.path()));
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(stdout.contains("1 of 2 cases pass") && stdout.contains("bad.safetensors: "), "{stdout}");
}

#[test]
fn the_version_of_wgpu_is_that_of_the_lock_file() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = std::fs::read_to_string(lock).expect("Cargo.lock");
    let (_, package) = lock.split_once("name = \"wgpu\"\nversion = \"").expect("wgpu is a dependency");
    assert_eq!(package.split('"').next(), Some(dbvq_wgpu::gpu::WGPU_VERSION));
}
