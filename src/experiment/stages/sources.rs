//! The trained models that a stage builds on: found, checked, copied, loaded.

use std::path::Path;

use super::context::StageContext;
use crate::config::{GridConfig, Stage, Stored};
use crate::error::{Error, Result};
use crate::experiment::codebook;
use crate::experiment::run_dir;
use crate::experiment::train_args::{TrainArgs, usage};
use crate::models::first_stage::FixedCodebook;
use crate::models::vqvae::VqVae;
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::codebook::Codebook;
use crate::nn::init::Init;
use crate::report::file;

/// The frozen model that a stage builds on.
pub(crate) enum Frozen {
    VqVae(Box<VqVae>),
    Codebook(FixedCodebook),
}

/// The copy of the frozen VQ-VAE in the run directory of a stage that builds on it.
pub(in crate::experiment) const VQVAE_FILE: &str = "vqvae.safetensors";

/// Name prefix of the VQ-VAE's averaged weights in a run of stage joint.
const JOINT: &str = "ema.vqvae.";

/// The trained models that a stage builds on.
#[derive(Default)]
pub(in crate::experiment) struct Sources {
    pub vqvae: Option<Checkpoint>,
    pub prior: Option<Checkpoint>,
}

impl Sources {
    /// Finds the sources that `args` name for `stage`, and checks them before anything slow.
    pub fn find(args: &TrainArgs, config: &GridConfig, stage: Stage) -> Result<Sources> {
        if !config.is_of_images() {
            return Ok(Sources::default());
        }
        let resumes = args.resume && checkpoint::exists(&args.out);
        let kept = args.out.join(VQVAE_FILE);
        match (stage, &args.from) {
            // Its own checkpoint has everything.
            (Stage::VqVae | Stage::Joint, _) if resumes => Ok(Sources::default()),
            (Stage::VqVae, Some(run)) => Sources::start(run),
            (Stage::VqVae, None) => Ok(Sources::default()),
            (Stage::Joint, Some(run)) => Sources::warm(run, config),
            (_, from) if resumes && kept.exists() => {
                if let Some(run) = from
                    && !is_newest_of(run, &kept)?
                {
                    let what = format!(
                        "--from {} is not the VQ-VAE that this run began with",
                        run.display()
                    );
                    return Err(usage(
                        args,
                        &format!("{what}; omit --from, the run keeps its own"),
                    ));
                }
                Sources::frozen(&kept, config)
            }
            (_, Some(run)) => Sources::of_vqvae(run_dir::newest(run)?, config),
            _ => Err(usage(
                args,
                "this stage builds on a trained VQ-VAE; name its run with --from",
            )),
        }
    }

    /// A VQ-VAE alone, from `file`.
    pub fn frozen(file: &Path, config: &GridConfig) -> Result<Sources> {
        Sources::of_vqvae(checkpoint::load(file)?, config)
    }

    fn of_vqvae(found: Checkpoint, config: &GridConfig) -> Result<Sources> {
        if found.model != config.model_text(Stage::VqVae) {
            let what =
                "is not a VQ-VAE of this preset; name a run of its stage vqvae with train's --from";
            return Err(Error::checkpoint(&found.path, what));
        }
        Ok(Sources {
            vqvae: Some(found),
            prior: None,
        })
    }

    /// The VQ-VAE of `run`, whatever its stage. The shapes of its weights are checked when they are
    /// loaded.
    fn start(run: &Path) -> Result<Sources> {
        let found = match run_dir::stored(run) {
            Ok(Stored::Grid(Stage::Prior | Stage::PixelCnn, _)) => {
                checkpoint::load(&run.join(VQVAE_FILE))?
            }
            Ok(Stored::Toy(_)) => {
                let what = "is a run of the toy; name a run on images with --from";
                return Err(Error::checkpoint(checkpoint::path(run), what));
            }
            _ => run_dir::newest(run)?,
        };
        Ok(Sources {
            vqvae: Some(found),
            prior: None,
        })
    }

    /// The VQ-VAE in `run`, or its prior and the VQ-VAE beside it.
    fn warm(run: &Path, config: &GridConfig) -> Result<Sources> {
        let found = run_dir::newest(run)?;
        if found.model == config.model_text(Stage::Prior) {
            return Ok(Sources {
                prior: Some(found),
                ..Sources::frozen(&run.join(VQVAE_FILE), config)?
            });
        }
        if found.model != config.model_text(Stage::VqVae) {
            let what = "is neither a VQ-VAE nor a prior of this preset; name the run of one of these stages with --from";
            return Err(Error::checkpoint(&found.path, what));
        }
        Ok(Sources {
            vqvae: Some(found),
            prior: None,
        })
    }
}

/// Whether `file` is a copy of the newest intact checkpoint of `run`, the one that stages build on.
fn is_newest_of(run: &Path, file: &Path) -> Result<bool> {
    let read = |file: &Path| std::fs::read(file).map_err(Error::io(file));
    Ok(read(&run_dir::newest(run)?.path)? == read(file)?)
}

/// Checks that the run `run` builds on the VQ-VAE of the run `vqvae`.
pub(crate) fn builds_on(run: &Path, vqvae: &Path) -> Result<()> {
    if is_newest_of(vqvae, &run.join(VQVAE_FILE))? {
        return Ok(());
    }
    let what = format!(
        "builds on another VQ-VAE than {}; move it away to train it again",
        vqvae.display()
    );
    Err(Error::checkpoint(run, what))
}

/// The frozen model of a stage: the codes of the data set, or the VQ-VAE of `sources`, which is
/// copied into `out`. Its parameters are not leaves of the tape, so nothing updates them.
pub(super) fn freeze(context: &StageContext, sources: Sources, out: &Path) -> Result<Frozen> {
    if let Some(config) = &context.config.codebook {
        let kept = codebook::Kept::read(out, config)?;
        return Ok(Frozen::Codebook(kept.first_stage(&context.gpu, config)));
    }
    let found = sources
        .vqvae
        .expect("a stage that freezes a VQ-VAE has one");
    let copy = out.join(VQVAE_FILE);
    if found.path != copy {
        let bytes = std::fs::read(&found.path).map_err(Error::io(&found.path))?;
        file::write(&copy, &bytes)?;
    }
    let mut model = VqVae::new(&mut Init::blank(&context.gpu), &context.config.vqvae);
    load_vqvae(&mut model, &found, "ema.")?;
    Ok(Frozen::VqVae(Box::new(model)))
}

/// Name prefix of a VQ-VAE's averaged weights; in stage joint they are part of a larger model.
pub(in crate::experiment) fn prefix_of(found: &Checkpoint) -> &'static str {
    let joint = found.tensors().any(|(name, ..)| name.starts_with(JOINT));
    if joint { JOINT } else { "ema." }
}

/// Loads into `model` the codebook of a checkpoint and the weights whose names begin with `prefix`.
pub(in crate::experiment) fn load_vqvae(
    model: &mut VqVae,
    found: &Checkpoint,
    prefix: &str,
) -> Result<()> {
    // A codebook trained by gradient is also among the averaged weights, which are loaded last and
    // take precedence.
    restore_codebook(&model.codebook, found)?;
    let gpu = model.codebook.vectors.gpu().clone();
    found.weights(&gpu, model, prefix)
}

/// Restores the codebook of a checkpoint.
pub(crate) fn restore_codebook(codebook: &Codebook, found: &Checkpoint) -> Result<()> {
    let [vectors, counts, sums] = codebook
        .state()
        .map(|(name, tensor)| found.tensor(name, tensor.shape()));
    codebook.write(&vectors?, &counts?, &sums?);
    Ok(())
}
