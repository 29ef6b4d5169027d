//! The figures of the image experiments that need no evaluation.

use super::Which;
use super::paper::Effort;
use super::reproduction::Reproduction;
use crate::error::Result;
use crate::evaluate::holes;
use crate::experiment::mask::MaskShape;

/// Number of pipeline stages that draw them.
pub const FIGURES: usize = 4;

/// A figure's file, and what it shows.
pub type Caption = (String, String);

/// Captions of all figures that need no evaluation, in drawing order.
fn captions(which: Which, effort: Effort) -> Vec<Caption> {
    let Effort {
        samples,
        fillings,
        steps,
        resample,
    } = effort;
    let cifar = which == Which::Cifar10;
    let filled =
        format!("our fillings by {steps} ancestral steps, {resample} passes over each level");
    let (more, kept) = if cifar { (14, 13) } else { (16, 15) };
    let beside = if cifar {
        "samples of the PixelCNN prior (left), the diffusion prior, and the paper's (right), other than those in Figure 5"
    } else {
        "more samples of the diffusion prior and the paper's (right); the PixelCNN's (left) are added for comparison"
    };
    let conditional = format!(
        "for each of three held-out images, {fillings} independent fillings by the diffusion prior (above), the paper's and \
         the PixelCNN (below); left: the known part, right: the VQ-VAE's reconstruction; {filled}"
    );
    let chain = |beside: &str| {
        format!(
            "z_t decoded on the way from t = T/2 to 0, {beside}; {steps} ancestral steps from T to 0"
        )
    };
    [
        ("05-samples", format!("Figure 5: {samples} samples of each prior; diffusion by 20 steps of DPM++(2M), nearest codes")),
        (&format!("{more}-samples"), format!("Figure {more}: {beside}")),
        ("end-to-end-samples", "Samples of the model whose VQ-VAE and prior were trained together".into()),
        (&format!("{kept}-reconstructions"), format!("Figure {kept}: held-out images above their reconstructions by the VQ-VAE")),
        ("08-centre", format!("Figure 8: conditional sampling with a hole in the middle: {conditional}")),
        ("09-top-left", format!("Figure 9: the same with the hole in the corner: {conditional}")),
        ("17-halves", format!("Figure 17: the right half sampled given the left one: the VQ-VAE's reconstruction, the known part, one sample of the diffusion prior, one of the paper's, two of the PixelCNN; {filled}")),
        ("19-classes", format!("Figure 19: the right half sampled given the left one, a row for each class; the paper shows only the PixelCNN's; {filled}")),
        ("06-chain-centre", format!("Figure 6: {}", chain("conditioned on the surroundings of a hole in the middle"))),
        ("07-chain", format!("Figure 7: {}", chain("unconditional"))),
        ("18-chain-half", format!("Figure 18: {}", chain("conditioned on the left half"))),
    ]
    .map(|(name, caption)| {
        let numbered = name.starts_with(|c: char| c.is_ascii_digit());
        (format!("{}{name}.png", if numbered { "figure-" } else { "" }), caption + ".")
    })
    .into()
}

impl Reproduction<'_> {
    /// Draws all figures that need no evaluation; returns their files and captions.
    pub fn figures(&mut self) -> Result<Vec<Caption>> {
        let captions = captions(self.args.which, self.effort);
        let mut files = captions.iter().map(|(file, _)| file.as_str());
        let mut next = |count: usize| {
            files
                .by_ref()
                .take(count)
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let grid = self.config.grid();
        let [centre, corner] = holes(grid);
        self.draw(
            "samples",
            "drawing samples of all priors",
            &next(3),
            |paper| Ok(paper.samples()?.into()),
        )?;
        self.draw(
            "reconstructions",
            "drawing reconstructions",
            &next(1),
            |paper| Ok(vec![paper.reconstructions()?]),
        )?;
        self.draw("conditional samples", "filling holes", &next(4), |paper| {
            Ok(vec![
                paper.conditional(&centre)?,
                paper.conditional(&corner)?,
                paper.halves()?,
                paper.classes()?,
            ])
        })?;
        let right = MaskShape::Right;
        self.draw(
            "chains",
            "drawing chains from noise to images",
            &next(3),
            |paper| {
                Ok(vec![
                    paper.chains(Some(&centre))?,
                    paper.chains(None)?,
                    paper.chains(Some(&right))?,
                ])
            },
        )?;
        Ok(captions)
    }
}
