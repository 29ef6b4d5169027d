//! The models that a report compares, identified by the names of their runs.

use serde::Serialize;

use crate::evaluate::{CodesRow, FidRow, KlRow, LikelihoodRow, NllRow, ReconstructionRow, TimeRow};

/// Separator between the name and the seed number in the run of a further seed.
const SEED: &str = "-seed";

/// A model that values belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// The PixelCNN.
    PixelCnn,
    /// The diffusion prior of the preset.
    Diffusion,
    /// The diffusion prior as in the paper.
    PaperDiffusion,
    /// The prior trained jointly with the VQ-VAE.
    EndToEnd,
}

impl Model {
    /// All models, in the order of table columns.
    pub const ALL: [Model; 4] = [
        Model::Diffusion,
        Model::PaperDiffusion,
        Model::PixelCnn,
        Model::EndToEnd,
    ];
    /// The priors on one frozen VQ-VAE.
    pub const PRIORS: [Model; 3] = [Model::Diffusion, Model::PaperDiffusion, Model::PixelCnn];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Model::PixelCnn => "PixelCNN",
            Model::Diffusion => "Diffusion prior",
            Model::PaperDiffusion => "Diffusion prior, as in the paper",
            Model::EndToEnd => "End-to-end",
        }
    }

    /// Its name in a sentence.
    pub fn said(self) -> &'static str {
        match self {
            Model::PixelCnn => "the PixelCNN",
            Model::Diffusion => "the diffusion prior",
            Model::PaperDiffusion => "the diffusion prior as in the paper",
            Model::EndToEnd => "the model trained end to end",
        }
    }

    /// The run of its first seed.
    pub fn run(self) -> &'static str {
        match self {
            Model::PixelCnn => "pixelcnn",
            Model::Diffusion => "prior",
            Model::PaperDiffusion => "prior-paper",
            Model::EndToEnd => "joint",
        }
    }

    /// The run of its seed number `seed`, counted from 0.
    pub fn run_of_seed(self, seed: u64) -> String {
        if seed == 0 {
            self.run().into()
        } else {
            format!("{}{SEED}{seed}", self.run())
        }
    }

    /// The model of the run directory `run`, and the number of its seed.
    pub fn of(run: &str) -> Option<(Model, u64)> {
        let name = run.rsplit(['/', '\\']).next()?;
        let further = name
            .rsplit_once(SEED)
            .and_then(|(name, seed)| Some((name, seed.parse().ok()?)));
        let (name, seed) = further.unwrap_or((name, 0));
        let model = Model::ALL.into_iter().find(|model| model.run() == name)?;
        Some((model, seed))
    }
}

/// A row of an evaluation.
pub trait OfRun {
    /// The directory of its run.
    fn run(&self) -> &str;

    /// Whether it is of any seed of `model`.
    fn is_of(&self, model: Model) -> bool {
        Model::of(self.run()).is_some_and(|(found, _)| found == model)
    }

    /// Whether it is of the first seed of `model`.
    fn is_first_of(&self, model: Model) -> bool {
        Model::of(self.run()) == Some((model, 0))
    }
}

macro_rules! of_run {
    ($($row:ty),*) => {
        $(impl OfRun for $row {
            fn run(&self) -> &str {
                &self.run
            }
        })*
    };
}

of_run!(
    CodesRow,
    FidRow,
    KlRow,
    LikelihoodRow,
    NllRow,
    ReconstructionRow,
    TimeRow
);

/// Rows of any seed of `model`.
pub fn of<R: OfRun>(rows: &[R], model: Model) -> Vec<&R> {
    rows.iter().filter(|row| row.is_of(model)).collect()
}

/// Groups rows that differ only in the seed: same model and same `key`; groups are ordered by their
/// first row.
pub fn by_seed<'r, R: OfRun, K: PartialEq>(
    rows: &'r [R],
    key: impl Fn(&'r R) -> K,
) -> Vec<(Model, Vec<&'r R>)> {
    let mut groups: Vec<(Model, K, Vec<&R>)> = Vec::new();
    for row in rows {
        let Some((model, _)) = Model::of(row.run()) else {
            continue;
        };
        let key = key(row);
        match groups
            .iter_mut()
            .find(|(of, same, _)| *of == model && *same == key)
        {
            Some((.., rows)) => rows.push(row),
            None => groups.push((model, key, vec![row])),
        }
    }
    groups
        .into_iter()
        .map(|(model, _, rows)| (model, rows))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_known_by_their_names() {
        for model in Model::ALL {
            for seed in [0, 1, 12] {
                let run = format!("results/runs/{}", model.run_of_seed(seed));
                assert_eq!(Model::of(&run), Some((model, seed)), "{run}");
            }
        }
        assert_eq!(
            Model::of("runs\\prior-paper-seed1"),
            Some((Model::PaperDiffusion, 1))
        );
        for other in ["runs/vqvae", "prior-seedling", "prior-paper/other", ""] {
            assert_eq!(Model::of(other), None, "{other}");
        }
    }
}
