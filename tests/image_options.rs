//! Options of image presets as a user sees them, on a tiny data set in CIFAR-10's format. Needs a
//! GPU adapter.

mod common;

use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, data_set, from, train};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

fn set(mut command: Command, sets: &[&str]) -> Command {
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

/// A tensor from a run's checkpoint.
fn tensor(run: &Path, name: &str) -> Vec<f32> {
    let bytes = &checkpoint(run).1[name];
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Rows with a nonzero entry, in a table of `rows` rows.
fn touched(table: &[f32], rows: usize) -> Vec<usize> {
    let rows = table.chunks_exact(table.len() / rows).enumerate();
    rows.filter(|(_, row)| row.iter().any(|&v| v != 0.0))
        .map(|(i, _)| i)
        .collect()
}

/// In memory too: what a resumed training reads from this file must be what the broken one had, see
/// `images.rs`.
#[test]
fn every_kind_of_vqvae_is_built_upon_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    for (name, sets) in [
        ("cosine", vec!["vqvae.distance=cosine"]),
        (
            "gradient",
            vec!["vqvae.codebook=gradient", "vqvae.normaliser=0.05"],
        ),
        (
            "gumbel",
            vec!["vqvae.codebook=gradient", "vqvae.quantiser=gumbel"],
        ),
    ] {
        let [vqvae, prior] =
            ["vqvae", "prior"].map(|stage| folder.path().join(format!("{name}-{stage}")));
        set(train("vqvae", &data, &vqvae, 4), &sets)
            .assert()
            .success();
        let frozen = std::fs::read(vqvae.join("checkpoint.safetensors")).expect("a checkpoint");
        from(set(train("prior", &data, &prior, 4), &sets), &vqvae)
            .assert()
            .success();
        assert!(prior.join("samples-000004.png").exists(), "{name}");
        assert_eq!(
            std::fs::read(prior.join("vqvae.safetensors")).expect("a copy"),
            frozen,
            "{name}"
        );
        assert_eq!(
            std::fs::read(vqvae.join("checkpoint.safetensors")).expect("a checkpoint"),
            frozen,
            "{name}"
        );
    }
    // Latents of the two distances differ: a stage takes the distance of its VQ-VAE and no other.
    let cosine = folder.path().join("cosine-vqvae");
    let mut other = from(
        train("prior", &data, &folder.path().join("other"), 2),
        &cosine,
    );
    other.args(["--set", "vqvae.distance=euclidean"]);
    other
        .assert()
        .code(3)
        .stderr(contains("vqvae.distance").and(contains("--from")));
    let mut same = from(
        train("prior", &data, &folder.path().join("same"), 2),
        &cosine,
    );
    same.assert()
        .success()
        .stderr(contains("vqvae.distance = \"cosine\" (not \"euclidean\")"));
}

#[test]
fn stages_are_told_the_classes_of_the_pictures() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let vqvae = folder.path().join("vqvae");
    train("vqvae", &data, &vqvae, 2).assert().success();
    let run = |stage: &str, name: &str, sets: &[&str]| {
        let out = folder.path().join(name);
        let sets = [sets, &["classes=10"]].concat();
        from(set(train(stage, &data, &out, 4), &sets), &vqvae)
            .assert()
            .success();
        assert!(out.join("samples-000004.png").exists(), "{name}");
        out
    };
    // The running mean of the gradient is nonzero for the classes that the network was told; row 10
    // stands for no class.
    let told = |dropout: &str| {
        let run = run(
            "prior",
            &format!("prior-{dropout}"),
            &[&format!("class_dropout={dropout}")],
        );
        touched(&tensor(&run, "adam.first.class.weight"), 11)
    };
    let always = told("0");
    let seldom = told("0.9");
    assert!(always.len() > 4 && !always.contains(&10), "{always:?}");
    assert!(
        seldom.len() < always.len() && seldom.contains(&10),
        "{seldom:?}"
    );
    let pixelcnn = run("pixelcnn", "pixelcnn", &[]);
    assert!(touched(&tensor(&pixelcnn, "adam.first.layers.0.class.weight"), 10).len() > 4);
    // A number of classes that does not match the data.
    let wrong = set(
        train("vqvae", &data, &folder.path().join("wrong"), 2),
        &["classes=3"],
    );
    { wrong }
        .assert()
        .code(8)
        .stderr(contains("--set classes=10"));
}
