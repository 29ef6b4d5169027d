//! `sample`, also with classes.

use super::*;

#[test]
fn a_diffusion_prior_samples() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let sample = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        on(
            "sample",
            "prior",
            &out,
            &[&["--sampling-steps", "4"], arguments].concat(),
        )
        .assert()
        .success();
        out
    };
    let out = sample("a", &["--count", "5"]);
    let file = out.join("samples.safetensors");
    let image = vec![5, 3, SIZE, SIZE];
    let expected = [
        ("codes", vec![5, GRID, GRID]),
        ("images", image),
        ("z0", vec![5, GRID, GRID, DIM]),
    ];
    assert_eq!(
        shapes(&file),
        expected.map(|(name, shape)| (name.to_string(), shape))
    );
    let drawn = tensors(&file);
    assert!(
        floats(&drawn["images"].1)
            .iter()
            .all(|v| (-1.0..=1.0).contains(v))
    );
    let vectors = floats(&checkpoint(&runs().join("vqvae")).1["codebook.vectors"]);
    assert_eq!(
        codes(&drawn["codes"].1),
        nearest(&floats(&drawn["z0"].1), &vectors),
        "the nearest code of each latent"
    );
    let text = said(&out.join("samples.png"));
    for (key, value) in [
        ("seed", "0"),
        ("sampler", "dpmpp2m"),
        ("steps", "4"),
        ("stage", "prior"),
        ("training_steps", "2"),
    ] {
        assert_eq!(text[key], value, "{key}");
        // Numbers are JSON numbers there.
        let told = &summary(&out)[key];
        assert_eq!(
            told.as_str()
                .map_or_else(|| told.to_string(), str::to_string),
            value,
            "{key}"
        );
    }
    assert_eq!(text["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(Path::new(&text["run"]), runs().join("prior"));
    assert_eq!(
        image::open(out.join("samples.png"))
            .expect("a picture")
            .width(),
        5 * 130 + 2
    );

    // The same again, part of it, another seed, another sampling rule for codes.
    let again = sample("b", &["--count", "5"]);
    for name in ["samples.safetensors", "samples.png"] {
        assert_eq!(
            std::fs::read(again.join(name)).ok(),
            std::fs::read(out.join(name)).ok(),
            "{name}"
        );
    }
    let fewer = tensors(&sample("c", &["--count", "3"]).join("samples.safetensors"));
    assert_eq!(fewer["z0"].1[..], drawn["z0"].1[..fewer["z0"].1.len()]);
    let other = tensors(&sample("d", &["--count", "5", "--seed", "1"]).join("samples.safetensors"));
    assert_ne!(other["z0"], drawn["z0"]);
    // Rounding may decide between two equally near code vectors, hence a share.
    for (temperature, cold) in [("1e-10", true), ("100", false)] {
        let soft = sample(
            temperature,
            &[
                "--count",
                "5",
                "--codes",
                "softmax",
                "--temperature",
                temperature,
            ],
        );
        let soft = tensors(&soft.join("samples.safetensors"));
        assert_eq!(soft["z0"], drawn["z0"]);
        let soft = codes(&soft["codes"].1);
        let nearest = codes(&drawn["codes"].1);
        let equal = soft.iter().zip(&nearest).filter(|(a, b)| a == b).count();
        assert_eq!(
            equal * 20 >= nearest.len() * 19,
            cold,
            "τ = {temperature}: {equal} of {}",
            nearest.len()
        );
    }
    for sampler in ["ancestral", "ddim"] {
        let other = tensors(
            &sample(sampler, &["--count", "5", "--sampler", sampler]).join("samples.safetensors"),
        );
        assert_ne!(other["z0"], drawn["z0"], "{sampler}");
    }
}

#[test]
fn a_pixelcnn_samples_with_kept_activations_as_without() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [cached, naive] = ["cached", "naive"].map(|way| {
        let out = folder.path().join(way);
        on(
            "sample",
            "pixelcnn",
            &out,
            &["--count", "3", "--pixelcnn-sampler", way],
        )
        .assert()
        .success();
        assert_eq!(said(&out.join("samples.png"))["sampler"], "raster");
        out.join("samples.safetensors")
    });
    assert_eq!(
        shapes(&cached),
        [
            ("codes", vec![3, GRID, GRID]),
            ("images", vec![3, 3, SIZE, SIZE])
        ]
        .map(named)
    );
    assert_eq!(
        std::fs::read(&cached).expect("samples"),
        std::fs::read(&naive).expect("samples")
    );
}

#[test]
fn classes_are_told_to_both_priors() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = runs().join("data");
    let vqvae = runs().join("vqvae");
    for stage in ["prior", "pixelcnn"] {
        let run = folder.path().join(stage);
        let mut command = from(train(stage, &data, &run, 3), &vqvae);
        // Steps large enough that a class makes a noticeable difference.
        let [lr, warmup] = ["lr=0.3", "warmup=1"].map(|set| format!("stages.{stage}.{set}"));
        command
            .args(["--set", "classes=10", "--set", &lr, "--set", &warmup])
            .assert()
            .success();
        let call = |name: &str, arguments: &[&str]| {
            let mut call = program();
            call.arg("sample")
                .arg(&run)
                .arg("--out")
                .arg(folder.path().join(name))
                .args(["--count", "8"]);
            call.args(if stage == "prior" {
                &["--sampling-steps", "4"][..]
            } else {
                &[]
            })
            .args(arguments);
            call
        };
        let key = if stage == "prior" { "z0" } else { "codes" };
        let sample = |name: &str, arguments: &[&str]| {
            call(name, arguments).assert().success();
            tensors(&folder.path().join(name).join("samples.safetensors"))[key].clone()
        };
        let third = sample("a", &["--class", "3"]);
        assert_ne!(third, sample("b", &["--class", "4"]), "{stage}");
        assert_eq!(said(&folder.path().join("a/samples.png"))["class"], "3");
        fails(
            call("c", &["--class", "10"]),
            2,
            "not one of its classes 0 to 9",
        );
        let guided = ["--class", "3", "--guidance", "2"];
        match stage {
            "prior" => {
                assert_ne!(third, sample("d", &guided));
                assert_eq!(
                    sample("e", &["--class", "3", "--guidance", "0"]),
                    sample("f", &[]),
                    "no class"
                );
                fails(
                    call("g", &["--class", "3", "--guidance", "3e38"]),
                    10,
                    "--guidance 3e38 makes the samples infinite",
                );
                assert!(!folder.path().join("g/samples.safetensors").exists());
                assert!(!folder.path().join("g/samples.png").exists());
            }
            _ => fails(call("d", &guided), 2, "for diffusion priors"),
        }
    }
}
