//! mini-ImageNet as folders: `train`, `val` and `test` with a folder for each class, and
//! `splits/*.csv`.
//!
//! The folders say which images exist. The lists (`filename,label`; `train.csv` is the whole split,
//! `subset_train.csv` a subset) say where each belongs: an image in the wrong split or class would
//! spoil every comparison, so it is an error. Listed images that are missing only give a note. The
//! splits have different classes.

use std::path::{Path, PathBuf};

use super::entries::{is_file, is_folder, name_of};
use super::image_folder::{read_splits, scan_splits};
use super::lists::List;
use super::split_names::SPLITS;
use super::tree::Tree;
use super::{Kind, Reading, Splits, layout};
use crate::error::{Error, Result};

/// Whether `dir` has a training split and a list of it.
///
/// # Errors
/// [`Error::Data`] if one of them exists but cannot be accessed.
pub(super) fn is_one(dir: &Path) -> Result<bool> {
    let list = is_file(&dir.join(file("train")))? || is_file(&dir.join(file("subset_train")))?;
    Ok(list && is_folder(&dir.join("train"))?)
}

fn file(list: &str) -> String {
    format!("splits/{list}.csv")
}

/// Reads the splits after looking up each file in its list.
pub(super) fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    let (dir, entered) = layout::enter(dir)?;
    if !is_one(&dir)? {
        return Err(Error::Data(format!(
            "{}: mini-ImageNet not found here; expected the folder train and the list {} (filename,label)",
            dir.display(),
            file("train")
        )));
    }
    let folder = |split: &str| -> Result<Option<PathBuf>> {
        let path = dir.join(split);
        Ok(is_folder(&path)?.then_some(path))
    };
    let trees = scan_splits(&dir, &[folder("train")?, folder("val")?, folder("test")?])?;
    let mut notes: Vec<String> = entered.into_iter().collect();
    for (tree, split) in trees.iter().zip(SPLITS) {
        if let Some(tree) = tree {
            notes.extend(check(&dir, split, tree)?);
        }
    }
    let mut splits = read_splits(Kind::MiniImageNet, &dir, trees, reading)?;
    splits.notes.splice(0..0, notes);
    Ok(splits)
}

/// Looks up the images of `tree` in the lists of `split`; returns notes for the user.
fn check(dir: &Path, split: &str, tree: &Tree) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in [split.to_string(), format!("subset_{split}")] {
        let path = dir.join(file(&name));
        if !is_file(&path)? {
            continue;
        }
        let list = List::read(&path)?;
        let listed = list.by_name();
        let mut here = 0;
        let mut strange = None;
        for image in &tree.files {
            let class = &tree.classes[image.class as usize];
            match listed.get(name_of(&image.path).as_str()) {
                Some(right) if right == class => here += 1,
                Some(right) => {
                    let image = image.path.display();
                    let path = path.display();
                    return Err(Error::Data(format!(
                        "{image} is in class {class}, but {path} puts it in {right}"
                    )));
                }
                None => strange = strange.or(Some(&image.path)),
            }
        }
        // A subset list may lack images that were added from the whole split.
        if let (Some(image), true) = (strange, name == split) {
            let image = image.display();
            let path = path.display();
            return Err(Error::Data(format!(
                "{image} is not in {path}, so it does not belong in {split}; move it out"
            )));
        }
        if here < listed.len() {
            notes.push(format!(
                "{here} of the {} images of {} are here",
                listed.len(),
                file(&name)
            ));
        }
    }
    Ok(notes)
}
