//! Configurations: presets, files, `--set`, and the messages for invalid ones.

use super::*;
use crate::bridge::Spacing;

#[test]
fn presets_parse_and_write_themselves() {
    for (name, _, text) in PRESETS {
        match Experiment::load(name, &[]).expect(name) {
            Experiment::Toy(config) => {
                assert_eq!(
                    Config::parse(&config.to_toml(), name, &[]).expect(name),
                    *config,
                    "{name}"
                );
            }
            Experiment::Grid(config) => {
                assert_eq!(
                    GridConfig::parse(&config.to_toml(), name, &[]).expect(name),
                    *config,
                    "{name}"
                );
                assert!(
                    text.contains("[stages.prior]") || text.contains("\npreset = "),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn presets_of_the_papers_prior_differ_in_the_prior_alone() {
    for name in [
        "cifar10",
        "cifar10-small",
        "mini-imagenet",
        "mini-imagenet-small",
    ] {
        let load = |name: &str| match Experiment::load(name, &[]).expect(name) {
            Experiment::Grid(config) => *config,
            Experiment::Toy(_) => panic!("{name} is a preset of images"),
        };
        let main = load(name);
        let mut paper = load(&format!("{name}-paper"));
        let levels = Levels::Uniform {};
        for stage in [&paper.stages.prior, &paper.stages.joint] {
            assert_eq!(
                (stage.loss, stage.levels),
                (LossWeight::Simple, levels),
                "{name}"
            );
        }
        assert_ne!(
            (paper.unet.prediction, paper.prior.diffuse),
            (main.unet.prediction, main.prior.diffuse),
            "{name}"
        );
        (paper.unet, paper.prior, paper.joint.diffuse) =
            (main.unet.clone(), main.prior.clone(), main.joint.diffuse);
        paper.stages.prior = main.stages.prior.clone();
        (paper.stages.joint.loss, paper.stages.joint.levels) =
            (main.stages.joint.loss, main.stages.joint.levels);
        assert_eq!(paper, main, "{name}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let error = Config::parse("[train]\nstep = 3", "x.toml", &[])
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("x.toml")
            && error.contains("`train.step`")
            && error.contains("`train.steps`"),
        "{error}"
    );
    let error = Config::load("toy", &["bridge.thetta=1".into()])
        .expect_err("unknown")
        .to_string();
    assert!(error.contains("`bridge.theta`"), "{error}");
}

#[test]
fn an_image_preset_that_makes_no_sense_names_the_key() {
    for (set, key) in [
        ("vqvae.size=30", "vqvae.size"),
        ("unet.multipliers=[]", "unet.multipliers"),
        ("unet.heads=5", "unet.heads"),
        ("unet.base=1024", "unet.heads"),
        ("unet.attention=[7]", "unet.attention"),
        ("pixelcnn.kernel=2", "pixelcnn.kernel"),
        ("stages.prior.batch=0", "stages.prior.batch"),
        ("stages.prior.lr=-1", "stages.prior.lr"),
        ("vqvae.decay=1", "vqvae.decay"),
        ("vqvae.normaliser=0.1", "vqvae.normaliser"),
        ("vqvae.quantiser=gumbel", "vqvae.codebook = \"gradient\""),
        ("vqvae.gumbel.tau_end=0", "vqvae.gumbel.tau_end"),
        ("vqvae.distance=manhattan", "manhattan"),
        ("unet.prediction=z0", "z0"),
        ("class_dropout=1", "class_dropout"),
        ("stages.prior.loss=preconditioned", "stages.prior.loss"),
        ("joint.reg_tau=0", "joint.reg_tau"),
        ("stages.vqvae.accumulate=3", "stages.vqvae.accumulate"),
    ] {
        let error = Experiment::load("cifar10-small", &[set.into()])
            .expect_err(set)
            .to_string();
        assert!(error.contains(key), "{set}: {error}");
    }
}

#[test]
fn a_key_left_out_of_a_stage_takes_the_stage_s_default() {
    let text = "[vqvae]\n[stages.prior]\nsteps = 3";
    let config = GridConfig::parse(text, "t", &["stages.vqvae.batch=8".into()]).expect("valid");
    let defaults = StagesConfig::default();
    assert_eq!(
        config.stages.prior,
        TrainConfig {
            steps: 3,
            warmup: 1,
            ..defaults.prior
        }
    );
    assert_eq!(
        config.stages.vqvae,
        TrainConfig {
            batch: 8,
            ..defaults.vqvae
        }
    );
}

#[test]
fn a_key_left_out_of_an_image_bridge_takes_the_images_default() {
    let bridge = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
        GridConfig::parse("[vqvae]\n", "t", &sets)
            .expect("valid")
            .bridge
    };
    let default = GridConfig::default().bridge;
    assert_eq!(
        bridge(&["bridge.steps=500"]),
        BridgeConfig {
            steps: 500,
            ..default.clone()
        }
    );
    let spacing = Spacing::Linear {
        beta_start: 1e-3,
        beta_end: 0.02,
    };
    assert_eq!(
        bridge(&["bridge.beta_start=1e-3"]),
        BridgeConfig {
            spacing,
            ..default.clone()
        }
    );
    let cosine = bridge(&["bridge.schedule=cosine"]);
    assert_eq!(
        cosine,
        BridgeConfig {
            spacing: Spacing::Cosine {},
            ..default
        }
    );
}

#[test]
fn set_reaches_every_kind_of_value() {
    let sets = [
        "seed=7",
        "train.lr=1e-3",
        "train.loss=simple",
        "bridge.schedule=cosine",
        "train.levels={law='uniform'}",
    ];
    let mut sets = sets.map(String::from).to_vec();
    let text = "[bridge]\nsteps = 10\neta = 2.0\n";
    let config = Config::parse(text, "t", &sets).expect("valid");
    assert_eq!(
        (config.seed, config.train.lr, config.train.loss),
        (7, 1e-3, LossWeight::Simple)
    );
    assert_eq!(config.train.levels, Levels::Uniform {});
    sets.push("train".into());
    assert!(Config::parse(text, "t", &sets).is_err());
}

#[test]
fn set_changes_the_schedule_but_turns_no_codes_on() {
    let cosine =
        Config::load("toy", &["bridge.schedule=cosine".into()]).expect("the old numbers go");
    assert_eq!(cosine.bridge.spacing, Spacing::Cosine {});
    let error = Config::load("toy", &["codes.lr=0.1".into()])
        .expect_err("no codes")
        .to_string();
    assert!(error.contains("toy-joint"), "{error}");
}

#[test]
fn set_changes_the_law_of_the_levels() {
    let uniform =
        Config::load("toy", &["train.levels.law=uniform".into()]).expect("the old numbers go");
    assert_eq!(uniform.train.levels, Levels::Uniform {});
    let bump = ["train.levels.width=0.2", "train.levels.law=bump"].map(String::from);
    let again = Config::load("toy", &bump)
        .expect("the same law keeps its numbers")
        .train
        .levels;
    assert!(
        matches!(again, Levels::Bump { width: 0.2, .. }),
        "{again:?}"
    );
}

#[test]
fn errors_of_a_file_say_the_line_in_one_line() {
    let error = Config::parse("seed = 1\n[train]\nsteps = = 3\n", "x.toml", &[])
        .expect_err("not TOML")
        .to_string();
    assert!(
        error.starts_with("x.toml, line 3: ") && !error.contains('\n'),
        "{error}"
    );
    let error = Config::parse("seed = 1\nseed = 2\n", "x.toml", &[])
        .expect_err("twice")
        .to_string();
    assert!(error.starts_with("x.toml, line 2: "), "{error}");
    let error = Config::parse("[train]\nsteps = 'many'\n", "x.toml", &[])
        .expect_err("no number")
        .to_string();
    assert!(
        error.contains("train.steps") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn sizes_beyond_reason_are_refused() {
    for set in [
        "train.batch=99999999999",
        "denoiser.kernel=99999",
        "denoiser.blocks=100000",
        "bridge.steps=100000000",
    ] {
        let error = Config::load("toy", &[set.into()])
            .expect_err(set)
            .to_string();
        assert!(
            error.contains(set.split(['.', '=']).nth(1).unwrap_or_default()),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_name_or_number_says_so() {
    assert!(
        Config::load("toyy", &[])
            .expect_err("no such")
            .to_string()
            .contains("'toy'")
    );
    assert!(Config::load("toy", &["bridge.theta=-1".into()]).is_err());
    assert!(
        Config::load("toy", &["train.ema=1.0".into()])
            .expect_err("range")
            .to_string()
            .contains("train.ema")
    );
    assert_eq!(
        Config::load("nowhere.toml", &[])
            .expect_err("missing")
            .exit_code(),
        9
    );
}

fn images(text: &str, sets: &[&str]) -> GridConfig {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    match Source::parse(text, "t")
        .and_then(|source| source.experiment(&Overrides::of_sets(&sets)))
        .expect(text)
    {
        Experiment::Grid(config) => *config,
        Experiment::Toy(_) => panic!("{text}: a toy"),
    }
}

fn wrong(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    let found = Source::parse(text, "x.toml")
        .and_then(|source| source.experiment(&Overrides::of_sets(&sets)));
    found.map(|_| ()).expect_err(text).to_string()
}

#[test]
fn keys_that_end_alike_and_flags_are_named() {
    for (set, words) in [
        ("size=64", &["unknown key `size`", "`vqvae.size`"][..]),
        ("batch=8", &["`stages.vqvae.batch`", "`stages.joint.batch`"]),
        ("channels=8", &["`pixelcnn.channels` or `vqvae.channels`"]),
        ("unet.dropuot=0.1", &["`unet.dropout`"]),
        ("data=x", &["it is not a key", "--data"]),
        ("gpu-memory=5", &["--gpu-memory"]),
        ("stage=prior", &["--stage"]),
        ("unet=5", &["`unet` is a section"]),
        ("seed.x=1", &["`seed` is not a section"]),
    ] {
        let error = wrong("preset = 'images-small'", &[set]);
        assert!(
            words.iter().all(|word| error.contains(word)),
            "{set}: {error}"
        );
    }
    assert!(wrong("steps = 3", &[]).contains("`train.steps`"));
}

#[test]
fn a_file_extends_a_preset() {
    let small = images("preset = 'images-small'", &[]);
    let Ok(Experiment::Grid(cifar)) = Experiment::load("cifar10-small", &[]) else {
        panic!("a preset of images")
    };
    assert_eq!(small, *cifar);
    let mine = images(
        "preset = 'images-small'\n[vqvae]\nsize = 64\n[bridge]\nschedule = 'cosine'",
        &["unet.base=32"],
    );
    assert_eq!(
        (mine.vqvae.size, mine.vqvae.channels, mine.unet.base),
        (64, small.vqvae.channels, 32)
    );
    assert_eq!(
        mine.bridge.spacing,
        crate::bridge::Spacing::Cosine {},
        "the preset's numbers go with its schedule"
    );
    let uniform = Config::parse(
        "preset = 'toy'\n[train]\nlevels = { law = 'uniform' }",
        "t",
        &[],
    )
    .expect("valid");
    assert_eq!(uniform.train.levels, Levels::Uniform {});
    let error = wrong("preset = 'imags-small'", &[]);
    assert!(
        error.contains("is not a preset") && error.contains("'images-small'"),
        "{error}"
    );
    assert!(wrong("preset = 'toy'\nkind = 'images'", &[]).contains("do not go together"));
    assert!(wrong("preset = 3", &[]).contains("must be the name of a preset"));
}

#[test]
fn sizes_that_nobody_chose_are_said() {
    let note = |text: &str| Source::parse(text, "mine.toml").expect("valid").note;
    let said = note("[vqvae]\nsize = 64\n").expect("the paper's sizes");
    assert!(
        said.contains("vqvae.channels") && said.contains("preset = \"images-small\""),
        "{said}"
    );
    assert_eq!(note("preset = 'images'\n[vqvae]\nsize = 64\n"), None);
    assert_eq!(
        note(&images("preset = 'images-small'", &[]).to_toml()),
        None
    );
    assert_eq!(note("[train]\nsteps = 5\n"), None);
}

#[test]
fn a_shorter_training_warms_up_for_a_tenth() {
    let warmup = |sets: &[&str]| images("preset = 'images-small'", sets).stages.prior.warmup;
    assert_eq!(warmup(&[]), 100);
    assert_eq!(warmup(&["stages.prior.steps=60"]), 6);
    assert_eq!(warmup(&["stages.prior.steps=3"]), 1);
    assert_eq!(
        warmup(&["stages.prior.steps=1150"]),
        100,
        "it is less than a tenth"
    );
    assert_eq!(warmup(&["stages.prior.steps=5000"]), 100);
    assert_eq!(warmup(&["stages.vqvae.steps=60"]), 100, "another stage");
    assert_eq!(
        warmup(&["stages.prior.steps=60", "stages.prior.warmup=50"]),
        50
    );
    let toy = |text: &str| Config::parse(text, "t", &[]).expect("valid").train.warmup;
    assert_eq!(
        (
            toy("[train]\nsteps = 100"),
            toy("[train]\nsteps = 100\nwarmup = 99"),
            toy("")
        ),
        (10, 99, 200)
    );
}

#[test]
fn a_run_s_kind_is_a_key_wherever_it_stands() {
    let config = images("preset = 'cifar10-small'", &["vqvae.codes=32"]);
    let stage = |text: &str| match Stored::parse(text, "run/config.toml") {
        Ok(Stored::Grid(stage, found)) => {
            assert_eq!(*found, config);
            stage
        }
        other => panic!("{other:?}"),
    };
    let body = config.to_toml();
    // Includes the format of runs that predate `kind`.
    let (keys, sections) = body.split_once("\n[").expect("sections");
    for text in [
        format!("stage = \"prior\"\n{body}"),
        format!("# mine\n\nstage = 'prior'\n{body}"),
        format!("{keys}\nkind = \"images\"\n  stage   =  \"prior\" # the second\n[{sections}"),
        Stored::Grid(Stage::Prior, Box::new(config.clone())).to_toml(),
    ] {
        assert_eq!(stage(&text), Stage::Prior, "{text}");
    }
    let toy = Config::load("toy", &[]).expect("a preset");
    for text in [
        toy.to_toml(),
        format!("# mine\n{}", Stored::Toy(Box::new(toy.clone())).to_toml()),
    ] {
        assert!(matches!(Stored::parse(&text, "t"), Ok(Stored::Toy(found)) if *found == toy));
    }
    for (text, word) in [
        (format!("stage = 'other'\n{body}"), "names no stage"),
        (body.clone(), "names no stage"),
        (format!("kind = 'video'\n{body}"), "names no kind"),
        (
            format!("stage = 'prior'\nkind = 'toy'\n{}", toy.to_toml()),
            "a toy has no stage",
        ),
    ] {
        let error = Stored::parse(&text, "run/config.toml").expect_err(word);
        assert!(
            error.exit_code() == 3 && error.to_string().contains(word),
            "{error}"
        );
    }
}

#[test]
fn encodings_are_named() {
    let text = "# größe\n[vqvae]\nsize = 64\n";
    assert_eq!(decode(text.as_bytes(), "a").ok(), Some(text.into()));
    assert_eq!(
        decode(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), "a").ok(),
        Some(text.into())
    );
    let utf16 = |bytes: fn(u16) -> [u8; 2], mark: &[u8]| {
        mark.iter()
            .copied()
            .chain(text.encode_utf16().flat_map(bytes))
            .collect::<Vec<u8>>()
    };
    for (bytes, word) in [
        (
            utf16(u16::to_le_bytes, b"\xff\xfe"),
            "UTF-16 (little-endian)",
        ),
        (utf16(u16::to_le_bytes, b""), "UTF-16 (little-endian)"),
        (utf16(u16::to_be_bytes, b"\xfe\xff"), "UTF-16 (big-endian)"),
        (utf16(u16::to_be_bytes, b""), "UTF-16 (big-endian)"),
        (b"\xff\xfe\0\0#\0\0\0".to_vec(), "UTF-32"),
        (
            b"seed = 1\n# gr\xf6\xdfe\n".to_vec(),
            "byte 0xF6 in line 2), perhaps Latin-1",
        ),
    ] {
        let error = decode(&bytes, "mine.toml").expect_err(word);
        let said = error.to_string();
        assert!(
            error.exit_code() == 3
                && said.contains("mine.toml")
                && said.contains(word)
                && said.contains("UTF-8"),
            "{said}"
        );
    }
    assert!(decode(b"", "a").is_ok() && decode(b"a", "a").is_ok());
}

#[test]
fn sections_of_another_run_stand_between_preset_and_user() {
    let vqvae = |codes: usize| {
        toml::Table::from_iter([(
            "vqvae".to_string(),
            toml::Value::Table(toml::Table::from_iter([(
                "codes".to_string(),
                (codes as i64).into(),
            )])),
        )])
    };
    let source = Source::open("cifar10-small").expect("a preset");
    let codes = |sets: &[String], inherited: &toml::Table| match source
        .experiment(&Overrides {
            inherited: inherited.clone(),
            ..Overrides::of_sets(sets)
        })
        .expect("valid")
    {
        Experiment::Grid(config) => (config.vqvae.codes, config.vqvae.channels),
        Experiment::Toy(_) => panic!("a toy"),
    };
    assert_eq!(codes(&[], &vqvae(16)), (16, 64));
    assert_eq!(codes(&["vqvae.codes=32".into()], &vqvae(16)), (32, 64));
}

#[test]
fn typed_values_override_settings() {
    let load = |name: &str, over: &Overrides| match Source::open(name)
        .and_then(|source| source.experiment(over))
        .expect(name)
    {
        Experiment::Grid(config) => *config,
        Experiment::Toy(_) => panic!("{name} is a preset of grids"),
    };
    let sets = ["seed=1", "stages.prior.steps=60", "vqvae.size=64"].map(String::from);
    let over = Overrides {
        seed: Some(7),
        stage: Some(Stage::Prior),
        steps: Some(30),
        size: Some(16),
        resize: Some(Resize::Crop),
        skip_broken: true,
        ..Overrides::of_sets(&sets)
    };
    let config = load("images-small", &over);
    assert_eq!((config.seed, config.vqvae.size), (7, 16));
    assert_eq!(config.data.resize, Resize::Crop);
    assert!(config.data.skip_broken);
    let of = |config: &GridConfig, stage| (config.stage(stage).steps, config.stage(stage).warmup);
    assert_eq!(of(&config, Stage::Prior), (30, 3), "a tenth");
    let plain = load("images-small", &Overrides::default());
    assert_eq!(
        of(&config, Stage::PixelCnn),
        of(&plain, Stage::PixelCnn),
        "another stage"
    );
    let kept = Overrides {
        warmup: Some(50),
        ..over.clone()
    };
    assert_eq!(
        of(&load("images-small", &kept), Stage::Prior),
        (30, 50),
        "as the resumed run"
    );
    let said = ["stages.prior.warmup=9".to_string()];
    let said = Overrides {
        sets: &said,
        ..kept
    };
    assert_eq!(
        of(&load("images-small", &said), Stage::Prior),
        (30, 9),
        "as the user says"
    );
    let sets = ["codebook.codes=99".to_string()];
    let over = Overrides {
        codes: Some(5),
        grid: Some([2, 3]),
        ..Overrides::of_sets(&sets)
    };
    let config = load("codes-small", &over);
    let usual = load("codes-small", &Overrides::default()).dim();
    assert_eq!(
        (config.codes(), config.grid(), config.dim()),
        (5, [2, 3], usual)
    );
}

#[test]
fn numbers_beyond_toml_s_are_refused_by_name() {
    let most = Some(u64::MAX);
    for (name, over) in [
        (
            "seed",
            Overrides {
                seed: most,
                ..Overrides::default()
            },
        ),
        (
            "steps",
            Overrides {
                steps: most,
                ..Overrides::default()
            },
        ),
    ] {
        let source = Source::open("toy").expect("a preset");
        let error = source.experiment(&over).expect_err(name);
        assert!(
            error.exit_code() == 3 && error.to_string().contains(&format!("{name} = ")),
            "{error}"
        );
    }
}

#[test]
fn a_law_keeps_the_default_numbers_that_a_file_leaves_out() {
    let text = "[train]\nlevels = { law = 'bump', width = 0.1 }";
    let levels = Config::parse(text, "t", &[]).expect("valid").train.levels;
    let bump = Levels::Bump {
        centre: 0.6,
        width: 0.1,
        floor: 0.15,
    };
    assert_eq!(levels, bump);
}
