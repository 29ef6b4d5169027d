//! The toy's points in the plane, in sequences of five, around eight codes on a circle.

use image::RgbImage;
use serde_json::{Map, json};

use super::{Defaults, Filled, Found, Subject};
use crate::data::toy::{self, DIM, LENGTH, Reached};
use crate::experiment::asked::PictureFlags;
use crate::experiment::drawn::Drawn;
use crate::models::sampler::Sampler;
use crate::report::figures;

/// Default number of sequences.
const COUNT: usize = 1024;
/// Maximum number of sequences per batch.
const CHUNK: usize = 16_384;
/// Default passes over each level in inpainting.
const RESAMPLE: usize = 10;
/// Fillings drawn as sequences of points.
const SHOWN: usize = 3;

/// Points in the plane around codes.
pub(crate) struct Points;

/// Points in the plane from flat coordinates.
pub(crate) fn pairs(flat: &[f32]) -> Vec<[f32; DIM]> {
    flat.chunks_exact(DIM).map(|p| [p[0], p[1]]).collect()
}

/// Sequences of five points from their flat coordinates.
pub(crate) fn frames(flat: &[f32]) -> Vec<figures::Frame> {
    pairs(flat)
        .chunks_exact(LENGTH)
        .map(|f| std::array::from_fn(|i| f[i]))
        .collect()
}

/// Sequences of five codes from the flat codes.
pub(crate) fn sequences(flat: &[u32]) -> Vec<[u32; LENGTH]> {
    flat.chunks_exact(LENGTH)
        .map(|c| std::array::from_fn(|i| c[i]))
        .collect()
}

/// The nearest true centroids of `z0`; learnt codes are in arbitrary order.
pub(crate) fn truth(z0: &[f32]) -> Vec<u32> {
    toy::nearest(z0, &toy::centroids())
}

/// Summary line for samples drawn by `how`, with the statistics `reached`.
pub(crate) fn caption(how: &str, reached: &Reached) -> String {
    format!(
        "{how}: {:.2} % of {} sequences are valid chains, total variation {:.3} among them, {} distinct sequences",
        100.0 * reached.valid,
        reached.samples,
        reached.total_variation,
        reached.distinct
    )
}

/// Plot of the samples `z0` around the centroids, and of how often each chain occurs.
pub(crate) fn overview(z0: &[f32], how: &str) -> RgbImage {
    let codes = truth(z0);
    let caption = caption(how, &toy::reached(&codes));
    let shares = histogram(&codes);
    figures::samples_overview(&toy::centroids(), &pairs(z0), &caption, &shares)
}

/// Share of each of the 128 chains among the valid sequences.
fn histogram(codes: &[u32]) -> Vec<f64> {
    let mut counts = vec![0.0; toy::CHAINS];
    codes
        .chunks_exact(LENGTH)
        .filter_map(toy::chain_index)
        .for_each(|i| counts[i] += 1.0);
    let total: f64 = counts.iter().sum::<f64>().max(1.0);
    counts.into_iter().map(|c| c / total).collect()
}

/// Figure 12: the first fillings `z0` as points, all as code sequences, with the known codes.
pub(crate) fn filled(known: &[(usize, u32)], z0: &[f32]) -> RgbImage {
    let frames = frames(&z0[..z0.len().min(SHOWN * LENGTH * DIM)]);
    figures::inpainting(&toy::centroids(), known, &frames, &sequences(&truth(z0)))
}

impl Subject for Points {
    fn defaults(&self) -> Defaults {
        Defaults {
            count: COUNT,
            fillings: COUNT,
            sampler: Sampler::Ancestral,
            steps: None,
            fill_steps: None,
            resample: RESAMPLE,
            chunk: CHUNK,
        }
    }

    fn sheet(&self, drawn: &Drawn, _shown: usize, _look: &PictureFlags) -> RgbImage {
        overview(&drawn.z0, &drawn.how)
    }

    fn fillings(&self, fillings: &Filled, _look: &PictureFlags) -> RgbImage {
        filled(&fillings.known(), &fillings.drawn.z0)
    }

    fn found(&self, drawn: &Drawn) -> Found {
        let reached = toy::reached(&truth(&drawn.z0));
        let numbers = [
            ("samples", json!(reached.samples)),
            ("valid", json!(reached.valid)),
            ("total_variation", json!(reached.total_variation)),
            ("distinct", json!(reached.distinct)),
        ];
        Found {
            lines: vec![caption(&drawn.how, &reached)],
            numbers: Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))),
        }
    }

    fn found_of_fillings(&self, filled: &Filled) -> Found {
        let known = filled.known();
        let fillings = toy::fillings(&known);
        let shares = toy::shares(&truth(&filled.drawn.z0), &fillings);
        let consistent: f64 = shares.iter().sum();
        let samples = filled.drawn.z0.len() / (LENGTH * DIM);
        let mut lines = vec![format!(
            "{:.2} % of {samples} fillings are valid chains",
            100.0 * consistent
        )];
        let share = |(filling, share): (&[u32; LENGTH], &f64)| {
            format!("  {filling:?}  {:.2} %", 100.0 * share)
        };
        lines.extend(fillings.iter().zip(&shares).map(share));
        let numbers = [
            ("known", json!(known)),
            ("samples", json!(samples)),
            ("consistent", json!(consistent)),
            ("paths", json!(shares)),
            ("fillings", json!(fillings)),
        ];
        Found {
            lines,
            numbers: Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))),
        }
    }

    fn anchors(&self) -> Option<Vec<f32>> {
        Some(toy::centroids().as_flattened().to_vec())
    }
}
