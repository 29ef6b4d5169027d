//! The images below a folder, found but not yet read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::Reading;
use super::decode::{EXTENSIONS, is_picture};
use super::entries::{Entry, What, entries, name_of};
use super::load::from_file;
use super::passed::{Passed, shown};
use super::source::Source;
use super::split_names::split_of;
use crate::error::{Error, Result};

/// The images below a root, not yet read.
pub(super) struct Tree {
    pub root: PathBuf,
    pub classes: Vec<String>,
    pub files: Vec<Image>,
    /// Entries that cannot be accessed, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    pub passed: Passed,
    /// A file that is not an image, for the error message if there are no images.
    other: Option<PathBuf>,
}

/// An image of a tree.
pub(super) struct Image {
    pub path: PathBuf,
    pub class: u32,
    /// Changes when the file does.
    pub stamp: u64,
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
    pub(crate) fn new(root: &Path) -> Tree {
        Tree {
            root: root.into(),
            classes: Vec::new(),
            files: Vec::new(),
            unreadable: Vec::new(),
            passed: Passed::default(),
            other: None,
        }
    }

    /// Whether there is an image below `root`, or an entry that cannot be accessed.
    pub fn holds_images(root: &Path) -> Result<bool> {
        let mut tree = Tree::new(root);
        tree.enter(root, Some(0), &mut HashSet::new())?;
        Ok(!tree.files.is_empty() || !tree.unreadable.is_empty())
    }

    /// Finds the images below `root`. Finding none is an error unless an entry cannot be accessed.
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
                "{} is next to folders of images ({class}); move it into one of them, or move the folders out of {root}",
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

    /// Interleaves the classes evenly: image i of a class of n is placed at (i + ½) / n.
    pub(crate) fn take_turns(&mut self) {
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

    /// Adds the images in `folder`; with a class, those in its subfolders too.
    pub(crate) fn enter(
        &mut self,
        folder: &Path,
        class: Option<u32>,
        seen: &mut HashSet<PathBuf>,
    ) -> Result<()> {
        if !seen.insert(folder.canonicalize().map_err(Error::io(folder))?) {
            let path = folder.display();
            return Err(Error::Data(format!(
                "{path} is reached twice; a link in the data leads back into it; remove the link"
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

    pub(crate) fn nothing(&self) -> Error {
        let other = self
            .other
            .iter()
            .map(|path| format!(" (there are others, such as {})", path.display()));
        Error::Data(format!(
            "{}: no images here or in subfolders; expected files that end in .{}{}",
            self.root.display(),
            EXTENSIONS.join(", ."),
            other.collect::<String>()
        ))
    }

    /// Numbers the classes as in `train`, if `train` has them all.
    pub(crate) fn share_classes(&mut self, train: &[String]) {
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
