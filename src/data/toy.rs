//! The toy of section 4.1: random walks on a ring of eight codes, observed as noisy points on the
//! unit circle.
//!
//! `q_1` uniform on `0..8`, `q_{s+1} = q_s ± 1 mod 8`, five positions: 8 · 2⁴ = 128 equally likely
//! chains. `x_s = e_{q_s} + N(0, 0.1²)`. The distribution of the codes is known exactly, so samples
//! can be evaluated without a trained model: see [`reached`]. Read the share of valid chains
//! together with the total variation: a sampler that always returns the same chain maximises the
//! share.

use crate::philox::Stream;
use std::collections::HashSet;
use std::f64::consts::TAU;

/// Codes on the ring: K.
pub const CODES: usize = 8;
/// Positions of a sequence: N.
pub const LENGTH: usize = 5;
/// Channels of a point: d.
pub const DIM: usize = 2;
/// Number of valid sequences: 8 · 2⁴.
pub const CHAINS: usize = CODES << (LENGTH - 1);
/// Standard deviation of the noise on a point. The paper's printed variance, I, would drown the
/// centroids (erratum E13).
pub const NOISE_STD: f32 = 0.1;

/// The eight centroids `e_k = (cos 2πk/8, sin 2πk/8)`, `[k, d]`.
pub fn centroids() -> [[f32; DIM]; CODES] {
    std::array::from_fn(|k| {
        let (sin, cos) = (TAU * k as f64 / CODES as f64).sin_cos();
        [cos as f32, sin as f32]
    })
}

/// `n` sequences of codes from the exact distribution, `[n, LENGTH]`. Sequence i uses words `5 i ..
/// 5 i + 5` of the stream.
///
/// # Panics
/// If `5 n` does not fit the stream's 32-bit index.
pub fn sequences(stream: Stream, n: usize) -> Vec<u32> {
    assert!(
        n <= u32::MAX as usize / LENGTH,
        "toy: {n} sequences are more than one stream holds"
    );
    let mut codes = Vec::with_capacity(n * LENGTH);
    let mut code = 0;
    for index in 0..(n * LENGTH) as u32 {
        code = match index as usize % LENGTH {
            0 => stream.below(index, CODES as u32),
            _ => neighbour(code, stream.below(index, 2) == 1),
        };
        codes.push(code);
    }
    codes
}

/// Noisy points of the codes, `x = e_q + NOISE_STD · ξ`: `[codes.len(), d]`. Channel c of point i
/// uses normal `2 i + c`.
///
/// # Panics
/// If a code is not below [`CODES`], or the points are more than one stream holds.
pub fn points(codes: &[u32], stream: Stream) -> Vec<f32> {
    assert!(
        codes.len() <= u32::MAX as usize / DIM,
        "toy: {} points are more than one stream holds",
        codes.len()
    );
    let centroids = centroids();
    let means = codes.iter().flat_map(|&code| centroids[code as usize]);
    means
        .zip(0..)
        .map(|(mean, i)| mean + NOISE_STD * stream.normal(i) as f32)
        .collect()
}

/// The nearest centroid of every point: `points` `[n, d]` to `n` codes; the lower code on a tie.
pub fn nearest(points: &[f32], centroids: &[[f32; DIM]]) -> Vec<u32> {
    let distance = |p: &[f32], e: &[f32; DIM]| (p[0] - e[0]).powi(2) + (p[1] - e[1]).powi(2);
    let closest = |p: &[f32]| {
        let distances = centroids.iter().map(|e| distance(p, e));
        distances
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(0, |(k, _)| k as u32)
    };
    points.chunks_exact(DIM).map(closest).collect()
}

/// Whether `sequence` is one of the 128 chains: [`LENGTH`] codes below [`CODES`], neighbours one
/// step apart.
pub fn is_chain(sequence: &[u32]) -> bool {
    chain_index(sequence).is_some()
}

/// The chain's number in `0..128`, `16 q_1 + Σ_s 2^(4−s) [q_{s+1} = q_s + 1]` for s = 1..4, or
/// `None` if `sequence` is not a chain.
pub fn chain_index(sequence: &[u32]) -> Option<usize> {
    let first = *sequence
        .first()
        .filter(|&&q| q < CODES as u32 && sequence.len() == LENGTH)?;
    sequence.windows(2).try_fold(first as usize, |index, pair| {
        let up = pair[1] == neighbour(pair[0], true);
        (up || pair[1] == neighbour(pair[0], false)).then_some(2 * index + usize::from(up))
    })
}

/// How good a set of sampled sequences is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Share of the samples that are one of the 128 chains, 0..=1.
    pub valid: f64,
    /// Total variation distance `½ Σ |p̂ − 1/128|` between the valid samples and the uniform
    /// distribution; 1 when none is valid. Exact draws still give about `√(128 / 2πn)`: .035 for n
    /// = 16,384.
    pub total_variation: f64,
    /// Number of different sequences among all samples, valid or not: reveals a collapsed sampler.
    pub distinct: usize,
    /// Number of sequences evaluated.
    pub samples: usize,
}

/// Evaluates sampled codes `[n, LENGTH]` against the exact distribution.
///
/// # Panics
/// If the number of codes is not a multiple of [`LENGTH`].
pub fn reached(codes: &[u32]) -> Reached {
    assert_eq!(
        codes.len() % LENGTH,
        0,
        "toy: {} codes are not a whole number of sequences",
        codes.len()
    );
    let samples = codes.len() / LENGTH;
    let mut counts = [0usize; CHAINS];
    codes
        .chunks_exact(LENGTH)
        .filter_map(chain_index)
        .for_each(|chain| counts[chain] += 1);
    let valid: usize = counts.iter().sum();
    let gap = |&count: &usize| (count as f64 / valid as f64 - 1.0 / CHAINS as f64).abs();
    Reached {
        valid: if samples == 0 {
            0.0
        } else {
            valid as f64 / samples as f64
        },
        total_variation: if valid == 0 {
            1.0
        } else {
            0.5 * counts.iter().map(gap).sum::<f64>()
        },
        distinct: codes.chunks_exact(LENGTH).collect::<HashSet<_>>().len(),
        samples,
    }
}

/// All chains that have the `known` codes, pairs of (position from 0, code), in order of chain
/// number.
///
/// For inpainting: q_1 = 0, q_5 = 4 leaves 0,7,6,5,4 and 0,1,2,3,4.
///
/// # Panics
/// If a position is not below [`LENGTH`].
pub fn fillings(known: &[(usize, u32)]) -> Vec<[u32; LENGTH]> {
    let fits = |chain: &[u32; LENGTH]| {
        known
            .iter()
            .all(|&(position, code)| chain[position] == code)
    };
    (0..CHAINS).map(chain).filter(fits).collect()
}

/// The share of the sampled sequences `codes` `[n, LENGTH]` that equals each of `fillings`; their
/// sum is the share filled validly. All 0 for no samples.
pub fn shares(codes: &[u32], fillings: &[[u32; LENGTH]]) -> Vec<f64> {
    let samples = (codes.len() / LENGTH).max(1);
    let count = |filling: &[u32; LENGTH]| {
        codes
            .chunks_exact(LENGTH)
            .filter(|&sequence| sequence == filling)
            .count()
    };
    fillings
        .iter()
        .map(|filling| count(filling) as f64 / samples as f64)
        .collect()
}

/// The chain with number `index`: the inverse of [`chain_index`].
fn chain(index: usize) -> [u32; LENGTH] {
    let mut code = (index >> (LENGTH - 1)) as u32;
    std::array::from_fn(|s| {
        if s > 0 {
            code = neighbour(code, index >> (LENGTH - 1 - s) & 1 == 1);
        }
        code
    })
}

/// The next code on the ring, up or down.
fn neighbour(code: u32, up: bool) -> u32 {
    let step = if up { 1 } else { CODES as u32 - 1 };
    code.wrapping_add(step) % CODES as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream {
        seed: 1,
        step: 0,
        stream: 0,
        first: 0,
    };

    #[test]
    fn there_are_exactly_128_chains() {
        let all = 0..(CODES as u32).pow(LENGTH as u32);
        let digits = |n: u32| std::array::from_fn::<u32, LENGTH, _>(|s| n / 8u32.pow(s as u32) % 8);
        let mut found: Vec<usize> = all.filter_map(|n| chain_index(&digits(n))).collect();
        found.sort_unstable();
        assert_eq!(found, (0..CHAINS).collect::<Vec<_>>());
        assert!((0..CHAINS).all(|index| chain_index(&chain(index)) == Some(index)));
    }

    #[test]
    fn what_is_no_chain_is_told() {
        assert!(is_chain(&[0, 7, 0, 1, 0]));
        for wrong in [
            &[0, 1, 2, 3][..],
            &[0, 1, 2, 3, 4, 5],
            &[0, 0, 1, 2, 3],
            &[8, 7, 6, 5, 4],
            &[],
        ] {
            assert!(!is_chain(wrong), "{wrong:?}");
        }
        assert!(
            !is_chain(&[7, 8, 7, 8, 7])
                && !is_chain(&[u32::MAX, 0, 1, 2, 3])
                && !is_chain(&[0, 1, 2, 3, 12])
        );
    }

    #[test]
    fn exact_draws_leave_the_sampling_floor() {
        let reached = reached(&sequences(STREAM, 16_384));
        assert_eq!(
            (reached.valid, reached.distinct, reached.samples),
            (1.0, CHAINS, 16_384)
        );
        assert!(
            (0.028..0.042).contains(&reached.total_variation),
            "{reached:?}"
        );
    }

    #[test]
    fn a_collapsed_sampler_is_seen() {
        let reached = reached(&[0, 1, 2, 3, 4].repeat(100));
        assert_eq!((reached.valid, reached.distinct), (1.0, 1));
        assert!((reached.total_variation - 127.0 / 128.0).abs() < 1e-12);
    }

    #[test]
    fn edges_of_the_judgement() {
        assert_eq!(
            reached(&[]),
            Reached {
                valid: 0.0,
                total_variation: 1.0,
                distinct: 0,
                samples: 0
            }
        );
        let none = reached(&[0, 2, 4, 6, 0, 1, 1, 1, 1, 1]);
        assert_eq!(
            none,
            Reached {
                valid: 0.0,
                total_variation: 1.0,
                distinct: 2,
                samples: 2
            }
        );
        let all: Vec<u32> = (0..CHAINS).flat_map(chain).collect();
        assert_eq!(reached(&all).total_variation, 0.0);
    }

    /// Half the distance of neighbouring centroids is 3.83 standard deviations: 1 − 10 · Q(3.83) =
    /// .99936 of the sequences are read back as chains.
    #[test]
    fn noisy_points_read_back() {
        let codes = sequences(STREAM, 16_384);
        let points = points(
            &codes,
            Stream {
                stream: 1,
                ..STREAM
            },
        );
        let read = nearest(&points, &centroids());
        let valid = reached(&read).valid;
        assert!((0.9985..0.9999).contains(&valid), "{valid}");
        let wrong = codes.iter().zip(&read).filter(|(a, b)| a != b).count();
        assert!(wrong < 30, "{wrong} of {} codes misread", codes.len());
    }

    #[test]
    fn centroids_are_their_own_nearest() {
        assert_eq!(
            nearest(centroids().as_flattened(), &centroids()),
            (0..CODES as u32).collect::<Vec<_>>()
        );
        assert_eq!(centroids()[0], [1.0, 0.0]);
    }

    #[test]
    fn opposite_ends_have_two_monotone_fillings() {
        let two = fillings(&[(0, 0), (4, 4)]);
        assert_eq!(two, [[0, 7, 6, 5, 4], [0, 1, 2, 3, 4]]);
        assert_eq!(
            shares(
                &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 7, 6, 5, 4, 0, 0, 0, 0, 4],
                &two
            ),
            [0.25, 0.5]
        );
        assert_eq!(shares(&[], &two), [0.0, 0.0]);
        assert_eq!(fillings(&[]).len(), CHAINS);
        assert_eq!(fillings(&[(2, 3)]).len(), 16);
        assert!(fillings(&[(0, 0), (4, 1)]).is_empty());
    }
}
