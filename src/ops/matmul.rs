//! Matrix products.

use bytemuck::{Pod, Zeroable};

use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("matmul");

/// Rows of an output block.
const ROWS: usize = 4;
/// Most terms of one part of a sum over K.
const PART: usize = 2048;

/// Which operands are transposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trans {
    /// `a` is stored [batch, k, m].
    pub a: bool,
    /// `b` is stored [batch, n, k].
    pub b: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_part: u32,
    a_row: u32,
    a_k: u32,
    a_batch: u32,
    b_k: u32,
    b_column: u32,
    b_batch: u32,
    alpha: f32,
}

/// Batched product `y = op(a) op(b)`: `a` [batch, m, k], `b` [batch, k, n] (each with its last two swapped where
/// `trans` says so), `y` [batch, m, n].
///
/// # Panics
/// If batches or inner sizes differ.
#[track_caller]
pub fn matmul(a: &Tensor, b: &Tensor, trans: Trans) -> Tensor {
    let (saved_a, saved_b) = (a.detach(), b.detach());
    product(a, b, None, trans).with_vjp([a, b], move |dy, [want_a, want_b]| {
        // y = op(a) op(b):  d op(a) = dy op(b)ᵀ,  d op(b) = op(a)ᵀ dy; transposed again where the operand is.
        let da = want_a.then(|| match trans.a {
            false => product(dy, &saved_b, None, Trans { a: false, b: !trans.b }),
            true => product(&saved_b, dy, None, Trans { a: trans.b, b: true }),
        });
        let db = want_b.then(|| match trans.b {
            false => product(&saved_a, dy, None, Trans { a: !trans.a, b: false }),
            true => product(dy, &saved_a, None, Trans { a: true, b: trans.a }),
        });
        [da, db]
    })
}

/// `y = x wᵀ + b`: `x` [.., i], `w` [o, i], `b` [o], `y` [.., o].
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let [o, i] = w.dims();
    let mut dims = x.shape().dims().to_vec();
    assert_eq!(dims.pop(), Some(i), "linear: x {:?} and w {:?}", x.shape(), w.shape());
    let rows = dims.iter().product();
    dims.push(o);
    let (flat, weight) = (x.reshape([1, rows, i]), w.reshape([1, o, i]));
    let Some(b) = b else { return matmul(&flat, &weight, Trans { a: false, b: true }).reshape(dims) };
    assert_eq!(b.dims(), [o], "linear: w {:?} and b {:?}", w.shape(), b.shape());
    let (saved_x, saved_w) = (flat.detach(), weight.detach());
    let y = product(&flat, &weight, Some(b), Trans { a: false, b: true });
    let y = y.with_vjp([&flat, &weight, b], move |dy, [want_x, want_w, want_b]| {
        [
            want_x.then(|| product(dy, &saved_w, None, Trans::default())),
            want_w.then(|| product(dy, &saved_x, None, Trans { a: true, b: false })),
            want_b.then(|| sum_middle(dy, [1, rows, o], 1.0, false).reshape([o])),
        ]
    });
    y.reshape(dims)
}

/// The product without history.
#[track_caller]
fn product(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, trans: Trans) -> Tensor {
    let ([batch, a1, a2], [batch_b, b1, b2]) = (a.dims(), b.dims());
    let (m, k) = if trans.a { (a2, a1) } else { (a1, a2) };
    let (k_b, n) = if trans.b { (b2, b1) } else { (b1, b2) };
    assert!(batch == batch_b && k == k_b, "matmul: a {:?} and b {:?} with {trans:?}", a.shape(), b.shape());
    // Few outputs and a long sum: split it, or most of the GPU would wait. A bias goes with whole sums only.
    let blocks = batch * m.div_ceil(ROWS) * n.div_ceil(4);
    let parts = if k > PART || (bias.is_none() && blocks < 1024 && k >= 512) {
        k.div_ceil(if k > PART { PART } else { 256 })
    } else {
        1
    };
    let part = k.div_ceil(parts);
    let parts = k.div_ceil(part).max(1);
    let params = Params {
        m: m as u32,
        n: n as u32,
        k: k as u32,
        k_part: part as u32,
        a_row: if trans.a { 1 } else { k as u32 },
        a_k: if trans.a { m as u32 } else { 1 },
        a_batch: (m * k) as u32,
        b_k: if trans.b { 1 } else { n as u32 },
        b_column: if trans.b { k as u32 } else { 1 },
        b_batch: (k * n) as u32,
        alpha: 1.0,
    };
    let y = Tensor::uninit(a.gpu(), [parts * batch, m, n]);
    let fused = bias.filter(|_| parts == 1);
    let overrides = [("ROWS", ROWS as u32), ("BIAS", u32::from(fused.is_some()))];
    let buffers = [a.buffer(), b.buffer(), fused.unwrap_or(a).buffer(), y.buffer()];
    let groups = [(m.div_ceil(ROWS) * n.div_ceil(4)).div_ceil(64) as u32, parts as u32, batch as u32];
    a.gpu().dispatch(&SHADER, "direct", &overrides, &buffers, &params, groups);
    if parts == 1 {
        return y;
    }
    let y = sum_middle(&y, [1, parts, batch * m * n], 1.0, false).reshape([batch, m, n]);
    bias.map_or(y.clone(), |bias| super::add(&y, &bias.detach()))
}
