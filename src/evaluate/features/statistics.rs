//! Means and covariances of features, and the Fréchet distance between the normal distributions
//! with those moments.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Side, get_global_parallelism};

use super::Features;
use crate::error::{Error, Result};

/// Rows added to the covariance at a time.
const ROWS: usize = 2048;

/// First and second moments of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Number of images; `None` if a file does not say.
    pub n: Option<usize>,
    /// Mean, `[d]`.
    pub mean: Vec<f64>,
    /// Unbiased covariance, [d, d]: Σ (x − μ)(x − μ)ᵀ / (n − 1).
    pub covariance: Vec<f64>,
}

impl Statistics {
    /// Computes the statistics of `features`, in f64.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than two images.
    pub fn of(features: &Features) -> Result<Statistics> {
        let n = features.count();
        let d = features.width();
        if n < 2 {
            return Err(Error::Data(format!(
                "{n} images have no covariance: at least two are needed"
            )));
        }
        let mut mean = vec![0.0; d];
        for row in features.values().chunks_exact(d) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, &v)| *sum += f64::from(v));
        }
        mean.iter_mut().for_each(|sum| *sum /= n as f64);
        let mut lower = Mat::<f64>::zeros(d, d);
        for rows in features.values().chunks(ROWS * d) {
            let centred = Mat::from_fn(d, rows.len() / d, |i, image| {
                f64::from(rows[image * d + i]) - mean[i]
            });
            add_gram(&mut lower, centred.as_ref());
        }
        let scale = 1.0 / (n - 1) as f64;
        let covariance = (0..d * d)
            .map(|at| scale * lower[((at / d).max(at % d), (at / d).min(at % d))])
            .collect();
        Ok(Statistics {
            n: Some(n),
            mean,
            covariance,
        })
    }

    /// Trace of the covariance.
    fn trace(&self) -> f64 {
        self.covariance.iter().step_by(self.mean.len() + 1).sum()
    }

    fn matrix(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.covariance, self.mean.len(), self.mean.len())
    }
}

/// Adds x xᵀ to the lower triangle of `sum`.
pub(super) fn add_gram(sum: &mut Mat<f64>, x: MatRef<'_, f64>) {
    let lower = BlockStructure::TriangularLower;
    let all = BlockStructure::Rectangular;
    triangular::matmul(
        sum,
        lower,
        Accum::Add,
        x,
        all,
        x.transpose(),
        all,
        1.0,
        get_global_parallelism(),
    );
}

/// The squared Fréchet distance of N(μ₁, Σ₁) and N(μ₂, Σ₂), which is the FID (Heusel et al. 2017):
/// |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½.
///
/// The last trace is the sum of the square roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is
/// symmetric. This avoids the square root of a non-symmetric matrix and complex numbers, and
/// rank-deficient covariances (fewer images than features) need no special case. Eigenvalues below
/// d ε λ_max are rounding errors and count as 0.
///
/// # Errors
/// [`Error::Data`] if the sizes differ, or an eigendecomposition fails (numbers that are not
/// finite).
pub fn frechet_distance(a: &Statistics, b: &Statistics) -> Result<f64> {
    let d = a.mean.len();
    if b.mean.len() != d {
        return Err(Error::Data(format!(
            "statistics of {d} and of {} features cannot be compared",
            b.mean.len()
        )));
    }
    let apart: f64 = a
        .mean
        .iter()
        .zip(&b.mean)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    let distance = apart + a.trace() + b.trace() - 2.0 * trace_of_root(a.matrix(), b.matrix())?;
    // Rounding may make the distance of equal statistics negative.
    Ok(distance.max(0.0))
}

/// tr (a b)^½ of symmetric matrices without negative eigenvalues.
fn trace_of_root(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<f64> {
    let failed = |_| {
        Error::Data(
            "the eigenvalues of the feature covariances were not found: are all numbers finite?"
                .into(),
        )
    };
    let eigen = a.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let values = eigen.S().column_vector();
    let vectors = eigen.U();
    let least = rounding(values.iter().copied(), a.nrows());
    // Eigenvalues are ascending: the non-zero ones come last.
    let rank = values.iter().filter(|&&value| value > least).count();
    if rank == 0 {
        return Ok(0.0);
    }
    let first = a.nrows() - rank;
    let root = Mat::from_fn(a.nrows(), rank, |i, j| {
        vectors[(i, first + j)] * values[first + j].sqrt()
    });
    let product = root.transpose() * (b * &root);
    let values = product
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(failed)?;
    let least = rounding(values.iter().copied(), rank);
    Ok(values
        .iter()
        .filter(|&&value| value > least)
        .map(|value| value.sqrt())
        .sum())
}

/// Rounding error of the eigenvalues of a matrix of this size.
fn rounding(values: impl Iterator<Item = f64>, size: usize) -> f64 {
    values.fold(0.0, f64::max) * size as f64 * f64::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(mean: [f64; 3], variances: [f64; 3]) -> Statistics {
        let mut covariance = vec![0.0; 9];
        (0..3).for_each(|i| covariance[4 * i] = variances[i]);
        Statistics {
            n: None,
            mean: mean.into(),
            covariance,
        }
    }

    #[test]
    fn commuting_covariances_have_a_closed_form() {
        // |Δμ|² + Σ (√s − √t)².
        let a = diagonal([0.0; 3], [4.0, 9.0, 0.0]);
        let b = diagonal([1.0, 0.0, 2.0], [1.0, 0.0, 16.0]);
        assert!(
            (frechet_distance(&a, &b).expect("a number") - (5.0 + 1.0 + 9.0 + 16.0)).abs() < 1e-12
        );
        assert_eq!(frechet_distance(&a, &a).expect("a number"), 0.0);
    }

    #[test]
    fn the_product_of_any_two_covariances_has_the_root_of_two_by_two_matrices() {
        // tr √M = √(tr M + 2 √det M) for 2 × 2.
        let of = |covariance: [f64; 4]| Statistics {
            n: None,
            mean: vec![0.0; 2],
            covariance: covariance.into(),
        };
        let [p, q, _, r] = [2.0, 0.7, 0.7, 1.0];
        let [s, t, _, u] = [0.5, -0.3, -0.3, 3.0];
        let trace = p * s + 2.0 * q * t + r * u;
        let determinant = (p * r - q * q) * (s * u - t * t);
        let expected: f64 = p + r + s + u - 2.0 * f64::sqrt(trace + 2.0 * f64::sqrt(determinant));
        let found = frechet_distance(&of([p, q, q, r]), &of([s, t, t, u])).expect("a number");
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
    }

    #[test]
    fn moments_are_those_of_the_rows() {
        let features = Features::new(vec![1.0, 2.0, 3.0, 6.0, 5.0, 1.0], 2).expect("rows");
        let found = Statistics::of(&features).expect("three rows");
        assert_eq!((found.n, found.mean), (Some(3), vec![3.0, 3.0]));
        assert_eq!(found.covariance, [4.0, -1.0, -1.0, 7.0]);
        assert!(Statistics::of(&Features::new(vec![1.0, 2.0], 2).expect("a row")).is_err());
    }
}
