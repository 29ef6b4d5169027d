//! Metrics that are known to be impossible before anything is measured.

use super::measure::Given;
use super::metrics::Metric;
use super::missing::Missing;
use super::reconstruction;
use crate::experiment::trained::{Prior, Trained};

/// What cannot be measured for `runs`.
pub(super) fn of(runs: &[Trained], given: &Given) -> Vec<Missing> {
    let mut found = of_codes(runs, given);
    found.extend(no_ssim(runs, given));
    found.extend(no_prior(runs, given));
    for run in runs.iter().filter(|run| has_prior(run)) {
        for metric in wanted(given) {
            let fits = run.config.is_of_images() || !metric.is_of_images();
            if let Some(reason) = metric.obstacle(run, given).filter(|_| fits) {
                found.push(Missing::new(run, &[metric.name()], reason));
            }
        }
    }
    found
}

/// The metrics asked for, in their usual order.
fn wanted<'a>(given: &'a Given) -> impl Iterator<Item = Metric> + 'a {
    let all = Metric::ALL.iter().copied();
    all.filter(|metric| given.args.metrics.contains(metric))
}

fn has_prior(run: &Trained) -> bool {
    !matches!(run.prior, Prior::None)
}

/// Metrics of images, for runs on codes.
fn of_codes(runs: &[Trained], given: &Given) -> Vec<Missing> {
    let of_images: Vec<&str> = wanted(given)
        .filter(|metric| metric.is_of_images())
        .map(Metric::name)
        .collect();
    if of_images.is_empty() {
        return Vec::new();
    }
    let on_codes = runs.iter().filter(|run| !run.config.is_of_images());
    on_codes
        .map(|run| Missing::new(run, &of_images, "its data are codes, not images"))
        .collect()
}

/// The structural similarity of images that are smaller than its window.
fn no_ssim(runs: &[Trained], given: &Given) -> Vec<Missing> {
    let is_wanted = wanted(given).any(|metric| metric == Metric::Reconstruction);
    let of_images = runs
        .iter()
        .filter(|run| is_wanted && run.config.is_of_images());
    of_images
        .filter_map(|run| {
            let reason = reconstruction::no_ssim(run.config.vqvae.size)?;
            Some(Missing::new(run, &["ssim"], reason))
        })
        .collect()
}

/// Metrics of priors, if no run has one.
fn no_prior(runs: &[Trained], given: &Given) -> Vec<Missing> {
    let metrics = given.args.metrics.iter();
    let of_priors: Vec<&str> = metrics
        .filter(|metric| metric.is_of_priors())
        .map(|metric| metric.name())
        .collect();
    if of_priors.is_empty() || runs.iter().any(has_prior) {
        return Vec::new();
    }
    let reason = "a run of stage vqvae has no prior to sample from; add runs of stage prior, pixelcnn or joint";
    runs.iter()
        .map(|run| Missing::new(run, &of_priors, reason))
        .collect()
}
