//! Shapes: up to five dimensions, row-major.

use std::fmt;

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 5;

/// Sizes of a tensor's dimensions, slowest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    sizes: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The dimensions, slowest first.
    pub fn dims(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.dims().iter().product()
    }

    /// The last dimension, 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The shape that `self` and `other` broadcast to, dimensions aligned at the end.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank.max(other.rank);
        let a = self.padded(rank);
        let b = other.padded(rank);
        let mut sizes = [0; MAX_RANK];
        for i in 0..rank {
            sizes[i] = match (a[i], b[i]) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                _ => return None,
            };
        }
        Some(Shape { sizes, rank })
    }

    /// The dimensions, preceded by ones up to `rank` dimensions.
    pub fn padded(&self, rank: usize) -> [usize; MAX_RANK] {
        let mut sizes = [1; MAX_RANK];
        sizes[rank - self.rank..rank].copy_from_slice(self.dims());
        sizes
    }
}

impl<D: AsRef<[usize]>> From<D> for Shape {
    fn from(dims: D) -> Shape {
        let dims = dims.as_ref();
        assert!(
            dims.len() <= MAX_RANK,
            "{dims:?} has more than {MAX_RANK} dimensions"
        );
        let mut sizes = [0; MAX_RANK];
        sizes[..dims.len()].copy_from_slice(dims);
        Shape {
            sizes,
            rank: dims.len(),
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.dims(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_at_the_end() {
        let a = Shape::from([4, 1, 3]);
        assert_eq!(
            a.broadcast(&Shape::from([5, 1])),
            Some(Shape::from([4, 5, 3]))
        );
        assert_eq!(a.broadcast(&Shape::from([])), Some(a));
        assert_eq!(a.broadcast(&Shape::from([2])), None);
    }
}
