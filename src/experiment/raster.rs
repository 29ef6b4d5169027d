//! Codes that a PixelCNN draws position by position, batch by batch.

use serde_json::json;

use super::asked::ImageFlags;
use super::drawing::chunk_seed;
use super::drawn::{Drawn, Facts};
use super::trained::Trained;
use crate::error::Result;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Given, Raster};
use crate::report::progress::Progress;
use crate::tensor::Codes;

/// Samples that are drawn together.
pub(super) struct Batch {
    /// Their classes, `[n]`.
    pub class: Codes,
    /// Their codes [n, h, w], of which some are given.
    pub codes: Vec<u32>,
}

/// How all batches are drawn.
pub(super) struct InRaster<'a> {
    /// What the progress bar calls it.
    pub name: &'static str,
    /// The positions [h, w] whose codes are given; `None` if all are drawn.
    pub known: Option<&'a [bool]>,
    /// Options of image runs.
    pub images: &'a ImageFlags,
    /// Seed of the first batch.
    pub seed: u64,
}

impl InRaster<'_> {
    /// Draws `batches` from `model`, and returns them with metadata on how they were drawn.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::error::Error::Diverged) for images that are not finite.
    pub fn draw(
        &self,
        trained: &Trained,
        model: &PixelCnn,
        batches: impl ExactSizeIterator<Item = Batch>,
    ) -> Result<(Drawn, Facts)> {
        let [h, w] = trained.config.grid();
        let cells = h * w;
        let mut progress = Progress::new(self.name, 0, (batches.len() * cells) as u64);
        let mut drawn = Drawn::default();
        let mut done = 0;
        for (i, batch) in batches.enumerate() {
            let given = self.known.map(|known| Given {
                codes: &batch.codes,
                known,
            });
            let raster = Raster {
                size: [h, w],
                class: &batch.class,
                given,
                seed: chunk_seed(self.seed, i),
                way: self.images.way,
            };
            let codes = model.sample(&raster, &mut |at| {
                done += 1;
                progress.at(done, || format!("code {} of {cells}", at + 1));
            });
            drawn.append(trained.of_codes(codes)?);
        }
        progress.finish();
        let facts = [("seed", json!(self.seed)), ("sampler", json!("raster"))];
        Ok((
            drawn,
            facts.into_iter().chain(self.images.facts()).collect(),
        ))
    }
}
