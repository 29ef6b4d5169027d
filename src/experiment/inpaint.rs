//! `dbvq-wgpu inpaint`: some codes of a sequence given, the rest sampled (appendix B). Here the
//! toy; image runs are passed on.

use std::time::Instant;

use serde_json::json;

use super::device::keep_caches;
use super::filling::{FILES, InpaintArgs};
use super::images::inpaint as images;
use super::run_dir;
use super::sample::{COUNT, Trained, frames, only_for_images, sequences, write_samples};
use crate::data::toy::{self, CODES, DIM, LENGTH};
use crate::error::{Error, Result};
use crate::models::sampler::Known;
use crate::report::figures;
use crate::report::product::{self, Folder, Form};
use crate::report::progress::Progress;
use crate::report::samples_file::check_finite;
use crate::tensor::Tensor;

/// Passes over each level, unless the user says otherwise.
const RESAMPLE: usize = 10;

/// The toy's sequences that are asked for.
pub(crate) struct Wanted {
    /// Positions and their codes.
    pub known: Vec<(usize, u32)>,
    /// Passes over each level.
    pub resample: usize,
    /// Sequences.
    pub count: usize,
    /// Of the noise.
    pub seed: u64,
}

impl Wanted {
    /// Of `args`, which may name nothing of images.
    fn new(args: &InpaintArgs) -> Result<Wanted> {
        let [known] = &args.known[..] else {
            return Err(Error::Usage(
                "--known: the toy takes one list POSITION=CODE,POSITION=CODE".into(),
            ));
        };
        let known = parse_known(&known.to_string_lossy())?;
        only_for_images(&args.run, &args.filling.images, &args.pictures)?;
        if args.mask.is_some() || args.prior.is_some() || args.filling.steps.is_some() || args.paste
        {
            let what =
                "--mask, --paste, --prior and --sampling-steps of inpaint are for image runs";
            return Err(Error::Usage(format!(
                "{} is a run of the toy; {what}",
                args.run.display()
            )));
        }
        let resample = args.filling.resample.unwrap_or(RESAMPLE);
        let count = args.count.unwrap_or(COUNT);
        Ok(Wanted {
            known,
            resample,
            count,
            seed: args.filling.seed,
        })
    }
}

/// Reads `0=0,4=4`.
///
/// # Errors
/// [`Error::Usage`] saying what a position and a code may be.
pub fn parse_known(text: &str) -> Result<Vec<(usize, u32)>> {
    let wrong = |part: &str| {
        Error::Usage(format!(
            "--known {text}: `{part}` is not POSITION=CODE with a position of 0 to {} and a code of 0 to {}",
            LENGTH - 1,
            CODES - 1
        ))
    };
    let mut known = Vec::new();
    for part in text.split(',') {
        let (position, code) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let (Ok(position), Ok(code)) =
            (position.trim().parse::<usize>(), code.trim().parse::<u32>())
        else {
            return Err(wrong(part));
        };
        if position >= LENGTH || code as usize >= CODES {
            return Err(wrong(part));
        }
        if known.iter().any(|&(p, _)| p == position) {
            return Err(Error::Usage(format!(
                "--known {text}: position {position} is given twice"
            )));
        }
        known.push((position, code));
    }
    Ok(known)
}

/// Inpaints.
///
/// # Errors
/// As [`Trained::load`], and [`Error::Io`] for the files.
pub fn run(args: &InpaintArgs) -> Result<()> {
    if run_dir::is_of_images(&args.run)? {
        return images::run(args);
    }
    let wanted = Wanted::new(args)?;
    let _folder = Folder::open(&args.out, &FILES, None)?;
    let trained = Trained::load(&args.run, &args.device)?;
    let begin = Instant::now();
    let z0 = fill(&trained, &wanted)?;
    let seconds = begin.elapsed().as_secs_f64();
    let codes = toy::nearest(&z0, &toy::centroids());
    // The file speaks the model's codes; chains are judged, and drawn, by the true centroids.
    write_samples(
        &args.out.join("samples.safetensors"),
        wanted.count,
        &toy::nearest(&z0, &trained.codebook()),
        &z0,
    )?;
    let fillings = toy::fillings(&wanted.known);
    let shares = toy::shares(&codes, &fillings);
    let consistent: f64 = shares.iter().sum();
    let summary = json!({
        "known": wanted.known, "resample": wanted.resample, "samples": wanted.count, "seed": wanted.seed,
        "consistent": consistent, "paths": shares, "fillings": fillings, "seconds": seconds,
        "adapter": trained.gpu.facts().name,
    });
    let text = serde_json::to_string_pretty(&summary).expect("plain data");
    product::write(&args.out.join("summary.json"), Form::Json, text.as_bytes())?;
    let picture = picture(&wanted, &codes, &z0);
    let facts = [
        ("seed", args.filling.seed.to_string()),
        ("resample", wanted.resample.to_string()),
        ("run", args.run.display().to_string()),
    ];
    figures::save(&args.out.join("inpainting.png"), &picture, &facts)?;
    say!(
        "{:.2} % of {} fillings are valid chains, by {} resampling passes",
        100.0 * consistent,
        wanted.count,
        wanted.resample
    );
    for (filling, share) in fillings.iter().zip(&shares) {
        say!("  {filling:?}  {:.2} %", 100.0 * share);
    }
    say!(
        "{seconds:.1} s; wrote samples.safetensors, inpainting.png and summary.json to {}",
        args.out.display()
    );
    keep_caches(&trained.gpu);
    Ok(())
}

/// z_0 [count, 5, 2] with the known positions at their centroids.
pub(crate) fn fill(trained: &Trained, wanted: &Wanted) -> Result<Vec<f32>> {
    let mut vectors = [0.0; LENGTH * DIM];
    let mut mask = [0.0; LENGTH];
    for &(position, code) in &wanted.known {
        vectors[position * DIM..][..DIM].copy_from_slice(&toy::centroids()[code as usize]);
        mask[position] = 1.0;
    }
    let z0 = Tensor::from_slice(
        &trained.gpu,
        &vectors.repeat(wanted.count),
        [wanted.count, LENGTH, DIM],
    );
    let mask = Tensor::from_slice(&trained.gpu, &mask, [1, LENGTH, 1]);
    let eps = |z: &Tensor, t: usize| trained.model.eps(z, t);
    let steps = trained.model.bridge.steps();
    let mut progress = Progress::new("inpaint", 0, steps as u64);
    let known = Known {
        z0: &z0,
        mask: &mask,
        resample: wanted.resample,
    };
    let process = trained.process(&eps);
    let filled = process.inpaint(&known, &process.levels(steps)?, wanted.seed, &mut |t, _| {
        trained.gpu.wait();
        progress.at((steps - t) as u64, || format!("t = {t}"));
    });
    progress.finish();
    let filled = filled.to_vec();
    check_finite("fillings", &filled)?;
    Ok(filled)
}

/// Figure 12: the first three samples.
pub(crate) fn picture(wanted: &Wanted, codes: &[u32], z0: &[f32]) -> image::RgbImage {
    let frames = frames(&z0[..z0.len().min(3 * LENGTH * DIM)]);
    let rows = sequences(codes);
    figures::inpainting(&toy::centroids(), &wanted.known, &frames, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_are_read_or_refused() {
        assert_eq!(parse_known("0=0,4=4").ok(), Some(vec![(0, 0), (4, 4)]));
        for wrong in ["", "0", "5=0", "0=8", "0=0,0=1", "a=b"] {
            assert_eq!(
                parse_known(wrong).expect_err(wrong).exit_code(),
                2,
                "{wrong}"
            );
        }
    }
}
