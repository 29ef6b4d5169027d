//! Counter-based random numbers: Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
//! easy as 1, 2, 3").
//!
//! Every number is a pure function of `(seed, step, stream, index)`: there is no state to save, so
//! resuming takes one integer, and the kernels (`shaders/shared/philox.wgsl`) draw the same bits on
//! every vendor. The host side here is their reference: [`Stream::bits`], [`Stream::uniform`] and
//! [`Stream::below`] agree bit for bit, [`Stream::normal`] and [`Stream::gumbel`] up to the
//! rounding of f32 logarithms and cosines.

use std::f64::consts::TAU;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Golden ratio and √3 − 1: the Weyl sequence of the round keys.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Philox-4x32-10: four random words for one 128-bit counter under one 64-bit key.
///
/// A round is
/// `(c0, c1, c2, c3) → (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))`, after
/// which the key moves on by the Weyl constants. A bijection of the counter for every key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let (hi0, lo0) = multiply(MULTIPLIERS[0], c0);
        let (hi1, lo1) = multiply(MULTIPLIERS[1], c2);
        [c0, c1, c2, c3] = [hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0];
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// The high and the low word of a 32×32-bit product.
fn multiply(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

/// An endless, randomly addressable sequence of random numbers.
///
/// Word `index` is lane `index % 4` of Philox with key `[seed low, seed high]` and counter
/// `[index / 4, 0, step, stream]`. Streams that differ in any field share no counter under a key,
/// so they are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The run's seed: the key.
    pub seed: u64,
    /// The training or sampling step.
    pub step: u32,
    /// What the numbers are for within the step (noise, time levels, dropout, …): one value per
    /// use.
    pub stream: u32,
    /// Index in the step's batch of the tensors' first sample: a part of a batch draws the same
    /// numbers as in the whole batch. Tensor ops skip the samples before it; the methods here,
    /// which take an index, do not.
    pub first: u32,
}

/// Declares [`Draw`] and the list of its values.
macro_rules! draws {
    ($($(#[$doc:meta])* $name:ident = $stream:literal,)*) => {
        /// What random numbers are for: the one list of streams. Two draws of one step never share
        /// numbers, since the compiler rejects duplicate values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Draw {
            $($(#[$doc])* $name = $stream,)*
        }

        impl Draw {
            /// All of them.
            pub const ALL: &[Draw] = &[$(Draw::$name),*];
        }
    };
}

draws! {
    /// The toy: points about their codes' vectors.
    ToyData = 1,
    /// The toy: ε.
    ToyEpsilon = 2,
    /// The toy: relaxed codes of joint training.
    ToyGumbel = 3,
    /// The toy: the sequences of a training step.
    ToySequences = 0x100,
    /// The levels t of a training step.
    Levels = 0x101,
    /// Encoder outputs on which the codebook is initialised.
    PlaceCodes = 0x110,
    /// Encoder outputs to which dead codes move.
    ReviveCodes = 0x111,
    /// Classes that classifier-free guidance leaves out in training.
    DropClass = 0x112,
    /// Which positions the network is told in training.
    ToldMasks = 0x113,
    /// ε of images.
    Epsilon = 0x200,
    /// The quantiser's Gumbel noise.
    Gumbel = 0x202,
    /// Initial weights.
    Init = 0x1000,
    /// Code vectors, if the data set gives none.
    CodeVectors = 0x1001,
    /// Sampling: z_T.
    Initial = 0x2000,
    /// Sampling: the noise of a reverse step. Inpainting puts the pass into the upper half.
    Step = 0x2001,
    /// Inpainting: the known part at a level; likewise.
    Known = 0x2002,
    /// Inpainting: the forward step between two passes; likewise.
    Renoise = 0x2003,
    /// Sampling a PixelCNN.
    Raster = 0x2100,
    /// Drawing codes from sampled latents.
    SampledCodes = 0x2200,
    /// Bound: levels.
    BoundLevel = 0x2300,
    /// Bound: ε.
    BoundNoise = 0x2301,
    /// Likelihood by a network told the known codes: z_T of a filling, whose number is in the upper
    /// half.
    ToldNoise = 0x2302,
    /// Dropout: the first block; the others count on, up to 0x3FFF.
    Dropout = 0x3000,
    /// Order of the images in an epoch.
    Order = 0x4000,
    /// Which images are mirrored.
    Mirror = 0x4001,
    /// Kernel distance: subsets of the first set.
    KidSubsets = 0x5000,
    /// Kernel distance: subsets of the second set.
    KidOthers = 0x5001,
    /// Figures of the toy: sequences.
    FigureSequences = 0x6000,
    /// Figures of the toy: their points.
    FigurePoints = 0x6001,
    /// Figures of the toy: the forward process.
    FigurePath = 0x6002,
}

impl Draw {
    /// Maximum number of parts of a stream.
    pub const PARTS: u32 = 1 << 16;

    /// The value of [`Stream::stream`].
    pub const fn stream(self) -> u32 {
        self as u32
    }

    /// The stream of part `number`, independent of the other parts.
    ///
    /// # Panics
    /// If `number` is not below [`Draw::PARTS`].
    pub fn part(self, number: u32) -> u32 {
        assert!(number < Draw::PARTS, "{self:?} has no part {number}");
        self as u32 | number << 16
    }
}

impl Stream {
    /// 32 random bits.
    pub fn bits(&self, index: u32) -> u32 {
        self.block(index / 4)[index as usize % 4]
    }

    /// Uniform in the open interval (0, 1): `((bits >> 9) + ½) · 2⁻²³`, from 2⁻²⁴ to 1 − 2⁻²⁴.
    ///
    /// 23 bits, not 24: above 2²³ an f32 has no room for the half, and the largest 24-bit number
    /// would round to 1, whose logarithm breaks Box-Muller and Gumbel. With 23 every operation is
    /// exact, so any GPU, with or without fused multiply-add, gets the same bits.
    pub fn uniform(&self, index: u32) -> f32 {
        unit(self.bits(index))
    }

    /// Uniform integer in `0..n`: the high word of `bits · n`. The bias is below `n · 2⁻³²`. 0 for
    /// `n = 0`.
    pub fn below(&self, index: u32, n: u32) -> u32 {
        multiply(self.bits(index), n).0
    }

    /// Standard normal by Box-Muller: `√(−2 ln u) cos(2π u')` for an even index, `… sin(2π u')` for
    /// the odd one after it, with `u` and `u'` the uniforms of the even and the odd index.
    ///
    /// |normal| ≤ √(48 ln 2) = 5.77, by the smallest uniform. In f64; the kernels use f32.
    pub fn normal(&self, index: u32) -> f64 {
        let words = self.block(index / 4);
        let pair = (index as usize % 4) & !1;
        let u = f64::from(unit(words[pair]));
        let angle = TAU * f64::from(unit(words[pair + 1]));
        let radius = (-2.0 * u.ln()).sqrt();
        if index.is_multiple_of(2) {
            radius * angle.cos()
        } else {
            radius * angle.sin()
        }
    }

    /// Standard Gumbel: `−ln(−ln u)`. `argmax_k(x_k + gumbel_k)` is a draw from `softmax(x)`.
    pub fn gumbel(&self, index: u32) -> f64 {
        -(-f64::from(self.uniform(index)).ln()).ln()
    }

    fn block(&self, block: u32) -> [u32; 4] {
        philox4x32(
            [block, 0, self.step, self.stream],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }
}

/// 23 of 32 random bits as an f32 in the open interval (0, 1).
fn unit(bits: u32) -> f32 {
    const STEP: f32 = 1.0 / (1 << 23) as f32;
    ((bits >> 9) as f32 + 0.5) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_room_for_their_parts() {
        let dropout = Draw::Dropout.stream()..0x4000;
        for draw in Draw::ALL {
            assert!(
                draw.stream() < 1 << 16,
                "{draw:?}: the upper half numbers parts"
            );
            assert!(
                *draw == Draw::Dropout || !dropout.contains(&draw.stream()),
                "{draw:?}"
            );
        }
    }

    const STREAM: Stream = Stream {
        seed: 0x0123_4567_89ab_cdef,
        step: 7,
        stream: 3,
        first: 0,
    };

    /// The published vectors of Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn known_answers() {
        let pi = [
            0x243f_6a88,
            0x85a3_08d3,
            0x1319_8a2e,
            0x0370_7344,
            0xa409_3822,
            0x299f_31d0,
        ];
        for (input, output) in [
            ([0; 6], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [u32::MAX; 6],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ] {
            let [c0, c1, c2, c3, k0, k1] = input;
            assert_eq!(philox4x32([c0, c1, c2, c3], [k0, k1]), output);
        }
    }

    #[test]
    fn words_are_lanes_of_the_documented_counter() {
        for index in [0, 1, 2, 3, 4, 1_000_003, u32::MAX] {
            let words = philox4x32([index / 4, 0, 7, 3], [0x89ab_cdef, 0x0123_4567]);
            assert_eq!(STREAM.bits(index), words[index as usize % 4]);
        }
    }

    #[test]
    fn every_field_changes_the_numbers() {
        let others = [
            Stream {
                seed: STREAM.seed + 1,
                ..STREAM
            },
            Stream {
                seed: STREAM.seed ^ (1 << 40),
                ..STREAM
            },
            Stream { step: 8, ..STREAM },
            Stream {
                stream: 4,
                ..STREAM
            },
        ];
        for other in others {
            let same = (0..256)
                .filter(|&i| other.bits(i) == STREAM.bits(i))
                .count();
            assert_eq!(same, 0, "{other:?}");
        }
    }

    #[test]
    fn uniform_is_exact_and_open_at_both_ends() {
        assert_eq!(unit(0), f32::powi(2.0, -24));
        assert_eq!(unit(u32::MAX), 1.0 - f32::powi(2.0, -24));
        for i in 0..10_000 {
            let exact = (f64::from(STREAM.bits(i) >> 9) + 0.5) / f64::from(1 << 23);
            assert_eq!(f64::from(STREAM.uniform(i)), exact);
        }
    }

    #[test]
    fn a_24_bit_uniform_would_reach_one() {
        assert_eq!(((u32::MAX >> 8) as f32 + 0.5) / (1 << 24) as f32, 1.0);
    }

    #[test]
    fn below_is_in_range_and_flat() {
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|i| counts[STREAM.below(i, 7) as usize] += 1);
        let chi2: f64 = counts
            .iter()
            .map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4)
            .sum();
        assert!(
            chi2 < 22.5,
            "χ² = {chi2} with 6 degrees of freedom (0.1 %: 22.5)"
        );
        assert!((0..1000).all(|i| STREAM.below(i, 1) == 0));
    }

    #[test]
    fn normals_have_the_right_moments() {
        let n = 100_000u32;
        let moment = |p: i32| (0..n).map(|i| STREAM.normal(i).powi(p)).sum::<f64>() / f64::from(n);
        let lag = (0..n - 1)
            .map(|i| STREAM.normal(i) * STREAM.normal(i + 1))
            .sum::<f64>()
            / f64::from(n - 1);
        // Four standard errors each: Var x = 1, Var x² = 2, Var x³ = 15, Var x⁴ = 96.
        for (name, value, expected, variance) in [
            ("mean", moment(1), 0.0, 1.0),
            ("variance", moment(2), 1.0, 2.0),
            ("third moment", moment(3), 0.0, 15.0),
            ("fourth moment", moment(4), 3.0, 96.0),
            ("neighbours", lag, 0.0, 1.0),
        ] {
            let bound = 4.0 * f64::sqrt(variance / f64::from(n));
            assert!(
                (value - expected).abs() < bound,
                "{name}: {value}, not {expected} ± {bound}"
            );
        }
    }

    #[test]
    fn normals_are_box_muller_pairs() {
        for index in (0..64).step_by(2) {
            let radius2 = STREAM.normal(index).powi(2) + STREAM.normal(index + 1).powi(2);
            let u = f64::from(STREAM.uniform(index));
            assert!((radius2 + 2.0 * u.ln()).abs() < 1e-12);
        }
    }

    #[test]
    fn gumbels_have_the_right_mean_and_variance() {
        let n = 100_000u32;
        let mean = (0..n).map(|i| STREAM.gumbel(i)).sum::<f64>() / f64::from(n);
        let variance = (0..n)
            .map(|i| (STREAM.gumbel(i) - mean).powi(2))
            .sum::<f64>()
            / f64::from(n);
        assert!((mean - 0.577_215_664_9).abs() < 0.016, "{mean}");
        assert!(
            (variance - std::f64::consts::PI.powi(2) / 6.0).abs() < 0.04,
            "{variance}"
        );
    }
}
