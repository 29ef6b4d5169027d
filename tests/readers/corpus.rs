//! Valid files, whole or as their inner content: damage behind a checksum or inside an archive
//! would not be seen.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::Path;

use dbvq_wgpu::config::PRESETS;
use dbvq_wgpu::evaluate::features::{Statistics, write_npz};
use dbvq_wgpu::gpu::WGPU_VERSION;
use dbvq_wgpu::nn::checkpoint;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The bytes to damage, and how to make a file of them.
pub struct Seed {
    /// Bytes to damage.
    pub bytes: Vec<u8>,
    /// Makes a file of the bytes.
    pub wrap: fn(Vec<u8>) -> Vec<u8>,
}

impl Seed {
    /// The file.
    pub fn file(&self) -> Vec<u8> {
        (self.wrap)(self.bytes.clone())
    }
}

fn plain(bytes: impl Into<Vec<u8>>) -> Seed {
    Seed {
        bytes: bytes.into(),
        wrap: |bytes| bytes,
    }
}

/// The seeds of the reader `name`.
pub fn of(name: &str) -> Vec<Seed> {
    match name {
        "archive" => archives(),
        "checkpoint" => vec![plain(saved_checkpoint())],
        "cifar" => vec![plain([9; 3073]), plain([1; 2 * 3073])],
        "cifar_names" => vec![plain(
            "plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n",
        )],
        "configuration" => PRESETS
            .iter()
            .map(|(_, _, text)| plain(*text))
            .chain([plain(SMALL)])
            .collect(),
        "draws" => vec![plain(draws())],
        "codes" => vec![
            plain(tensors(&[
                ("codes", Dtype::U32, &[4, 3]),
                ("symbols", Dtype::U32, &[5]),
            ])),
            plain("to be or not to be\n"),
        ],
        "features" => vec![Seed {
            bytes: features(),
            wrap: behind_checksum,
        }],
        "kept" => vec![plain(kept())],
        "kernels" => vec![plain(kernels())],
        "latents" => vec![plain(latents())],
        "list" => vec![
            plain("filename,label\na.png,bird\nb.png,fish\n"),
            plain("a.png,bird\r\n"),
        ],
        "log" => vec![plain(LOG)],
        "mask" => masks(),
        "npz" => statistics(),
        "packed" => vec![plain(packed())],
        "picture" => pictures(),
        "pipelines" => vec![
            Seed {
                bytes: vec![7; 40],
                wrap: behind_checksum,
            },
            plain(behind_checksum(vec![7; 40])),
        ],
        "report" => vec![plain(report())],
        "run_configuration" => run_configurations(),
        "vector" => vectors(),
        "weights" => vec![plain(tensors(&[
            ("a", Dtype::F32, &[2, 3]),
            ("b", Dtype::F32, &[0]),
        ]))],
        other => panic!("no valid file for the reader {other}"),
    }
}

const SMALL: &str = "seed = 3\n[bridge]\nsteps = 20\ntarget = [0.5, 1]\nschedule = \"linear\"\n[unet]\nattention = [1]\n[vqvae]\nsize = 16\n";

const LOG: &str = r#"{"step": 1, "loss": 0.7, "lr": 1e-3, "steps_per_second": 3.5}
{"step": 20, "loss": 0.25, "seconds": 4.5}
{"step": 30, "loss": 1e-12, "seconds": 9.25, "held_out_psnr": 21.5}
"#;

fn run_configurations() -> Vec<Seed> {
    let of_images = |text: &str| format!("stage = \"prior\"\n{text}");
    let images = PRESETS
        .iter()
        .filter(|(_, _, text)| text.contains("[vqvae]"));
    images
        .map(|(_, _, text)| plain(of_images(text)))
        .chain([plain(of_images(SMALL))])
        .collect()
}

fn saved_checkpoint() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let entries = [("ema.a", vec![2, 3]), ("b", vec![1])].map(|(name, dims)| {
        let count = dims.iter().product();
        (name.to_string(), dims.into(), vec![0.5; count])
    });
    checkpoint::save(folder.path(), 12, 3, "x = 1\n", &entries).expect("a checkpoint");
    std::fs::read(checkpoint::path(folder.path())).expect("it was written")
}

fn tensors(all: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
    let zeros = [0; 256];
    let view = |(name, dtype, dims): &(&'static str, Dtype, &[usize])| {
        let bytes = 4 * dims.iter().product::<usize>();
        (
            *name,
            TensorView::new(*dtype, dims.to_vec(), &zeros[..bytes]).expect("four bytes an element"),
        )
    };
    let all: Vec<(&'static str, Dtype, &[usize])> = all
        .iter()
        .map(|(name, dtype, dims)| (&*name.to_string().leak(), *dtype, *dims))
        .collect();
    let metadata = HashMap::from([("made_by".to_string(), "{}".to_string())]);
    safetensors::serialize(all.iter().map(view), Some(metadata)).expect("tensors")
}

fn draws() -> Vec<u8> {
    tensors(&[
        ("codes", Dtype::U32, &[3, 4]),
        ("seconds", Dtype::F32, &[1]),
    ])
}

/// Statistics of four features.
fn features() -> Vec<u8> {
    (0..21).flat_map(|i| f64::from(i).to_le_bytes()).collect()
}

fn behind_checksum(bytes: Vec<u8>) -> Vec<u8> {
    [&blake3::hash(&bytes).as_bytes()[..], &bytes].concat()
}

/// A packed file of three of four images of 2 × 2; one was skipped.
fn packed() -> Vec<u8> {
    let images = [[7u8; 12], [9; 12], [11; 12]];
    let digests = images
        .iter()
        .flat_map(|image| blake3::hash(image).as_bytes()[..16].to_vec());
    let lists: Vec<u8> = digests
        .chain([0u32, 1, 3].iter().flat_map(|i| i.to_le_bytes()))
        .collect();
    let checksum = blake3::hash(&lists).to_string();
    let json = serde_json::json!({"count": 3, "bytes": 12, "checksum": checksum, "skipped": ["c.png is empty"]});
    let json = json.to_string().into_bytes();
    let length = (json.len() as u64).to_le_bytes();
    [
        images.as_flattened(),
        &lists,
        &json,
        &length,
        b"dbvq-wgpu pack 1",
    ]
    .concat()
}

/// 16 slots of 64 bytes, each after a checksum of 16 bytes; the last slot is empty.
fn latents() -> Vec<u8> {
    let slot = |number: u64| {
        let values = [number as u8; 64];
        let mut sum = [0; 16];
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&number.to_le_bytes())
            .update(&values)
            .finalize_xof()
            .fill(&mut sum);
        [&sum[..], &values].concat()
    };
    (0..15).flat_map(slot).chain([0; 80]).collect()
}

fn kernels() -> String {
    let answer = json!({"op": "matmul", "digest": u64::MAX, "sizes": vec![0; 16], "choice": "vec4",
        "ms": {"vec4": 0.5, "lanes": 1.25}, "wrong": ["tiled"]});
    json!({"adapter": "a", "driver": "b", "wgpu": WGPU_VERSION, "answers": [answer]}).to_string()
}

fn kept() -> String {
    let evaluation = json!({"adapter": "a", "data": "b", "seed": 1, "second_draw": "c", "runs": [],
        "reconstruction": null, "codes": [], "kl": null, "nll": null, "time": null});
    json!({"from": "x", "files": ["a.png"], "result": evaluation}).to_string()
}

fn report() -> String {
    let limits = json!({"max_storage_buffer_binding_size": 1, "max_buffer_size": 1,
        "max_storage_buffers_per_shader_stage": 8, "max_compute_invocations_per_workgroup": 256,
        "max_compute_workgroup_storage_size": 16384, "max_immediate_size": 128});
    let features = json!({"shader_f16": false, "shader_int64": false, "subgroup": false, "timestamps_in_passes": false,
        "pipeline_cache": false, "cooperative_matrix": false, "cooperative_f16": null});
    let facts = json!({"index": 1, "name": "llvmpipe (LLVM 15)", "backend": "vulkan", "kind": "cpu", "driver": "llvmpipe",
        "driver_info": "Mesa", "vendor": 65541, "device": 0, "subgroup": [8, 8], "usable": {"Ok": null}, "default": true,
        "limits": limits, "features": features});
    let case = |verdict: &str, forward: Value| {
        json!({"op": "add", "case": "[3]", "verdict": verdict, "forward": forward, "gradient": 0.5,
            "detail": "a < b | c", "seconds": 1.5})
    };
    let cases = [case("Pass", json!(0.25)), case("Fail", json!(null))];
    let probe = json!({"name": "nan", "found": "kept", "consequence": "nothing"});
    let adapter =
        json!({"facts": facts, "error": null, "probes": [probe], "cases": cases, "seconds": 12.5});
    json!({"schema": 1, "version": "0.1.0", "revision": "x", "wgpu": "1", "system": "linux", "date": "2022",
        "shaders": {"add": "00"}, "adapters": [adapter]})
    .to_string()
}

fn beside(folder: &str, ending: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("a folder of this repository");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it is readable").path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|e| ending.iter().any(|known| e == *known))
    });
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("it is readable"))
        .collect()
}

fn vectors() -> Vec<Seed> {
    let files = beside("kernels_test/golden", &["safetensors"]);
    files
        .into_iter()
        .filter(|bytes| bytes.len() < 3000)
        .map(plain)
        .collect()
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .into()
        .write_to(&mut bytes, format)
        .expect("a picture");
    bytes.into_inner()
}

fn pictures() -> Vec<Seed> {
    let png = encoded(
        RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 7])),
        ImageFormat::Png,
    );
    let mut all = beside("tests/readers/seeds", &["png"]);
    all.push(png);
    all.push(encoded(
        RgbaImage::from_pixel(5, 5, image::Rgba([1, 2, 3, 100])),
        ImageFormat::Png,
    ));
    let is_read = |ending: &&str| {
        ImageFormat::from_extension(ending).is_some_and(|format| format.reading_enabled())
    };
    let endings: Vec<&str> = ["jpg", "webp", "bmp", "gif", "tif"]
        .into_iter()
        .filter(is_read)
        .collect();
    let others = beside("tests/readers/seeds", &endings);
    let with_sums = all.iter().map(|bytes| Seed {
        bytes: bytes.clone(),
        wrap: with_sums_of_chunks,
    });
    let as_they_are = all.iter().chain(&others).cloned().map(plain);
    with_sums.chain(as_they_are).collect()
}

fn masks() -> Vec<Seed> {
    let mask = |side: u32| {
        GrayImage::from_fn(side, side, |x, _| {
            image::Luma([if x < 2 { 255 } else { 0 }])
        })
    };
    let masks = [16, 4].map(|side| encoded(mask(side), ImageFormat::Png));
    masks
        .into_iter()
        .map(|bytes| Seed {
            bytes,
            wrap: with_sums_of_chunks,
        })
        .collect()
}

/// A PNG with its chunks' checksums corrected, as far as the chunks can be found.
fn with_sums_of_chunks(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at.saturating_add(8).saturating_add(length);
        let Some(content) = bytes.get(at + 4..end) else {
            break;
        };
        let mut sum = flate2::Crc::new();
        sum.update(content);
        let sum = sum.sum().to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else {
            break;
        };
        place.copy_from_slice(&sum);
        at = end + 4;
    }
    bytes
}

fn gzipped(bytes: Vec<u8>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn archives() -> Vec<Seed> {
    let pack = |long: bool| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(20);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, &[5; 20][..])
                .expect("memory does not fail");
        };
        if long {
            add(&"cifar-10-batches-bin/".repeat(9));
        }
        add("cifar-10-batches-bin/test_batch.bin");
        (1..6).for_each(|i| add(&format!("cifar-10-batches-bin/data_batch_{i}.bin")));
        builder.into_inner().expect("memory does not fail")
    };
    let wrapped = [false, true].map(|long| Seed {
        bytes: pack(long),
        wrap: gzipped,
    });
    wrapped
        .into_iter()
        .chain([plain(gzipped(pack(false)))])
        .collect()
}

/// A NumPy array of shape `sides` with f64 numbers.
fn array(sides: &str, count: usize) -> Vec<u8> {
    let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {sides}, }}");
    let head = [
        &b"\x93NUMPY\x01\x00"[..],
        &118u16.to_le_bytes(),
        format!("{text:117}\n").as_bytes(),
    ]
    .concat();
    head.into_iter()
        .chain((0..count).flat_map(|_| 0.5f64.to_le_bytes()))
        .collect()
}

fn zipped(arrays: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in arrays {
        archive
            .start_file(*name, options)
            .expect("memory does not fail");
        archive.write_all(bytes).expect("memory does not fail");
    }
    archive.finish().expect("memory does not fail").into_inner()
}

fn statistics() -> Vec<Seed> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("a.npz");
    let statistics = Statistics {
        n: Some(9),
        mean: vec![0.5; 3],
        covariance: vec![1.0; 9],
    };
    write_npz(&file, &statistics).expect("a file");
    vec![
        plain(std::fs::read(&file).expect("it was written")),
        Seed {
            bytes: array("(3,)", 3),
            wrap: |mu| zipped(&[("mu.npy", &mu), ("sigma.npy", &array("(3, 3)", 9))]),
        },
        Seed {
            bytes: array("(3, 3)", 9),
            wrap: |s| zipped(&[("mu.npy", &array("(3,)", 3)), ("sigma.npy", &s)]),
        },
    ]
}

/// Files that are small, or made of the smallest possible pieces, and demand much memory, each with
/// its reader.
pub fn greedy() -> Vec<(&'static str, Vec<u8>)> {
    let pieces = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let tables = (0..10_000)
        .map(|i| format!("{i}.{}a = 1\n", "a.".repeat(40)))
        .collect::<String>();
    let objects = format!("{{\"a\": [{}0]}}\n", pieces("{\"\":0},"));
    let lists = format!("{{\"a\": [{}0]}}\n", pieces("[],"));
    let tensor = |i: usize| {
        format!(
            "\"in.{i}\":{{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[{},{}]}}",
            4 * i,
            4 * i + 4
        )
    };
    let header = format!(
        "{{{}}}",
        (0..10_000).map(tensor).collect::<Vec<_>>().join(",")
    );
    let tensors = [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &[0; 40_000],
    ]
    .concat();
    let mut all = vec![
        ("archive", gzipped(long_name(64 << 20))),
        ("picture", with_sums_of_chunks(wide_png())),
        ("configuration", tables.clone().into_bytes()),
        ("configuration", pieces("a.").into_bytes()),
        ("configuration", pieces("[").into_bytes()),
        ("configuration", format!("a = {}", pieces("[")).into_bytes()),
        (
            "configuration",
            format!("a = [{}]", pieces("1,")).into_bytes(),
        ),
        (
            "configuration",
            format!("[train]\n{} = 1", "a".repeat(1 << 19)).into_bytes(),
        ),
        (
            "configuration",
            "# A comment.\n".repeat(1 << 20).into_bytes(),
        ),
        (
            "run_configuration",
            format!("stage = \"prior\"\n{tables}").into_bytes(),
        ),
        ("run_configuration", pieces("x").into_bytes()),
        ("list", pieces("a").into_bytes()),
        (
            "list",
            format!("filename,label\n{}", pieces("a.png,bird\n")).into_bytes(),
        ),
        ("cifar_names", pieces("x\n").into_bytes()),
    ];
    for name in ["log", "kernels", "kept", "report"] {
        all.extend([&objects, &lists].map(|text| (name, text.clone().into_bytes())));
        all.push((name, format!("\"{}\"", pieces("x")).into_bytes()));
    }
    all.extend(["checkpoint", "draws", "vector", "weights"].map(|name| (name, tensors.clone())));
    all
}

/// An archive whose first member has a name of `length` bytes.
fn long_name(length: usize) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").expect("it is short");
    header.set_size(length as u64);
    header.set_cksum();
    [header.as_bytes(), &vec![b'a'; length][..], &[0; 1024]].concat()
}

/// The header of a PNG of 16,384 × 5,000 pixels and little more.
fn wide_png() -> Vec<u8> {
    let mut png = encoded(RgbImage::new(1, 1), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x13, 0x88]);
    png
}
