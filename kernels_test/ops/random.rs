//! Random numbers. The host's Philox gives the same bits; the distributions are computed from those
//! bits in f64.

use super::super::U;
use super::{Case, Real};
use crate::ops;
use crate::philox::Stream;

pub fn cases(list: &mut Vec<Case>) {
    part_of_a_batch(list);
    for (i, count) in [1, 3, 4, 255, 257, 70_001].into_iter().enumerate() {
        let stream = Stream {
            seed: 0x0123_4567_89ab_cdef + i as u64,
            step: 7,
            stream: i as u32,
            first: 0,
        };
        list.push(Case::new(
            "philox_bits",
            format!("[{count}]"),
            vec![],
            move |gpu, _| ops::bits(gpu, [count], stream),
            move |_| {
                (0..count as u32)
                    .flat_map(|i| Real::code(stream.bits(i)))
                    .collect()
            },
        ));
        list.push(Case::new(
            "random_uniform",
            format!("[{count}]"),
            vec![],
            move |gpu, _| ops::uniform(gpu, [count], stream),
            move |_| {
                (0..count as u32)
                    .map(|i| Real::constant(f64::from(stream.uniform(i))))
                    .collect()
            },
        ));
        list.push(Case::new(
            "random_normal",
            format!("[{count}]"),
            vec![],
            move |gpu, _| ops::normal(gpu, [count], stream),
            move |_| (0..count as u32).map(|i| normal(stream, i)).collect(),
        ));
        list.push(Case::new(
            "random_gumbel",
            format!("[{count}]"),
            vec![],
            move |gpu, _| ops::gumbel(gpu, [count], stream),
            move |_| {
                (0..count as u32)
                    .map(|i| -(-Real::constant(f64::from(stream.uniform(i))).ln()).ln())
                    .collect()
            },
        ));
    }
}

/// Samples 3 and 4 of a batch get the numbers that they have in the whole batch, at every remainder
/// modulo four.
fn part_of_a_batch(list: &mut Vec<Case>) {
    for size in [20, 21, 31, 22] {
        let stream = Stream {
            seed: 77,
            step: 1,
            stream: 2,
            first: 3,
        };
        let numbers = (0..2 * size as u32).map(move |i| 3 * size as u32 + i);
        let bits = numbers.clone();
        let laws = numbers;
        let name = format!("[2,{size}] from 3");
        list.push(Case::new(
            "philox_bits",
            name.clone(),
            vec![],
            move |gpu, _| ops::bits(gpu, [2, size], stream),
            move |_| {
                bits.clone()
                    .flat_map(|i| Real::code(stream.bits(i)))
                    .collect()
            },
        ));
        list.push(Case::new(
            "random_normal",
            name,
            vec![],
            move |gpu, _| ops::normal(gpu, [2, size], stream),
            move |_| laws.clone().map(|i| normal(stream, i)).collect(),
        ));
    }
}

/// Box-Muller: radius √(−2 ln u) times the cosine or sine of a turn, whose polynomial has an
/// absolute error of at most 2 u.
pub fn normal(stream: Stream, i: u32) -> Real {
    let radius =
        (Real::constant(-2.0) * Real::constant(f64::from(stream.uniform(i & !1))).ln()).sqrt();
    let turn = std::f64::consts::TAU * f64::from(stream.uniform(i | 1));
    let value = if i.is_multiple_of(2) {
        turn.cos()
    } else {
        turn.sin()
    };
    radius * Real::within(value, 2.0 * U)
}
