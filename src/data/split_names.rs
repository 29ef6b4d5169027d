//! The names of splits.

/// The splits, in the order used throughout.
pub(super) const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Common names of each split, lower-case.
pub(crate) const NAMES: [&[&str]; 3] = [
    &["train", "training", "trn"],
    &["val", "valid", "validation", "dev"],
    &["test", "testing", "tst", "eval"],
];

/// Words that may accompany the name of a split: `train_images`, `val2017`, `TestSet`.
const FILLERS: [&str; 9] = [
    "images", "image", "imgs", "img", "data", "dataset", "set", "split", "pictures",
];

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

/// The words of a name in lower case, split at non-letters, which are dropped, and before a capital
/// that follows a lower-case letter.
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
