//! Trees of images: a folder for each class, or one folder without classes.
//!
//! A class is a folder below the root and has the images of all folders inside it. With a folder
//! `train` in the root (or `Training`, `train2017`, …), that and those of validation and test are
//! roots of their own, and nothing else may hold images; with a list `train.csv` beside the images,
//! the lists say which image is in which split and class. A single folder around all that is
//! entered. Whatever is not read is counted and told ([`Splits::notes`]); what cannot be looked at
//! is an error, or skipped. Classes are in the order of their names. They take turns, each with its
//! images in the order of their paths: whoever looks at the first images of a set, or at any that
//! follow each other, sees all classes by their shares.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::decode::{EXTENSIONS, is_picture};
use super::entries::{Entry, What, entries, name_of};
use super::layout::{self, Layout, SPLITS, split_of};
use super::lists::List;
use super::load::{Reader, Source, broken, from_file};
use super::passed::{Passed, shown};
use super::{Broken, Kind, Reading, Splits, mini_imagenet};
use crate::error::{Error, Result};

/// The images below a root, not yet read.
pub(super) struct Tree {
    pub root: PathBuf,
    pub classes: Vec<String>,
    pub files: Vec<Image>,
    /// What cannot be looked at, and why.
    unreadable: Vec<(PathBuf, String)>,
    passed: Passed,
    /// A file that is no image, to be named where there are no others.
    other: Option<PathBuf>,
}

/// An image of a tree.
pub(super) struct Image {
    pub path: PathBuf,
    pub class: u32,
    /// Changes when the file does.
    stamp: u64,
}

/// Reads the data set at `dir`.
///
/// # Errors
/// [`Error::Data`] if there is no image, one is broken (unless skipped) or of another size than the
/// first, something cannot be looked at (unless skipped), images lie beside folders of classes, or
/// splits cannot be told apart. [`Error::Io`] if a folder cannot be listed.
pub fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    let (root, entered) = layout::enter(dir)?;
    let (layout, notes) = layout::find(&root)?;
    let mut notes: Vec<String> = entered.into_iter().chain(notes).collect();
    let trees = match &layout {
        Layout::Classes => [Some(Tree::scan(&root)?), None, None],
        Layout::Splits(folders) => {
            let trees = scan_splits(&root, folders)?;
            notes.extend(mini_imagenet::unused(&root)?);
            trees
        }
        Layout::Lists(lists) => listed(&root, lists, &mut notes)?,
    };
    let mut splits = read_splits(Kind::Folder, &root, trees, reading)?;
    splits.notes.splice(0..0, notes);
    Ok(splits)
}

/// The trees of the folders of the splits, the first of which is there.
pub(super) fn scan_splits(
    root: &Path,
    folders: &[Option<PathBuf>; 3],
) -> Result<[Option<Tree>; 3]> {
    // Someone's class may be called `train`, or their `val` otherwise: nothing is left out in
    // silence.
    for other in entries(root)?
        .iter()
        .filter(|entry| entry.is_folder() && split_of(&entry.name()).is_none())
    {
        if Tree::holds_images(&other.path)? {
            let train = folders[0].as_deref().map(name_of).unwrap_or_default();
            return Err(Error::Data(format!(
                "{} holds images beside {train}, and is no split by its name (train, val, test); rename it or move it away, or \
                 rename {train} if that is a class",
                other.path.display()
            )));
        }
    }
    let scan = |folder: &Option<PathBuf>| folder.as_deref().map(Tree::scan).transpose();
    let [mut train, val, test] = [scan(&folders[0])?, scan(&folders[1])?, scan(&folders[2])?];
    if let Some(train) = &mut train {
        // What lies beside the splits is told with the first of them.
        let mut beside = Tree::new(root);
        beside.enter(root, None, &mut HashSet::new())?;
        train.passed.beside = beside
            .files
            .iter()
            .map(|image| name_of(&image.path))
            .collect();
        train.unreadable.append(&mut beside.unreadable);
    }
    Ok(with_shared_classes([train, val, test]))
}

/// The trees of the splits, classes counted in all as in the first where it has them.
fn with_shared_classes([train, mut val, mut test]: [Option<Tree>; 3]) -> [Option<Tree>; 3] {
    for tree in [&mut val, &mut test].into_iter().flatten() {
        tree.share_classes(train.as_ref().map_or(&[], |tree| &tree.classes));
    }
    [train, val, test]
}

/// The trees that lists make of the images beside them.
fn listed(
    root: &Path,
    lists: &[Option<PathBuf>; 3],
    notes: &mut Vec<String>,
) -> Result<[Option<Tree>; 3]> {
    let folder = layout::listed_images(root)?;
    let mut all = Tree::new(&folder);
    all.enter(&folder, Some(0), &mut HashSet::new())?;
    let mut images: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, image) in all.files.iter().enumerate() {
        let below = image
            .path
            .strip_prefix(&folder)
            .unwrap_or(&image.path)
            .to_string_lossy()
            .replace('\\', "/");
        let name = name_of(&image.path);
        if name != below {
            images.entry(name).or_default().push(i);
        }
        images.entry(below).or_default().push(i);
    }
    let mut owner: Vec<Option<usize>> = vec![None; all.files.len()];
    let mut trees: [Option<Tree>; 3] = [None, None, None];
    for (split, path) in lists.iter().enumerate() {
        let Some(path) = path else { continue };
        let list = List::read(path)?;
        let mut tree = Tree::new(&folder);
        let mut classes: Vec<String> = list
            .entries
            .iter()
            .map(|(_, class)| class.clone())
            .collect();
        classes.sort_unstable();
        classes.dedup();
        let numbers: HashMap<&str, u32> = (0..)
            .zip(&classes)
            .map(|(i, class)| (class.as_str(), i))
            .collect();
        let mut missing = 0;
        for (name, class) in &list.entries {
            let i = match images.get(name.trim_start_matches("./")).map(Vec::as_slice) {
                Some(&[i]) => i,
                Some(several) => {
                    let first = all.files[several[0]].path.display();
                    let second = all.files[several[1]].path.display();
                    return Err(Error::Data(format!(
                        "{}: {name} may be {first} or {second}; write its path below {}",
                        path.display(),
                        folder.display()
                    )));
                }
                None => {
                    missing += 1;
                    continue;
                }
            };
            if let Some(before) = owner[i].replace(split) {
                let image = all.files[i].path.display();
                let other = if before == split {
                    "twice".into()
                } else {
                    format!("in the list of {} too", SPLITS[before])
                };
                return Err(Error::Data(format!(
                    "{}: {image} is listed {other}; list it once",
                    path.display()
                )));
            }
            let image = &all.files[i];
            tree.files.push(Image {
                path: image.path.clone(),
                class: numbers[class.as_str()],
                stamp: image.stamp,
            });
        }
        if missing > 0 {
            let listed = list.entries.len();
            notes.push(format!(
                "{} of the {listed} images of {} are here",
                listed - missing,
                path.display()
            ));
        }
        tree.classes = classes;
        if tree.files.is_empty() {
            return Err(Error::Data(format!(
                "{}: none of its {} images lies below {}; move them there",
                path.display(),
                list.entries.len(),
                folder.display()
            )));
        }
        tree.take_turns();
        trees[split] = Some(tree);
    }
    let unlisted = owner.iter().filter(|split| split.is_none()).count();
    if unlisted > 0 {
        let first = owner
            .iter()
            .position(Option::is_none)
            .expect("one is not listed");
        let image = all.files[first].path.display();
        notes.push(format!(
            "{unlisted} images are in no list and are not read, as {image}"
        ));
    }
    if let Some(train) = &mut trees[0] {
        train.unreadable = all.unreadable;
        train.passed = all.passed;
    }
    Ok(with_shared_classes(trees))
}

/// Reads the images of the trees; that of train must be there.
pub(super) fn read_splits(
    kind: Kind,
    dir: &Path,
    trees: [Option<Tree>; 3],
    reading: &Reading,
) -> Result<Splits> {
    let name = match kind {
        Kind::MiniImageNet => Some("mini-imagenet".to_string()),
        _ => dir
            .canonicalize()
            .ok()
            .and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())),
    };
    let name = name.as_deref().unwrap_or("folder");
    let alone = trees.iter().flatten().count() == 1 && kind == Kind::Folder;
    let mut notes = Vec::new();
    let mut skipped = Vec::new();
    for tree in trees.iter().flatten() {
        for (path, why) in &tree.unreadable {
            if reading.broken == Broken::Error {
                return Err(broken(&path.display().to_string(), why));
            }
            skipped.push(format!("{} {why}", path.display()));
        }
        notes.extend(tree.passed.notes(&name_of(&tree.root)));
        if tree.files.is_empty() {
            return Err(tree.nothing());
        }
    }
    let sources: Vec<&dyn Source> = trees
        .iter()
        .flatten()
        .map(|tree| tree as &dyn Source)
        .collect();
    let mut reader = Reader::new(&sources, reading)?;
    let mut sets = Vec::new();
    for (tree, split) in trees.iter().zip(SPLITS) {
        let Some(tree) = tree else {
            sets.push(None);
            continue;
        };
        let name = if alone {
            name.into()
        } else {
            format!("{name} {split}")
        };
        sets.push(Some(reader.read(tree, name, tree.classes.clone())?));
    }
    let [train, val, test] = <[_; 3]>::try_from(sets).expect("three splits go in");
    let train = train.expect("every caller has a training split");
    skipped.extend(reader.skipped);
    notes.extend(reader.notes);
    Ok(Splits {
        kind,
        train,
        val,
        test,
        skipped,
        notes,
    })
}

impl Source for Tree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, i: usize) -> u32 {
        self.files[i].class
    }

    fn name(&self, i: usize) -> String {
        self.files[i].path.display().to_string()
    }

    fn decode(&self, i: usize, reading: &Reading) -> Result<RgbImage, String> {
        from_file(&self.files[i].path, reading)
    }

    fn identify(&self, hasher: &mut blake3::Hasher) {
        for image in &self.files {
            hasher.update(image.path.as_os_str().as_encoded_bytes());
            hasher.update(&image.stamp.to_le_bytes());
        }
    }
}

impl Tree {
    fn new(root: &Path) -> Tree {
        Tree {
            root: root.into(),
            classes: Vec::new(),
            files: Vec::new(),
            unreadable: Vec::new(),
            passed: Passed::default(),
            other: None,
        }
    }

    /// Whether an image lies below `root`, or something that cannot be looked at.
    pub fn holds_images(root: &Path) -> Result<bool> {
        let mut tree = Tree::new(root);
        tree.enter(root, Some(0), &mut HashSet::new())?;
        Ok(!tree.files.is_empty() || !tree.unreadable.is_empty())
    }

    /// Finds the images below `root`. There may be none, if something cannot be looked at.
    pub fn scan(root: &Path) -> Result<Tree> {
        let mut tree = Tree::new(root);
        let mut seen = HashSet::new();
        tree.enter(root, None, &mut seen)?;
        let flat = tree.files.len();
        for folder in entries(root)?.into_iter().filter(Entry::is_folder) {
            let before = tree.files.len();
            let class = tree.classes.len() as u32;
            tree.enter(&folder.path, Some(class), &mut seen)?;
            if tree.files.len() > before {
                tree.classes.push(folder.name());
                no_splits_in(&folder.path)?;
            } else {
                tree.passed.empty.push(folder.name());
            }
        }
        if let (true, Some(class), Some(file)) =
            (flat > 0, tree.classes.first(), tree.files.first())
        {
            let root = root.display();
            return Err(Error::Data(format!(
                "{} lies beside folders of images ({class}); move it into one of them, or the folders out of {root}",
                file.path.display()
            )));
        }
        if flat > 0 {
            tree.classes.push(
                root.file_name()
                    .map_or("all".into(), |name| name.to_string_lossy().into_owned()),
            );
        }
        if tree.files.is_empty() && tree.unreadable.is_empty() {
            return Err(tree.nothing());
        }
        tree.take_turns();
        Ok(tree)
    }

    /// Spreads each class evenly over the whole: image i of n comes at (i + ½) / n.
    fn take_turns(&mut self) {
        let mut counts = vec![0u64; self.classes.len()];
        self.files
            .iter()
            .for_each(|image| counts[image.class as usize] += 1);
        let mut ranks = vec![0u64; self.classes.len()];
        let mut places = Vec::with_capacity(self.files.len());
        for image in self.files.drain(..) {
            let class = image.class as usize;
            let rank = &mut ranks[class];
            let count = counts[class];
            places.push(((2 * *rank + 1) as f64 / count as f64, image));
            *rank += 1;
        }
        places.sort_by(|(a, image), (b, other)| a.total_cmp(b).then(image.class.cmp(&other.class)));
        self.files = places.into_iter().map(|(_, image)| image).collect();
    }

    /// Takes the images of `folder`; with a class, those of the folders inside it too.
    fn enter(
        &mut self,
        folder: &Path,
        class: Option<u32>,
        seen: &mut HashSet<PathBuf>,
    ) -> Result<()> {
        if !seen.insert(folder.canonicalize().map_err(Error::io(folder))?) {
            let path = folder.display();
            return Err(Error::Data(format!(
                "{path} is reached twice; a link in the data leads back into it, remove it"
            )));
        }
        let listed = match entries(folder) {
            Ok(listed) => listed,
            Err(Error::Io { path, source }) => {
                self.unreadable
                    .push((path, format!("cannot be listed ({source})")));
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        for entry in &listed {
            match &entry.what {
                What::Folder => {}
                What::File { stamp } if is_picture(&entry.path) => {
                    let path = entry.path.clone();
                    let class = class.unwrap_or(0);
                    self.files.push(Image {
                        path,
                        class,
                        stamp: *stamp,
                    });
                }
                What::File { .. } => {
                    self.passed.file(&entry.path);
                    self.other = Some(entry.path.clone());
                }
                What::Junk => self.passed.junk(&entry.path),
                What::Special => self.passed.special(&entry.path),
                What::Unreadable(why) => self.unreadable.push((entry.path.clone(), why.clone())),
            }
        }
        if class.is_some() {
            for inner in listed.iter().filter(|entry| entry.is_folder()) {
                self.enter(&inner.path, class, seen)?;
            }
        }
        Ok(())
    }

    fn nothing(&self) -> Error {
        let other = self
            .other
            .iter()
            .map(|path| format!(" (there are others, as {})", path.display()));
        Error::Data(format!(
            "{}: no images here or in folders below; files that end in .{} are looked for{}",
            self.root.display(),
            EXTENSIONS.join(", ."),
            other.collect::<String>()
        ))
    }

    /// Counts classes as `train` does where it has them all.
    fn share_classes(&mut self, train: &[String]) {
        let places = self
            .classes
            .iter()
            .map(|class| train.iter().position(|c| c == class));
        if let Some(places) = places.collect::<Option<Vec<usize>>>() {
            self.files
                .iter_mut()
                .for_each(|image| image.class = places[image.class as usize] as u32);
            self.classes = train.into();
        }
    }
}

/// An error if the folder of a class holds splits of its own: its test images would be trained on.
fn no_splits_in(class: &Path) -> Result<()> {
    let folders: Vec<String> = entries(class)?
        .iter()
        .filter(|entry| entry.is_folder())
        .map(Entry::name)
        .collect();
    let splits: Vec<usize> = folders.iter().filter_map(|name| split_of(name)).collect();
    if splits.contains(&0) && splits.iter().any(|&split| split > 0) {
        let name = name_of(class);
        let class = class.display();
        return Err(Error::Data(format!(
            "{class} would be a class, but holds splits ({}); put the splits above the classes, as in train/{name} and test/{name}",
            shown(&folders)
        )));
    }
    Ok(())
}
