//! Trees of pictures (PNG, JPEG, WebP): a folder for each class, or one folder without classes.
//!
//! A class is a folder below the root and has the pictures of all folders inside it. With a folder `train` in the root,
//! `train`, `val` and `test` are roots of their own, and nothing else may hold pictures. Names that begin with a dot and files of other kinds are passed by.
//! Classes are in the order of their names. They take turns, each with its pictures in the order of their paths: whoever looks at
//! the first pictures of a set, or at any that follow each other, sees all classes by their shares.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use image::RgbImage;

use super::decode::{EXTENSIONS, is_picture, picture, size_of};
use super::{Broken, ImageSet, Kind, Reading, Splits, check_memory, reserve};
use crate::error::{Error, Result};

const SPLITS: [&str; 3] = ["train", "val", "test"];

/// The pictures below a root, not yet read.
pub(super) struct Tree {
    pub root: PathBuf,
    pub classes: Vec<String>,
    /// Path and class of each picture.
    pub files: Vec<(PathBuf, u32)>,
    /// A file that is no picture, to be named where there are no others.
    other: Option<PathBuf>,
}

/// Reads the tree at `dir`, or those at its `train`, `val` and `test`.
///
/// # Errors
/// [`Error::Data`] if there is no picture, one is broken (unless skipped) or of another size than the first, pictures lie
/// beside folders of classes, or all together take too much memory. [`Error::Io`] if a folder cannot be read.
pub fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    if dir.join("train").is_dir() {
        return read_splits(Kind::Folder, dir, scan_splits(dir)?, reading);
    }
    read_splits(Kind::Folder, dir, [Some(Tree::scan(dir)?), None, None], reading)
}

/// The trees of `train`, which must be there, `val` and `test`.
pub(super) fn scan_splits(dir: &Path) -> Result<[Option<Tree>; 3]> {
    let scan = |name: &str| {
        let root = dir.join(name);
        (name == "train" || root.is_dir()).then(|| Tree::scan(&root)).transpose()
    };
    // Someone's class may be called `train`, or their `val` otherwise: nothing is left out in silence.
    for other in folders(dir)?.iter().filter(|path| !SPLITS.iter().any(|split| path.ends_with(split))) {
        if Tree::holds_pictures(other)? {
            return Err(Error::Data(format!(
                "{} holds pictures beside train, and is neither val nor test; rename it or move it away (or rename train, if \
                 that is a class)",
                other.display()
            )));
        }
    }
    let [train, mut val, mut test] = [scan("train")?, scan("val")?, scan("test")?];
    for tree in [&mut val, &mut test].into_iter().flatten() {
        tree.share_classes(train.as_ref().map_or(&[], |tree| &tree.classes));
    }
    Ok([train, val, test])
}

/// Reads the pictures of `train`, `val` and `test`.
pub(super) fn read_splits(kind: Kind, dir: &Path, trees: [Option<Tree>; 3], reading: &Reading) -> Result<Splits> {
    let name = match kind {
        Kind::MiniImageNet => Some("mini-imagenet".to_string()),
        _ => dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())),
    };
    let name = name.as_deref().unwrap_or("folder");
    let alone = trees.iter().flatten().count() == 1 && kind == Kind::Folder;
    let total = trees.iter().flatten().map(|tree| tree.files.len() as u64).sum();
    let done = AtomicU64::new(0);
    let tick = || {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        reading.progress.iter().for_each(|progress| progress(done, total));
    };
    let mut state = State { reading, tick: &tick, first: None, taken: 0, skipped: Vec::new() };
    let mut sets = Vec::new();
    for (tree, split) in trees.into_iter().zip(SPLITS) {
        let name = if alone { name.into() } else { format!("{name} {split}") };
        sets.push(tree.map(|tree| state.read(tree, name)).transpose()?);
    }
    let [train, val, test] = <[_; 3]>::try_from(sets).expect("three splits go in");
    let train = train.expect("every caller has a training split");
    Ok(Splits { kind, train, val, test, skipped: state.skipped, notes: Vec::new() })
}

impl Tree {
    fn new(root: &Path) -> Tree {
        Tree { root: root.into(), classes: Vec::new(), files: Vec::new(), other: None }
    }

    fn holds_pictures(root: &Path) -> Result<bool> {
        let mut tree = Tree::new(root);
        tree.enter(root, Some(0), &mut HashSet::new())?;
        Ok(!tree.files.is_empty())
    }

    /// Finds the pictures below `root`.
    pub fn scan(root: &Path) -> Result<Tree> {
        let mut tree = Tree::new(root);
        let mut seen = HashSet::new();
        tree.enter(root, None, &mut seen)?;
        let flat = tree.files.len();
        for folder in folders(root)? {
            let before = tree.files.len();
            let class = tree.classes.len() as u32;
            tree.enter(&folder, Some(class), &mut seen)?;
            if tree.files.len() > before {
                tree.classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        if let (true, Some(class), Some((file, _))) = (flat > 0, tree.classes.first(), tree.files.first()) {
            let root = root.display();
            return Err(Error::Data(format!(
                "{} lies beside folders of pictures ({class}); move it into one of them, or the folders out of {root}",
                file.display()
            )));
        }
        if flat > 0 {
            tree.classes.push(root.file_name().map_or("all".into(), |name| name.to_string_lossy().into_owned()));
        }
        if tree.files.is_empty() {
            return Err(tree.nothing());
        }
        tree.take_turns();
        Ok(tree)
    }

    /// Spreads each class evenly over the whole: picture i of n comes at (i + ½) / n.
    fn take_turns(&mut self) {
        let mut counts = vec![0u64; self.classes.len()];
        self.files.iter().for_each(|(_, class)| counts[*class as usize] += 1);
        let mut ranks = vec![0u64; self.classes.len()];
        let mut places = Vec::with_capacity(self.files.len());
        for (path, class) in self.files.drain(..) {
            let (rank, count) = (&mut ranks[class as usize], counts[class as usize]);
            places.push(((2 * *rank + 1) as f64 / count as f64, class, path));
            *rank += 1;
        }
        places.sort_by(|(a, class_a, _), (b, class_b, _)| a.total_cmp(b).then(class_a.cmp(class_b)));
        self.files = places.into_iter().map(|(_, class, path)| (path, class)).collect();
    }

    /// Takes the pictures of `folder`; with a class, those of the folders inside it too.
    fn enter(&mut self, folder: &Path, class: Option<u32>, seen: &mut HashSet<PathBuf>) -> Result<()> {
        if !seen.insert(folder.canonicalize().map_err(Error::io(folder))?) {
            let path = folder.display();
            return Err(Error::Data(format!(
                "{path} is reached twice; a link in the data leads back into it, remove it"
            )));
        }
        for path in visible(folder)?.into_iter().filter(|path| path.is_file()) {
            match is_picture(&path) {
                true => self.files.push((path, class.unwrap_or(0))),
                false => self.other = Some(path),
            }
        }
        for inner in folders(folder)?.iter().filter(|_| class.is_some()) {
            self.enter(inner, class, seen)?;
        }
        Ok(())
    }

    fn nothing(&self) -> Error {
        let other = self.other.iter().map(|path| format!(" (there are others, as {})", path.display()));
        Error::Data(format!(
            "{}: no pictures here or in folders below; files that end in .{} are looked for{}",
            self.root.display(),
            EXTENSIONS.join(", ."),
            other.collect::<String>()
        ))
    }

    /// Counts classes as `train` does where it has them all.
    fn share_classes(&mut self, train: &[String]) {
        let places = self.classes.iter().map(|class| train.iter().position(|c| c == class));
        if let Some(places) = places.collect::<Option<Vec<usize>>>() {
            self.files.iter_mut().for_each(|(_, label)| *label = places[*label as usize] as u32);
            self.classes = train.into();
        }
    }
}

/// The entries of `folder` in order, without hidden ones.
fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(visible(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What the splits of one data set share while they are read.
struct State<'a> {
    reading: &'a Reading<'a>,
    tick: &'a (dyn Fn() + Sync),
    /// The first picture and its [height, width].
    first: Option<(PathBuf, [usize; 2])>,
    taken: u64,
    skipped: Vec<String>,
}

/// Why a picture is not in the set.
enum Unfit {
    Broken(String),
    Size([usize; 2]),
}

impl State<'_> {
    fn read(&mut self, tree: Tree, name: String) -> Result<ImageSet> {
        let Tree { root, classes, files, .. } = tree;
        let (first, size) = self.size(&root, &files)?;
        let bytes = size[0] * size[1] * 3;
        check_memory(&root, files.len(), bytes, self.taken, self.reading.memory)?;
        let mut images = reserve(&root, files.len() * bytes)?;
        let unfit = self.decode(&files, size, &mut images);
        for (i, why) in &unfit {
            let file = &files[*i].0;
            match why {
                Unfit::Broken(why) if self.reading.broken == Broken::Skip => {
                    self.skipped.push(format!("{} {why}", file.display()));
                }
                Unfit::Broken(why) => return Err(broken(file, why)),
                Unfit::Size(other) => return Err(unequal([(file, *other), (&first, size)])),
            }
        }
        let gaps: HashSet<usize> = unfit.iter().map(|(i, _)| *i).collect();
        let kept: Vec<usize> = (0..files.len()).filter(|i| !gaps.contains(i)).collect();
        for (to, &from) in kept.iter().enumerate().filter(|(to, from)| to < *from) {
            images.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
        }
        images.truncate(kept.len() * bytes);
        let labels: Vec<u32> = kept.iter().map(|&i| files[i].1).collect();
        if labels.is_empty() {
            return Err(all_broken(&root, files.len()));
        }
        self.taken += images.len() as u64;
        Ok(ImageSet { name, height: size[0], width: size[1], images, labels, classes })
    }

    /// The size of every picture, and a picture that has it: the first of all splits that is whole.
    fn size(&mut self, root: &Path, files: &[(PathBuf, u32)]) -> Result<(PathBuf, [usize; 2])> {
        for (file, _) in files {
            if let Some(first) = &self.first {
                return Ok(first.clone());
            }
            match picture(file, self.reading.size) {
                Ok(picture) => self.first = Some((file.clone(), size_of(&picture))),
                Err(why) if self.reading.broken == Broken::Error => return Err(broken(file, &why)),
                Err(_) => {}
            }
        }
        self.first.clone().ok_or_else(|| all_broken(root, files.len()))
    }

    /// Decodes all `files` into `images`; those that are unfit, in order. Ends at the first if that is an error anyway.
    fn decode(&self, files: &[(PathBuf, u32)], size: [usize; 2], images: &mut [u8]) -> Vec<(usize, Unfit)> {
        let work = Mutex::new(files.iter().zip(images.chunks_exact_mut(size[0] * size[1] * 3)).enumerate());
        let (unfit, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        // What is taken is also decoded, so the first failure of all is among those found.
        let next = || match stop.load(Ordering::Relaxed) {
            true => None,
            false => work.lock().expect("no thread panics with it").next(),
        };
        let worker = || {
            while let Some((i, ((file, _), place))) = next() {
                let why = match picture(file, self.reading.size) {
                    Ok(picture) if size_of(&picture) == size => {
                        place.copy_from_slice(RgbImage::as_raw(&picture));
                        None
                    }
                    Ok(picture) => Some(Unfit::Size(size_of(&picture))),
                    Err(why) => Some(Unfit::Broken(why)),
                };
                if let Some(why) = why {
                    let fatal = matches!(why, Unfit::Size(_)) || self.reading.broken == Broken::Error;
                    stop.fetch_or(fatal, Ordering::Relaxed);
                    unfit.lock().expect("no thread panics with it").push((i, why));
                }
                (self.tick)();
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(worker))));
        let mut unfit = unfit.into_inner().expect("no thread panics with it");
        unfit.sort_unstable_by_key(|(i, _)| *i);
        unfit
    }
}

fn broken(file: &Path, why: &str) -> Error {
    Error::Data(format!("{} {why}; mend or remove it, or leave out all such files with --skip-broken", file.display()))
}

fn all_broken(root: &Path, count: usize) -> Error {
    let root = root.display();
    Error::Data(format!("{root}: all {count} pictures are broken; without --skip-broken it is said how"))
}

/// Two files of different [height, width], the second the one that counts.
fn unequal([(file, [height, width]), (first, [rows, columns])]: [(&Path, [usize; 2]); 2]) -> Error {
    Error::Data(format!(
        "{} has {width}×{height} pixels, but {} has {columns}×{rows}; all must have one size: --size N (of train: --resize) squashes \
         each to N×N",
        file.display(),
        first.display(),
    ))
}
