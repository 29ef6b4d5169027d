//! Training of the image models as a user sees it, on a tiny data set in CIFAR-10's format. Needs a
//! GPU adapter.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, data_set, from, program, train};
use predicates::str::contains;

/// Lines of the log that hold `key`.
fn logged(run: &Path, key: &str) -> usize {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    text.lines()
        .filter(|line| line.contains(&format!("\"{key}\":")))
        .count()
}

/// Kills the training once it has saved a checkpoint, unless it finishes first.
fn kill_once_saved(mut command: Command, run: &Path) {
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let saved = run.join("checkpoint.safetensors");
    while !saved.exists()
        && child
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().expect("it is gone");
    assert!(saved.exists(), "no checkpoint in {}", run.display());
}

#[test]
fn every_stage_trains_resumes_to_the_same_bits_and_draws() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let vqvae = folder.path().join("vqvae-straight");
    for (stage, picture, held_out) in [
        ("vqvae", "reconstructions", "held_out_psnr"),
        ("prior", "samples", "held_out_loss"),
        ("pixelcnn", "samples", "held_out_bits_per_code"),
        ("joint", "samples", "held_out_psnr"),
    ] {
        let [straight, broken] =
            ["straight", "broken"].map(|name| folder.path().join(format!("{stage}-{name}")));
        let build = |out: &Path, steps: u64| match stage {
            "vqvae" => train(stage, &data, out, steps),
            _ => from(train(stage, &data, out, steps), &vqvae),
        };
        build(&straight, 6).assert().success();
        assert!(
            straight.join(format!("{picture}-000004.png")).exists()
                && logged(&straight, held_out) == 2,
            "{stage}"
        );
        assert_eq!(logged(&straight, "loss"), 6, "{stage}");
        kill_once_saved(build(&broken, 6), &broken);
        // Resumes from the copy of the VQ-VAE in the run directory, or for joint training from the
        // checkpoint alone.
        let mut again = train(stage, &data, &broken, 6);
        again.arg("--resume").assert().success();
        assert_eq!(checkpoint(&broken), checkpoint(&straight), "{stage}");
    }
}

/// ‖a − b‖ / ‖a‖ over all tensors of two checkpoints whose names begin with `prefix`.
fn difference(a: &Path, b: &Path, prefix: &str) -> f64 {
    let values = |run: &Path| -> Vec<f64> {
        let tensors = checkpoint(run)
            .1
            .into_iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let bytes: Vec<u8> = tensors.flat_map(|(_, bytes)| bytes).collect();
        bytes
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect()
    };
    let a = values(a);
    let b = values(b);
    assert!(
        a.len() == b.len() && !a.is_empty(),
        "{prefix}: {} and {} numbers",
        a.len(),
        b.len()
    );
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied())
}

#[test]
fn a_batch_in_parts_is_the_same_step() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let vqvae = folder.path().join("vqvae-1");
    for stage in ["vqvae", "prior", "pixelcnn", "joint"] {
        let [whole, parts] = [1, 4].map(|accumulate| {
            let out = folder.path().join(format!("{stage}-{accumulate}"));
            let mut command = train(stage, &data, &out, 3);
            command.args([
                "--set",
                "unet.dropout=0.3",
                "--set",
                &format!("stages.{stage}.batch=8"),
            ]);
            command.args(["--set", &format!("stages.{stage}.accumulate={accumulate}")]);
            // A slow warmup, because at the full learning rate rounding errors grow within two
            // steps.
            command.args(["--set", &format!("stages.{stage}.warmup=100")]);
            let mut command = if stage == "vqvae" {
                command
            } else {
                from(command, &vqvae)
            };
            command.assert().success();
            out
        });
        // The first moment is the running mean of the gradients, so different noise, levels or
        // dropout would change all of it.
        let moments = difference(&whole, &parts, "adam.first");
        assert!(moments < 1e-3 && moments > 0.0, "{stage}: {moments}");
        if ["vqvae", "joint"].contains(&stage) {
            let codes = difference(&whole, &parts, "codebook");
            assert!(codes < 1e-4, "{codes}");
        }
    }
}

fn set(mut command: Command, sets: &[&str]) -> Command {
    sets.iter().for_each(|set| _ = command.args(["--set", set]));
    command
}

/// The numbers of a checkpoint's tensor.
fn tensor(run: &Path, name: &str) -> Vec<f32> {
    let bytes = checkpoint(run)
        .1
        .remove(name)
        .unwrap_or_else(|| panic!("no {name} in {}", run.display()));
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

#[test]
fn the_modes_of_joint_training_reach_what_they_say() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 8);
    let [vqvae, prior] = ["vqvae", "prior"].map(|name| folder.path().join(name));
    train("vqvae", &data, &vqvae, 2).assert().success();
    // Trains a little, because a fresh U-Net ends in zeros and passes no gradient on.
    set(
        from(train("prior", &data, &prior, 6), &vqvae),
        &["stages.prior.warmup=1"],
    )
    .assert()
    .success();
    let joint = |name: &str, source: &Path, sets: &[&str]| {
        let out = folder.path().join(name);
        let command = from(train("joint", &data, &out, 1), source);
        set(set(command, &["stages.joint.clip=0"]), sets)
            .assert()
            .success();
        out
    };
    let plain = joint("plain", &prior, &[]);
    // Both sources were used: the prior's U-Net and moments, and its VQ-VAE's encoder.
    assert_eq!(tensor(&plain, "latents.std"), tensor(&prior, "latents.std"));
    let fresh = joint("fresh", &vqvae, &[]);
    assert!(difference(&plain, &fresh, "model.prior") > 1e-3);
    assert_eq!(
        difference(&plain, &fresh, "adam.first.vqvae"),
        0.0,
        "the diffusion loss does not reach the VQ-VAE"
    );
    let encoder = "adam.first.vqvae.encoder";
    let decoder = "adam.first.vqvae.decoder";
    let unet = "adam.first.prior";
    let full = joint("full", &prior, &["joint.diffusion_gradient=full"]);
    let scale = ["joint.diffusion_gradient=scale", "joint.gradient_scale=0.5"];
    let half = joint("scale", &prior, &scale);
    let whole = difference(&plain, &full, encoder);
    let part = difference(&plain, &half, encoder);
    assert!(
        whole > 0.0 && (part / whole - 0.5).abs() < 0.02,
        "{part} of {whole}"
    );
    let kl = joint(
        "kl",
        &prior,
        &["joint.regulariser=kl", "joint.regulariser_weight=1"],
    );
    let gamma = joint(
        "gamma",
        &prior,
        &["joint.regulariser=gamma", "joint.regulariser_weight=1"],
    );
    assert!(difference(&plain, &kl, encoder) > 1e-3 && difference(&kl, &gamma, encoder) > 1e-3);
    assert!(logged(&kl, "regulariser") == 1 && logged(&plain, "regulariser") == 0);
    let start = joint("data", &prior, &["joint.diffuse=data"]);
    assert!(difference(&plain, &start, unet) > 1e-3 && difference(&plain, &start, encoder) == 0.0);
    for run in [&full, &half, &kl, &gamma, &start] {
        assert_eq!(difference(&plain, run, decoder), 0.0, "{}", run.display());
    }
    let slow = joint("slow", &prior, &["joint.vqvae_lr=0"]);
    let weight = "encoder.conv_in.weight";
    assert_eq!(
        tensor(&slow, &format!("model.vqvae.{weight}")),
        tensor(&vqvae, &format!("ema.{weight}"))
    );
    assert!(difference(&slow, &plain, "model.vqvae.encoder") > 0.0);
}

#[test]
fn the_use_of_codes_is_counted_by_epochs() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let out = folder.path().join("run");
    // 49 images: two epochs, each ending within a batch, and one more image.
    set(train("vqvae", &data, &out, 7), &["stages.vqvae.batch=7"])
        .assert()
        .success();
    assert_eq!(tensor(&out, "epoch.hits").iter().sum::<f32>(), 64.0);
    let [number, perplexity, used] = tensor(&out, "epoch.last")[..] else {
        panic!("three numbers")
    };
    assert!(
        number == 2.0 && (1.0..=used).contains(&perplexity) && used <= 16.0,
        "{number} {perplexity} {used}"
    );
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics.jsonl");
    let epochs = |n: u64| {
        text.lines()
            .filter(|line| line.contains(&format!("\"epoch\":{n},")))
            .count()
    };
    assert_eq!(
        [epochs(1), epochs(2), logged(&out, "epoch_perplexity")],
        [3, 1, 4]
    );
}

#[test]
fn kept_latents_give_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 8);
    let vqvae = folder.path().join("vqvae");
    let cache = folder.path().join("cache");
    train("vqvae", &data, &vqvae, 2).assert().success();
    let run = |stage: &str, name: &str, sets: &[&str]| {
        let out = folder.path().join(name);
        let mut command = set(from(train(stage, &data, &out, 4), &vqvae), sets);
        command.env("XDG_CACHE_HOME", &cache).assert().success();
        checkpoint(&out)
    };
    let latents = cache.join("dbvq-wgpu/latents");
    for stage in ["prior", "pixelcnn"] {
        let without = run(
            stage,
            &format!("{stage}-without"),
            &["stages.latent_cache=false"],
        );
        assert!(stage == "pixelcnn" || !latents.exists());
        assert_eq!(run(stage, &format!("{stage}-cold"), &[]), without);
        assert_eq!(run(stage, &format!("{stage}-warm"), &[]), without);
    }
    let files: Vec<PathBuf> = std::fs::read_dir(&latents)
        .expect("a folder")
        .flatten()
        .map(|e| e.path())
        .collect();
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let kept = std::fs::read(file).expect("the cache");
    // 8 images, plain and mirrored: a checksum and 8 x 8 latents of 4 channels.
    let slot = 16 + 8 * 8 * 4 * 4;
    assert_eq!(kept.len(), 16 * slot);
    let written = kept
        .chunks(slot)
        .filter(|slot| slot.iter().any(|&byte| byte != 0))
        .count();
    assert!((8..=16).contains(&written), "{written}");
    let plain = run("prior", "again", &[]);
    let change = |name: &str, right_sums: bool| {
        let mut bytes = kept.clone();
        for (number, slot) in bytes.chunks_mut(slot).enumerate() {
            slot[16..]
                .chunks_exact_mut(4)
                .for_each(|value| value.copy_from_slice(&0.5f32.to_le_bytes()));
            if right_sums {
                let sum = blake3::Hasher::new()
                    .update(&(number as u64).to_le_bytes())
                    .update(&slot[16..])
                    .finalize();
                slot[..16].copy_from_slice(&sum.as_bytes()[..16]);
            }
        }
        std::fs::write(file, bytes).expect("the cache");
        run("prior", name, &[])
    };
    assert_ne!(change("believed", true), plain, "what is kept is used");
    assert_eq!(
        change("damaged", false),
        plain,
        "but not if its checksum is wrong"
    );
}

#[test]
fn what_is_missing_or_does_not_fit_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 8);
    let out = |name: &str| folder.path().join(name);
    let fails = |mut command: Command, code: i32, words: &str| {
        command
            .assert()
            .code(code)
            .stderr(contains(words))
            .stderr(contains("panicked").count(0));
    };
    let vqvae = out("vqvae");
    train("vqvae", &data, &vqvae, 2).assert().success();
    fails(train("prior", &data, &out("a"), 2), 2, "--from");
    fails(
        from(train("prior", &data, &out("b"), 2), &out("nowhere")),
        7,
        "there is no checkpoint",
    );
    let mut other = from(train("prior", &data, &out("c"), 2), &vqvae);
    other.args(["--set", "vqvae.codes=32"]);
    fails(other, 3, "`vqvae.codes = 32` is not what --from");
    let mut small = train("vqvae", &data, &out("e"), 2);
    small.args(["--set", "vqvae.size=84"]);
    fails(small, 8, "its images are 32×32");
    fails(
        train("vqvae", &out("no-data"), &out("f"), 2),
        8,
        "is not a folder",
    );
    let mut nothing = program();
    nothing
        .args(["train", "cifar10-small", "--steps", "3", "--out"])
        .arg(out("g"));
    fails(nothing, 2, "--stage");
    let mut toy = program();
    toy.args(["train", "toy", "--stage", "prior", "--out"])
        .arg(out("h"));
    fails(toy, 2, "is a toy");
    // A run directory may not lie inside the images, nor may a run continue with other images.
    fails(
        train("vqvae", &out(""), &out("l"), 2),
        2,
        "is inside the image folder",
    );
    std::fs::create_dir(out("empty")).expect("a folder");
    fails(
        train("vqvae", &out("empty"), &out("empty/../beside"), 2),
        8,
        "no images here",
    );
    let mut other = train("vqvae", &data_set(&out("more"), 9), &vqvae, 4);
    other.arg("--resume");
    fails(other, 8, "not the images that the run began with");
    // A prior cannot serve as the VQ-VAE to build on.
    let prior = out("prior");
    from(train("prior", &data, &prior, 2), &vqvae)
        .assert()
        .success();
    fails(
        from(train("pixelcnn", &data, &out("i"), 2), &prior),
        7,
        "is not a VQ-VAE of this preset",
    );
    fails(train("joint", &data, &out("j"), 2), 2, "--from");
    let pixelcnn = out("pixelcnn");
    from(train("pixelcnn", &data, &pixelcnn, 2), &vqvae)
        .assert()
        .success();
    fails(
        from(train("joint", &data, &out("k"), 2), &pixelcnn),
        7,
        "is neither a VQ-VAE nor a prior of this preset",
    );
    // If the newest checkpoint is damaged, the one before it is built on.
    let longer = out("longer");
    train("vqvae", &data, &longer, 4).assert().success();
    std::fs::write(longer.join("checkpoint.safetensors"), "damaged").expect("a checkpoint");
    from(train("prior", &data, &out("m"), 2), &longer)
        .assert()
        .success()
        .stderr(contains("the previous checkpoint, step 2"));
    let mut again = from(train("prior", &data, &out("m"), 2), &longer);
    again.arg("--resume").assert().success();
    // Which images they were is not guessed.
    std::fs::write(vqvae.join("data.txt"), [0xff]).expect("a file");
    let mut unknown = train("vqvae", &data, &vqvae, 4);
    unknown.arg("--resume");
    fails(unknown, 9, "data.txt");
}

#[test]
fn runs_that_know_their_images_by_former_checksums_go_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&dir.path().join("data"), 20);
    let run = dir.path().join("run");
    train("vqvae", &data, &run, 2).assert().success();
    let now = std::fs::read_to_string(run.join("data.txt")).expect("what the run keeps");
    assert!(
        now.starts_with("folder: ") && now.contains("train: 20 images of 32x32, checksum "),
        "{now}"
    );
    let splits = dbvq_wgpu::data::open(&data, None, &dbvq_wgpu::data::Reading::default())
        .expect("a data set");
    let sets = [
        ("train", splits.train),
        ("held out", splits.test.expect("a test batch")),
    ];
    let line = |(name, set): &(&str, dbvq_wgpu::data::ImageSet)| {
        let checksum = set.checksum_of_pixels().expect("in memory");
        format!(
            "{name}: {} pictures of 32x32, blake3 {checksum}\n",
            set.len()
        )
    };
    let former: String = sets.iter().map(line).collect();
    std::fs::write(run.join("data.txt"), former.replace("blake3 ", "blake3 0")).expect("a file");
    let resumed = || {
        let mut command = train("vqvae", &data, &run, 4);
        command.arg("--resume");
        command
    };
    resumed()
        .assert()
        .code(8)
        .stderr(contains("not the images that the run began with"));
    std::fs::write(run.join("data.txt"), former).expect("a file");
    resumed().assert().success();
    assert_eq!(
        std::fs::read_to_string(run.join("data.txt")).expect("it is there"),
        now
    );
}
