//! Which of several kernels makes a product or a convolution: by rule, or the fastest as measured on the adapter.

use std::hash::{Hash, Hasher};

use crate::error::Error;
use crate::gpu::{Gpu, Override, Prefer, Question, Shader, catch, resolve_imports};
use crate::philox::Stream;
use crate::tensor::{Shape, Tensor};

/// Rows and columns of outputs below which kernels that share loads do not pay.
const SMALL: usize = 16;
/// Tiles that keep a GPU busy.
const BUSY: usize = 128;
/// How far a kernel's numbers may be from the portable one's, as a share of the largest.
const NEAR: f32 = 1e-4;

/// A kernel's kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    /// Channel by channel: runs on every adapter and shape.
    Scalar,
    /// By vec4: on every adapter, for shapes in multiples of four.
    Vec4,
    /// For CPU drivers with subgroups of eight lanes: see `shaders/shared/lanes.wgsl`.
    Lanes,
    /// For GPUs: see `shaders/shared/tile.wgsl`.
    Tiled(Tile),
}

/// A workgroup's outputs in `shaders/shared/tile.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    name: &'static str,
    /// Invocations down and across, and the side of what each makes.
    rows: u32,
    columns: u32,
    side: u32,
}

/// The tiles, large ones first; [`Prefer::Tiles`] counts them.
pub(super) const TILES: [Tile; 4] = [
    Tile { name: "128x128", rows: 16, columns: 16, side: 8 },
    Tile { name: "64x64", rows: 8, columns: 8, side: 8 },
    Tile { name: "64x64 by 256", rows: 16, columns: 16, side: 4 },
    Tile { name: "32x32", rows: 8, columns: 8, side: 4 },
];

impl Tile {
    /// Rows of outputs.
    pub fn height(self) -> usize {
        (self.rows * self.side) as usize
    }

    /// Columns of outputs.
    pub fn width(self) -> usize {
        (self.columns * self.side) as usize
    }

    /// Tiles that cover so many outputs.
    pub fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.height()) * columns.div_ceil(self.width())
    }

    pub fn overrides(self) -> [Override; 3] {
        [("ROWS", self.rows), ("COLUMNS", self.columns), ("SIDE", self.side)]
    }

    /// The largest of which there are enough.
    fn for_outputs(rows: usize, columns: usize) -> Tile {
        TILES.into_iter().find(|tile| tile.count(rows, columns) >= BUSY).unwrap_or(TILES[3])
    }
}

impl Family {
    /// For so many rows and columns of outputs, `fours` if everything comes in whole vec4s.
    pub fn by_rule(gpu: &Gpu, fours: bool, [rows, columns]: [usize; 2]) -> Family {
        match (fours, gpu.prefers()) {
            (false, _) => Family::Scalar,
            (true, Prefer::Portable) => Family::Vec4,
            (true, Prefer::Tiles(number)) => Family::Tiled(TILES[number]),
            _ if rows.min(columns) < SMALL => Family::Vec4,
            _ if gpu.has_lanes() => Family::Lanes,
            _ if gpu.is_cpu() => Family::Vec4,
            _ => Family::Tiled(Tile::for_outputs(rows, columns)),
        }
    }

    /// Those that make anything in whole vec4s on this device, the portable one first.
    fn candidates(gpu: &Gpu) -> Vec<Family> {
        let lanes = gpu.has_lanes().then_some(Family::Lanes);
        [Family::Vec4].into_iter().chain(lanes).chain(TILES.map(Family::Tiled)).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Family::Scalar => "scalar",
            Family::Vec4 => "vec4",
            Family::Lanes => "lanes",
            Family::Tiled(tile) => tile.name,
        }
    }

    /// `self`, or on a device that measures the fastest for `question`, which must be of whole vec4s, of those that `can`
    /// do it. `make` prepares operands and returns what runs a kernel on them.
    pub fn or_fastest<F: Fn(Family) -> Tensor>(
        self,
        gpu: &Gpu,
        question: Question,
        can: impl Fn(Family) -> bool,
        make: impl FnOnce() -> F,
    ) -> Family {
        if gpu.prefers() != Prefer::Measured || self == Family::Scalar {
            return self;
        }
        let mut candidates = Family::candidates(gpu);
        candidates.retain(|&family| can(family));
        let named = |name: &str| candidates.iter().copied().find(|family| family.name() == name);
        let names: Vec<&str> = candidates.iter().map(|family| family.name()).collect();
        let found = fastest(gpu, question, &names, || {
            let run = make();
            move |name| named(name).map(&run).into_iter().collect()
        });
        found.and_then(|name| named(&name)).unwrap_or(self)
    }
}

/// Which of the ways `names` is the fastest for `question` on a device that measures, if it knows. `make` prepares operands and
/// returns what takes one of the ways; it is right if its numbers are those of the first.
pub(super) fn fastest<F: Fn(&str) -> Vec<Tensor>>(
    gpu: &Gpu,
    question: Question,
    names: &[&str],
    make: impl FnOnce() -> F,
) -> Option<String> {
    if gpu.prefers() != Prefer::Measured {
        return None;
    }
    if let Some(found) = gpu.answer(&question).filter(|found| names.contains(&found.as_str())) {
        return Some(found);
    }
    if !gpu.may_measure(&question) {
        return None;
    }
    let measured = catch(|| {
        let run = make();
        let numbers = |name: &str| run(name).iter().map(Tensor::to_vec).collect::<Vec<_>>();
        let right = numbers(names[0]);
        let agrees = |name: &str| numbers(name).iter().zip(&right).all(|(found, right)| are_near(found, right));
        gpu.measure(&question, names, &agrees, &|name| drop(run(name)));
        Ok(gpu.answer(&question))
    });
    match measured {
        Ok(found) => found,
        // What has no room beside the training goes by rule.
        Err(Error::OutOfMemory(_)) => {
            gpu.give_up(&question);
            None
        }
        Err(error) => std::panic::resume_unwind(Box::new(error)),
    }
}

fn are_near(found: &[f32], right: &[f32]) -> bool {
    let largest = right.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    found.iter().zip(right).all(|(a, b)| (a - b).abs() <= NEAR * largest)
}

/// What is asked for `op`, with kernels of `shaders`, at these sizes.
pub(super) fn question(op: &'static str, shaders: &[&'static Shader], sizes: &[u32]) -> Question {
    thread_local! {
        static DIGESTS: std::cell::RefCell<rustc_hash::FxHashMap<&'static str, u64>> = Default::default();
    }
    let digest = DIGESTS.with_borrow_mut(|known| {
        *known.entry(op).or_insert_with(|| {
            let mut hasher = rustc_hash::FxHasher::default();
            shaders.iter().for_each(|shader| resolve_imports(shader.source).hash(&mut hasher));
            hasher.finish()
        })
    });
    let mut all = [0; 16];
    all[..sizes.len()].copy_from_slice(sizes);
    Question { op, digest, sizes: all }
}

/// An operand for measurements.
pub(super) fn noise(gpu: &Gpu, shape: Shape, stream: u32) -> Tensor {
    super::normal(gpu, shape, Stream { seed: 0, step: 0, stream, first: 0 })
}
