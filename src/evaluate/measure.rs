//! What a metric is, and what it measures.

use std::cell::OnceCell;

use super::draws::{DataCodes, Draws};
use super::tables::{Rows, Section};
use super::{EvaluateArgs, Evaluation, Material};
use crate::error::Result;
use crate::experiment::trained::{Prior, Trained};

/// A metric: what a result says, how it is measured and how it is shown.
pub(super) trait Measure {
    /// A result.
    type Row;

    /// Whether it needs images, not only codes.
    const IS_OF_IMAGES: bool = false;
    /// Whether it is measured for each prior, not for each VQ-VAE.
    const IS_OF_PRIORS: bool = true;
    /// The values of a row that may be missing alone.
    const VALUES: &'static [&'static str] = &[];

    /// The run that `row` is of.
    fn run(row: &Self::Row) -> &str;

    /// Why it cannot be measured for a run, if it cannot.
    fn obstacle(_trained: &Trained, _given: &Given) -> Option<String> {
        None
    }

    /// The results for a run.
    ///
    /// # Errors
    /// Those of the metric.
    fn rows(run: &Run) -> Result<Vec<Self::Row>>;

    /// The value that `row` lacks, and why.
    fn gap(_row: &Self::Row) -> Option<(&'static str, &'static str)> {
        None
    }

    /// The table of the results `rows`, of which there is one at least.
    fn table(rows: &Rows<Self::Row>, evaluation: &Evaluation) -> Section;
}

/// What an evaluation has to work with, before anything is measured.
pub(super) struct Given<'a> {
    pub args: &'a EvaluateArgs,
    /// Number of samples, and of images to encode.
    pub count: usize,
    /// Number of held-out images.
    pub held_out: usize,
}

/// A run that is measured.
pub(super) struct Run<'a> {
    pub trained: &'a Trained,
    /// The codes that its VQ-VAE gives to the images.
    pub data: &'a DataCodes,
    /// Whether an earlier run has the same VQ-VAE.
    pub repeats: bool,
    pub material: &'a Material<'a>,
    draws: OnceCell<Draws>,
}

impl<'a> Run<'a> {
    pub fn new(
        trained: &'a Trained,
        data: &'a DataCodes,
        repeats: bool,
        material: &'a Material<'a>,
    ) -> Run<'a> {
        Run {
            trained,
            data,
            repeats,
            material,
            draws: OnceCell::new(),
        }
    }

    /// Whether it has what the metric `M` measures: a prior, or a VQ-VAE that no earlier run has.
    pub fn has<M: Measure>(&self) -> bool {
        if M::IS_OF_PRIORS {
            !matches!(self.trained.prior, Prior::None)
        } else {
            !self.repeats
        }
    }

    /// Its samples, drawn when a metric first asks for them.
    ///
    /// # Errors
    /// Those of [`Draws::of`].
    pub fn draws(&self) -> Result<&Draws> {
        if let Some(draws) = self.draws.get() {
            return Ok(draws);
        }
        let Material { args, count, .. } = self.material;
        let draws = Draws::of(self.trained, args, *count)?;
        Ok(self.draws.get_or_init(|| draws))
    }
}
