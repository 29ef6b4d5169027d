//! How a folder's images are split: by folders named like splits, by lists, or not at all.

use std::path::{Path, PathBuf};

use super::cifar10::place;
use super::entries::{Entry, What, entries, is_file, is_folder, name_of};
use super::lists::{self, List};
use super::split_names::{NAMES, SPLITS, split_of};
use super::tree::Tree;
use crate::error::{Error, Result};

/// Most nested folders that are entered.
const DEEPEST: usize = 8;

/// How a folder's images are split.
pub(super) enum Layout {
    /// A folder for each class, or no classes; no splits.
    Classes,
    /// A folder for each split.
    Splits([Option<PathBuf>; 3]),
    /// A list for each split beside the images.
    Lists([Option<PathBuf>; 3]),
}

/// The root of the data set in `dir`: `dir` itself, or the only folder in it if that holds folders
/// and no image, or CIFAR-10 batches, and so on. Returns a note if it is not `dir`.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be listed.
pub(super) fn enter(dir: &Path) -> Result<(PathBuf, Option<String>)> {
    let mut root = dir.to_path_buf();
    for _ in 0..DEEPEST {
        match only_folder(&root)? {
            Some(inner) => root = inner,
            None => break,
        }
    }
    let note =
        (root != dir).then(|| format!("read from {}, the only folder there", root.display()));
    Ok((root, note))
}

/// The only folder in `root`, if `root` merely wraps a data set.
fn only_folder(root: &Path) -> Result<Option<PathBuf>> {
    if place::is_one(root) || has_lists(root)? {
        return Ok(None);
    }
    let all = entries(root)?;
    let folders: Vec<&Entry> = all.iter().filter(|entry| entry.is_folder()).collect();
    let [inner] = folders[..] else {
        return Ok(None);
    };
    let has_image = |all: &[Entry]| {
        all.iter()
            .any(|entry| super::decode::is_picture(&entry.path))
    };
    // Scanning reports what cannot be accessed.
    let unreadable = all
        .iter()
        .any(|entry| matches!(entry.what, What::Unreadable(_)));
    if split_of(&inner.name()).is_some() || has_image(&all) || unreadable {
        return Ok(None);
    }
    let below = entries(&inner.path)?;
    let wraps = below.iter().any(Entry::is_folder) && !has_image(&below);
    Ok((wraps || place::is_one(&inner.path)).then(|| inner.path.clone()))
}

/// How the images of `root` are split, with notes for the user.
///
/// # Errors
/// [`Error::Data`] if two folders are named like the same split, there are splits but no training
/// split, or a list cannot be parsed.
pub(super) fn find(root: &Path) -> Result<(Layout, Vec<String>)> {
    let mut splits: [Option<PathBuf>; 3] = [None, None, None];
    let mut others = Vec::new();
    for entry in entries(root)?.into_iter().filter(Entry::is_folder) {
        let Some(split) = split_of(&entry.name()) else {
            others.push(entry);
            continue;
        };
        if let Some(first) = splits[split].replace(entry.path) {
            let first = first.display();
            let second = splits[split].as_ref().expect("just put").display();
            return Err(Error::Data(format!(
                "{first} and {second} are both names of the split {}; rename one or move it away",
                SPLITS[split]
            )));
        }
    }
    if splits[0].is_some() {
        return Ok((Layout::Splits(splits), Vec::new()));
    }
    let mut notes = Vec::new();
    if let Some(split) = splits.iter().flatten().next() {
        // A class may be called `test`; but if there are only splits, the training split is
        // missing.
        let mut with_images = Vec::new();
        for other in &others {
            if Tree::holds_images(&other.path)? {
                with_images.push(other.name());
            }
        }
        if with_images.is_empty() && !has_lists(root)? {
            return Err(Error::Data(format!(
                "{} looks like a split, but there is no folder `train` next to it; rename the folder to train on to \
                 `train`, or name the folder above it",
                split.display()
            )));
        }
        notes.push(format!(
            "{} is taken for a class, not a split: there is no folder `train`",
            name_of(split)
        ));
    }
    if has_lists(root)? {
        let lists = [
            split_list(root, 0)?,
            split_list(root, 1)?,
            split_list(root, 2)?,
        ];
        // A list of something else beside the folders of classes.
        let foreign = lists
            .iter()
            .flatten()
            .find_map(|list| Some((list, List::read(list).err()?)));
        match foreign {
            Some((list, error)) if others.len() < 2 => {
                let list = list.display();
                return Err(Error::Data(format!(
                    "{error}; if {list} is not a list of the images, move it away"
                )));
            }
            Some((_, error)) => {
                notes.push(format!("a list next to the images is not used: {error}"))
            }
            None => return Ok((Layout::Lists(lists), notes)),
        }
    }
    Ok((Layout::Classes, notes))
}

fn has_lists(root: &Path) -> Result<bool> {
    Ok(split_list(root, 0)?.is_some())
}

/// The list of a split beside the images, under any of the split's names.
fn split_list(root: &Path, split: usize) -> Result<Option<PathBuf>> {
    for name in NAMES[split] {
        if let Some(list) = lists::find(root, name)? {
            return Ok(Some(list));
        }
    }
    Ok(None)
}

/// The folder of listed images: `images` or a similar name beside the lists, else `root`.
pub(super) fn listed_images(root: &Path) -> Result<PathBuf> {
    for name in ["images", "image", "imgs", "img", "pictures"] {
        let folder = root.join(name);
        if is_folder(&folder)? {
            return Ok(folder);
        }
    }
    Ok(root.to_path_buf())
}

/// A note for each list beside split folders, which take precedence.
pub(super) fn unused_lists(dir: &Path) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for split in SPLITS {
        let list = dir.join(format!("{split}.csv"));
        if is_file(&list)? {
            notes.push(format!(
                "{} is not read: the folders define the splits",
                list.display()
            ));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_known_by_many_names() {
        for name in [
            "train",
            "Train",
            "TRAINING",
            "train2017",
            "train_images",
            "images-train",
            "TrainSet",
            "trn",
            "trainset",
        ] {
            assert_eq!(split_of(name), Some(0), "{name}");
        }
        for name in ["val", "Valid", "validation", "val2017", "dev", "ValImages"] {
            assert_eq!(split_of(name), Some(1), "{name}");
        }
        for name in ["test", "Testing", "TEST", "test-data", "test_set"] {
            assert_eq!(split_of(name), Some(2), "{name}");
        }
        for name in [
            "cat",
            "trains",
            "train station",
            "attest",
            "testament",
            "value",
            "images",
            "",
            "2017",
            "set",
        ] {
            assert_eq!(split_of(name), None, "{name}");
        }
    }
}
