//! The commands on trained image runs as a user sees them, with networks as small as possible.
//! Needs a GPU adapter.

#[path = "../common/mod.rs"]
mod common;
mod pictures;
mod refusals;
mod sampling;

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

/// The text chunks of a PNG file.
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

/// The nearest codebook vector to each latent.
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

/// Image files of several kinds: the model's size, a wide grey JPEG, a small transparent PNG.
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

fn named((name, shape): (&str, Vec<usize>)) -> (String, Vec<usize>) {
    (name.to_string(), shape)
}
