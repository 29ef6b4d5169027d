//! Steps of the optimiser and of the bridge.

use super::super::super::ops::definitions;
use super::super::super::{Output, Real};
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::bridge::Step;
use crate::gpu::Gpu;
use crate::ops::{self, AdamStep, Clip};
use crate::tensor::Tensor;

/// `p`, and `g` [steps, ..]; `m` and `v` are zeros if they are not given.
pub fn adam(args: &mut Args) -> Result<Plan, String> {
    let p = args.tensor("p")?;
    let steps = args.tensor("g")?.dims.first().copied().unwrap_or(1);
    let g = args.of_dims("g", &[&[steps], &p.dims[..]].concat())?;
    let moments = [
        args.maybe_of_dims("m", &p.dims)?,
        args.maybe_of_dims("v", &p.dims)?,
    ];
    let mut numbers = [0.0; 5];
    for (number, (name, default)) in numbers.iter_mut().zip([
        ("lr", 1e-3),
        ("beta1", 0.9),
        ("beta2", 0.999),
        ("eps", 1e-8),
        ("weight_decay", 0.0),
    ]) {
        *number = args.number(name, default)?;
    }
    let done = args.size("done", 0, 0)? as u32;
    if args.size("steps", 1, steps)? != steps {
        return Err(format!(
            "param `steps` differs from the first dimension of in.g, {steps}"
        ));
    }
    let place = |name| Ok(args.one_of_outputs(name, &p.dims)?.flat().constant());
    let outputs = ["p", "m", "v"]
        .map(place)
        .into_iter()
        .collect::<Result<Vec<Place>, String>>()?;
    let count = p.order.len();
    let given = moments.each_ref().map(|moment| moment.is_some());
    let mut inputs = vec![p.flat().constant(), g.flat().constant()];
    inputs.extend(
        moments
            .into_iter()
            .flatten()
            .map(|moment| moment.flat().constant()),
    );
    Plan::several(
        inputs,
        outputs,
        move |gpu, x| on_gpu(gpu, x, given, count, numbers, done),
        move |x| {
            let [lr, beta1, beta2, eps, decay] = numbers.map(Real::rounded);
            let mut rest = x[2..].iter().cloned();
            let start = given.map(|given| rest.next().filter(|_| given));
            let [m, v] = start.map(|moment| moment.unwrap_or(vec![Real::default(); count]));
            let numbers = [lr, beta1, beta2, eps, decay, Real::default()];
            let [p, m, v, _] =
                definitions::adam(&x[1], [x[0].clone(), m, v], numbers, done as i32, |_| {
                    Real::constant(1.0)
                });
            vec![p, m, v]
        },
    )
}

fn on_gpu(
    gpu: &Gpu,
    x: &[Tensor],
    given: [bool; 2],
    count: usize,
    numbers: [f64; 5],
    done: u32,
) -> Vec<Output> {
    let [lr, beta1, beta2, eps, weight_decay] = numbers.map(|v| v as f32);
    // The op works in place and on whole vec4s, so it gets padded copies.
    let whole = count.next_multiple_of(4);
    let padded = |mut values: Vec<f32>| {
        values.resize(whole, 0.0);
        Tensor::from_slice(gpu, &values, [whole])
    };
    let copy = |from: &Tensor| padded(from.to_vec());
    let mut rest = x[2..].iter();
    let [m, v] = given.map(|given| {
        if given {
            copy(rest.next().expect("a given moment is an input"))
        } else {
            Tensor::zeros(gpu, [whole])
        }
    });
    let p = copy(&x[0]);
    let average = Tensor::zeros(gpu, [whole]);
    let clip = Clip(Tensor::from_slice(gpu, &[1.0, 1.0], [2]));
    for (grad, step) in x[1].to_vec().chunks(count).zip(done + 1..) {
        let grad = padded(grad.to_vec());
        let step = AdamStep {
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            step,
            ema: 0.0,
        };
        ops::adam(&grad, &clip, [&p, &m, &v, &average], step);
    }
    [p, m, v]
        .map(|all| Output::Tensor(ops::narrow(&all, 0, count)))
        .into()
}

/// decay · a + (1 − decay) · b.
pub fn ema(args: &mut Args) -> Result<Plan, String> {
    let a = args.tensor("a")?;
    let b = args.of_dims("b", &a.dims)?;
    let decay = args.number("decay", None)?;
    let y = args.output("y", &a.dims)?.flat();
    Plan::new(
        vec![a.flat().constant(), b.flat().constant()],
        y,
        move |_, x| ops::ema(&x[0], &x[1], decay as f32),
        move |x| {
            let decay = Real::rounded(decay);
            let one = |(&a, &b): (&Real, &Real)| decay * a + (Real::constant(1.0) - decay) * b;
            x[0].iter().zip(&x[1]).map(one).collect()
        },
    )
}

/// c0 z + c1 eps + c2 noise + c3 target. z has any shape with `target` [1] or of the same shape, or
/// is [n, c, ..] with `target` [c].
pub fn ou_step(args: &mut Args) -> Result<Plan, String> {
    let z = args.tensor("z")?;
    let eps = args.of_dims("eps", &z.dims)?;
    let noise = args.of_dims("noise", &z.dims)?;
    let target = args.tensor("target")?;
    // One target per number, or one for all: treats each number as a channel.
    let each = target.dims == z.dims || z.dims.len() < 2;
    let c = if each { z.order.len() } else { z.dims[1] };
    if target.dims != [1] && target.dims != [c] && target.dims != z.dims {
        let found = &target.dims;
        let shape = &z.dims;
        return Err(format!(
            "tensor in.target is {found:?}; it must be [1], [{c}] (one number a channel) or {shape:?}"
        ));
    }
    let mut step = Step {
        c0: args.number("c0", None)?,
        c1: 0.0,
        c2: 0.0,
        c3: 0.0,
    };
    (step.c1, step.c2, step.c3) = (
        args.number("c1", None)?,
        args.number("c2", None)?,
        args.number("c3", None)?,
    );
    let shape = if each {
        [1, 1, c]
    } else {
        [z.dims[0], z.order.len() / (z.dims[0] * c), c]
    };
    let ordered = |place: Place| {
        if each { place } else { place.channels_last() }
            .shaped(&shape)
            .constant()
    };
    let out = ordered(args.output("z", &z.dims)?);
    Plan::new(
        vec![
            ordered(z),
            ordered(eps),
            ordered(noise),
            target.flat().constant(),
        ],
        out,
        move |_, x| ops::step_given(&x[0], &x[1], &x[2], &x[3], step),
        move |x| definitions::stepped(x, c, step, |i| x[2][i]),
    )
}
