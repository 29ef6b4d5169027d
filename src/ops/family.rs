//! Which of several kernels makes a product or a convolution: by rule, or the fastest as measured on the adapter.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::error::Error;
use crate::gpu::{Gpu, Override, Prefer, Question, Shader, catch, resolve_imports};
use crate::philox::Stream;
use crate::tensor::{Shape, Tensor};

/// Rows and columns of outputs below which kernels that share loads do not pay.
pub(super) const SMALL: usize = 16;
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
    /// Invocations down and across, and the side of what each makes.
    rows: u32,
    columns: u32,
    side: u32,
}

/// The tiles, large ones first; [`Prefer::Tiles`] counts them.
const TILES: [Tile; 4] = [
    Tile { rows: 16, columns: 16, side: 8 },
    Tile { rows: 8, columns: 8, side: 8 },
    Tile { rows: 16, columns: 16, side: 4 },
    Tile { rows: 8, columns: 8, side: 4 },
];

/// The families that make anything in whole vec4s by name, the portable one first.
const IN_FOURS: [(&str, Family); 6] = [
    ("vec4", Family::Vec4),
    ("lanes", Family::Lanes),
    ("128x128", Family::Tiled(TILES[0])),
    ("64x64", Family::Tiled(TILES[1])),
    ("64x64 by 256", Family::Tiled(TILES[2])),
    ("32x32", Family::Tiled(TILES[3])),
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

    /// `self`, or on a device that measures the fastest of those that `can` do it, which must be of whole vec4s. `make`
    /// prepares operands and returns what runs a kernel on them.
    pub fn or_fastest<F: Fn(Family) -> Tensor>(
        self,
        gpu: &Gpu,
        asked: Asked,
        can: impl Fn(Family) -> bool,
        make: impl FnOnce() -> F,
    ) -> Family {
        if self == Family::Scalar {
            return self;
        }
        let can = |family| can(family) && (family != Family::Lanes || gpu.has_lanes());
        let found = fastest(gpu, asked, &IN_FOURS, can, || {
            let run = make();
            move |family| vec![run(family)]
        });
        found.unwrap_or(self)
    }
}

/// For what the fastest way is looked for: an op, with kernels of `shaders`, at sizes in its own numbers.
pub(super) struct Asked<'a> {
    pub op: &'static str,
    pub shaders: &'a [&'static Shader],
    pub sizes: &'a [u32],
}

impl Asked<'_> {
    fn question(&self) -> Question {
        thread_local! {
            static DIGESTS: RefCell<FxHashMap<&'static str, u64>> = RefCell::default();
        }
        let digest = || {
            let mut hasher = FxHasher::default();
            self.op.hash(&mut hasher);
            self.shaders.iter().for_each(|shader| resolve_imports(shader.source).hash(&mut hasher));
            hasher.finish()
        };
        let digest = DIGESTS.with_borrow_mut(|known| *known.entry(self.op).or_insert_with(digest));
        let mut sizes = [0; 16];
        sizes[..self.sizes.len()].copy_from_slice(self.sizes);
        Question { op: self.op, digest, sizes }
    }
}

/// The fastest of those `ways`, by name, that `can` be gone, on a device that measures. `make` prepares operands and returns
/// what goes one of the ways on them; it is right if its numbers are those of the first.
pub(super) fn fastest<W: Copy, F: Fn(W) -> Vec<Tensor>>(
    gpu: &Gpu,
    asked: Asked,
    ways: &[(&str, W)],
    can: impl Fn(W) -> bool,
    make: impl FnOnce() -> F,
) -> Option<W> {
    if gpu.prefers() != Prefer::Measured {
        return None;
    }
    let named = |name: &str| ways.iter().find(|(n, way)| *n == name && can(*way)).map(|(_, way)| *way);
    let question = asked.question();
    if let Some(found) = gpu.answer(&question).and_then(|name| named(&name)) {
        return Some(found);
    }
    if !gpu.may_measure(&question) {
        return None;
    }
    let measured = catch(|| {
        let run = make();
        let run = |name: &str| named(name).map_or_else(Vec::new, &run);
        let numbers = |name: &str| run(name).iter().map(Tensor::to_vec).collect::<Vec<_>>();
        let names: Vec<&str> = ways.iter().filter(|(_, way)| can(*way)).map(|(name, _)| *name).collect();
        let right = numbers(names[0]);
        let agrees = |name: &str| numbers(name).iter().zip(&right).all(|(found, right)| are_near(found, right));
        gpu.measure(&question, &names, &agrees, &|name| drop(run(name)));
        Ok(gpu.answer(&question).and_then(|name| named(&name)))
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

/// An operand for measurements.
pub(super) fn noise(gpu: &Gpu, shape: Shape, stream: u32) -> Tensor {
    super::normal(gpu, shape, Stream { seed: 0, step: 0, stream, first: 0 })
}
