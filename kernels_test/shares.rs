//! Errors of a result as shares of its bounds.

/// Adapters may flush subnormal numbers, so nothing closer than the smallest normal one counts as
/// an error.
pub(super) const FLOOR: f64 = 1.2e-38;

/// Errors as shares of both bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Share of the specification's bound.
    pub bound: f64,
    /// Share of the likely bound.
    pub likely: f64,
}

impl Shares {
    pub(super) fn worst(self, other: Shares) -> Shares {
        Shares {
            bound: self.bound.max(other.bound),
            likely: self.likely.max(other.likely),
        }
    }
}
