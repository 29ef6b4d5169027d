//! FID and KID against pytorch-fid and torch-fidelity. `golden/fid.json` holds their results
//! (`tools/fid_twin.py`) for the same weights, images and features, which both sides make from the
//! same random numbers. With `DBVQ_TWIN=FOLDER` our results go into the folder, for the script to
//! compare all of them. The networks need a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod tiny;

use std::path::{Path, PathBuf};

use assert_cmd::assert::OutputAssertExt;
use dbvq_wgpu::evaluate::features::{
    FeatureNetwork, Features, Statistics, frechet_distance, kid, mmd2, read_npz, warning, write_npz,
};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::inception::{FEATURES, Inception};
use dbvq_wgpu::nn::checkpoint::Entry;
use dbvq_wgpu::nn::weights::{Format, serialise};
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::Shape;
use predicates::str::contains;
use serde_json::{Map, Value, json};

/// Seed of everything random here.
const SEED: u64 = 7;
/// Largest relative difference from the libraries' numbers. Features are f32 sums through about 48
/// layers.
const TOLERANCE: f64 = 1e-4;

fn stream(step: u32, stream: u32) -> Stream {
    Stream {
        seed: SEED,
        step,
        stream,
        first: 0,
    }
}

/// Random weights, scaled so that activations keep their size.
fn weight(name: &str, dims: &[usize]) -> Vec<f32> {
    let number = name.bytes().fold(0u32, |number, byte| {
        number.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let bound = (6.0 / dims[1..].iter().product::<usize>() as f64).sqrt();
    let (low, high) = match name.rsplit('.').next() {
        _ if name.ends_with("conv.weight") => (-bound, bound),
        Some("weight") => (0.8, 1.2),
        Some("bias") => (-0.2, 0.2),
        Some("running_mean") => (-0.1, 0.1),
        Some("running_var") => (0.5, 1.5),
        other => panic!("{other:?}"),
    };
    let stream = stream(number, 0);
    let entry = |i| (low + (high - low) * f64::from(stream.uniform(i))) as f32;
    (0..dims.iter().product::<usize>() as u32)
        .map(entry)
        .collect()
}

/// Writes all weights to a file.
fn weights(gpu: &Gpu, file: &Path) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut source = |name: &str, dims: &[usize]| {
        let values = weight(name, dims);
        entries.push((name.into(), Shape::from(dims), values.clone()));
        Ok(values)
    };
    Inception::load(gpu, &mut source).expect("weights");
    std::fs::write(
        file,
        serialise(&entries, [].into(), Format::F32).expect("tensors"),
    )
    .expect("a file");
}

/// Images of slopes and noise, in −1..1.
fn pictures(numbers: std::ops::Range<u32>, side: u32) -> Vec<f32> {
    let picture = |number: u32| {
        (0..side * side * 3).map(move |at| {
            let y = at / 3 / side;
            let x = at / 3 % side;
            let c = at % 3;
            let slopes = x * (3 + number % 5) + y * (c + 1) * (1 + number % 3) + 40 * number;
            let value = slopes % 200 + stream(number, 1).bits(at) % 56;
            // Slightly off the 8-bit grid: pixels are compared after rounding to 8 bits.
            (f64::from(value) / 127.5 - 1.0 + 0.3 / 127.5) as f32
        })
    };
    numbers.flat_map(picture).collect()
}

/// Features in which neighbouring columns are correlated.
fn rows(which: u32, count: usize, width: usize) -> Features {
    let u = |at: usize| f64::from(stream(which, 2).uniform(at as u32));
    let value = |at: usize| {
        let next = at / width * width + (at + 1) % width;
        ((1.0 + 0.25 * f64::from(which)) * u(at) + 0.5 * u(next)) as f32
    };
    Features::new((0..count * width).map(value).collect(), width).expect("rows")
}

/// The first `count` rows.
fn first(features: &Features, count: usize) -> Features {
    Features::new(
        features.values()[..count * features.width()].to_vec(),
        features.width(),
    )
    .expect("rows")
}

fn measured(a: &Features, b: &Features) -> [(&'static str, f64); 2] {
    let [x, y] = [a, b].map(|features| Statistics::of(features).expect("statistics"));
    let size = a.count().min(b.count());
    let kid = mmd2(&first(a, size), &first(b, size)).expect("a KID");
    [
        ("fid", frechet_distance(&x, &y).expect("a FID")),
        ("kid", kid),
    ]
}

fn golden() -> Value {
    let text = std::fs::read_to_string(golden_file("fid.json")).expect("golden values");
    text.parse().expect("JSON")
}

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// Everything that differs from the golden values by more than the tolerance.
fn differences(golden: &Value, name: &str, numbers: [(&'static str, f64); 2]) -> Vec<String> {
    let wrong = numbers.into_iter().filter_map(|(metric, ours)| {
        let theirs = golden[name][metric].as_f64().expect("a number");
        let off = (ours / theirs - 1.0).abs();
        (off.is_nan() || off > TOLERANCE)
            .then(|| format!("{metric} {name}: {ours}, not {theirs}: off by {off:.1e}"))
    });
    wrong.collect()
}

/// Adds to the file that the script compares.
fn hand_over(more: impl IntoIterator<Item = (String, Value)>) {
    let Some(folder) = std::env::var_os("DBVQ_TWIN").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("fid.json");
    let mut all: Map<String, Value> = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    all.extend(more);
    std::fs::write(&file, Value::from(all).to_string()).expect("a file");
}

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("this test needs a GPU adapter; Mesa's lavapipe will do")
}

#[test]
fn features_and_distances_are_those_of_the_libraries() {
    let golden = golden();
    let mut wrong = Vec::new();
    for (name, [a, b, width]) in [("full", [300, 240, 64]), ("few", [20, 30, 64])] {
        let numbers = measured(&rows(0, a, width), &rows(1, b, width));
        wrong.extend(differences(&golden, name, numbers));
        hand_over([(
            name.to_string(),
            json!(Map::from_iter(
                numbers.map(|(k, v)| (k.to_string(), json!(v)))
            )),
        )]);
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let gpu = gpu();
    let file = folder.path().join("weights.safetensors");
    let cache = folder.path().join("cache");
    weights(&gpu, &file);
    let network = FeatureNetwork::open(&gpu, &file, Some(&cache)).expect("weights");
    assert_eq!(
        network.checksum(),
        blake3::hash(&std::fs::read(&file).expect("weights"))
            .to_hex()
            .as_str()
    );
    let sets = [("a", 32, 0..4), ("b", 84, 4..7)].map(|(name, side, numbers)| {
        let images = pictures(numbers.clone(), side);
        let mut told = Vec::new();
        let features = network
            .features(&images, side as usize, &mut |done| told.push(done))
            .expect("features");
        assert_eq!(
            (features.count(), features.width(), told.last()),
            (numbers.len(), FEATURES, Some(&numbers.len()))
        );
        wrong.extend(features_off(&golden["features"][name], name, &features));
        hand_over([(format!("features {name}"), json!(features.values()))]);
        // The second time everything comes from the cache, so the device runs no network.
        let before = gpu.counters().dispatches;
        assert_eq!(
            network
                .features(&images, side as usize, &mut |_| ())
                .expect("features"),
            features
        );
        assert_eq!(gpu.counters().dispatches, before);
        features
    });
    let statistics = network.statistics(&sets[0]).expect("statistics");
    assert_eq!(statistics, Statistics::of(&sets[0]).expect("statistics"));
    assert_eq!(
        statistics,
        network
            .statistics(&sets[0])
            .expect("statistics from the cache")
    );
    let numbers = measured(&sets[0], &sets[1]);
    wrong.extend(differences(&golden, "network", numbers));
    hand_over([(
        "network".to_string(),
        json!(Map::from_iter(
            numbers.map(|(k, v)| (k.to_string(), json!(v)))
        )),
    )]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Describes features, and an image's feature norm, that differ from those of pytorch-fid, relative
/// to their root mean square.
fn features_off(golden: &Value, name: &str, ours: &Features) -> Vec<String> {
    let mut wrong = Vec::new();
    for image in 0..ours.count() {
        let row = ours.row(image);
        let length = row
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = length / (FEATURES as f64).sqrt();
        let mut check = |what: String, ours: f64, theirs: &Value, scale: f64| {
            let off = (ours - theirs.as_f64().expect("a number")).abs() / scale;
            if off.is_nan() || off > TOLERANCE {
                wrong.push(format!(
                    "{what} of image {image} of {name}: {ours}, not {theirs}: off by {off:.1e}"
                ));
            }
        };
        let some = golden["some"][image].as_array().expect("features");
        assert_eq!(some.len(), FEATURES / 64);
        for (i, theirs) in some.iter().enumerate() {
            check(
                format!("feature {}", 64 * i),
                f64::from(row[64 * i]),
                theirs,
                scale,
            );
        }
        check("length".into(), length, &golden["length"][image], length);
    }
    wrong
}

#[test]
fn kid_over_subsets_is_near_that_over_all() {
    let a = rows(0, 300, 64);
    let b = rows(1, 240, 64);
    let found = kid(&a, &b, 100, 50, 1, &mut |_| ()).expect("a KID");
    let all = mmd2(&a, &b).expect("a KID");
    let std = found.std.expect("a spread of a hundred subsets");
    assert!(
        std > 0.0 && (found.mean - all).abs() < 4.0 * std / 10.0,
        "{found:?} and {all}"
    );
}

#[test]
fn statistics_go_to_and_from_numpys_files() {
    let ours = Statistics::of(&rows(0, 40, 6)).expect("statistics");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("statistics.npz");
    write_npz(&file, &ours).expect("a file");
    assert_eq!(read_npz(&file).expect("statistics"), ours);
    if let Some(folder) = std::env::var_os("DBVQ_TWIN") {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::copy(&file, Path::new(&folder).join("statistics.npz")).expect("a copy");
    }
    // Written by NumPy, compressed, without the number of images.
    let theirs = read_npz(&golden_file("fid-statistics.npz")).expect("statistics");
    let near = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    };
    assert!(
        near(&theirs.mean, &ours.mean)
            && near(&theirs.covariance, &ours.covariance)
            && theirs.n.is_none()
    );
    let refuses = |bytes: &[u8], words: &str| {
        std::fs::write(&file, bytes).expect("a file");
        let error = read_npz(&file).expect_err("damage").to_string();
        assert!(
            error.contains(words) && error.contains("statistics.npz"),
            "{error}"
        );
    };
    let bytes = std::fs::read(golden_file("fid-statistics.npz")).expect("a file");
    refuses(b"no zip", "it is not an .npz file");
    refuses(&bytes[..bytes.len() / 2], "it is not an .npz file");
    let mut without = bytes.clone();
    let renamed = without
        .windows(9)
        .enumerate()
        .filter(|(_, w)| *w == b"sigma.npy")
        .map(|(at, _)| at);
    renamed
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|at| without[at] = b'z');
    refuses(&without, "it has no array `sigma`");
    assert_eq!(
        read_npz(&folder.path().join("none.npz"))
            .expect_err("no file")
            .exit_code(),
        9
    );
}

/// `evaluate --metrics fid` with random weights: saved statistics are those of the data.
#[test]
fn a_command_compares_with_statistics_of_a_file() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = folder.path().join("data");
    let run = folder.path().join("run");
    tiny::folder(&data, 48);
    let [inception, stats, out] =
        ["weights.safetensors", "stats.npz", "out"].map(|name| folder.path().join(name));
    weights(&gpu(), &inception);
    tiny::train("vqvae", &data, &run, 2).assert().success();
    let mut pixelcnn = tiny::train("pixelcnn", &data, &folder.path().join("pixelcnn"), 2);
    for set in ["layers=2", "channels=8", "head=8"] {
        pixelcnn.args(["--set", &format!("pixelcnn.{set}")]);
    }
    pixelcnn.arg("--from").arg(&run).assert().success();
    let evaluate = |more: &[&str]| {
        let mut call = common::program();
        call.arg("evaluate")
            .arg(folder.path().join("pixelcnn"))
            .args(["--metrics", "fid", "--count", "4"]);
        call.arg("--data")
            .arg(&data)
            .arg("--out")
            .arg(&out)
            .arg("--inception")
            .arg(&inception)
            .args(more);
        call.assert()
    };
    let row = || {
        let text = std::fs::read_to_string(out.join("evaluation.json")).expect("an evaluation");
        text.parse::<Value>().expect("JSON")["fid"][0].clone()
    };
    let file = stats.to_str().expect("a plain path");
    evaluate(&["--save-stats", file])
        .success()
        .stdout(contains("±"));
    assert_eq!(
        (&row()["fid_reference"], &row()["subsets"]),
        (&Value::Null, &json!([100, 2]))
    );
    let saved = read_npz(&stats).expect("statistics");
    assert_eq!((saved.n, saved.mean.len()), (Some(4), FEATURES));
    evaluate(&["--reference", file])
        .success()
        .stdout(contains("FID, reference"))
        .stdout(contains("stats.npz"));
    let reference = row()["fid_reference"].as_f64();
    let of_data = row()["fid_data"].as_f64();
    let reference = reference.expect("a number");
    let of_data = of_data.expect("a number");
    assert!(
        (reference / of_data - 1.0).abs() < 1e-9,
        "{reference} and {of_data}"
    );
    // Statistics of a different feature network.
    write_npz(
        &stats,
        &Statistics::of(&rows(0, 40, 6)).expect("statistics"),
    )
    .expect("a file");
    evaluate(&["--reference", file])
        .code(8)
        .stderr(contains("it has 6 features, Inception-v3 gives 2048"));
    evaluate(&["--reference", file, "--save-stats", file])
        .code(2)
        .stderr(contains("this is the --reference file"));
}

#[test]
fn what_is_wrong_with_weights_is_said() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let gpu = gpu();
    let file = folder.path().join("weights.safetensors");
    let refuses = |words: &str| {
        let error = FeatureNetwork::open(&gpu, &file, None)
            .err()
            .expect("a refusal");
        assert!(
            error.to_string().contains(words) && error.exit_code() == 7,
            "{error}"
        );
    };
    std::fs::write(&file, b"PK").expect("a file");
    refuses("not a safetensors file");
    let other: [Entry; 1] = [("weight".into(), Shape::from([2]), vec![0.0; 2])];
    std::fs::write(
        &file,
        serialise(&other, [].into(), Format::F32).expect("tensors"),
    )
    .expect("a file");
    refuses("`Conv2d_1a_3x3.conv.weight` is missing; make the file from pytorch-fid's weights");
    let one: [Entry; 1] = [(
        "Conv2d_1a_3x3.conv.weight".into(),
        Shape::from([3, 3, 3, 32]),
        vec![0.0; 864],
    )];
    std::fs::write(
        &file,
        serialise(&one, [].into(), Format::F32).expect("tensors"),
    )
    .expect("a file");
    refuses("is F32 [3, 3, 3, 32], not F32 [32, 3, 3, 3]");
    let missing = FeatureNetwork::open(&gpu, Path::new("none.safetensors"), None)
        .err()
        .expect("a refusal");
    assert_eq!(missing.exit_code(), 9);
}

#[test]
fn few_images_are_warned_of() {
    assert!(
        warning(9_999).is_some_and(|text| text.contains("9999 images"))
            && warning(10_000).is_none()
    );
}
