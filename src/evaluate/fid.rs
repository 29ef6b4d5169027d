//! Distances in the feature space of Inception-v3: the second column of tables 2 and 3.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::draws::Draws;
use super::features::{FeatureNetwork, Features, Statistics, cache_folder, frechet_distance, kid};
use super::measure::{Given, Measure, Run};
use super::tables::{Rows, Section, or_dash};
use super::{EvaluateArgs, Evaluation, Material, features as fid};
use crate::config::Stage;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::experiment::reconstruct::reconstructed;
use crate::experiment::stages::context::CHUNK;
use crate::experiment::trained::Trained;
use crate::gpu::Gpu;
use crate::models::inception::FEATURES;
use crate::report::progress::Progress;
use crate::tensor::Codes;

/// Images held in memory at a time.
const BLOCK: usize = 8 * CHUNK;

/// FID and KID of a run's samples against as many held-out images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FidRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// How the samples were made.
    pub sampler: String,
    /// Number of samples, and of held-out images.
    pub count: usize,
    /// FID against the reconstructions by the run's VQ-VAE, as in the paper.
    pub fid: f64,
    /// FID against the held-out images.
    pub fid_data: f64,
    /// FID against statistics from a file.
    #[serde(default)]
    pub fid_reference: Option<f64>,
    /// That file.
    #[serde(default)]
    pub reference: Option<String>,
    /// KID against the reconstructions: mean over subsets, and standard deviation if there are
    /// several.
    pub kid: (f64, Option<f64>),
    /// KID against the held-out images.
    pub kid_data: (f64, Option<f64>),
    /// Number of subsets, and of images in each.
    pub subsets: [usize; 2],
    /// BLAKE3 of the weights.
    pub weights: String,
}

/// The feature network and the reference statistics.
pub(super) struct Distances {
    network: FeatureNetwork,
    /// Statistics from a file, and its name.
    reference: Option<(Statistics, String)>,
}

impl Distances {
    /// Reads the weights and the reference, and checks the name of the output file; `None` without
    /// weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for the weights, [`Error::Data`] for the reference, [`Error::Usage`]
    /// for a file that must not be overwritten, [`Error::Io`].
    pub fn open(gpu: &Gpu, args: &EvaluateArgs) -> Result<Option<Distances>> {
        let Some(weights) = &args.inception else {
            return Ok(None);
        };
        if let Some(file) = &args.save_stats {
            writable(file, args.reference.as_deref())?;
        }
        let reference = args.reference.as_deref().map(reference).transpose()?;
        let network = FeatureNetwork::open(gpu, weights, cache_folder().as_deref())?;
        Ok(Some(Distances { network, reference }))
    }

    /// Features of the first `count` held-out images; writes their statistics to `save`, if given.
    ///
    /// # Errors
    /// [`Error::Data`] if the features are not finite, [`Error::Io`] for the file.
    pub fn pictures(
        &self,
        held_out: &ImageSet,
        count: usize,
        save: Option<&Path>,
    ) -> Result<Features> {
        let data = features(&self.network, held_out.height, count, |range| {
            pixels(held_out, range)
        })?;
        if let Some(file) = save {
            fid::write_npz(file, &self.network.statistics(&data)?)?;
            note!(
                "wrote the statistics of {count} held-out images to {}",
                file.display()
            );
        }
        Ok(data)
    }

    /// Compares the samples of a run with the held-out images, whose features are `data`.
    pub fn row(
        &self,
        trained: &Trained,
        held_out: &ImageSet,
        data: &Features,
        drawn: &Draws,
        seed: u64,
    ) -> Result<FidRow> {
        let [h, w] = trained.config.grid();
        let size = trained.config.vqvae.size;
        let count = drawn.count;
        let cells = h * w;
        let samples = features(&self.network, size, count, |range| {
            let codes = &drawn.codes[range.start * cells..range.end * cells];
            let decode = |codes: &[u32]| {
                trained.decode(&Codes::from_slice(
                    &trained.gpu,
                    codes,
                    [codes.len() / cells, h, w],
                ))
            };
            let images: Result<Vec<Vec<f32>>> = codes.chunks(CHUNK * cells).map(decode).collect();
            Ok(images?.concat())
        })?;
        let rebuilt = |range| Ok(reconstructed(trained, &pixels(held_out, range)?)?.1);
        let rebuilt = features(&self.network, size, count, rebuilt)?;
        let of = self.network.statistics(&samples)?;
        let fid = |other: &Features| frechet_distance(&of, &self.network.statistics(other)?);
        let reference = self.reference.as_ref();
        let [subsets, size] = fid::subsets(count);
        let kid = |other: &Features| {
            kid(&samples, other, subsets, size, seed, &mut |_| {})
                .map(|found| (found.mean, found.std))
        };
        Ok(FidRow {
            run: trained.run.display().to_string(),
            stage: trained.stage,
            sampler: drawn.sampler.clone(),
            count,
            fid: fid(&rebuilt)?,
            fid_data: fid(data)?,
            fid_reference: reference
                .map(|(statistics, _)| frechet_distance(&of, statistics))
                .transpose()?,
            reference: reference.map(|(_, name)| name.clone()),
            kid: kid(&rebuilt)?,
            kid_data: kid(data)?,
            subsets: [subsets, size],
            weights: self.network.checksum().to_string(),
        })
    }
}

/// Statistics from `file`, and its name; they must be of this network's features.
fn reference(file: &Path) -> Result<(Statistics, String)> {
    let statistics = fid::read_npz(file)?;
    let width = statistics.mean.len();
    if width != FEATURES {
        return Err(Error::Data(format!(
            "--reference {}: it has {width} features, Inception-v3 gives {FEATURES}; make it with `python -m pytorch_fid \
             --save-stats` (--dims {FEATURES}), or with --save-stats",
            file.display()
        )));
    }
    let images = statistics.n.map_or_else(
        || "number of images unknown".into(),
        |n| format!("{n} images"),
    );
    note!("reference: {}, {images}", file.display());
    Ok((statistics, file.display().to_string()))
}

/// Fails if statistics cannot be written to `file`, or would replace something else.
fn writable(file: &Path, reference: Option<&Path>) -> Result<()> {
    let wrong = |what: &str| Error::Usage(format!("--save-stats {}: {what}", file.display()));
    if file
        .extension()
        .is_none_or(|end| !end.eq_ignore_ascii_case("npz"))
    {
        return Err(wrong("the name must end in .npz"));
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(wrong("its folder does not exist; create it first"));
    }
    if reference
        .is_some_and(|other| other.canonicalize().ok() == file.canonicalize().ok() && file.exists())
    {
        return Err(wrong("this is the --reference file; choose another name"));
    }
    if file.exists() && fid::read_npz(file).is_err() {
        return Err(wrong(
            "the existing file holds no statistics; choose another name",
        ));
    }
    Ok(())
}

/// The images `range` of a set, in [−1, 1].
fn pixels(set: &ImageSet, range: Range<usize>) -> Result<Vec<f32>> {
    set.floats(&range.map(|i| i as u32).collect::<Vec<_>>())
}

/// Features of `count` images of `size` × `size`, in blocks.
fn features(
    network: &FeatureNetwork,
    size: usize,
    count: usize,
    images: impl Fn(Range<usize>) -> Result<Vec<f32>>,
) -> Result<Features> {
    let mut progress = Progress::new("features", 0, count as u64);
    let mut values = Vec::new();
    for first in (0..count).step_by(BLOCK) {
        let block = images(first..count.min(first + BLOCK))?;
        let found = network.features(&block, size, &mut |done| {
            progress.at((first + done) as u64, String::new)
        })?;
        values.extend_from_slice(found.values());
    }
    progress.finish();
    Features::new(values, FEATURES)
}

/// FID and KID.
pub(super) struct Fid;

impl Measure for Fid {
    type Row = FidRow;

    const IS_OF_IMAGES: bool = true;

    fn run(row: &FidRow) -> &str {
        &row.run
    }

    fn obstacle(_trained: &Trained, given: &Given) -> Option<String> {
        match (&given.args.inception, given.count) {
            (None, _) => Some(fid::NO_WEIGHTS.into()),
            (Some(_), 0..=1) => Some(
                "FID and KID need at least two samples and two held-out images; there is one of each"
                    .into(),
            ),
            _ => None,
        }
    }

    fn rows(run: &Run) -> Result<Vec<FidRow>> {
        let Material {
            args,
            pictures,
            distances,
            ..
        } = run.material;
        let Some((distances, of_data)) = distances else {
            return Ok(Vec::new());
        };
        let images = &pictures.held_out;
        let row = distances.row(run.trained, images, of_data, run.draws()?, args.seed)?;
        Ok(vec![row])
    }

    fn table(rows: &Rows<FidRow>, _evaluation: &Evaluation) -> Section {
        let kid = |(mean, std): (f64, Option<f64>)| {
            std.map_or_else(
                || format!("{mean:.4}"),
                |std| format!("{mean:.4} ± {std:.4}"),
            )
        };
        let mut columns = vec![
            rows.runs(),
            rows.left("sampler", 1, |r| r.sampler.clone()),
            rows.right("FID, reconstructions", 0, |r| format!("{:.2}", r.fid)),
            rows.right("FID, data", 0, |r| format!("{:.2}", r.fid_data)),
        ];
        let reference = rows.found().find_map(|row| row.reference.clone());
        if reference.is_some() {
            columns.push(rows.right("FID, reference", 0, |r| or_dash(r.fid_reference, 2)));
        }
        columns.extend([
            rows.right("KID, reconstructions", 1, |r| kid(r.kid)),
            rows.right("KID, data", 1, |r| kid(r.kid_data)),
            rows.right("subsets", 3, |r| {
                format!("{} of {}", r.subsets[0], r.subsets[1])
            }),
            rows.right("images", 2, |r| r.count.to_string()),
        ]);
        let first = rows.found().next();
        let subsets = first.map(|row| match row.subsets {
            [1, _] => "KID: all images form one subset, so there is no ±.".to_string(),
            [subsets, size] => {
                format!("KID: mean ± standard deviation over {subsets} subsets of {size} images.")
            }
        });
        let reference = reference.map(|file| format!("Reference: {file}."));
        let parts = [
            reference,
            subsets,
            first.and_then(|row| fid::warning(row.count)),
        ];
        let note = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let title = "FID and KID of samples to reconstructions and to held-out images".into();
        Section {
            title,
            columns,
            note,
        }
    }
}
