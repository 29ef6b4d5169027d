//! Numbers kept as f16.

use super::{Case, Input, Law, Real};
use crate::ops::Half;

/// Largest number of f16.
const LARGEST: f64 = 65_504.0;
/// Its smallest normal number; those below may be flushed to 0.
const SMALLEST: f64 = 1.0 / (1 << 14) as f64;

pub fn cases(list: &mut Vec<Case>) {
    let ends = vec![
        0.0, 1.0, -1.0, 2.0, 65_504.0, -65_504.0, 1e6, -1e6, 6.2e-5, -3e-6,
    ];
    let given = Input {
        dims: vec![ends.len()],
        law: Law::Given(ends),
        wants_grad: false,
    };
    let drawn = [1, 2, 3, 257, 70_001].map(|count| Input {
        law: Law::Normal(8.0),
        ..Input::normal(&[count]).constant()
    });
    for (name, input) in [("ends", given)]
        .into_iter()
        .chain(drawn.map(|input| ("normal", input)))
    {
        list.push(Case::new(
            "half",
            format!("{name} {:?}", input.dims),
            vec![input],
            |_, x| Half::pack(&x[0]).unpack(),
            |x| x[0].iter().map(|v| round(v.value)).collect(),
        ));
    }
}

/// `x` within one f16 step of it: 11 bits, rounded either way. Powers of two from 1 up are exact.
fn round(x: f64) -> Real {
    let kept = x.clamp(-LARGEST, LARGEST);
    let exact = kept == 0.0
        || kept.abs() == LARGEST
        || (kept.abs().log2().fract() == 0.0 && kept.abs() >= 1.0);
    let error = if kept.abs() < SMALLEST {
        SMALLEST
    } else {
        kept.abs() / 1024.0
    };
    Real::within(kept, if exact { 0.0 } else { error })
}
