//! The image models against their twin in PyTorch (`tools/twin.py`): the losses of the first steps
//! of every stage match the twin's, kept in `golden/first-steps.json`. With `DBVQ_TWIN=FOLDER`
//! everything that the twin needs to train the same models goes into the folder: weights, batches,
//! random numbers, outputs. Needs a GPU adapter.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, program, training};
use dbvq_wgpu::config::{Experiment, GridConfig};
use dbvq_wgpu::data::loader::Batches;
use dbvq_wgpu::data::{self, LoaderOptions, Reading};
use dbvq_wgpu::experiment::levels::{cumulative, draw_levels};
use dbvq_wgpu::experiment::stages::told::Masks;
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::diffusion::Diffusion;
use dbvq_wgpu::models::first_stage::FirstStage;
use dbvq_wgpu::models::pixelcnn::PixelCnn;
use dbvq_wgpu::models::vqvae::VqVae;
use dbvq_wgpu::nn::checkpoint::Entry;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::nn::weights::{Format, serialise};
use dbvq_wgpu::nn::{Module, checkpoint as file};
use dbvq_wgpu::philox::{Draw, Stream};
use dbvq_wgpu::tensor::{Codes, Shape, Tensor};
use predicates::str::contains;
use safetensors::SafeTensors;
use serde_json::Value;

/// Odd-sized latents, groups of two and three channels, two heads, a level with attention, and a
/// bridge in which every parameter has a different value.
const CONFIG: &str = r#"
seed = 3
bridge = { steps = 40, theta = 0.8, eta = 1.3, target = 0.2, schedule = "linear", beta_start = 1e-3, beta_end = 0.35 }
vqvae = { size = 20, channels = 16, blocks = 1, inner = 8, dim = 6, codes = 12, decay = 0.9, revive_every = 0 }
unet = { base = 36, multipliers = [1, 2], blocks = 1, heads = 2, attention = [1] }
pixelcnn = { layers = 2, channels = 8, head = 8, first_kernel = 5, kernel = 3 }
[joint]
vqvae_lr = 1e-3
diffusion_gradient = "scale"
gradient_scale = 0.3
regulariser = "kl"
regulariser_weight = 0.02
scale = 0.5
[stages]
evaluate_every = 0
"#;
/// Optimisation of each stage.
const STAGE: &str = r#"steps = 20, batch = 4, lr = 2e-3, warmup = 5, beta2 = 0.99, clip = 0.1, ema = 0.5,
weight_decay = 0.01, loss = "simple", levels = { law = "uniform" }, log_every = 1, checkpoint_every = 20"#;
/// In an order in which each stage finds what it builds on.
const STAGES: [&str; 4] = ["vqvae", "prior", "pixelcnn", "joint"];
/// Priors that predict codes, with their configuration changes: on code vectors and told some of
/// them, and on the encoder's output.
const CODES: [(&str, &[&str]); 2] = [
    (
        "codes",
        &[
            "prior.diffuse=codes",
            "prior.known_share=0.6",
            "stages.prior.loss=cross-entropy",
        ],
    ),
    (
        "codes-data",
        &["prior.diffuse=data", "stages.prior.loss=simple"],
    ),
];
const STEPS: usize = 20;
const BATCH: usize = 4;
const SIZE: usize = 20;
/// Largest relative difference of a loss: f32 rounding, which Adam steps amplify.
const TOLERANCE: f64 = 1e-5;

/// The random numbers of a step, as the models number them.
fn stream(step: usize, stream: u32) -> Stream {
    Stream {
        seed: 3,
        step: step as u32,
        stream,
        first: 0,
    }
}

/// What all stages share: the folder of the runs, the preset, the images.
struct Ground {
    folder: PathBuf,
}

impl Ground {
    /// Images without two equal patches, so that no two latents, and no two codes placed on them,
    /// are equal.
    fn new(folder: &Path) -> Ground {
        for (split, count) in [("train", 24), ("test", 4)] {
            let pictures = folder.join("data").join(split);
            std::fs::create_dir_all(&pictures).expect("a folder");
            for i in 0..count {
                let noise = Stream {
                    seed: 1,
                    ..stream(i, count as u32)
                };
                let picture = image::RgbImage::from_fn(SIZE as u32, SIZE as u32, |x, y| {
                    let base = [x * 9, y * 9, (x + y + 3 * i as u32) % 20 * 9];
                    let value =
                        |c: u32| (base[c as usize] + noise.below((y * 20 + x) * 3 + c, 70)) as u8;
                    image::Rgb([value(0), value(1), value(2)])
                });
                picture
                    .save(pictures.join(format!("{i:02}.png")))
                    .expect("a picture");
            }
        }
        let stages: String = STAGES
            .iter()
            .map(|stage| format!("{stage} = {{ {} }}\n", STAGE.replace('\n', " ")))
            .collect();
        std::fs::write(folder.join("tiny.toml"), format!("{CONFIG}{stages}")).expect("a file");
        Ground {
            folder: folder.to_path_buf(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Trains a stage in the folder `name`; returns the finished run.
    fn train(&self, stage: &str, name: &str, sets: &[String]) -> PathBuf {
        let run = self.path(name);
        let mut command = program();
        command
            .arg("train")
            .arg(self.path("tiny.toml"))
            .args(["--stage", stage, "--data"])
            .arg(self.path("data"));
        if stage != "vqvae" {
            command
                .arg("--from")
                .arg(self.path(if stage == "joint" { "prior" } else { "vqvae" }));
        }
        sets.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.arg("--out").arg(&run).assert().success();
        run
    }

    fn config(&self, sets: &[String]) -> GridConfig {
        match Experiment::load(&self.path("tiny.toml").display().to_string(), sets)
            .expect("a configuration")
        {
            Experiment::Grid(config) => *config,
            Experiment::Toy(_) => unreachable!("it has a [vqvae]"),
        }
    }

    fn batches(&self) -> Batches {
        let set = data::open(&self.path("data"), None, &Reading::default())
            .expect("pictures")
            .train;
        let options = LoaderOptions {
            batch: BATCH,
            seed: 3,
            flip: true,
            first_step: 0,
        };
        Batches::new(set.into(), options).expect("batches")
    }
}

fn export(run: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .arg("export")
        .arg(run)
        .arg("--out")
        .arg(out)
        .args(more);
    command
}

/// The loss of every step in `metrics.jsonl`.
fn losses(run: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    let loss = |line: &str| serde_json::from_str::<Value>(line).ok()?["loss"].as_f64();
    text.lines().filter_map(loss).collect()
}

#[test]
fn the_first_steps_lose_what_they_lose_in_pytorch() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let ground = Ground::new(folder.path());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/first-steps.json");
    let golden: Value =
        std::fs::read_to_string(golden).map_or(Value::Null, |text| text.parse().expect("JSON"));
    let mut wrong = Vec::new();
    for (name, stage, sets) in trainings() {
        let run = ground.train(stage, name, &sets);
        let ours = losses(&run);
        if let Some(folder) = std::env::var_os("DBVQ_TWIN") {
            hand_over(&ground, (name, stage, &sets), &ours, Path::new(&folder));
        }
        let theirs: Vec<f64> = golden[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        assert_eq!(ours.len(), STEPS, "{name}");
        let off = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| (a / b - 1.0).abs())
            .fold(0.0, f64::max);
        if theirs.len() != STEPS || off > TOLERANCE {
            wrong.push(format!(
                "{name}: off by {off:.1e}: {ours:?}, in PyTorch {theirs:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Trainings: name, stage, configuration changes.
fn trainings() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let codes = |&(name, sets): &(&'static str, &[&str])| {
        let all = ["unet.prediction=codes", "unet.position=true"]
            .into_iter()
            .chain(sets.iter().copied());
        (name, "prior", all.map(String::from).collect())
    };
    STAGES
        .map(|stage| (stage, stage, Vec::new()))
        .into_iter()
        .chain(CODES.iter().map(codes))
        .collect()
}

/// Writes what the twin needs for a training into `folder`.
fn hand_over(
    ground: &Ground,
    (name, stage, sets): (&str, &str, &[String]),
    losses: &[f64],
    folder: &Path,
) {
    std::fs::create_dir_all(folder).expect("a folder");
    // A step that moves nothing keeps the initial weights.
    let still = [
        format!("stages.{stage}.lr=0"),
        format!("stages.{stage}.steps=1"),
        "joint.vqvae_lr=0".into(),
    ];
    let start = ground.train(stage, &format!("{name}-start"), &[sets, &still].concat());
    export(
        &start,
        &folder.join(format!("{name}-start.safetensors")),
        &["--raw"],
    )
    .assert()
    .success();
    export(
        &ground.path(name),
        &folder.join(format!("{name}-end.safetensors")),
        &[],
    )
    .assert()
    .success();
    let config = ground.config(sets);
    let mut batches = ground.batches();
    let images = (0..STEPS as u64)
        .flat_map(|step| batches.at(step).expect("in memory").images)
        .collect();
    let side = config.vqvae.grid();
    let mut entries = vec![
        entry("images", &[STEPS, BATCH, SIZE, SIZE, 3], images),
        entry(
            "losses",
            &[STEPS],
            losses.iter().map(|&loss| loss as f32).collect(),
        ),
    ];
    match stage {
        "vqvae" => {
            // Where code vectors start: rows of the first latents.
            let row = |i| stream(0, 0x110).below(i, (BATCH * side * side) as u32) as f32;
            entries.push(entry(
                "rows",
                &[config.vqvae.codes],
                (0..config.vqvae.codes as u32).map(row).collect(),
            ));
        }
        // For a prior that predicts codes the twin repeats all measurements made before training.
        "prior" => {
            // The moments of the latents are those of the whole set.
            let set = data::open(&ground.path("data"), None, &Reading::default())
                .expect("pictures")
                .train;
            let all: Vec<u32> = (0..set.len() as u32).collect();
            entries.push(entry(
                "measured",
                &[all.len(), SIZE, SIZE, 3],
                set.floats(&all).expect("in memory"),
            ));
        }
        "joint" => {
            let kept = checkpoint_of(&ground.path("vqvae"), &["codebook.counts", "codebook.sums"]);
            entries.extend(kept.into_iter().chain(checkpoint_of(
                &ground.path("prior"),
                &["latents.mean", "latents.std"],
            )));
        }
        _ => {}
    }
    entries.extend(noise(&config));
    entries.extend(outputs(ground, name, stage, &config));
    let bytes = serialise(&entries, [].into(), Format::F32).expect("tensors");
    std::fs::write(folder.join(format!("{name}-data.safetensors")), bytes).expect("a file");
}

/// For every step: levels t, ε, and the positions that the network is told.
fn noise(config: &GridConfig) -> [Entry; 3] {
    let side = config.vqvae.grid();
    let shape = [STEPS, BATCH, side, side, config.vqvae.dim];
    let count = shape.iter().product::<usize>() / STEPS;
    let noise = (0..STEPS).flat_map(|step| {
        (0..count as u32).map(move |i| stream(step, Draw::Epsilon.stream()).normal(i) as f32)
    });
    let law = cumulative(config.stages.prior.levels, config.bridge.steps);
    let mut levels = Vec::new();
    let mut known = Vec::new();
    for step in 0..STEPS {
        let mut of_step = draw_levels(&law, BATCH, stream(step, 0));
        match Masks::draw(&config.prior, [side; 2], BATCH, stream(step, 0)) {
            None => known.extend(vec![0.0; BATCH * side * side]),
            Some(masks) => {
                masks.put_at_end(&mut of_step, config.bridge.steps);
                known.extend(masks.known);
            }
        }
        levels.extend(of_step.into_iter().map(|t| t as f32));
    }
    [
        entry("noise", &shape, noise.collect()),
        entry("levels", &[STEPS, BATCH], levels),
        entry("known", &[STEPS, BATCH, side, side, 1], known),
    ]
}

/// Some tensors from a run's checkpoint.
fn checkpoint_of(run: &Path, names: &[&str]) -> Vec<Entry> {
    let (found, _) = file::newest(run).expect("a checkpoint");
    let wanted = found.tensors().filter(|(name, ..)| names.contains(name));
    wanted
        .map(|(name, dims, values)| entry(name, dims, values.to_vec()))
        .collect()
}

fn entry(name: &str, shape: &[usize], values: Vec<f32>) -> Entry {
    (name.to_string(), Shape::from(shape), values)
}

/// Inputs and outputs of a training's models with averaged weights, as `in.NAME` and `out.NAME`.
fn outputs(ground: &Ground, name: &str, stage: &str, config: &GridConfig) -> Vec<Entry> {
    let gpu = Gpu::open(GpuOptions::default())
        .expect("this test needs a GPU adapter; Mesa's lavapipe will do");
    let (found, _) = file::newest(&ground.path(name)).expect("a checkpoint");
    let load = |part: &str, model: &mut dyn Module| {
        let within = if stage == "joint" {
            format!("ema.{part}.")
        } else {
            "ema.".into()
        };
        model.visit(&mut |path, tensor| {
            let values = found
                .tensor(&format!("{within}{path}"), tensor.shape())
                .expect("a weight");
            *tensor = Tensor::from_slice(&gpu, &values, tensor.shape());
        });
    };
    let mut init = Init::blank(&gpu);
    let side = config.vqvae.grid();
    let dim = config.vqvae.dim;
    let of = |name: &str, tensor: &Tensor| entry(name, tensor.shape().dims(), tensor.to_vec());
    let numbers = |name: &str, codes: &Codes| {
        entry(
            name,
            codes.shape().dims(),
            codes.to_vec().into_iter().map(|code| code as f32).collect(),
        )
    };
    let mut all = Vec::new();
    if matches!(stage, "vqvae" | "joint") {
        let mut model = VqVae::new(&mut init, &config.vqvae);
        load("vqvae", &mut model);
        let shape = model.codebook.vectors.shape();
        let vectors = found
            .tensor("codebook.vectors", shape)
            .expect("code vectors");
        model.codebook.vectors = Tensor::from_slice(&gpu, &vectors, shape);
        let images = Tensor::from_slice(
            &gpu,
            &ground.batches().at(7).expect("in memory").images,
            [BATCH, SIZE, SIZE, 3],
        );
        let latents = model.encode(&images);
        let codes = model.quantise(&latents);
        let decoded = model.decode(&model.look_up(&codes));
        all.extend([
            of("in.images", &images),
            of("out.latents", &latents),
            of("out.decoded", &decoded),
        ]);
        all.push(numbers("out.codes", &codes));
    }
    if matches!(stage, "prior" | "joint") {
        let mut model = Diffusion::new(&mut init, config).expect("a bridge");
        load("prior", &mut model);
        if model.head().is_some() {
            know(&gpu, ground, &found, &mut model);
        }
        let values = (0..(2 * side * side * dim) as u32).map(|i| stream(0, 9).normal(i) as f32);
        let z = Tensor::from_slice(&gpu, &values.collect::<Vec<_>>(), [2, side, side, dim]);
        all.extend([
            of("in.z", &z),
            entry("in.t", &[1], vec![17.0]),
            of("out.eps", &model.eps(&z, 17, None)),
        ]);
    }
    if stage == "pixelcnn" {
        let mut model = PixelCnn::new(&mut init, &config.pixelcnn, config.codes(), 2, 0);
        load("pixelcnn", &mut model);
        let values =
            (0..2 * (side * side) as u32).map(|i| stream(0, 9).below(i, config.vqvae.codes as u32));
        let codes = Codes::from_slice(&gpu, &values.collect::<Vec<_>>(), [2, side, side]);
        let logits = model.forward(&codes, &Codes::from_slice(&gpu, &[0, 0], [2]));
        all.extend([numbers("in.codes", &codes), of("out.logits", &logits)]);
    }
    all
}

/// Gives a prior that predicts codes its moments, spread and code vectors.
fn know(gpu: &Gpu, ground: &Ground, found: &file::Checkpoint, model: &mut Diffusion) {
    let shape = model.target().shape();
    let values = |name: &str| found.tensor(name, shape).expect(name);
    model.moments = Some(
        ["latents.mean", "latents.std"].map(|name| Tensor::from_slice(gpu, &values(name), shape)),
    );
    model.spread_by(&values("codes.spread"));
    let (vqvae, _) = file::newest(&ground.path("vqvae")).expect("a checkpoint");
    let (_, dims, vectors) = vqvae
        .tensors()
        .find(|(name, ..)| *name == "codebook.vectors")
        .expect("code vectors");
    model.speak(&Tensor::from_slice(gpu, vectors, Shape::from(dims)));
}

#[test]
fn an_export_has_pytorchs_names_and_layouts() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let run = folder.path().join("toy");
    let out = folder.path().join("weights.safetensors");
    training("toy", &run, 2, 2).assert().success();
    let stored = checkpoint(&run).1;
    for (more, prefix) in [(&[][..], "ema"), (&["--raw"], "model")] {
        export(&run, &out, more)
            .assert()
            .success()
            .stderr(contains("from step 2"));
        let bytes = std::fs::read(&out).expect("a file");
        let found = SafeTensors::deserialize(&bytes).expect("safetensors");
        let config =
            std::fs::read_to_string(folder.path().join("weights.toml")).expect("its configuration");
        // Below the line by which the program recognises it.
        let config = config.split_once('\n').map(|(_, rest)| rest.to_string());
        assert_eq!(
            config,
            std::fs::read_to_string(run.join("config.toml")).ok()
        );
        assert_eq!(
            found.len(),
            stored
                .keys()
                .filter(|name| name.starts_with(&format!("{prefix}.")))
                .count()
        );
        let number = |bytes: &[u8], at: usize| {
            f32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"))
        };
        // [taps, in, out] there, [out, in, taps] here; the rest is the same.
        let kernel = found
            .tensor("denoiser.blocks.0.conv.weight")
            .expect("a kernel");
        assert_eq!(kernel.shape(), [12, 12, 5]);
        let own = &stored[&format!("{prefix}.denoiser.blocks.0.conv.weight")];
        let tap = 3;
        let from = 7;
        let to = 2;
        assert_eq!(
            number(kernel.data(), (to * 12 + from) * 5 + tap),
            number(own, (tap * 12 + from) * 12 + to)
        );
        let map = found
            .tensor("denoiser.blocks.0.out.weight")
            .expect("a linear map");
        assert_eq!(
            map.data(),
            stored[&format!("{prefix}.denoiser.blocks.0.out.weight")]
        );
    }
    let fails = |run: &Path, out: &Path, code: i32, words: &str| {
        export(run, out, &[])
            .assert()
            .code(code)
            .stderr(contains(words))
            .stderr(contains("panicked").count(0));
    };
    fails(&run, &folder.path().join("weights.bin"), 2, ".safetensors");
    fails(
        &run,
        &run.join("checkpoint.safetensors"),
        2,
        "a file of the run",
    );
    fails(
        &run,
        &run.join("config.safetensors"),
        2,
        "a file of the run",
    );
    fails(
        &folder.path().join("nowhere"),
        &out,
        7,
        "is not a run directory",
    );
    // No folder can be created where a file is.
    fails(&run, &out.join("weights.safetensors"), 9, "weights");
}
