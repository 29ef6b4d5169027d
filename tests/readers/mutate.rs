//! Deterministic damage: the same seed and number give the same bytes.

/// Splitmix64 (Steele et al. 2014).
pub struct Random(u64);

impl Random {
    /// The numbers of case `case` of the reader `name`.
    pub fn new(seed: u64, name: &str, case: u64) -> Random {
        let name = name.bytes().fold(0u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let mut random =
            Random(seed ^ name.rotate_left(32) ^ case.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In 0..`n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of `all`.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Numbers at which sizes and offsets overflow or underflow.
const EXTREMES: [u64; 14] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    i64::MAX as u64,
    u64::MAX,
];

/// Texts that trip parsers.
const WORDS: [&str; 26] = [
    "\"",
    "'",
    "\\",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    ",",
    ":",
    ".",
    "=",
    "[",
    "]",
    "{",
    "}",
    "[[",
    "null",
    "true",
    "é",
    "\u{FEFF}",
    "\u{202E}",
    "..",
    "/",
    "#",
    "\"\"\"",
    "__metadata__",
];

/// Numbers that trip arithmetic, as texts.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "-0.0",
    "0.5",
    "5e-324",
    "1e-320",
    "1e308",
    "-1e308",
    "1e999",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "nan",
    "inf",
];

/// One of `seeds`, damaged in one to four ways.
pub fn mutated(random: &mut Random, seeds: &[Vec<u8>], bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        damage(random, seeds, &mut bytes);
    }
    bytes
}

fn damage(random: &mut Random, seeds: &[Vec<u8>], bytes: &mut Vec<u8>) {
    let at = place(random, bytes.len());
    match random.below(15) {
        0 | 1 => flip(random, bytes, at),
        2 => overwrite(bytes, at, &[random.next() as u8]),
        3 => bytes.truncate(at),
        4 | 5 => {
            let number = extreme(random);
            overwrite(bytes, at, &number);
        }
        6 => {
            let number = extreme(random);
            insert(bytes, at, &number);
        }
        7 => {
            let piece = piece(random, bytes);
            bytes.drain(piece);
        }
        8 => {
            let piece = piece(random, bytes);
            let copy = bytes[piece].to_vec();
            insert(bytes, at, &copy);
        }
        9 => swap(random, bytes),
        10 | 11 => number(random, bytes, at),
        12 => insert(bytes, at, random.of(&WORDS).as_bytes()),
        13 => {
            let other = random.of(seeds);
            let piece = piece(random, other);
            insert(bytes, at, &other[piece]);
        }
        _ => {
            let unit = if random.below(2) == 0 {
                vec![random.next() as u8]
            } else {
                random.of(&WORDS).as_bytes().to_vec()
            };
            let times = 1 << random.below(13);
            insert(bytes, at, &unit.repeat(times));
        }
    }
}

/// A position, which half of the time is likely in a header.
fn place(random: &mut Random, length: usize) -> usize {
    match random.below(2) {
        0 => random.below(length.min(64) + 1),
        _ => random.below(length + 1),
    }
}

fn flip(random: &mut Random, bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..]
        .iter_mut()
        .zip(with)
        .for_each(|(byte, new)| *byte = *new);
}

fn insert(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.splice(at..at, new.iter().copied());
}

/// An extreme number, or one near it, in some width and byte order.
fn extreme(random: &mut Random) -> Vec<u8> {
    let number = random
        .of(&EXTREMES)
        .wrapping_add([0, 1, u64::MAX][random.below(3)]);
    let width = *random.of(&[1, 2, 4, 8]);
    let mut number = number.to_le_bytes()[..width].to_vec();
    if random.below(2) == 0 {
        number.reverse();
    }
    number
}

fn piece(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let begin = random.below(bytes.len());
    let longest = *random.of(&[8, 64, 4096]);
    let length = 1 + random.below(longest);
    begin..(begin + length).min(bytes.len())
}

fn swap(random: &mut Random, bytes: &mut [u8]) {
    let [a, b] = [piece(random, bytes), piece(random, bytes)];
    for (i, j) in a.zip(b) {
        bytes.swap(i, j);
    }
}

/// Replaces the first number in the text from `at` on.
fn number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(first) = bytes[at..].iter().position(is_digit).map(|i| at + i) else {
        return;
    };
    let length = bytes[first..]
        .iter()
        .take_while(|byte| is_digit(byte))
        .count();
    let new = random.of(&NUMBERS).bytes();
    bytes.splice(first..first + length, new);
}
