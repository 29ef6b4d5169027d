//! The same work on this engine and on what a user would choose instead, in turn within one run:
//! burn, meganeura and candle (`tools/peers/`, each a program with its own lockfile), and PyTorch.

mod report;
mod talk;

use crate::process::{self, heading};
use crate::python::{Needs, pythons};
use crate::{Result, root};
use report::Line;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use talk::Peer;

/// The variable that names a Python with PyTorch.
const PYTHON: &str = "DBVQ_TORCH_PYTHON";
/// What `tools/peers/torch_peer.py` needs; the twin's environment will do.
const NEEDS: Needs = Needs {
    oldest: (3, 10),
    requirements: "tools/requirements-twin.txt",
    folder: "twin-python",
    imports: "torch, numpy",
};
/// Runs of each, in turn; the median is reported.
const ROUNDS: usize = 5;
/// Default limit on waiting for a peer's answer, in seconds: burn tunes for minutes on some shapes.
const LIMIT: u64 = 600;

/// Options of `cargo xtask peers`.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// JSON instead of Markdown.
    pub json: bool,
    /// Only work whose line contains this.
    pub filter: Option<String>,
    /// The GPU.
    pub adapter: Option<String>,
    /// Only these, by name.
    pub only: Option<String>,
    /// Longest wait for an answer, seconds.
    pub limit: Option<String>,
}

/// Builds what is there, runs each in turn, prints the table.
pub fn run(options: &Options) -> Result<()> {
    let limit = options.limit.as_deref().map_or(Ok(LIMIT), str::parse);
    let limit = Duration::from_secs(limit.map_err(|_| "--limit takes whole seconds".to_owned())?);
    let target = target();
    let Engine {
        mut ours,
        of_f16,
        device,
    } = engine(options, &target)?;
    let wanted = |name: &str| {
        options
            .only
            .as_deref()
            .is_none_or(|only| only.split(',').any(|part| part == name))
    };
    let mut peers: Vec<Peer> = of_f16.into_iter().collect();
    for name in ["burn", "meganeura", "candle"]
        .into_iter()
        .filter(|name| wanted(name))
    {
        peers.push(Peer::new(name, built(name, &target, device)));
    }
    if wanted("torch") {
        peers.extend(torch(&target));
    }
    let list = ours.ask(&json!({ "list": true }), limit)?;
    let mut lines = Vec::new();
    for entry in list.as_array().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        let both: &[bool] = if entry["gradients"] == json!(true) {
            &[false, true]
        } else {
            &[false]
        };
        for &gradients in both {
            let title = format!("{name}{}", if gradients { " with gradients" } else { "" });
            if options
                .filter
                .as_ref()
                .is_none_or(|text| title.contains(text.as_str()))
            {
                eprintln!("{title}");
                lines.push(measure(
                    &title,
                    &entry["work"],
                    gradients,
                    &mut ours,
                    &mut peers,
                    limit,
                ));
            }
        }
    }
    if lines.is_empty() {
        return Err(
            "no work has that in its line; `cargo xtask peers` without --filter shows all".into(),
        );
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    println!(
        "{}",
        if options.json {
            report::json(&lines)
        } else {
            report::markdown(&names, &lines)
        }
    );
    Ok(())
}

/// Measures one line of the table: prepares all peers one after another, then runs them in turn.
fn measure(
    title: &str,
    work: &Value,
    gradients: bool,
    ours: &mut Peer,
    peers: &mut [Peer],
    limit: Duration,
) -> Line {
    let request = json!({ "work": work, "gradients": gradients });
    let mut all: Vec<&mut Peer> = std::iter::once(ours).chain(peers).collect();
    let first: Vec<Result<f64>> = all
        .iter_mut()
        .map(|peer| {
            peer.ask(&request, limit)
                .and_then(|answer| talk::number(&answer, "first_ms"))
        })
        .collect();
    let mut times: Vec<Result<Vec<f64>>> = first
        .iter()
        .map(|first| first.clone().map(|_| Vec::new()))
        .collect();
    for _ in 0..ROUNDS {
        for (peer, times) in all.iter_mut().zip(&mut times) {
            let Ok(list) = times else { continue };
            match peer
                .ask(&json!({ "run": true }), limit)
                .and_then(|answer| talk::number(&answer, "ms"))
            {
                Ok(ms) => list.push(ms),
                Err(why) => *times = Err(why),
            }
        }
    }
    let entry =
        |(peer, (first, times)): (&&mut Peer, (Result<f64>, Result<Vec<f64>>))| report::Entry {
            name: peer.name.clone(),
            result: first.and_then(|first| times.map(|times| (report::median(times), first))),
        };
    let entries = all
        .iter()
        .zip(first.into_iter().zip(times))
        .map(entry)
        .collect();
    Line {
        title: title.to_owned(),
        entries,
    }
}

/// This engine, built and ready to start.
struct Engine {
    ours: Peer,
    /// The same with `--precision f16`, if the adapter has matrices for it.
    of_f16: Option<Peer>,
    /// What the adapter is called to a peer: `cpu` or `gpu`.
    device: &'static str,
}

fn engine(options: &Options, target: &Path) -> Result<Engine> {
    heading("building this engine");
    process::run(&mut process::cargo(["build", "--release", "--quiet"]))?;
    let program = target
        .join("release")
        .join(format!("dbvq-wgpu{}", std::env::consts::EXE_SUFFIX));
    let mut adapters = Command::new(&program);
    let found = process::capture(adapters.args(["adapters", "--json"]))?;
    let list: Value =
        serde_json::from_slice(&found.stdout).map_err(|e| format!("adapters --json: {e}"))?;
    let chosen = |adapter: &&Value| match &options.adapter {
        Some(text) => adapter["name"]
            .as_str()
            .is_some_and(|name| name.contains(text.as_str())),
        None => adapter["default"] == json!(true),
    };
    let adapter = list
        .as_array()
        .into_iter()
        .flatten()
        .find(chosen)
        .cloned()
        .unwrap_or_default();
    let worker = |arguments: &[&str]| {
        let mut worker = Command::new(&program);
        worker.arg("bench-worker").args(arguments);
        if let Some(adapter) = &options.adapter {
            worker.args(["--adapter", adapter]);
        }
        worker
    };
    let has_matrices = adapter["features"]["cooperative_f16"].is_number();
    Ok(Engine {
        ours: Peer::new("ours", Ok(worker(&[]))),
        of_f16: has_matrices.then(|| Peer::new("ours f16", Ok(worker(&["--precision", "f16"])))),
        device: if adapter["kind"] == json!("cpu") {
            "cpu"
        } else {
            "gpu"
        },
    })
}

/// Builds a Rust peer and returns its program.
fn built(name: &str, target: &Path, device: &str) -> Result<Command> {
    heading(&format!("building {name} (the first time takes minutes)"));
    let manifest = root().join("tools/peers").join(name).join("Cargo.toml");
    let folder = target.join("peers").join(name);
    let mut build = process::cargo([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--manifest-path",
    ]);
    build.arg(&manifest).env("CARGO_TARGET_DIR", &folder);
    process::run(&mut build).map_err(|_| "does not build here".to_owned())?;
    let mut program = Command::new(
        folder
            .join("release")
            .join(format!("peer-{name}{}", std::env::consts::EXE_SUFFIX)),
    );
    program.env("PEER_DEVICE", device);
    Ok(program)
}

/// PyTorch on the CPU, and on CUDA in three precisions if it has a GPU.
fn torch(target: &Path) -> Vec<Peer> {
    heading("PyTorch");
    let named = std::env::var_os(PYTHON).map(PathBuf::from);
    let found = named.or_else(|| pythons().find(|python| NEEDS.has_all(python)));
    let python = match found.map_or_else(|| NEEDS.environment(target), Ok) {
        Ok(python) => python,
        Err(why) => return vec![Peer::new("torch", Err(why))],
    };
    let has_cuda = process::succeeds(Command::new(&python).args([
        "-c",
        "import torch, sys; sys.exit(not torch.cuda.is_available())",
    ]));
    let devices: &[&str] = if has_cuda {
        &["cpu", "cuda", "cuda-tf32", "cuda-amp"]
    } else {
        &["cpu"]
    };
    let peer = |device: &&str| {
        let mut script = Command::new(&python);
        script
            .arg("-B")
            .arg(root().join("tools/peers/torch_peer.py"));
        // Threads that spin while waiting would distort the next peer's measurement.
        script
            .env("PEER_DEVICE", device)
            .env("OMP_WAIT_POLICY", "passive")
            .env("KMP_BLOCKTIME", "0");
        Peer::new(&format!("torch {device}"), Ok(script))
    };
    devices.iter().map(peer).collect()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
