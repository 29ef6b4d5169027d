//! Random masks of known positions, which the network is told in training.

use crate::config::PriorConfig;
use crate::philox::{Draw, Stream};

/// Random numbers drawn per image before those of its positions.
const HEAD: u32 = 8;

/// Masks for a batch.
pub struct Masks {
    /// 1 where the code is known, else 0, [n, h, w].
    pub known: Vec<f32>,
    /// Whether the network is told part of the image.
    pub told: Vec<bool>,
    /// Whether the rest of the image is pure noise.
    at_end: Vec<bool>,
}

impl Masks {
    /// Draws masks for a batch of `n` images of `grid` [h, w] positions; `None` if nothing is ever
    /// told. With probability ½ each position of a told image is known at a random rate; otherwise
    /// all positions outside a random rectangle are known.
    pub fn draw(config: &PriorConfig, grid: [usize; 2], n: usize, stream: Stream) -> Option<Masks> {
        if config.known_share == 0.0 {
            return None;
        }
        let stream = Stream {
            stream: Draw::ToldMasks.stream(),
            first: 0,
            ..stream
        };
        let mut masks = Masks {
            known: Vec::new(),
            told: Vec::new(),
            at_end: Vec::new(),
        };
        for image in 0..n as u32 {
            let first = image * (HEAD + (grid[0] * grid[1]) as u32);
            let number = |i: u32| f64::from(stream.uniform(first + i));
            let told = number(0) < config.known_share;
            masks.told.push(told);
            masks.at_end.push(told && number(1) < config.known_at_end);
            let known = of_image(grid, &number);
            masks.known.extend(
                known
                    .into_iter()
                    .map(|known| if told && known { 1.0 } else { 0.0 }),
            );
        }
        Some(masks)
    }

    /// Sets level `last` for the images whose rest is pure noise.
    pub fn put_at_end(&self, levels: &mut [u32], last: usize) {
        for (t, &at_end) in levels.iter_mut().zip(&self.at_end) {
            *t = if at_end { last as u32 } else { *t };
        }
    }

    /// The weight of each position in the loss, [n, h, w]: 0 if known, equal for all unknown ones,
    /// with mean 1 over the batch.
    pub fn weights(&self) -> Vec<f32> {
        let unknown = self.known.iter().filter(|&&known| known == 0.0).count();
        let weight = self.known.len() as f32 / unknown.max(1) as f32;
        self.known
            .iter()
            .map(|known| weight * (1.0 - known))
            .collect()
    }
}

/// Which positions of an image are known, given its random numbers.
fn of_image([h, w]: [usize; 2], number: &impl Fn(u32) -> f64) -> Vec<bool> {
    let below = |i: u32, n: usize| ((number(i) * n as f64) as usize).min(n - 1);
    if number(2) < 0.5 {
        let rate = number(3);
        return (0..(h * w) as u32)
            .map(|at| number(HEAD + at) < rate)
            .collect();
    }
    let height = below(4, h) + 1;
    let width = below(5, w) + 1;
    let top = below(6, h - height + 1);
    let left = below(7, w - width + 1);
    let hidden = |at: usize| {
        let row = at / w;
        let column = at % w;
        (top..top + height).contains(&row) && (left..left + width).contains(&column)
    };
    (0..h * w).map(|at| !hidden(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream {
        seed: 1,
        step: 2,
        stream: 0,
        first: 0,
    };

    #[test]
    fn masks_have_the_shares_of_the_configuration() {
        let config = PriorConfig {
            known_share: 0.4,
            ..PriorConfig::default()
        };
        let masks = Masks::draw(&config, [8, 8], 4000, STREAM).expect("something is told");
        let share = |of: &[bool]| of.iter().filter(|&&told| told).count() as f64 / 4000.0;
        assert!(
            (share(&masks.told) - 0.4).abs() < 0.03 && (share(&masks.at_end) - 0.24).abs() < 0.03
        );
        for (cells, told) in masks.known.chunks_exact(64).zip(&masks.told) {
            assert!(*told || cells.iter().all(|&known| known == 0.0));
        }
        let weights = masks.weights();
        let mean =
            weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() / weights.len() as f64;
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
        assert!(
            weights
                .iter()
                .zip(&masks.known)
                .all(|(&weight, &known)| (weight == 0.0) == (known == 1.0))
        );
        let mut levels = vec![3; 4000];
        masks.put_at_end(&mut levels, 1000);
        assert!(
            levels
                .iter()
                .zip(&masks.at_end)
                .all(|(&t, &end)| t == if end { 1000 } else { 3 })
        );
    }

    #[test]
    fn the_first_masks_do_not_depend_on_the_batch() {
        let config = PriorConfig {
            known_share: 1.0,
            ..PriorConfig::default()
        };
        let [few, many] =
            [3, 9].map(|n| Masks::draw(&config, [5, 5], n, STREAM).expect("told").known);
        assert_eq!(few, many[..3 * 25]);
        assert!(Masks::draw(&PriorConfig::default(), [5, 5], 3, STREAM).is_none());
    }
}
