//! Distances between the histograms of two sets of codes. Codes are flat maps [n, h, w] of values
//! below k.

use std::collections::BTreeMap;

/// Added to each count of the second histogram (Jeffreys' prior). Without it one code missing from
/// the samples would make the divergence infinite.
const PSEUDO_COUNT: f64 = 0.5;

/// How often each of `k` codes occurs.
fn counts(codes: impl Iterator<Item = u32>, k: usize) -> Vec<f64> {
    let mut counts = vec![0.0; k];
    codes.for_each(|code| counts[code as usize] += 1.0);
    counts
}

/// KL(p ‖ q) in nats of the histograms p and q, with q smoothed to (q_k + ½) / (Σ q + K/2).
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let of_p = p.iter().sum::<f64>();
    let of_q = q.iter().sum::<f64>() + PSEUDO_COUNT * q.len() as f64;
    let term = |(&p, &q): (&f64, &f64)| p / of_p * ((p / of_p) / ((q + PSEUDO_COUNT) / of_q)).ln();
    p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(term).sum()
}

/// Section 4.3: KL(data ‖ samples) of the code's distribution at each of the `positions` of a map,
/// `[positions]`, nats.
///
/// The data's distribution is their histogram. The samples' gets half a count more in each of the
/// `k` cells: the divergence is infinite where samples lack a code of the data, and the paper does
/// not say what it does there. Finite numbers of maps leave a floor: the value for two draws of the
/// data.
pub fn kl_map(data: &[u32], samples: &[u32], positions: usize, k: usize) -> Vec<f64> {
    let at = |codes: &[u32], i: usize| counts(codes.iter().skip(i).step_by(positions).copied(), k);
    (0..positions)
        .map(|i| divergence(&at(data, i), &at(samples, i)))
        .collect()
}

/// ½ Σ |p − q| of two histograms with any totals: 0 for equal distributions, 1 for disjoint ones.
fn total_variation(p: &[f64], q: &[f64]) -> f64 {
    let of_p = p.iter().sum::<f64>();
    let of_q = q.iter().sum::<f64>();
    0.5 * p
        .iter()
        .zip(q)
        .map(|(p, q)| (p / of_p - q / of_q).abs())
        .sum::<f64>()
}

/// Total variation between the distributions of single codes, pooled over positions.
pub fn code_distance(a: &[u32], b: &[u32], k: usize) -> f64 {
    total_variation(&counts(a.iter().copied(), k), &counts(b.iter().copied(), k))
}

/// Total variation between the distributions of neighbouring pairs on maps of `h` × `w`: a code and
/// the one right of it or below it, averaged over the two directions. Sequences have one direction;
/// single codes give 0. Takes memory for the pairs that occur, not for all.
pub fn pair_distance(a: &[u32], b: &[u32], [h, w]: [usize; 2]) -> f64 {
    let of = |step: [usize; 2]| {
        // How often a pair occurs in each set.
        let mut counts = BTreeMap::<[u32; 2], [f64; 2]>::new();
        for (set, codes) in [a, b].into_iter().enumerate() {
            for map in codes.chunks_exact(h * w) {
                for at in (0..h * w).filter(|at| at / w + step[0] < h && at % w + step[1] < w) {
                    counts
                        .entry([map[at], map[at + step[0] * w + step[1]]])
                        .or_default()[set] += 1.0;
                }
            }
        }
        let [of_a, of_b] =
            [0, 1].map(|set| counts.values().map(|pair| pair[set]).collect::<Vec<_>>());
        total_variation(&of_a, &of_b)
    };
    let directions: Vec<f64> = [(w, [0, 1]), (h, [1, 0])]
        .into_iter()
        .filter(|(side, _)| *side > 1)
        .map(|(_, step)| of(step))
        .collect();
    directions.iter().sum::<f64>() / directions.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_has_its_closed_form() {
        // Two positions, two codes. Position 0: data 3 : 1, samples 1 : 3 and so (1.5, 3.5) / 5.
        // Position 1: all alike.
        let data = [0, 0, 0, 0, 0, 0, 1, 0];
        let samples = [0, 0, 1, 0, 1, 0, 1, 0];
        let map = kl_map(&data, &samples, 2, 2);
        let wanted = 0.75 * (0.75f64 / 0.3).ln() + 0.25 * (0.25f64 / 0.7).ln();
        assert!((map[0] - wanted).abs() < 1e-12, "{map:?}");
        // Four of one code against (4.5, 0.5) / 5.
        assert!((map[1] - (1.0f64 / 0.9).ln()).abs() < 1e-12, "{map:?}");
        // A code that the samples lack costs much, but not infinitely much.
        let missed = kl_map(&[1], &[0], 1, 2)[0];
        assert!((missed - 4f64.ln()).abs() < 1e-12, "{missed}");
    }

    #[test]
    fn with_many_maps_the_divergence_nears_that_of_the_laws() {
        // p = (1/4, 3/4), q = (1/2, 1/2): KL = ln 2 − H(p).
        let data: Vec<u32> = (0..40_000).map(|i| u32::from(i % 4 > 0)).collect();
        let samples: Vec<u32> = (0..40_000).map(|i| i % 2).collect();
        let wanted = 2f64.ln() + 0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln();
        assert!((kl_map(&data, &samples, 1, 2)[0] - wanted).abs() < 1e-4);
    }

    #[test]
    fn variation_is_0_for_equal_laws_and_1_for_strangers() {
        let a = [0, 1, 0, 1];
        let b = [2, 2, 3, 3];
        assert_eq!(
            (code_distance(&a, &a, 4), code_distance(&a, &b, 4)),
            (0.0, 1.0)
        );
        assert_eq!(code_distance(&[0, 0, 0, 1], &[0, 1], 2), 0.25);
        // The same codes in another order: equal as single codes, but not as pairs.
        let rows = [0, 0, 1, 1];
        let columns = [0, 1, 0, 1];
        assert_eq!(code_distance(&rows, &columns, 2), 0.0);
        assert_eq!(pair_distance(&rows, &rows, [2, 2]), 0.0);
        assert_eq!(pair_distance(&rows, &columns, [2, 2]), 1.0);
        // Codes of any size: the pairs of all codes would not fit into memory.
        assert_eq!(pair_distance(&[u32::MAX; 4], &[7; 4], [2, 2]), 1.0);
        // In each direction one of two pairs differs.
        assert_eq!(pair_distance(&[0, 0, 0, 1], &[0, 0, 0, 0], [2, 2]), 0.5);
    }
}
