//! What the commands draw from trained image runs, and the masks that users draw for them. Needs a
//! GPU adapter.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::assert::OutputAssertExt;
use common::{data_set, floats, from, program, tensors, train};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use predicates::str::contains;

/// Side of images.
const SIZE: usize = 32;

/// A run of stage pixelcnn, made once.
fn run() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drawing");
        let _ = std::fs::remove_dir_all(&folder);
        let data = data_set(&folder.join("data"), 16);
        let vqvae = folder.join("vqvae");
        train("vqvae", &data, &vqvae, 4).assert().success();
        from(
            train("pixelcnn", &data, &folder.join("pixelcnn"), 2),
            &vqvae,
        )
        .assert()
        .success();
        folder.join("pixelcnn")
    })
}

/// `COMMAND RUN --out OUT ARGUMENTS`.
fn on(command: &str, out: &Path, arguments: &[&str]) -> Command {
    let mut call = program();
    call.arg(command)
        .arg(run())
        .arg("--out")
        .arg(out)
        .args(arguments);
    call
}

/// An image of the model's size, and a wide grey one.
fn files(folder: &Path) -> [PathBuf; 2] {
    let [fits, grey] = ["fits.png", "grey.jpg"].map(|name| folder.join(name));
    RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8 * 8, y as u8 * 8, 99]))
        .save(&fits)
        .expect("a temporary file");
    GrayImage::from_fn(60, 40, |x, _| Luma([x as u8 * 4]))
        .save(&grey)
        .expect("a temporary file");
    [fits, grey]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// The text chunk `key` of a PNG file.
fn said(file: &Path, key: &str) -> Option<String> {
    let file = std::io::BufReader::new(std::fs::File::open(file).expect("a picture"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG file");
    let texts = &reader.info().uncompressed_latin1_text;
    texts
        .iter()
        .find(|text| text.keyword == key)
        .map(|text| text.text.clone())
}

#[test]
fn what_is_known_is_pasted_on_demand() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, grey] = files(folder.path());
    let fill = |name: &str, arguments: &[&str]| {
        let out = folder.path().join(name);
        let rest = [
            "--mask",
            "left",
            "--count",
            "2",
            "--known",
            text(&fits),
            text(&grey),
        ];
        on("inpaint", &out, &[arguments, &rest].concat())
            .assert()
            .success();
        tensors(&out.join("samples.safetensors"))
    };
    let [plain, pasted] = [fill("plain", &[]), fill("pasted", &["--paste"])];
    assert_eq!(plain["codes"], pasted["codes"]);
    let [plain, images, originals] =
        [&plain["images"], &pasted["images"], &pasted["originals"]].map(|tensor| floats(&tensor.1));
    let hole = |at: usize| at % SIZE < SIZE / 2;
    for (i, &value) in images.iter().enumerate() {
        let filling = i / (3 * SIZE * SIZE);
        let at = i % (3 * SIZE * SIZE);
        let wanted = if hole(at) {
            plain[i]
        } else {
            originals[filling / 2 * 3 * SIZE * SIZE + at]
        };
        assert_eq!(value, wanted, "filling {filling}, number {at}");
    }
    assert_ne!(
        plain, images,
        "the decoder does not give the known part back"
    );
    assert_eq!(
        said(&folder.path().join("pasted/inpainting.png"), "paste").as_deref(),
        Some("true")
    );
}

#[test]
fn pictures_are_drawn_as_large_and_apart_as_is_asked() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, _] = files(folder.path());
    let drawn = |command: &str, arguments: &[&str]| {
        let out = folder
            .path()
            .join(arguments.concat().replace('/', ""))
            .join(command);
        on(command, &out, arguments).assert().success();
        out
    };
    let size = |file: PathBuf| {
        image::open(file)
            .expect("a picture")
            .into_rgb8()
            .dimensions()
    };
    let out = drawn("sample", &["--count", "3", "--scale", "1", "--separate"]);
    assert_eq!(size(out.join("samples.png")), (3 * 34 + 2, 34 + 2));
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("a file").file_name());
        let mut names: Vec<String> = entries
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(out.join("samples")),
        ["000000.png", "000001.png", "000002.png"]
    );
    // Each file equals its sample up to 8-bit rounding.
    let images = floats(&tensors(&out.join("samples.safetensors"))["images"].1);
    let second = image::open(out.join("samples/000001.png"))
        .expect("a picture")
        .into_rgb8();
    for (x, y, pixel) in second.enumerate_pixels() {
        for c in 0..3 {
            let value = images[((3 + c) * SIZE + y as usize) * SIZE + x as usize];
            assert_eq!(
                pixel.0[c],
                ((value + 1.0) * 127.5).round() as u8,
                "{x} {y} {c}"
            );
        }
    }
    assert_eq!(
        said(&out.join("samples/000001.png"), "stage").as_deref(),
        Some("pixelcnn")
    );
    let out = drawn(
        "reconstruct",
        &["--scale", "3", "--separate", "--images", text(&fits)],
    );
    assert_eq!(size(out.join("reconstructions.png")), (98 + 2, 2 * 98 + 2));
    assert_eq!(size(out.join("reconstructions/000000.png")), (96, 96));
    // More rows than columns stand side by side.
    let known = ["--known"]
        .into_iter()
        .chain(std::iter::repeat_n(text(&fits), 30));
    let rest = [
        "--mask",
        "left",
        "--count",
        "1",
        "--separate",
        "--scale",
        "1",
    ];
    let arguments: Vec<&str> = rest.into_iter().chain(known).collect();
    let out = folder.path().join("many");
    on("inpaint", &out, &arguments)
        .assert()
        .success()
        .stdout(contains("for each of 30 originals"));
    let (wide, high) = size(out.join("inpainting.png"));
    assert!(high < 15 * 40 && wide > 3 * 3 * 32, "{wide} x {high}");
    assert_eq!(names(out.join("fillings")).len(), 30);
}

#[test]
fn masks_of_drawing_programs_cut_the_same_hole() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [fits, _] = files(folder.path());
    let inside =
        |x: u32, y: u32, side: u32| [x, y].iter().all(|v| (side / 4..side * 3 / 4).contains(v));
    let masks: [(&str, DynamicImage); 4] = [
        (
            "brush.png",
            RgbaImage::from_fn(32, 32, |x, y| {
                Rgba([255, 255, 255, 255 * u8::from(inside(x, y, 32))])
            })
            .into(),
        ),
        (
            "red.png",
            RgbImage::from_fn(8, 8, |x, y| Rgb([255 * u8::from(inside(x, y, 8)), 0, 0])).into(),
        ),
        (
            "labels.png",
            GrayImage::from_fn(300, 300, |x, y| Luma([u8::from(inside(x, y, 300))])).into(),
        ),
        (
            "photo.jpg",
            GrayImage::from_fn(96, 96, |x, y| Luma([255 * u8::from(inside(x, y, 96))])).into(),
        ),
    ];
    let fill = |name: &str, mask: &str| {
        let out = folder.path().join(format!("out-{name}"));
        let call = on(
            "inpaint",
            &out,
            &["--count", "1", "--mask", mask, "--known", text(&fits)],
        );
        (
            { call }.assert().success(),
            tensors(&out.join("samples.safetensors"))["known"].clone(),
        )
    };
    let (_, wanted) = fill("centre", "centre:4");
    for (name, picture) in masks {
        let file = folder.path().join(name);
        picture.save(&file).expect("a temporary file");
        let (outcome, known) = fill(name, text(&file));
        assert_eq!(known, wanted, "{name}");
        outcome
            .stderr(contains("16 of 8 x 8 cells are in the hole"))
            .stdout(contains("1 filling of 16 of 64 cells\n"));
    }
}
