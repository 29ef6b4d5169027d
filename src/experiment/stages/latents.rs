//! Latents of a frozen VQ-VAE, cached in the user's cache directory.
//!
//! There is one file per VQ-VAE, data set, adapter and number of images in a call: everything that
//! the bits of a latent depend on, except the kernels chosen by tuning. Each image has two slots,
//! plain and mirrored, filled as training reaches them. A slot begins with a checksum of its number
//! and values, so one never or only partly written counts as empty.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use super::context::StageContext;
use super::part::Part;
use super::sources::Frozen;
use crate::config::Stage;
use crate::data::Batch;
use crate::experiment::cache;
use crate::models::first_stage::FirstStage;
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::ops;
use crate::tensor::Tensor;

/// Maximum bytes of one file; slots beyond it are not cached.
const FILE_LIMIT: u64 = 5 << 30;
/// Maximum bytes of all files; the oldest are deleted to make room.
const LIMIT: u64 = 10 << 30;
/// Bytes of a slot's checksum.
const CHECKSUM: usize = 16;

/// The frozen first stage, and a cache of its latents.
pub(super) struct Latents {
    first: Box<dyn FirstStage>,
    /// `None` without a cache, or after an I/O error, which does not stop the training.
    cache: RefCell<Option<Cache>>,
}

impl Latents {
    /// Latents of `frozen`, for the batches of `stage`.
    pub fn new(context: &StageContext, frozen: Frozen, stage: Stage) -> Latents {
        let (first, cache): (Box<dyn FirstStage>, _) = match frozen {
            Frozen::VqVae(mut vqvae) if context.config.stages.latent_cache => {
                let cache = Cache::open(context, &mut vqvae, stage);
                (vqvae, cache)
            }
            Frozen::VqVae(vqvae) => (vqvae, None),
            // Looking a vector up is cheaper than caching it.
            Frozen::Codebook(codebook) => (Box::new(codebook), None),
        };
        Latents {
            first,
            cache: RefCell::new(cache),
        }
    }

    /// The first stage.
    pub fn first(&self) -> &dyn FirstStage {
        &*self.first
    }

    /// z_e of the examples of a part, [n, h, w, d]. The encoder runs unless all of them are cached.
    pub fn of(&self, context: &StageContext, part: &Part) -> Tensor {
        let [h, w] = context.config.grid();
        let batch = &part.batch;
        let shape = [batch.len(), h, w, context.config.dim()];
        let mut cache = self.cache.borrow_mut();
        let known = cache.as_mut().and_then(|cache| cache.all(batch));
        if let Some(values) = known {
            return Tensor::from_slice(&context.gpu, &values, shape);
        }
        let latents = context.gpu.no_grad(|| self.first.latents(&batch.images));
        if let Some(file) = cache.as_mut()
            && let Err(error) = file.keep(batch, &latents.to_vec())
        {
            note!(
                "note: latents are no longer cached ({}: {error})",
                file.path.display()
            );
            *cache = None;
        }
        latents
    }
}

/// The slots of one file.
struct Cache {
    path: PathBuf,
    file: File,
    /// Bytes of a slot's values.
    size: usize,
    slots: u64,
}

impl Cache {
    fn open(context: &StageContext, vqvae: &mut VqVae, stage: Stage) -> Option<Cache> {
        let folder = cache::folder()?.join("latents");
        let images = context.pictures.train.len() as u64;
        let size = 4 * context.config.cells() * context.config.dim();
        let slot = (CHECKSUM + size) as u64;
        let slots = (2 * images).min(FILE_LIMIT / slot);
        let path = folder.join(format!("latents-{}.bin", key(context, vqvae, stage)));
        let open = || -> std::io::Result<File> {
            std::fs::create_dir_all(&folder)?;
            cache::make_room(&folder, &path, slots * slot, LIMIT)?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            // Empty slots take no space on file systems with sparse files.
            file.set_len(slots * slot)?;
            // Eviction goes by modification time, which reading alone does not change.
            file.set_modified(SystemTime::now())?;
            Ok(file)
        };
        match open() {
            Ok(file) => Some(Cache {
                path,
                file,
                size,
                slots,
            }),
            Err(error) => {
                note!(
                    "note: latents are not cached between runs ({}: {error})",
                    path.display()
                );
                None
            }
        }
    }

    /// The latents of a whole batch, if all are cached.
    fn all(&mut self, batch: &Batch) -> Option<Vec<f32>> {
        let mut values = Vec::with_capacity(batch.len() * self.size / 4);
        for slot in slots(batch) {
            values.extend(self.read(slot)?);
        }
        Some(values)
    }

    fn read(&mut self, slot: u64) -> Option<Vec<f32>> {
        if slot >= self.slots {
            return None;
        }
        let mut bytes = vec![0; CHECKSUM + self.size];
        self.file
            .seek(SeekFrom::Start(slot * bytes.len() as u64))
            .ok()?;
        self.file.read_exact(&mut bytes).ok()?;
        let (sum, values) = bytes.split_at(CHECKSUM);
        (checksum(slot, values) == sum).then(|| bytemuck::pod_collect_to_vec(values))
    }

    /// Writes the latents of a batch to their slots.
    fn keep(&mut self, batch: &Batch, latents: &[f32]) -> std::io::Result<()> {
        for (slot, values) in slots(batch)
            .zip(latents.chunks_exact(self.size / 4))
            .filter(|(slot, _)| *slot < self.slots)
        {
            let values: &[u8] = bytemuck::cast_slice(values);
            self.file
                .seek(SeekFrom::Start(slot * (CHECKSUM + self.size) as u64))?;
            self.file
                .write_all(&[&checksum(slot, values), values].concat())?;
        }
        Ok(())
    }
}

/// The number of filled slots among the `slots` in `file`, each with `size` bytes of values.
pub(crate) fn count_filled(file: File, size: usize, slots: u64) -> usize {
    let mut cache = Cache {
        path: PathBuf::new(),
        file,
        size,
        slots,
    };
    (0..slots)
        .filter(|&slot| cache.read(slot).is_some())
        .count()
}

/// The slot of each image of a batch.
fn slots(batch: &Batch) -> impl Iterator<Item = u64> + '_ {
    batch
        .indices
        .iter()
        .zip(&batch.mirrored)
        .map(|(&index, &mirrored)| 2 * u64::from(index) + u64::from(mirrored))
}

fn checksum(slot: u64, values: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&slot.to_le_bytes()).update(values);
    let mut sum = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// Hash of everything that the bits of a latent depend on.
fn key(context: &StageContext, vqvae: &mut VqVae, stage: Stage) -> String {
    let facts = context.gpu.facts();
    let set = &context.pictures.train;
    let train = context.config.stage(stage);
    let mut hasher = blake3::Hasher::new();
    let adapter = [&facts.name, &facts.driver, &facts.driver_info]
        .map(String::as_str)
        .join("\n");
    let program = if cfg!(debug_assertions) {
        "checked"
    } else {
        "unchecked"
    };
    let call = train.batch / train.accumulate;
    let matrices = context.gpu.cooperative();
    let prefers = context.gpu.prefers();
    let text = format!(
        "{adapter}\n{program}\n{matrices:?}\n{prefers:?}\n{call}\n{}",
        context.config.model_text(Stage::VqVae)
    );
    hasher.update(text.as_bytes());
    ops::shaders()
        .iter()
        .for_each(|shader| _ = hasher.update(shader.text().as_bytes()));
    vqvae.visit(&mut |path, tensor| {
        hasher
            .update(path.as_bytes())
            .update(bytemuck::cast_slice(&tensor.to_vec()));
    });
    hasher.update(set.checksum().as_bytes());
    hasher.finalize().to_hex()[..32].to_string()
}
