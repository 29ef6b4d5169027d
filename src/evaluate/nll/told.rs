//! The likelihood of hidden codes under a network that is conditioned on the known ones.

use super::{GROUP, Hidden, Law, NllRow};
use crate::error::Result;
use crate::experiment::stages::context::CHUNK;
use crate::metrics::likelihood::{joint_bits, single_bits};
use crate::models::diffusion::Diffusion;
use crate::models::lesson::{Ask, Told};
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

impl Hidden<'_> {
    /// Estimates the single likelihood from one call of the network at t = T, and the joint one by
    /// the chain rule in raster order, with one call per code.
    pub(super) fn told(&self, model: &Diffusion) -> Result<Vec<NllRow>> {
        let cells = self.cells();
        let images = self.settings.images;
        let maps = self.mask.hole.len();
        let mut single = Vec::new();
        let mut joint = Vec::new();
        for first in (0..images).step_by(GROUP) {
            let n = GROUP.min(images - first);
            let (holed, truth) = self.holed(first, n)?;
            let latents = self.trained.latents(&holed.latents);
            // Known codes come from the masked images; the hole gets the true codes.
            let seen = self
                .trained
                .gpu
                .no_grad(|| self.trained.first.quantise(&latents))
                .to_vec();
            let all = seen.iter().zip(&truth).zip(self.mask.hole.iter().cycle());
            let codes: Vec<u32> = all
                .map(|((&seen, &truth), &hole)| if hole { truth } else { seen })
                .collect();
            for (call, codes) in codes.chunks(CHUNK * maps).enumerate() {
                let asked = Asked {
                    hidden: self,
                    model,
                    codes,
                    call: (first + call * CHUNK) as u32,
                };
                single.extend(
                    asked
                        .single()
                        .chunks_exact(cells)
                        .map(|log_p| single_bits(log_p, cells)),
                );
                joint.extend(
                    asked
                        .chain()
                        .chunks_exact(cells)
                        .map(|log_p| joint_bits(log_p, cells)),
                );
            }
        }
        Ok(vec![
            self.row(
                Law::Single,
                "one call of the network given what is known",
                &single,
            ),
            self.row(
                Law::Joint,
                "chain rule, each code given the true ones before it",
                &joint,
            ),
        ])
    }
}

/// Images whose hidden codes the network predicts.
struct Asked<'a> {
    hidden: &'a Hidden<'a>,
    model: &'a Diffusion,
    /// [n, h, w].
    codes: &'a [u32],
    call: u32,
}

impl Asked<'_> {
    /// log p of each code in the hole given those outside, [n, cells].
    fn single(&self) -> Vec<f64> {
        let log_p = self.log_p(&self.hidden.mask.hole, 0);
        let hole = self.hidden.mask.hole.iter().cycle();
        log_p
            .into_iter()
            .zip(hole)
            .filter(|(_, hole)| **hole)
            .map(|(log_p, _)| log_p)
            .collect()
    }

    /// log p of each code in the hole given those outside and before it in raster order, [n,
    /// cells].
    fn chain(&self) -> Vec<f64> {
        let mut left = self.hidden.mask.hole.clone();
        let maps = left.len();
        let mut columns = Vec::new();
        for at in (0..maps).filter(|&at| self.hidden.mask.hole[at]) {
            let log_p = self.log_p(&left, 1 + at as u32);
            columns.push(
                log_p
                    .into_iter()
                    .skip(at)
                    .step_by(maps)
                    .collect::<Vec<f64>>(),
            );
            left[at] = false;
        }
        let n = self.codes.len() / maps;
        (0..n)
            .flat_map(|image| columns.iter().map(move |column| column[image]))
            .collect()
    }

    /// log p of every code given those outside `hole`, [n, h·w].
    fn log_p(&self, hole: &[bool], number: u32) -> Vec<f64> {
        let trained = self.hidden.trained;
        let model = self.model;
        let [h, w] = self.hidden.mask.grid;
        let last = model.bridge.steps();
        let n = self.codes.len() / hole.len();
        let mask: Vec<f32> = hole
            .iter()
            .map(|&hole| if hole { 0.0 } else { 1.0 })
            .collect();
        let nats = trained.gpu.no_grad(|| {
            let codes = Codes::from_slice(&trained.gpu, self.codes, [n, h, w]);
            let z0 = model.standardise(&trained.first.look_up(&codes));
            let told = Told {
                mask: Tensor::from_slice(&trained.gpu, &mask, [1, h, w, 1]),
                z0,
            };
            let stream = Stream {
                seed: self.hidden.args.seed,
                step: self.call,
                stream: Draw::ToldNoise.part(number),
                first: 0,
            };
            let noise = ops::normal(&trained.gpu, told.z0.shape(), stream);
            let z = ops::affine(&noise, model.bridge.forward(last).noise as f32, 0.0);
            let z = ops::add(&z, model.target());
            let ask = Ask {
                told: Some(&told),
                ..Ask::default()
            };
            model.law(&z, last, &ask, |law| law.cross_entropy(&codes).to_vec())
        });
        let nats = nats.expect("a told network predicts codes");
        nats.into_iter().map(|nats| -f64::from(nats)).collect()
    }
}
