//! Differences between images in [−1, 1], flat [size, size, 3].

/// From the darkest value to the brightest.
const RANGE: f64 = 2.0;
/// Side of SSIM's window.
pub const WINDOW: usize = 11;
/// Standard deviation of its Gaussian.
const SIGMA: f64 = 1.5;

/// The mean squared difference.
pub fn mse(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum::<f64>()
        / a.len() as f64
}

/// 10 log₁₀ (range² / MSE), dB; `None` for equal images, whose ratio is infinite.
pub fn psnr(mse: f64) -> Option<f64> {
    (mse > 0.0).then(|| 10.0 * (RANGE * RANGE / mse).log10())
}

/// Structural similarity (Wang et al. 2004): Gaussian windows of 11 × 11 with σ = 1.5 that lie
/// inside the image, K₁ = .01, K₂ = .03, range 2, biased variances; the mean over windows and
/// channels. 1 for equal images, `None` for images smaller than the window.
pub fn ssim(a: &[f32], b: &[f32], size: usize) -> Option<f64> {
    let channel = |image: &[f32], c: usize| {
        image
            .iter()
            .skip(c)
            .step_by(3)
            .map(|&v| f64::from(v))
            .collect::<Vec<_>>()
    };
    let of = |c: usize| ssim_of(&channel(a, c), &channel(b, c), size);
    (size >= WINDOW).then(|| (0..3).map(of).sum::<f64>() / 3.0)
}

/// SSIM of one channel.
fn ssim_of(a: &[f64], b: &[f64], size: usize) -> f64 {
    let products = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).collect::<Vec<_>>();
    let [mean_a, mean_b] = [a, b].map(|x| blurred(x, size));
    let [aa, bb, ab] = [products(a, a), products(b, b), products(a, b)].map(|x| blurred(&x, size));
    let c1 = (0.01 * RANGE).powi(2);
    let c2 = (0.03 * RANGE).powi(2);
    let at = |i: usize| {
        let ma = mean_a[i];
        let mb = mean_b[i];
        let va = aa[i] - ma * ma;
        let vb = bb[i] - mb * mb;
        let cov = ab[i] - ma * mb;
        (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    };
    (0..mean_a.len()).map(at).sum::<f64>() / mean_a.len() as f64
}

/// Gaussian means of all windows inside the image, first along rows, then along columns.
fn blurred(x: &[f64], size: usize) -> Vec<f64> {
    let bell = |i: usize| (-0.5 * ((i as f64 - (WINDOW / 2) as f64) / SIGMA).powi(2)).exp();
    let sum: f64 = (0..WINDOW).map(bell).sum();
    let weights: Vec<f64> = (0..WINDOW).map(|i| bell(i) / sum).collect();
    let inside = size - WINDOW + 1;
    let along = |x: &[f64], at: usize, step: usize| {
        weights
            .iter()
            .enumerate()
            .map(|(i, w)| w * x[at + i * step])
            .sum()
    };
    let rows: Vec<f64> = (0..size * inside)
        .map(|i| along(x, i / inside * size + i % inside, 1))
        .collect();
    (0..inside * inside)
        .map(|i| along(&rows, i, inside))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 13;

    fn picture(f: impl Fn(usize) -> f64) -> Vec<f32> {
        (0..SIZE * SIZE * 3).map(|i| f(i) as f32).collect()
    }

    fn similarity(a: &[f32], b: &[f32]) -> f64 {
        ssim(a, b, SIZE).expect("larger than the window")
    }

    #[test]
    fn pictures_smaller_than_the_window_have_no_similarity() {
        for size in 1..=WINDOW {
            let picture = vec![0.5; size * size * 3];
            assert_eq!(
                ssim(&picture, &picture, size).is_some(),
                size == WINDOW,
                "{size}"
            );
        }
    }

    #[test]
    fn flat_pictures_have_closed_forms() {
        let a = picture(|_| 0.5);
        let b = picture(|_| -0.25);
        assert!((mse(&a, &b) - 0.5625).abs() < 1e-12);
        assert!(psnr(0.04).is_some_and(|db| (db - 20.0).abs() < 1e-9) && psnr(0.0).is_none());
        // Without variance only the means count.
        let c1 = 4e-4;
        assert!(
            (similarity(&a, &b) - (2.0 * 0.5 * -0.25 + c1) / (0.25 + 0.0625 + c1)).abs() < 1e-9
        );
    }

    #[test]
    fn equal_pictures_are_1_and_a_negative_is_nearly_minus_1() {
        // Alternating signs: each window's mean is nearly 0, so only the structure counts.
        let a = picture(|i| {
            if (i / 3 / SIZE + i / 3 % SIZE).is_multiple_of(2) {
                0.8
            } else {
                -0.8
            }
        });
        let negative: Vec<f32> = a.iter().map(|v| -v).collect();
        assert!((similarity(&a, &a) - 1.0).abs() < 1e-12);
        let c2 = 0.0036;
        let wanted = (-2.0 * 0.64 + c2) / (2.0 * 0.64 + c2);
        assert!(
            (similarity(&a, &negative) - wanted).abs() < 1e-3,
            "{}",
            similarity(&a, &negative)
        );
    }

    /// scikit-image 0.26,
    /// `structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    /// data_range=2, channel_axis=2)` of these two images in f64.
    #[test]
    fn the_same_as_scikit_image() {
        let a = picture(|i| (0.7 * i as f64).sin());
        let b = picture(|i| 0.9 * (0.7 * i as f64 + 0.3).sin() + 0.1 * (1.3 * i as f64).cos());
        let found = similarity(&a, &b);
        assert!((found - GOLDEN).abs() < 1e-6, "{found}");
    }

    const GOLDEN: f64 = 0.9450269858737839;
}
