//! The commands on trained image runs as a user meets them, with networks as small as can be. Needs
//! a GPU adapter.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, codes, data_set, floats, from, program, tensors, train};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use predicates::str::contains;
use serde_json::Value;

/// Sides of images and of latents, channels of a latent, codes.
const SIZE: usize = 32;
const GRID: usize = 8;
const DIM: usize = 4;
const CODES: usize = 16;

/// A folder with `data` and a run of each stage, made once.
fn runs() -> &'static Path {
    static RUNS: OnceLock<PathBuf> = OnceLock::new();
    RUNS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-commands");
        let _ = std::fs::remove_dir_all(&folder);
        let data = data_set(&folder.join("data"), 16);
        let vqvae = folder.join("vqvae");
        train("vqvae", &data, &vqvae, 4).assert().success();
        for stage in ["prior", "pixelcnn"] {
            from(train(stage, &data, &folder.join(stage), 2), &vqvae)
                .assert()
                .success();
        }
        folder
    })
}

/// `COMMAND RUN --out OUT ARGUMENTS`.
fn on(command: &str, run: &str, out: &Path, arguments: &[&str]) -> Command {
    let mut call = program();
    call.arg(command)
        .arg(runs().join(run))
        .arg("--out")
        .arg(out)
        .args(arguments);
    call
}

fn fails(mut command: Command, code: i32, words: &str) {
    command
        .assert()
        .code(code)
        .stderr(contains(words))
        .stderr(contains("panicked").count(0));
}

fn shapes(file: &Path) -> Vec<(String, Vec<usize>)> {
    tensors(file)
        .into_iter()
        .map(|(name, (shape, _))| (name, shape))
        .collect()
}

fn png(file: &Path) -> png::Reader<std::io::BufReader<std::fs::File>> {
    let file = std::io::BufReader::new(std::fs::File::open(file).expect("a picture"));
    png::Decoder::new(file).read_info().expect("a PNG file")
}

/// The text of a PNG file.
fn said(file: &Path) -> BTreeMap<String, String> {
    let reader = png(file);
    let latin = reader
        .info()
        .uncompressed_latin1_text
        .iter()
        .map(|t| (t.keyword.clone(), t.text.clone()));
    let more = reader
        .info()
        .utf8_text
        .iter()
        .map(|t| (t.keyword.clone(), t.get_text().expect("text")));
    latin.chain(more).collect()
}

fn summary(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("summary.json")).expect("a summary"))
        .expect("JSON")
}

/// The nearest vector of the codebook to each latent.
fn nearest(latents: &[f32], vectors: &[f32]) -> Vec<u32> {
    let distance =
        |z: &[f32], e: &[f32]| z.iter().zip(e).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let code = |z: &[f32]| {
        let by = |&k: &usize| distance(z, &vectors[k * DIM..][..DIM]);
        (0..CODES)
            .min_by(|a, b| by(a).total_cmp(&by(b)))
            .unwrap_or(0) as u32
    };
    latents.chunks_exact(DIM).map(code).collect()
}

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
        // Numbers are numbers there.
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

    // The same again, a part of it, another seed, another rule for codes.
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
    // Two code vectors may be as near as rounding tells, hence a share.
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

fn named((name, shape): (&str, Vec<usize>)) -> (String, Vec<usize>) {
    (name.to_string(), shape)
}

/// Picture files of all kinds: the model's size, a wide grey JPEG, a small transparent PNG.
fn files(folder: &Path) -> [PathBuf; 3] {
    let [fits, grey, clear] = ["fits.png", "grey.jpg", "clear.png"].map(|name| folder.join(name));
    let rgb = RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8 * 8, y as u8 * 8, 99]));
    let images: [DynamicImage; 3] = [
        rgb.into(),
        GrayImage::from_fn(60, 40, |x, _| Luma([x as u8 * 4])).into(),
        RgbaImage::from_pixel(7, 9, Rgba([200, 10, 10, 128])).into(),
    ];
    for (image, file) in images.iter().zip([&fits, &grey, &clear]) {
        image.save(file).expect("a temporary file");
    }
    [fits, grey, clear]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn every_stage_reconstructs_alike() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = runs().join("data");
    let [of_vqvae, of_prior] = ["vqvae", "prior"].map(|stage| {
        let out = folder.path().join(stage);
        on(
            "reconstruct",
            stage,
            &out,
            &["--data", text(&data), "--count", "5"],
        )
        .assert()
        .success()
        .stdout(contains("PSNR"))
        .stdout(contains("perplexity"));
        out
    });
    let pairs = tensors(&of_vqvae.join("reconstructions.safetensors"));
    assert_eq!(
        pairs,
        tensors(&of_prior.join("reconstructions.safetensors"))
    );
    assert_eq!(pairs["codes"].0, [5, GRID, GRID]);
    let originals = floats(&pairs["originals"].1);
    let images = floats(&pairs["images"].1);
    // The first record of the test batch, channels first as in its file.
    let record = std::fs::read(data.join("test_batch.bin")).expect("the data set");
    assert!(
        record[1..3073]
            .iter()
            .zip(&originals)
            .all(|(&a, &b)| f32::from(a) / 127.5 - 1.0 == b)
    );
    let squares = originals
        .iter()
        .zip(&images)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum::<f64>();
    let psnr = 10.0 * (4.0 / (squares / originals.len() as f64)).log10();
    let said = summary(&of_vqvae)["psnr"].as_f64().expect("a number");
    assert!((said - psnr).abs() < 1e-3, "{said} and {psnr}");

    let out = folder.path().join("files");
    let [fits, grey, clear] = files(folder.path());
    on(
        "reconstruct",
        "vqvae",
        &out,
        &["--images", text(&fits), text(&grey), text(&clear)],
    )
    .assert()
    .success()
    .stderr(contains("grey.jpg: 60×40, its middle is scaled to 32×32"))
    .stderr(contains("fits.png").count(0));
    let picture = image::open(out.join("reconstructions.png"))
        .expect("a picture")
        .into_rgb8();
    assert_eq!(
        picture.dimensions(),
        (3 * 130 + 2, 2 * 130 + 2),
        "originals above reconstructions"
    );
    assert_eq!(picture.get_pixel(2, 2).0, [0, 0, 99]);
    assert_eq!(summary(&out)["images"], 3);
}

#[test]
fn both_priors_fill_a_hole_and_leave_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, grey, _] = files(folder.path());
    // The same picture but for pixels of the hole.
    let secret = folder.path().join("secret.png");
    let mut picture = image::open(&fits).expect("a picture").into_rgb8();
    (8..24).for_each(|x| picture.put_pixel(x, 9, Rgb([255; 3])));
    picture.save(&secret).expect("a temporary file");
    for (run, kind) in [("prior", "diffusion"), ("pixelcnn", "pixelcnn")] {
        let fill = |name: &str, known: &[&Path], arguments: &[&str]| {
            let out = folder.path().join(format!("{run}-{name}"));
            let known: Vec<&str> = known.iter().map(|path| text(path)).collect();
            let steps: &[&str] = if run == "prior" {
                &["--sampling-steps", "4", "--resample", "2"]
            } else {
                &[]
            };
            let rest = [
                "--mask", "centre:4", "--prior", kind, "--count", "3", "--known",
            ];
            on(
                "inpaint",
                run,
                &out,
                &[steps, arguments, &rest, &known].concat(),
            )
            .assert()
            .success();
            out
        };
        let out = fill("a", &[&fits, &grey], &[]);
        let all = tensors(&out.join("samples.safetensors"));
        let known = floats(&all["known"].1);
        let cell = |at: usize| (2..6).contains(&(at / GRID)) && (2..6).contains(&(at % GRID));
        assert!(
            (0..GRID * GRID).all(|at| (known[at] == 0.0) == cell(at)),
            "{known:?}"
        );
        assert_eq!(all["codes"].0, [6, GRID, GRID]);
        let drawn = codes(&all["codes"].1);
        let fillings: Vec<&[u32]> = drawn.chunks_exact(GRID * GRID).collect();
        for (i, filling) in fillings.iter().enumerate() {
            let first = fillings[i / 3 * 3];
            assert!(
                (0..GRID * GRID).all(|at| cell(at) || filling[at] == first[at]),
                "what is known stays"
            );
        }
        assert!(
            fillings[0] != fillings[1] && fillings[3] != fillings[4],
            "{run}: fillings differ"
        );
        let picture = image::open(out.join("inpainting.png")).expect("a picture");
        let [wide, high] = [picture.width(), picture.height()];
        assert!(
            wide > 5 * 128 && high > 2 * 128 && high < 3 * 128,
            "original, masked, three fillings: {wide} x {high}"
        );
        let [seen, unseen] = [fill("b", &[&fits], &[]), fill("c", &[&secret], &[])];
        let [seen, unseen] = [seen, unseen].map(|out| tensors(&out.join("samples.safetensors")));
        assert_ne!(seen["originals"], unseen["originals"]);
        assert_eq!(
            seen["images"], unseen["images"],
            "{run}: the hole's own pixels play no role"
        );
        let other = tensors(&fill("d", &[&fits], &["--seed", "1"]).join("samples.safetensors"));
        assert_ne!(other["codes"], seen["codes"]);
    }
    // A hole drawn by hand.
    let mask = folder.path().join("mask.png");
    GrayImage::from_fn(32, 32, |x, y| {
        Luma([if x == 31 && y == 0 { 255 } else { 0 }])
    })
    .save(&mask)
    .expect("a file");
    let out = folder.path().join("by-hand");
    on(
        "inpaint",
        "pixelcnn",
        &out,
        &[
            "--count",
            "2",
            "--mask",
            text(&mask),
            "--known",
            text(&fits),
        ],
    )
    .assert()
    .success();
    let known = floats(&tensors(&out.join("samples.safetensors"))["known"].1);
    assert!(
        (0..GRID * GRID).all(|at| (known[at] == 0.0) == (at == GRID - 1)),
        "{known:?}"
    );
}

#[test]
fn chains_are_strips_and_animations() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, grey, _] = files(folder.path());
    let known = ["--known", text(&fits), text(&grey)];
    let masked = [&known[..], &["--mask", "left"]].concat();
    for (kind, rows, arguments) in [
        ("unconditional", 3, &["--count", "3"][..]),
        ("from data", 2, &known),
        ("conditional", 2, &masked),
    ] {
        let out = folder.path().join(kind);
        on(
            "chain",
            "prior",
            &out,
            &[&["--sampling-steps", "10", "--from-step", "21"], arguments].concat(),
        )
        .assert()
        .success();
        let all = tensors(&out.join("chain.safetensors"));
        let levels = codes(&all["levels"].1);
        assert_eq!(levels, [21, 20, 16, 12, 8, 4, 0], "{kind}");
        assert_eq!(all["images"].0, [7, rows, 3, SIZE, SIZE], "{kind}");
        let frames = floats(&all["images"].1);
        let frame = frames.len() / 7;
        assert_ne!(
            frames[..frame],
            frames[6 * frame..],
            "{kind}: something happens"
        );
        let strip = image::open(out.join("chain.png")).expect("a picture");
        let [wide, high] = [strip.width(), strip.height()];
        assert!(
            wide > 7 * 128 && high > 128 * rows as u32 && high < 128 * (rows as u32 + 1),
            "{wide} x {high}"
        );
        let control = png(&out.join("chain-animated.png"))
            .info()
            .animation_control
            .expect("an animation");
        assert_eq!(control.num_frames, 7);
        let text = said(&out.join("chain-animated.png"));
        assert_eq!(
            (text["chain"].as_str(), text["from_step"].as_str()),
            (kind, "21")
        );
    }
}

#[test]
fn what_does_not_fit_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, ..] = files(folder.path());
    let fits = text(&fits);
    let out = folder.path().join("out");
    let call = |command: &str, run: &str, arguments: &[&str]| on(command, run, &out, arguments);
    fails(call("sample", "vqvae", &[]), 2, "is a run of stage vqvae");
    fails(call("sample", "nowhere", &[]), 7, "is no run directory");
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
        "everything is hole",
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
        "takes ancestral steps",
    );
    fails(
        inpaint("prior", &[&hole[..], &["left", "--scale", "0"]].concat()),
        2,
        "--scale 0 must be 1 to 128",
    );
    fails(
        call("chain", "prior", &["--sampler", "ddim"]),
        2,
        "takes ancestral steps",
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
        "chains are of a diffusion prior",
    );
    fails(call("chain", "prior", &["--mask", "left"]), 2, "--known");
    fails(
        call("chain", "prior", &["--from-step", "41"]),
        2,
        "levels are 1 to 40",
    );
    fails(call("figures", "prior", &[]), 2, "serves the toy");
    // A run whose files do not belong together, or are damaged.
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
    fails(sample(), 7, "is of another configuration");
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
        call("sample", &["--codes", "softmax"]),
        2,
        "are for image runs",
    );
    fails(
        call("inpaint", &["--known", "0=0", "--mask", "left"]),
        2,
        "are for image runs",
    );
    fails(
        call("inpaint", &["--known", "0=0", "--paste"]),
        2,
        "are for image runs",
    );
    fails(call("sample", &["--scale", "2"]), 2, "are for image runs");
    fails(call("inpaint", &["--known", "0=0", "4=4"]), 2, "one list");
    fails(
        call("reconstruct", &["--images", "a.png"]),
        2,
        "serves image runs",
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
        // Steps large enough that what a class adds is no longer next to nothing.
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
            "none of its classes 0 to 9",
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
                    "--guidance 3e38 drives the samples out",
                );
                assert!(!folder.path().join("g/samples.safetensors").exists());
                assert!(!folder.path().join("g/samples.png").exists());
            }
            _ => fails(call("d", &guided), 2, "for diffusion priors"),
        }
    }
}
