//! mini-ImageNet as folders: `train`, `val` and `test` with a folder for each class, and `splits/*.csv`.
//!
//! The folders say what is there. The lists (`filename,label`; `train.csv` is the whole split, `subset_train.csv` a choice
//! from it) say what belongs there: a picture in the wrong split or class would spoil every comparison, so it is an
//! error. Pictures that are listed and not there are only told. The classes of the splits are different ones.

use std::collections::HashMap;
use std::path::Path;

use super::image_folder::{Tree, read_splits, scan_splits};
use super::{Kind, Reading, Splits};
use crate::error::{Error, Result};

/// Whether `dir` has a training split and a list of it.
pub(super) fn is_one(dir: &Path) -> bool {
    dir.join("train").is_dir() && ["train", "subset_train"].iter().any(|list| dir.join(file(list)).is_file())
}

fn file(list: &str) -> String {
    format!("splits/{list}.csv")
}

/// Reads the splits, after each file was looked up in its list.
pub(super) fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    if !is_one(dir) {
        return Err(Error::Data(format!(
            "{}: no mini-ImageNet here; the folder train and the list {} (filename,label) are looked for",
            dir.display(),
            file("train")
        )));
    }
    let trees = scan_splits(dir)?;
    let mut notes = Vec::new();
    for (tree, split) in trees.iter().zip(["train", "val", "test"]) {
        if let Some(tree) = tree {
            notes.extend(check(dir, split, tree)?);
        }
    }
    Ok(Splits { notes, ..read_splits(Kind::MiniImageNet, dir, trees, reading)? })
}

/// Looks up the pictures of `tree` in the lists of `split`; what is to be told.
fn check(dir: &Path, split: &str, tree: &Tree) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for list in [split.to_string(), format!("subset_{split}")] {
        let path = dir.join(file(&list));
        if !path.is_file() {
            continue;
        }
        let listed = read(&path)?;
        let (mut here, mut strange) = (0, None);
        for (picture, label) in &tree.files {
            let name = picture.file_name().unwrap_or_default().to_string_lossy();
            let class = &tree.classes[*label as usize];
            match listed.get(name.as_ref()) {
                Some(right) if right == class => here += 1,
                Some(right) => {
                    let (picture, path) = (picture.display(), path.display());
                    return Err(Error::Data(format!("{picture} lies in class {class}, but {path} has it in {right}")));
                }
                None => strange = strange.or(Some(picture)),
            }
        }
        // A list of a subset need not know of a picture that was added from the whole split.
        if let (Some(picture), true) = (strange, list == split) {
            let (picture, path) = (picture.display(), path.display());
            return Err(Error::Data(format!(
                "{picture} is not in {path}, so it does not belong in {split}; move it out"
            )));
        }
        if here < listed.len() {
            notes.push(format!("{here} of the {} pictures of {} are here", listed.len(), file(&list)));
        }
    }
    Ok(notes)
}

/// File name to class.
fn read(path: &Path) -> Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let mut listed = HashMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.trim().split_once(',') {
            Some(("filename", "label")) if i == 0 => {}
            Some((name, class)) if !class.is_empty() && !class.contains(',') => {
                listed.insert(name.into(), class.into());
            }
            _ => {
                let path = path.display();
                return Err(Error::Data(format!("{path}: line {}: `{line}` is not `filename,label`", i + 1)));
            }
        }
    }
    Ok(listed)
}
