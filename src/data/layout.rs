//! How the images of a folder are divided: by folders called as splits, by lists, or not at all.

use std::path::{Path, PathBuf};

use super::entries::{Entry, What, entries, is_folder, name_of};
use super::image_folder::Tree;
use super::lists::List;
use super::{cifar10, lists};
use crate::error::{Error, Result};

/// The splits, in the order in which all code has them.
pub(super) const SPLITS: [&str; 3] = ["train", "val", "test"];
/// What people call each of them, small letters.
const NAMES: [&[&str]; 3] = [
    &["train", "training", "trn"],
    &["val", "valid", "validation", "dev"],
    &["test", "testing", "tst", "eval"],
];
/// Words beside the name of a split that change nothing: `train_images`, `val2017`, `TestSet`.
const FILLERS: [&str; 9] = [
    "images", "image", "imgs", "img", "data", "dataset", "set", "split", "pictures",
];
/// Folders inside one another that are entered.
const DEEPEST: usize = 8;

/// How the images of a folder are divided.
pub(super) enum Layout {
    /// A folder for each class, or no classes; no splits.
    Classes,
    /// A folder for each split.
    Splits([Option<PathBuf>; 3]),
    /// A list for each split beside the images.
    Lists([Option<PathBuf>; 3]),
}

/// The split that a folder of that name holds, an index into [`SPLITS`].
pub(super) fn split_of(name: &str) -> Option<usize> {
    let words = words(name);
    let mut left: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !FILLERS.contains(word))
        .collect();
    left.dedup();
    let [word] = left[..] else { return None };
    let word = FILLERS
        .iter()
        .find_map(|filler| word.strip_suffix(filler).filter(|w| !w.is_empty()))
        .unwrap_or(word);
    NAMES.iter().position(|names| names.contains(&word))
}

/// The words of a name in small letters: parted by signs, by capitals after small letters, and by
/// numbers, which are left out.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && small) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words
                .last_mut()
                .expect("it begins with one")
                .extend(letter.to_lowercase());
        }
        small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The folder in which the data set of `dir` lies: `dir`, or the only folder in it, if that holds
/// folders and no image, and so on. With a note if it is another.
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

/// The only folder in `root`, if it is the wrapping of a data set.
fn only_folder(root: &Path) -> Result<Option<PathBuf>> {
    if cifar10::is_one(root) || has_lists(root)? {
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
    // Of what cannot be looked at, scanning speaks.
    let unreadable = all
        .iter()
        .any(|entry| matches!(entry.what, What::Unreadable(_)));
    if split_of(&inner.name()).is_some() || has_image(&all) || unreadable {
        return Ok(None);
    }
    let below = entries(&inner.path)?;
    let wraps = below.iter().any(Entry::is_folder) && !has_image(&below);
    Ok((wraps || cifar10::is_one(&inner.path)).then(|| inner.path.clone()))
}

/// How the images of `root` are divided, with notes for the user.
///
/// # Errors
/// [`Error::Data`] if two folders are called as one split, or there are splits but none to train
/// on.
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
                "{first} and {second} are both called as the split {}; rename one or move it away",
                SPLITS[split]
            )));
        }
    }
    if splits[0].is_some() {
        return Ok((Layout::Splits(splits), Vec::new()));
    }
    let mut notes = Vec::new();
    if let Some(split) = splits.iter().flatten().next() {
        // Someone's class may be called `test`; where nothing but splits is there, the one to train
        // on is missing.
        let mut with_images = Vec::new();
        for other in &others {
            if Tree::holds_images(&other.path)? {
                with_images.push(other.name());
            }
        }
        if with_images.is_empty() && !has_lists(root)? {
            return Err(Error::Data(format!(
                "{} looks like a split, but beside it is no folder `train`; rename the folder to train on to `train`, or name \
                 the folder above it",
                split.display()
            )));
        }
        notes.push(format!(
            "{} is taken as a class, not as a split: there is no folder `train`",
            name_of(split)
        ));
    }
    if has_lists(root)? {
        let lists = [
            split_list(root, 0)?,
            split_list(root, 1)?,
            split_list(root, 2)?,
        ];
        // A list of something else, beside folders of classes.
        let foreign = lists
            .iter()
            .flatten()
            .find_map(|list| Some((list, List::read(list).err()?)));
        match foreign {
            Some((list, error)) if others.len() < 2 => {
                let list = list.display();
                return Err(Error::Data(format!(
                    "{error}; if that is no list of the images, move {list} away"
                )));
            }
            Some((_, error)) => {
                notes.push(format!("a list beside the images is not used: {error}"))
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

/// Where the images of lists lie: in `images` beside them, or everywhere below `root`.
pub(super) fn listed_images(root: &Path) -> Result<PathBuf> {
    for name in ["images", "image", "imgs", "img", "pictures"] {
        let folder = root.join(name);
        if is_folder(&folder)? {
            return Ok(folder);
        }
    }
    Ok(root.to_path_buf())
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
