//! `dbvq-wgpu conformance` as a vendor uses it: verdicts, exit codes, reports, and drivers that
//! crash or hang. Needs a GPU adapter.

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
    let stdout = text(&output.stdout);
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output, stdout, stderr)
}

fn report(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("the report")).expect("JSON")
}

/// Verdicts of a report's first adapter, as `op name: verdict`.
fn verdicts(report: &Value) -> Vec<String> {
    let cases = report["adapters"][0]["cases"]
        .as_array()
        .expect("cases")
        .iter();
    let word = |value: &Value| value.as_str().expect("a word").to_string();
    cases
        .map(|case| {
            format!(
                "{} {}: {}",
                word(&case["op"]),
                word(&case["case"]),
                word(&case["verdict"])
            )
        })
        .collect()
}

#[test]
fn an_op_passes_and_the_report_says_so() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("report.json");
    let mut command = conformance(&["--op", "relu", "--report"]);
    command.arg(&file);
    let (outcome, stdout, stderr) = output(command);
    assert!(outcome.status.success(), "{stdout}{stderr}");
    assert!(
        stdout.contains("relu") && stdout.contains("10 of 10 cases pass"),
        "{stdout}"
    );
    let report = report(&file);
    for key in [
        "schema", "version", "revision", "wgpu", "system", "date", "shaders", "adapters",
    ] {
        assert!(!report[key].is_null(), "{key}");
    }
    let adapter = &report["adapters"][0];
    for key in ["name", "backend", "driver", "limits", "features"] {
        assert!(!adapter["facts"][key].is_null(), "{key}");
    }
    assert_eq!(verdicts(&report).len(), 10);
    assert!(
        verdicts(&report)
            .iter()
            .all(|line| line.starts_with("relu ") && line.ends_with(": Pass"))
    );
    assert!(
        adapter["cases"]
            .as_array()
            .expect("cases")
            .iter()
            .all(|case| {
                case["forward"].as_f64().is_some_and(|share| share <= 1.0)
                    && case["gradient"].is_f64()
                    && case["detail"] == ""
            })
    );
    let probes = adapter["probes"].as_array().expect("probes");
    assert!(probes.len() > 10);
    for probe in &probes[..probes.len() - 1] {
        let found = probe["found"].as_str().expect("a fact");
        assert!(
            !found.contains("process died") && !found.contains("no answer"),
            "{probe}"
        );
    }
    let xml = std::fs::read_to_string(file.with_extension("xml")).expect("the XML");
    assert!(
        xml.starts_with("<?xml")
            && xml.contains("tests=\"10\" skipped=\"0\" errors=\"0\" failures=\"0\""),
        "{xml}"
    );
    let page = std::fs::read_to_string(file.with_extension("md")).expect("the page");
    assert!(page.contains("| `relu` | 10/10,"), "{page}");
    // A partial run is marked as such in every output format.
    let part = "chosen by --op relu";
    assert!(
        stdout.contains(part) && page.contains(part) && xml.contains(part),
        "{stdout}{page}{xml}"
    );
    assert!(
        page.contains("Command: `dbvq-wgpu conformance --op relu --report "),
        "{page}"
    );
    assert_eq!(report["scope"]["flags"], "--op relu");
    assert_eq!(report["scope"]["chosen"], 10);
    assert!(
        report["command"]
            .as_str()
            .expect("a command")
            .starts_with("dbvq-wgpu conformance --op relu")
    );
    assert!(
        adapter["facts"]["vendor"]
            .as_str()
            .expect("a vendor")
            .starts_with("0x"),
        "{}",
        adapter["facts"]
    );

    // Two reports side by side, whatever the environment says.
    let mut merge = conformance(&["--merge"]);
    merge.args([&file, &file]).env("DBVQ_ADAPTER", "0");
    let (outcome, merged, stderr) = output(merge);
    assert!(
        outcome.status.success() && merged.contains("(2)"),
        "{merged}{stderr}"
    );
    let mut unfit = conformance(&["--merge"]);
    unfit.arg(file.with_extension("md"));
    unfit.assert().code(8).stderr(contains("report.md"));
}

#[test]
fn probes_are_printed_as_facts() {
    let outcome = conformance(&["--probes"]).assert().success();
    outcome
        .stdout(contains("NaN compared"))
        .stdout(contains("131,072 rounds"))
        .stdout(contains("60,000"));
}

#[test]
fn wrong_flags_are_2_and_name_the_right_ones() {
    conformance(&["--op", "relo"])
        .assert()
        .code(2)
        .stderr(contains("--op relo"))
        .stderr(contains("'relu'"));
    conformance(&["--op", "relu", "--case", "[no such]"])
        .assert()
        .code(2)
        .stderr(contains("--case [no such]: no case"));
    conformance(&["--timeout", "0"])
        .assert()
        .code(2)
        .stderr(contains("--timeout"));
    conformance(&["--timeout", "2000000"])
        .assert()
        .code(2)
        .stderr(contains("at most 1000000 seconds"));
    conformance(&["--report", "r.md"])
        .assert()
        .code(2)
        .stderr(contains("--report r.md"));
    conformance(&["--op", "relu", "--report", "no/such/r.json"])
        .assert()
        .code(9)
        .stderr(contains("no/such"));
    conformance(&["--probes", "--op", "relu"]).assert().code(2);
    conformance(&["--adapter", "no such thing"])
        .assert()
        .code(4)
        .stderr(contains("no such thing"));
}

/// Runs relu with a fault at its third case; the report must tell that case from the others.
fn with_fault(fault: &str, timeout: &str, verdict: &str, detail: &str) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("report.json");
    let mut command = conformance(&["--op", "relu", "--timeout", timeout, "--report"]);
    command.arg(&file).env(
        "DBVQ_CONFORMANCE_FAULT",
        format!("{fault}:relu/-2..2 [255]"),
    );
    let (outcome, stdout, stderr) = output(command);
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(
        stderr.contains("1 of 10 cases fail") && stderr.contains("DBVQ_CONFORMANCE_FAULT="),
        "{stderr}"
    );
    let again = "--op relu --case '-2..2 [255]'";
    assert!(
        stderr.contains("simulated") && stdout.contains("simulated"),
        "{stdout}{stderr}"
    );
    let page = std::fs::read_to_string(file.with_extension("md")).expect("the page");
    assert!(page.contains(again) && page.contains("simulated"), "{page}");
    assert!(
        stdout.contains("9 of 10 cases pass") && stdout.contains(again),
        "{stdout}"
    );
    let report = report(&file);
    let lines = verdicts(&report);
    assert_eq!(lines.len(), 10);
    // The printed command repeats this case.
    conformance(&["--op", "relu", "--case", "-2..2 [255]"])
        .assert()
        .success()
        .stdout(contains("1 of 1 cases pass"));
    for (i, line) in lines.iter().enumerate() {
        assert!(
            line.ends_with(if i == 2 { verdict } else { ": Pass" }),
            "{line}"
        );
    }
    let said = report["adapters"][0]["cases"][2]["detail"]
        .as_str()
        .expect("a detail")
        .to_string();
    assert!(
        said.starts_with("checked: ") && said.contains(detail),
        "{said}"
    );
    let repeat = report["adapters"][0]["cases"][2]["repeat"]
        .as_str()
        .expect("a command");
    assert!(repeat.contains(again), "{repeat}");
    assert_eq!(report["provoked"], format!("{fault}:relu/-2..2 [255]"));
}

#[test]
fn a_crash_is_the_verdict_of_its_case_alone() {
    with_fault(
        "abort",
        "120",
        ": Crash",
        if cfg!(unix) { "SIGABRT" } else { "exit code" },
    );
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
    assert!(
        stdout.contains("given up") && stderr.contains("given up"),
        "{stdout}{stderr}"
    );
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
    vectors(folder.path())
        .assert()
        .code(2)
        .stderr(contains("no .safetensors file"));
    vectors(&folder.path().join("nowhere"))
        .assert()
        .code(9)
        .stderr(contains("nowhere"));
    let good = folder.path().join("good.safetensors");
    std::fs::copy(golden.join("relu.safetensors"), good).expect("a golden vector");
    std::fs::write(folder.path().join("notes.txt"), "no vector").expect("a temporary file");
    vectors(folder.path())
        .assert()
        .success()
        .stdout(contains("1 of 1 cases pass"));
    let with_gradients = |folder: &Path| {
        let mut command = vectors(folder);
        command.arg("--grad");
        command
    };
    // Without the cases of the table.
    let step = folder.path().join("step.safetensors");
    std::fs::copy(golden.join("ou_step.safetensors"), &step).expect("a golden vector");
    with_gradients(folder.path())
        .assert()
        .success()
        .stdout(contains("1 of 1 cases pass"));
    with_gradients(&step)
        .assert()
        .code(2)
        .stderr(contains("no file has a gradient"));
    std::fs::remove_file(&step).expect("a temporary file");
    std::fs::write(folder.path().join("bad.safetensors"), "no vector").expect("a temporary file");
    let (outcome, stdout, stderr) = output(vectors(folder.path()));
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(
        stdout.contains("1 of 2 cases pass") && stdout.contains("bad.safetensors: "),
        "{stdout}"
    );
    assert!(
        stderr.contains("1 vector file is wrong or cannot be used"),
        "{stderr}"
    );
    assert!(
        !stderr.contains("not conformant"),
        "it is not the adapter's fault: {stderr}"
    );
}

#[test]
fn the_version_of_wgpu_is_that_of_the_lock_file() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = std::fs::read_to_string(lock).expect("Cargo.lock");
    let (_, package) = lock
        .split_once("name = \"wgpu\"\nversion = \"")
        .expect("wgpu is a dependency");
    assert_eq!(
        package.split('"').next(),
        Some(dbvq_wgpu::gpu::WGPU_VERSION)
    );
}

#[test]
fn ops_and_cases_are_listed() {
    let list = conformance(&["--list"]).assert().success();
    list.stdout(contains("relu: 10 cases"))
        .stdout(contains("    -2..2 [3]"));
    conformance(&["--list", "--op", "relu", "--case", "[3]"])
        .assert()
        .success()
        .stdout("relu: 1 case\n    -2..2 [3]\n1 case\n");
    let no_gradient = conformance(&["--list", "--op", "argmin", "--grad"])
        .assert()
        .code(2);
    no_gradient
        .stderr(contains("--grad: none of the"))
        .stderr(contains("has a gradient"));
    conformance(&["--list", "--report", "r.json"])
        .assert()
        .code(2);
}

#[test]
fn known_failures_of_a_file_are_judged_and_those_of_no_use_are_said() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("known.toml");
    let with = |text: &str| {
        std::fs::write(&file, text).expect("a temporary file");
        let mut command = conformance(&["--op", "relu", "--case", "[3]", "--known-failures"]);
        command.arg(&file);
        command
    };
    let entry = |rest: &str| format!("[[failure]]\nreason = 'rounds up'\n{rest}\n");
    let (outcome, stdout, stderr) = output(with(&entry("op = 'relu'")));
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(
        stdout.contains("take it off") && stdout.contains("known.toml"),
        "{stdout}"
    );
    assert!(
        stderr.contains("1 known failure passes now") && !stderr.contains("not conformant"),
        "{stderr}"
    );
    let crash = &mut with(&entry("op = 'relu'"));
    crash
        .env("DBVQ_CONFORMANCE_FAULT", "abort:relu/")
        .assert()
        .success()
        .stdout(contains("known failure"));
    let (outcome, stdout, stderr) = output(with(
        &(entry("vendor = 0xabcd") + &entry("case = '[no such]'")),
    ));
    assert!(outcome.status.success(), "{stdout}{stderr}");
    assert!(
        stderr.contains("entry 1 (rounds up) matches no adapter")
            && stderr.contains("entry 2 (rounds up) matches no case"),
        "{stderr}"
    );
    with("[[failure]]\nop = 'relu'")
        .assert()
        .code(3)
        .stderr(contains("known.toml"))
        .stderr(contains("reason"));
    std::fs::remove_file(&file).expect("it is ours");
    let mut command = conformance(&["--op", "relu", "--known-failures"]);
    command
        .arg(&file)
        .assert()
        .code(9)
        .stderr(contains("known.toml"));
}

/// Copies a golden vector with one tensor changed.
fn planted(name: &str, tensor: &str, to: &Path, change: impl Fn(&mut [f64])) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kernels_test/golden")
        .join(name);
    let mut bytes = std::fs::read(golden).expect("a golden vector");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let offsets = header[tensor]["data_offsets"]
        .as_array()
        .expect("the tensor");
    let place = |i: usize| 8 + length + offsets[i].as_u64().expect("a number") as usize;
    let data = &mut bytes[place(0)..place(1)];
    let mut numbers: Vec<f64> = data
        .chunks(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
        .collect();
    change(&mut numbers);
    data.copy_from_slice(
        &numbers
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>(),
    );
    std::fs::write(to, bytes).expect("a temporary file");
}

#[test]
fn a_wrong_number_in_a_vector_is_the_files_fault_and_found() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("planted.safetensors");
    for (name, tensor, at, by) in [
        ("attention_one_key.safetensors", "grad.q", 3, 1e-5),
        (
            "group_norm_constant_group.safetensors",
            "grad.gamma",
            1,
            1e-5,
        ),
        ("softmax_one_hot.safetensors", "grad.x", 5, 1e-6),
        ("relu_zeros.safetensors", "grad.x", 0, 1e-3),
        ("conv2d_3x3_bias.safetensors", "grad.w", 7, 1e-4),
    ] {
        planted(name, tensor, &file, |numbers| numbers[at] += by);
        let mut command = conformance(&["--vectors"]);
        command.arg(&file);
        let (outcome, stdout, stderr) = output(command);
        assert_eq!(outcome.status.code(), Some(12), "{name}: {stdout}{stderr}");
        let what = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            what.contains(&format!("{tensor} element {at}")) && what.contains("elements wrong"),
            "{name}: {stdout}"
        );
        assert!(
            stderr.contains("1 vector file is wrong"),
            "{name}: {stderr}"
        );
    }
}

#[test]
fn a_folder_for_dumps_must_be_empty() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(folder.path().join("mine.txt"), "mine").expect("a temporary file");
    let mut command = conformance(&["--op", "relu", "--dump"]);
    command
        .arg(folder.path())
        .assert()
        .code(2)
        .stderr(contains("is not empty"));
}

#[test]
fn a_wrong_number_is_told_with_all_that_finds_it_and_dumped() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let dump = folder.path().join("dump");
    let file = folder.path().join("r.json");
    let mut command = conformance(&[
        "--op",
        "conv2d",
        "--case",
        "[2, 5, 4, 3] -> 5, 3x3 stride 1 pad 1,1 bias",
        "--dump",
    ]);
    command
        .arg(&dump)
        .arg("--report")
        .arg(&file)
        .env("DBVQ_CONFORMANCE_FAULT", "wrong:conv2d/");
    let (outcome, stdout, stderr) = output(command);
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    let report = report(&file);
    let said = report["adapters"][0]["cases"][0]["detail"]
        .as_str()
        .expect("a detail")
        .to_string();
    for what in [
        "in all ",
        " modes: output element 199 ([1, 4, 3, 4] of [2, 5, 4, 5]): got ",
        " (0x",
        ", expected ",
        " times the bound; ",
        "1 of 200 elements wrong",
        "; made from input 0 [",
        " and 9 more",
        "; input 1 [",
        "; input 2 [4] = ",
        "; kernels: conv2d",
        "; dumped to ",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let cases: Vec<_> = std::fs::read_dir(&dump)
        .expect("the dump")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(cases.len(), 1, "{cases:?}");
    let mode = cases[0].join("checked");
    let files = std::fs::read_dir(&mode).expect("the mode").flatten();
    let files: Vec<String> = files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let ends = |ending: &str| files.iter().any(|file| file.ends_with(ending));
    assert!(ends("tensors.safetensors") && ends(".wgsl"), "{files:?}");
    assert_eq!(
        ends(".spv"),
        cfg!(any(windows, target_os = "linux", target_os = "android")),
        "{files:?}"
    );
    assert!(!ends(".error.txt"), "{files:?}");

    // And for a vector, in the file's order.
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden/conv2d_1x1.safetensors");
    let mut command = conformance(&["--vectors"]);
    command.arg(&golden).env("DBVQ_CONFORMANCE_FAULT", "wrong:");
    let (outcome, stdout, stderr) = output(command);
    assert_eq!(outcome.status.code(), Some(12), "{stdout}{stderr}");
    assert!(
        stderr.contains("not conformant") && !stderr.contains("vector file"),
        "{stderr}"
    );
    let what = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        what.contains("out.y element 119 ([1, 4, 2, 3] of [2, 5, 3, 4]): the GPU has"),
        "{stdout}"
    );
    assert!(
        what.contains("1 of 120 elements wrong; made from in.x [")
            && what.contains("kernels: conv2d"),
        "{stdout}"
    );
}

/// A signal, as sent by Ctrl-C, leaves a report of what was done.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_partial_report() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("report.json");
    let mut command = conformance(&["--op", "relu", "--report"]);
    command
        .arg(&file)
        .env("DBVQ_CONFORMANCE_FAULT", "hang:relu/-2..2 [256]");
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let child = child.expect("the program starts");
    // By then it should hang at the fourth case.
    std::thread::sleep(std::time::Duration::from_secs(20));
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .expect("kill is there")
            .success()
    );
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        stderr.contains("stopped by a signal after") && stderr.contains("report.json"),
        "{stderr}"
    );
    let report = report(&file);
    let done = verdicts(&report);
    // How far it got depends on the machine.
    assert!(
        done.len() <= 3 && done.iter().all(|line| line.ends_with(": Pass")),
        "{done:?}"
    );
    assert!(
        report["stopped"]
            .as_str()
            .expect("a sentence")
            .contains("stopped by a signal"),
        "{}",
        report["stopped"]
    );
    let page = std::fs::read_to_string(file.with_extension("md")).expect("the page");
    assert!(page.contains("Stopped by a signal"), "{page}");
}

#[test]
fn adapters_lists_those_of_opengl_and_marks_them() {
    let json = program()
        .args(["adapters", "--json"])
        .output()
        .expect("the program starts")
        .stdout;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    let list = json.as_array().expect("a list");
    assert!(
        list.iter().all(|facts| facts["vendor"]
            .as_str()
            .is_some_and(|id| id.starts_with("0x"))),
        "{json}"
    );
    let (gl, others): (Vec<&Value>, Vec<&Value>) =
        list.iter().partition(|facts| facts["backend"] == "gl");
    let text = String::from_utf8(
        program()
            .arg("adapters")
            .output()
            .expect("the program starts")
            .stdout,
    )
    .expect("text");
    let marked = text.matches("used only with --adapter").count();
    assert_eq!(
        marked,
        if others.is_empty() { 0 } else { gl.len() },
        "{text}"
    );
}
