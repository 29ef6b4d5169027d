//! Trees of images: a folder for each class, or one folder without classes.
//!
//! A class is a folder below the root, with all images inside it at any depth. If the root has a
//! folder `train` (or `Training`, `train2017`, …), that folder and those of validation and test are
//! roots of their own, and no other folder may hold images. If a list `train.csv` lies beside the
//! images, the lists assign images to splits and classes. A single folder around all this is
//! entered.
//!
//! Entries that are not read are counted and reported ([`Splits::notes`]); an entry that cannot be
//! accessed is an error, or skipped. Classes are sorted by name. Their images, in the order of
//! their paths, are interleaved, so any run of consecutive images shows all classes in proportion.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::entries::{entries, name_of};
use super::layout::{self, Layout};
use super::lists::List;
use super::load::{Reader, broken};
use super::source::Source;
use super::split_names::{SPLITS, split_of};
use super::tree::{Image, Tree};
use super::{Broken, Kind, Reading, Splits};
use crate::error::{Error, Result};

/// Reads the data set at `dir`.
///
/// # Errors
/// [`Error::Data`] if there is no image, one is broken (unless skipped) or of another size than the
/// first, an entry cannot be accessed (unless skipped), images lie beside folders of classes, or
/// splits cannot be told apart. [`Error::Io`] if a folder cannot be listed.
pub fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    let (root, entered) = layout::enter(dir)?;
    let (layout, notes) = layout::find(&root)?;
    let mut notes: Vec<String> = entered.into_iter().chain(notes).collect();
    let trees = match &layout {
        Layout::Classes => [Some(Tree::scan(&root)?), None, None],
        Layout::Splits(folders) => {
            let trees = scan_splits(&root, folders)?;
            notes.extend(layout::unused_lists(&root)?);
            trees
        }
        Layout::Lists(lists) => listed(&root, lists, &mut notes)?,
    };
    let mut splits = read_splits(Kind::Folder, &root, trees, reading)?;
    splits.notes.splice(0..0, notes);
    Ok(splits)
}

/// Scans the folders of the splits, the first of which exists.
pub(super) fn scan_splits(
    root: &Path,
    folders: &[Option<PathBuf>; 3],
) -> Result<[Option<Tree>; 3]> {
    // A class may be called `train`, or a validation split may have an unknown name: nothing is
    // left out silently.
    for other in entries(root)?
        .iter()
        .filter(|entry| entry.is_folder() && split_of(&entry.name()).is_none())
    {
        if Tree::holds_images(&other.path)? {
            let train = folders[0].as_deref().map(name_of).unwrap_or_default();
            return Err(Error::Data(format!(
                "{} holds images next to {train}, but its name is not a split's (train, val, test); rename it or move \
                 it away, or rename {train} if that is a class",
                other.path.display()
            )));
        }
    }
    let scan = |folder: &Option<PathBuf>| folder.as_deref().map(Tree::scan).transpose();
    let [mut train, val, test] = [scan(&folders[0])?, scan(&folders[1])?, scan(&folders[2])?];
    if let Some(train) = &mut train {
        // Entries beside the splits are reported with the first split.
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

/// The trees of the splits, with classes numbered as in the first if it has them all.
fn with_shared_classes([train, mut val, mut test]: [Option<Tree>; 3]) -> [Option<Tree>; 3] {
    for tree in [&mut val, &mut test].into_iter().flatten() {
        tree.share_classes(train.as_ref().map_or(&[], |tree| &tree.classes));
    }
    [train, val, test]
}

/// The trees of the splits as given by lists.
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
                        "{}: {name} may be {first} or {second}; write its path relative to {}",
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
                    format!("in the list of {} as well", SPLITS[before])
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
                "{}: none of its {} images is under {}; move them there",
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
            "{unlisted} images are in no list and are not read, such as {image}"
        ));
    }
    if let Some(train) = &mut trees[0] {
        train.unreadable = all.unreadable;
        train.passed = all.passed;
    }
    Ok(with_shared_classes(trees))
}

/// Reads the images of the trees; the training tree must exist.
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
