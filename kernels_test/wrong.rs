//! Elements that are off by more than their bound, and how they are reported.

use super::shares::{FLOOR, Shares};
use crate::number::thousands;

/// Running comparison of one tensor's elements: the worst share and where it is, and how many are
/// wrong.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    shares: Shares,
    /// The worst element, and its share.
    worst: Option<(usize, f64)>,
    wrong: usize,
    count: usize,
}

/// The worst element of a tensor, and how many are wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wrong {
    /// Its index, in row-major order.
    pub element: usize,
    /// Its error as a share of its bound; infinite if something is not finite.
    pub share: f64,
    /// Number of wrong elements.
    pub wrong: usize,
    /// Number of elements.
    pub count: usize,
}

impl Tally {
    /// Adds an element with this `error`, `bound` and `likely` bound. A non-finite error or bound
    /// counts as wrong.
    pub fn add(&mut self, error: f64, bound: f64, likely: f64) {
        let finite = error.is_finite() && bound.is_finite();
        let share = if finite {
            error / (bound + FLOOR)
        } else {
            f64::INFINITY
        };
        self.wrong += usize::from(share > 1.0);
        if self.worst.is_none_or(|(_, worst)| share > worst) {
            self.worst = Some((self.count, share));
        }
        self.shares = self.shares.worst(Shares {
            bound: share,
            likely: error / (likely + FLOOR),
        });
        self.count += 1;
    }

    /// The shares, if all elements are right.
    ///
    /// # Errors
    /// The worst element, if any is wrong.
    pub fn end(self) -> Result<Shares, Wrong> {
        match self.worst() {
            Some(wrong) if wrong.wrong > 0 => Err(wrong),
            _ => Ok(self.shares),
        }
    }

    /// The element that is furthest off, wrong or not; `None` if there are no elements.
    pub fn worst(&self) -> Option<Wrong> {
        self.worst.map(|(element, share)| Wrong {
            element,
            share,
            wrong: self.wrong,
            count: self.count,
        })
    }
}

impl Wrong {
    /// `1,416 times the bound; 1 of 1,024 elements wrong`.
    pub fn extent(&self) -> String {
        let all = if self.count == 1 {
            "element"
        } else {
            "elements"
        };
        format!(
            "{}; {} of {} {all} wrong",
            times(self.share),
            thousands(self.wrong),
            thousands(self.count)
        )
    }
}

/// `element 5`, with its index in a tensor of shape `dims`.
pub fn place(element: usize, dims: &[usize]) -> String {
    if dims.len() < 2 {
        return format!("element {element}");
    }
    let mut rest = element;
    let mut index = vec![0; dims.len()];
    for (at, &size) in index.iter_mut().zip(dims).rev() {
        *at = rest % size.max(1);
        rest /= size.max(1);
    }
    format!("element {element} ({index:?} of {dims:?})")
}

/// A number from the GPU, with its bits.
pub fn bits(value: f32) -> String {
    format!("{value:?} ({:#010x})", value.to_bits())
}

/// A definition's number with more digits than f32 has, and the bits of the nearest f32.
pub fn exact(value: f64) -> String {
    format!("{value:.9e} ({:#010x})", (value as f32).to_bits())
}

/// How far over its bound an error is.
pub fn times(share: f64) -> String {
    match share {
        s if !s.is_finite() => "not finite".into(),
        s if s < 100.0 => format!("{s:.2} times the bound"),
        s if s < 1e9 => format!("{} times the bound", thousands(s.round() as usize)),
        s => format!("{s:.0e} times the bound"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_the_wrong_is_named_and_all_are_counted() {
        let mut tally = Tally::default();
        for error in [0.5, 3.0, 7.0, 2.0] {
            tally.add(error, 1.0, 1.0);
        }
        let wrong = tally.clone().end().expect_err("three are over the bound");
        assert_eq!(
            wrong,
            Wrong {
                element: 2,
                share: 7.0,
                wrong: 3,
                count: 4
            }
        );
        assert_eq!(
            wrong.extent(),
            "7.00 times the bound; 3 of 4 elements wrong"
        );
        tally.add(f64::NAN, 1.0, 1.0);
        assert_eq!(
            tally.end().map_err(|w| w.element),
            Err(4),
            "what is not finite is the worst"
        );
        let mut tally = Tally::default();
        tally.add(0.0, f64::INFINITY, 1.0);
        assert!(
            tally.end().is_err(),
            "a bound without end would let everything pass"
        );
    }

    #[test]
    fn numbers_and_places_read_well() {
        assert_eq!(times(1415.715), "1,416 times the bound");
        assert_eq!(
            (times(2.5).as_str(), times(1e20).as_str()),
            ("2.50 times the bound", "1e20 times the bound")
        );
        assert_eq!(place(23, &[2, 3, 4]), "element 23 ([1, 2, 3] of [2, 3, 4])");
        assert_eq!(
            (place(3, &[4]), place(0, &[])),
            ("element 3".into(), "element 0".into())
        );
        assert_eq!(
            (bits(1.5), exact(1.25)),
            (
                "1.5 (0x3fc00000)".into(),
                "1.250000000e0 (0x3fa00000)".into()
            )
        );
    }
}
