//! The names of splits.

/// The splits, in the order in which all code has them.
pub(super) const SPLITS: [&str; 3] = ["train", "val", "test"];

/// What people call each of them, small letters.
pub(crate) const NAMES: [&[&str]; 3] = [
    &["train", "training", "trn"],
    &["val", "valid", "validation", "dev"],
    &["test", "testing", "tst", "eval"],
];

/// Words beside the name of a split that change nothing: `train_images`, `val2017`, `TestSet`.
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
