//! `reconstruct`, `inpaint` and `chain`.

use super::*;

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
    // The same image except in the hole.
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
    // A hole drawn by hand, as a mask.
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
