//! Number formatting for people.

/// `n` with commas between thousands.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `count` and the `name` of what is counted, in the plural unless it is one.
#[cfg(feature = "app")]
pub(crate) fn counted(count: usize, name: &str) -> String {
    format!(
        "{} {name}{}",
        thousands(count),
        if count == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_commas() {
        let all = [0, 7, 999, 1_000, 38_400, 1_234_567].map(thousands);
        assert_eq!(all, ["0", "7", "999", "1,000", "38,400", "1,234,567"]);
    }
}
