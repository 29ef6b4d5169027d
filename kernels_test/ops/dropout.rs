//! Dropout: the host's Philox gives the same mask.

use super::{Case, Input, Real};
use crate::ops;
use crate::philox::Stream;

pub fn cases(list: &mut Vec<Case>) {
    let sizes = [
        (1, 0.5f32, 0),
        (3, 0.0, 0),
        (257, 0.1, 0),
        (4099, 0.99, 0),
        (70_001, 0.3, 0),
        (259, 0.4, 1),
    ];
    for (i, (count, rate, first)) in sizes.into_iter().enumerate() {
        let stream = Stream {
            seed: 0xfedc_ba98_7654_3210,
            step: 3,
            stream: i as u32,
            first,
        };
        list.push(Case::new(
            "dropout",
            format!("[1,{count}] rate {rate} from {first}"),
            vec![Input::normal(&[1, count])],
            move |_, x| ops::dropout(&x[0], rate, stream),
            move |x| {
                let scale = Real::constant(f64::from(1.0 / (1.0 - rate)));
                let kept = |i: usize| {
                    if stream.uniform(first * count as u32 + i as u32) >= rate {
                        scale
                    } else {
                        Real::constant(0.0)
                    }
                };
                x[0].iter().enumerate().map(|(i, &v)| v * kept(i)).collect()
            },
        ));
    }
}
