//! Chooses among several kernels for a product or a convolution: by rule, or the fastest as
//! measured on the adapter.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::error::Error;
use crate::gpu::{Cooperative, Gpu, Override, Prefer, Question, Shader};
use crate::philox::Stream;
use crate::tensor::{Shape, Tensor};

/// Fewest rows and columns of outputs for which kernels that share loads pay off.
pub(super) const SMALL: usize = 16;
/// Fewest tiles that keep a GPU busy.
const BUSY: usize = 128;
/// Invocations that fill a GPU.
const FILL: usize = 1 << 16;
/// Fewest terms worth a part of a sum, and most parts.
const LEAST_TERMS: usize = 256;
const MOST_PARTS: usize = 8;
/// Largest difference from the portable kernel's numbers, relative to the largest of them: in f32,
/// and in f16.
const NEAR: f32 = 1e-4;
const NEAR_F16: f32 = 2e-3;

/// A kernel's kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum KernelFamily {
    /// Channel by channel: runs on every adapter and shape.
    Scalar,
    /// In vec4s: on every adapter, for shapes in multiples of four.
    Vec4,
    /// For CPU drivers with subgroups of eight lanes: see `shaders/shared/lanes.wgsl`.
    Lanes,
    /// For GPUs: see `shaders/shared/staging.wgsl`.
    Tiled(Tile),
}

/// A tiled shader file with each way to multiply tiles: `shaders/shared/tile.wgsl`,
/// `cooperative8.wgsl`, `cooperative16.wgsl`.
pub(super) type Tiled = [Shader; 3];

/// `tiled!("matmul_tiled")` is the [`Tiled`] of `shaders/matmul_tiled.wgsl`.
macro_rules! tiled {
    ($name:literal) => {
        [
            $crate::gpu::shader!($name),
            $crate::gpu::shader!($name, tile: "cooperative8"),
            $crate::gpu::shader!($name, tile: "cooperative16"),
        ]
    };
}
pub(super) use tiled;

/// The outputs of a workgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    height: u32,
    width: u32,
    by: By,
    /// Whether workgroups share the terms of a sum where there are few tiles.
    splits: bool,
}

/// How a workgroup multiplies tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// Each invocation computes a square of outputs of this side: see `shaders/shared/tile.wgsl`.
    Invocations { side: u32 },
    /// Each subgroup multiplies cooperative matrices: see `shaders/shared/cooperative.wgsl`.
    Matrices(Cooperative),
}

/// Tiles computed by invocations, largest first, then those that split sums into parts;
/// [`Prefer::Tiles`] is an index into them.
const TILES: [(&str, Tile); 8] = [
    ("128x128", Tile::by_invocations(128, 128, 8)),
    ("128x64", Tile::by_invocations(128, 64, 8)),
    ("64x64", Tile::by_invocations(64, 64, 8)),
    ("64x64 by 256", Tile::by_invocations(64, 64, 4)),
    ("32x32", Tile::by_invocations(32, 32, 4)),
    ("64x64 in parts", Tile::by_invocations(64, 64, 8).in_parts()),
    (
        "64x64 by 256 in parts",
        Tile::by_invocations(64, 64, 4).in_parts(),
    ),
    ("32x32 in parts", Tile::by_invocations(32, 32, 4).in_parts()),
];

/// The tiles for `gpu`'s precision, with their names.
fn tiles(gpu: &Gpu) -> Vec<(&'static str, Tile)> {
    let Some(cooperative) = gpu.cooperative() else {
        return TILES.to_vec();
    };
    let tile = |[down, across]: [u32; 2]| Tile {
        height: 2 * cooperative.edge * down,
        width: 4 * cooperative.edge * across,
        by: By::Matrices(cooperative),
        splits: false,
    };
    let names = ["4x2 subgroups", "2x2 subgroups", "2x1 subgroups"];
    let all = Cooperative::SUBGROUPS.map(tile);
    let fitting = names
        .into_iter()
        .zip(all)
        .skip(Cooperative::SUBGROUPS.len() - cooperative.tiles());
    fitting.collect()
}

/// Which operand of a product is a gradient: kernels that round to f16 scale that one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Gradient {
    #[default]
    Neither,
    Left,
    Right,
}

impl Tile {
    /// Each invocation computes a square of `side`.
    const fn by_invocations(height: u32, width: u32, side: u32) -> Tile {
        Tile {
            height,
            width,
            by: By::Invocations { side },
            splits: false,
        }
    }

    const fn in_parts(self) -> Tile {
        Tile {
            splits: true,
            ..self
        }
    }

    /// Parts of a sum over `terms` for `tiles` tiles: as many as fill a GPU with invocations.
    pub fn parts(self, tiles: usize, terms: usize) -> usize {
        let By::Invocations { side } = self.by else {
            return 1;
        };
        if !self.splits {
            return 1;
        }
        let invocations = (self.height * self.width / (side * side)) as usize;
        (FILL / (tiles * invocations))
            .min(terms / LEAST_TERMS)
            .clamp(1, MOST_PARTS)
    }

    /// Tiles that cover this many outputs.
    pub fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.height as usize) * columns.div_ceil(self.width as usize)
    }

    /// The shader of `file` that computes such tiles.
    pub fn shader(self, file: &'static Tiled) -> &'static Shader {
        match self.by {
            By::Invocations { .. } => &file[0],
            By::Matrices(Cooperative { edge: 8, .. }) => &file[1],
            By::Matrices(_) => &file[2],
        }
    }

    pub fn overrides(self, gradient: Gradient) -> Vec<Override> {
        match self.by {
            By::Invocations { side } => {
                vec![
                    ("ROWS", self.height / side),
                    ("COLUMNS", self.width / side),
                    ("SIDE", side),
                ]
            }
            By::Matrices(Cooperative { edge, subgroup }) => vec![
                ("DOWN", self.height / (2 * edge)),
                ("ACROSS", self.width / (4 * edge)),
                ("SUBGROUP", subgroup),
                ("LEFT_GRADIENT", u32::from(gradient == Gradient::Left)),
                ("RIGHT_GRADIENT", u32::from(gradient == Gradient::Right)),
            ],
        }
    }

    /// The largest tile of which enough are needed to keep the GPU busy.
    fn for_outputs(gpu: &Gpu, rows: usize, columns: usize) -> Tile {
        let tiles = tiles(gpu);
        let whole = || tiles.iter().filter(|(_, tile)| !tile.splits);
        let enough = whole().find(|(_, tile)| tile.count(rows, columns) >= BUSY);
        let smallest = whole().next_back();
        enough.or(smallest).expect("there are tiles").1
    }
}

impl KernelFamily {
    /// The rule for outputs of this shape; `fours` if everything comes in whole vec4s.
    pub fn by_rule(gpu: &Gpu, fours: bool, [rows, columns]: [usize; 2]) -> KernelFamily {
        match (fours, gpu.prefers()) {
            (false, _) => KernelFamily::Scalar,
            (true, Prefer::Portable) => KernelFamily::Vec4,
            (true, Prefer::Tiles(number)) => KernelFamily::Tiled(tiles(gpu)[number].1),
            _ if rows.min(columns) < SMALL => KernelFamily::Vec4,
            _ if gpu.cooperative().is_some() => {
                KernelFamily::Tiled(Tile::for_outputs(gpu, rows, columns))
            }
            _ if gpu.has_lanes() => KernelFamily::Lanes,
            _ if gpu.is_cpu() => KernelFamily::Vec4,
            _ => KernelFamily::Tiled(Tile::for_outputs(gpu, rows, columns)),
        }
    }

    /// All families that use cooperative matrices.
    pub fn on_matrices(gpu: &Gpu) -> Vec<KernelFamily> {
        let tiles = if gpu.cooperative().is_some() {
            tiles(gpu)
        } else {
            Vec::new()
        };
        tiles
            .into_iter()
            .map(|(_, tile)| KernelFamily::Tiled(tile))
            .collect()
    }

    /// The entry point: `own` in files with one for each direction.
    pub fn entry(self, own: &'static str) -> &'static str {
        if matches!(self, KernelFamily::Tiled(_)) {
            "tiled"
        } else {
            own
        }
    }

    /// All families for shapes in whole vec4s, the portable one first, without those that
    /// `parts(tile)` says are another's twin since there is one part.
    pub fn all(gpu: &Gpu, parts: impl Fn(Tile) -> usize) -> Vec<(&'static str, KernelFamily)> {
        let mut all = vec![("vec4", KernelFamily::Vec4)];
        all.extend(gpu.has_lanes().then_some(("lanes", KernelFamily::Lanes)));
        all.extend(
            tiles(gpu)
                .into_iter()
                .filter(|(_, tile)| !tile.splits || parts(*tile) > 1)
                .map(|(name, tile)| (name, KernelFamily::Tiled(tile))),
        );
        all
    }
}

/// What to find the fastest algorithm for: an op with the kernels of `shaders`, at sizes that the
/// op defines.
pub(super) struct Asked<'a> {
    pub op: &'static str,
    pub shaders: &'a [&'a [&'static Shader]],
    pub sizes: &'a [u32],
}

impl Asked<'_> {
    fn question(&self, gpu: &Gpu) -> Question {
        thread_local! {
            static TEXTS: RefCell<FxHashMap<&'static str, u64>> = RefCell::default();
        }
        let texts = || {
            let mut hasher = FxHasher::default();
            self.shaders
                .iter()
                .copied()
                .flatten()
                .for_each(|shader| shader.text().hash(&mut hasher));
            hasher.finish()
        };
        let texts = TEXTS.with_borrow_mut(|known| *known.entry(self.op).or_insert_with(texts));
        let mut hasher = FxHasher::default();
        let program = env!("CARGO_PKG_VERSION");
        (
            self.op,
            texts,
            program,
            gpu.is_checked(),
            gpu.cooperative().is_some(),
        )
            .hash(&mut hasher);
        let digest = hasher.finish();
        let mut sizes = [0; 16];
        sizes[..self.sizes.len()].copy_from_slice(self.sizes);
        Question {
            op: self.op,
            digest,
            sizes,
        }
    }
}

/// The fastest of the named `ways`, on a device that measures. `make` prepares operands and returns
/// a function that runs one way on them; its numbers must agree with those of the first way.
pub(super) fn fastest<W: Copy, F: Fn(W) -> Vec<Tensor>>(
    gpu: &Gpu,
    asked: Asked,
    ways: impl FnOnce() -> Vec<(&'static str, W)>,
    make: impl FnOnce() -> F,
) -> Option<W> {
    if gpu.prefers() != Prefer::Measured {
        return None;
    }
    let ways = ways();
    let named = |name: &str| ways.iter().find(|(n, _)| *n == name).map(|(_, way)| *way);
    let question = asked.question(gpu);
    if let Some(found) = gpu.answer(&question).and_then(|name| named(&name)) {
        return Some(found);
    }
    if !gpu.may_measure(&question) {
        return None;
    }
    let measured = if_room(gpu, || {
        let run = make();
        let run = |name: &str| named(name).map_or_else(Vec::new, &run);
        let numbers = |name: &str| run(name).iter().map(contents).collect::<Vec<_>>();
        let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
        gpu.prepare(|| names.iter().for_each(|name| drop(run(name))));
        let right = numbers(names[0]);
        let near = if gpu.cooperative().is_some() {
            NEAR_F16
        } else {
            NEAR
        };
        let is_right = |found: Vec<Vec<f32>>| {
            found
                .iter()
                .zip(&right)
                .all(|(found, right)| are_near(found, right, near))
        };
        gpu.measure(
            &question,
            &names,
            &|name| if_room(gpu, || numbers(name)).map(is_right),
            &|name| drop(run(name)),
        );
        gpu.answer(&question).and_then(|name| named(&name))
    });
    // Without memory for it beside the training, go by rule.
    measured.unwrap_or_else(|| {
        gpu.give_up(&question);
        None
    })
}

/// The result of `f`, or `None` if the adapter has not enough memory for it. Other errors wait for
/// whoever looks next.
fn if_room<R>(gpu: &Gpu, f: impl FnOnce() -> R) -> Option<R> {
    if let Err(earlier) = gpu.check() {
        gpu.fail(earlier);
        return None;
    }
    let result = f();
    match gpu.check() {
        Ok(()) => Some(result),
        Err(Error::OutOfMemory(_)) => None,
        Err(error) => {
            gpu.fail(error);
            None
        }
    }
}

/// The numbers of a tensor; none if the device has failed, which [`if_room`] then sees.
fn contents(tensor: &Tensor) -> Vec<f32> {
    tensor.read().unwrap_or_else(|error| {
        tensor.gpu().fail(error);
        Vec::new()
    })
}

fn are_near(found: &[f32], right: &[f32], near: f32) -> bool {
    let largest = right.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    found
        .iter()
        .zip(right)
        .all(|(a, b)| (a - b).abs() <= near * largest)
}

/// A random operand for measurements.
pub(super) fn noise(gpu: &Gpu, shape: Shape, stream: u32) -> Tensor {
    super::normal(
        gpu,
        shape,
        Stream {
            seed: 0,
            step: 0,
            stream,
            first: 0,
        },
    )
}
