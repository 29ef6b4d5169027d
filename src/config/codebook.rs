//! Codes that the data set itself provides, instead of a VQ-VAE's.

use serde::{Deserialize, Serialize};

/// Most codes per sample; the U-Net's attention is over all of them.
const MOST_CELLS: usize = 1 << 14;
/// Most codes, and most channels of a code vector.
const MOST: usize = 1 << 16;

/// A fixed codebook and the grid of a sample, for `kind = "codes"`. `train` replaces zeros with the
/// data set's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodebookConfig {
    /// Codes, K.
    pub codes: usize,
    /// Rows of a sample; 1 for sequences.
    pub height: usize,
    /// Columns of a sample, or the length of a sequence. A text is cut into windows of this many
    /// characters.
    pub width: usize,
    /// Channels of a code vector, d. If the data set has no code vectors, they are random, of norm
    /// 1.
    pub dim: usize,
}

impl Default for CodebookConfig {
    fn default() -> Self {
        CodebookConfig {
            codes: 0,
            height: 0,
            width: 0,
            dim: 32,
        }
    }
}

impl CodebookConfig {
    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let sizes = [("codes", self.codes), ("dim", self.dim)];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| *size > MOST) {
            return Some(format!("codebook.{name} = {size} is over {MOST}"));
        }
        if self.dim == 0 {
            return Some("codebook.dim is too small".into());
        }
        let cells = self.height.saturating_mul(self.width);
        (cells > MOST_CELLS).then(|| {
            format!(
                "codebook.height x codebook.width = {cells} codes per sample are over {MOST_CELLS}"
            )
        })
    }
}
