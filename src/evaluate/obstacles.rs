//! Metrics that are known to be impossible before anything is measured.

use super::features::NO_WEIGHTS;
use super::missing::Missing;
use super::{EvaluateArgs, Metric, likelihood, nll, reconstruction};
use crate::experiment::trained::{Prior, Trained};

/// What cannot be measured with `count` samples and `held_out` images.
pub(super) fn of(
    runs: &[Trained],
    args: &EvaluateArgs,
    count: usize,
    held_out: usize,
) -> Vec<Missing> {
    let wants = |metric: Metric| args.metrics.contains(&metric);
    let prior = |run: &&Trained| !matches!(run.prior, Prior::None);
    let mut found = Vec::new();
    let has_codes = |run: &&Trained| !run.config.is_of_images();
    for run in runs.iter().filter(has_codes) {
        let of_images: Vec<&str> = [Metric::Reconstruction, Metric::Fid]
            .into_iter()
            .filter(|metric| wants(*metric))
            .map(Metric::name)
            .collect();
        if !of_images.is_empty() {
            let reason = "its data are codes, not images";
            found.push(Missing::new(run, &of_images, reason));
        }
    }
    let no_ssim = runs
        .first()
        .filter(|run| !has_codes(run))
        .and_then(|run| reconstruction::no_ssim(run.config.vqvae.size));
    if let Some(reason) = no_ssim.filter(|_| wants(Metric::Reconstruction)) {
        found.extend(
            runs.iter()
                .map(|run| Missing::new(run, &["ssim"], reason.clone())),
        );
    }
    let sampled: Vec<&str> = args
        .metrics
        .iter()
        .filter(|m| **m != Metric::Reconstruction)
        .map(|m| m.name())
        .collect();
    if !sampled.is_empty() && !runs.iter().any(|run| prior(&run)) {
        let reason = "a run of stage vqvae has no prior to sample from; add runs of stage prior, pixelcnn or joint";
        found.extend(runs.iter().map(|run| Missing::new(run, &sampled, reason)));
    }
    for run in runs.iter().filter(prior) {
        if let Some(reason) = nll::obstacle(run, held_out).filter(|_| wants(Metric::Nll)) {
            found.push(Missing::new(run, &["nll"], reason));
        }
        if let Some(reason) = likelihood::obstacle(run).filter(|_| wants(Metric::Likelihood)) {
            found.push(Missing::new(run, &["likelihood"], reason));
        }
        let no_fid = match (&args.inception, count) {
            (None, _) => Some(NO_WEIGHTS),
            (Some(_), 0..=1) => Some(
                "FID and KID need at least two samples and two held-out images; there is one of each",
            ),
            _ => None,
        };
        if let Some(reason) = no_fid.filter(|_| wants(Metric::Fid) && !has_codes(&run)) {
            found.push(Missing::new(run, &["fid"], reason));
        }
    }
    found
}
