//! Refusals, each in one sentence.

use super::*;

#[test]
fn what_does_not_fit_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, ..] = files(folder.path());
    let fits = text(&fits);
    let out = folder.path().join("out");
    let call = |command: &str, run: &str, arguments: &[&str]| on(command, run, &out, arguments);
    fails(call("sample", "vqvae", &[]), 2, "is a run of stage vqvae");
    fails(call("sample", "nowhere", &[]), 7, "is not a run directory");
    fails(
        call("sample", "prior", &["--sampling-steps", "41"]),
        2,
        "ask for 1 to 40",
    );
    fails(
        call("sample", "prior", &["--temperature", "1"]),
        2,
        "--codes softmax",
    );
    fails(
        call(
            "sample",
            "prior",
            &["--codes", "softmax", "--temperature", "0"],
        ),
        2,
        "--temperature 0",
    );
    fails(
        call("sample", "prior", &["--class", "3"]),
        2,
        "trained with classes",
    );
    fails(
        call("sample", "prior", &["--pixelcnn-sampler", "naive"]),
        2,
        "for runs of pixelcnn",
    );
    fails(
        call("sample", "pixelcnn", &["--sampler", "ddim"]),
        2,
        "one after another",
    );
    fails(
        call("reconstruct", "vqvae", &[]),
        2,
        "--data DIR or --images FILE",
    );
    fails(
        call("reconstruct", "vqvae", &["--images", "nowhere.png"]),
        8,
        "nowhere.png",
    );
    let hole = ["--known", fits, "--mask"];
    let inpaint = |run: &str, arguments: &[&str]| call("inpaint", run, arguments);
    fails(inpaint("prior", &["--known", fits]), 2, "needs --mask");
    fails(
        inpaint("prior", &[&hole[..], &["below"]].concat()),
        2,
        "centre:N",
    );
    fails(
        inpaint("prior", &[&hole[..], &["centre:8"]].concat()),
        2,
        "the hole covers everything",
    );
    fails(
        inpaint(
            "prior",
            &[&hole[..], &["left", "--prior", "pixelcnn"]].concat(),
        ),
        2,
        "not --prior pixelcnn",
    );
    fails(
        inpaint(
            "pixelcnn",
            &[&hole[..], &["left", "--resample", "2"]].concat(),
        ),
        2,
        "raster order",
    );
    fails(
        inpaint("vqvae", &[&hole[..], &["left"]].concat()),
        2,
        "no prior to fill with",
    );
    fails(
        inpaint("prior", &["--known", "no.png", "--mask", "left"]),
        8,
        "no.png",
    );
    let tall = folder.path().join("tall.png");
    GrayImage::new(8, 32).save(&tall).expect("a temporary file");
    fails(
        inpaint("prior", &[&hole[..], &[text(&tall)]].concat()),
        2,
        "128 of 255 or more; the most is 0",
    );
    fails(
        inpaint("prior", &[&hole[..], &["none.png"]].concat()),
        8,
        "none.png",
    );
    fails(
        inpaint(
            "prior",
            &[&hole[..], &["left", "--sampler", "dpmpp2m"]].concat(),
        ),
        2,
        "takes only ancestral steps",
    );
    fails(
        inpaint("prior", &[&hole[..], &["left", "--scale", "0"]].concat()),
        2,
        "--scale 0 must be 1 to 128",
    );
    fails(
        call("chain", "prior", &["--sampler", "ddim"]),
        2,
        "takes only ancestral steps",
    );
    fails(
        call("sample", "prior", &["--guidance", "-1", "--class", "0"]),
        2,
        "0 or above",
    );
    fails(
        call(
            "sample",
            "prior",
            &["--codes", "softmax", "--temperature", "1e-300"],
        ),
        2,
        "1e-20 to 1e20",
    );
    fails(
        call("sample", "prior", &["--count", "256", "--scale", "99999"]),
        2,
        "--scale 99999",
    );
    assert!(!out.exists(), "what is refused leaves no folder");
    fails(
        call("chain", "pixelcnn", &[]),
        2,
        "chains need a diffusion prior",
    );
    fails(call("chain", "prior", &["--mask", "left"]), 2, "--known");
    fails(
        call("chain", "prior", &["--from-step", "41"]),
        2,
        "levels are 1 to 40",
    );
    fails(call("figures", "prior", &[]), 2, "serves the toy");
    // A run whose files are inconsistent or damaged.
    let broken = folder.path().join("broken");
    std::fs::create_dir_all(&broken).expect("a folder");
    let copy = |from: &str, file: &str| {
        std::fs::copy(runs().join(from).join(file), broken.join(file)).expect("a copy")
    };
    let sample = || {
        let mut command = program();
        command.arg("sample").arg(&broken).arg("--out").arg(&out);
        command
    };
    copy("prior", "config.toml");
    fails(sample(), 7, "there is no checkpoint");
    copy("pixelcnn", "checkpoint.safetensors");
    fails(sample(), 7, "does not match the config.toml");
    copy("prior", "checkpoint.safetensors");
    fails(sample(), 7, "vqvae.safetensors");
    copy("prior", "vqvae.safetensors");
    sample()
        .args(["--count", "1", "--sampling-steps", "1"])
        .assert()
        .success();
    let file = broken.join("checkpoint.safetensors");
    let bytes = std::fs::read(&file).expect("a checkpoint");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("a temporary file");
    fails(sample(), 7, "damaged");
    std::fs::write(broken.join("config.toml"), "stage = \"other\"\n").expect("a temporary file");
    fails(sample(), 3, "names no stage");
}

#[test]
fn the_toy_refuses_what_only_image_runs_have() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let run = folder.path().join("toy");
    let out = folder.path().join("out");
    common::training("toy", &run, 2, 2).assert().success();
    let call = |command: &str, arguments: &[&str]| {
        let mut call = program();
        call.arg(command)
            .arg(&run)
            .arg("--out")
            .arg(&out)
            .args(arguments);
        call
    };
    fails(
        call("sample", &["--class", "0"]),
        2,
        "needs a run that was trained with classes",
    );
    fails(
        call("inpaint", &["--known", "0=0", "--mask", "left"]),
        2,
        "--mask is for runs on images and codes",
    );
    fails(
        call("inpaint", &["--known", "0=0", "--paste"]),
        2,
        "keeps image pixels",
    );
    fails(call("sample", &["--scale", "2"]), 2, "for runs on images");
    fails(call("inpaint", &["--known", "0=0", "4=4"]), 2, "one list");
    fails(
        call("reconstruct", &["--images", "a.png"]),
        2,
        "is for runs on images and codes",
    );
}
