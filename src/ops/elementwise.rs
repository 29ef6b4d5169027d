//! Elementwise functions, and arithmetic with broadcasting.

use bytemuck::{Pod, Zeroable};

use super::{grid, sum_to};
use crate::gpu::{Gpu, Shader, variants};
use crate::tensor::{Shape, Tensor};

pub(super) static VARIANTS: [Shader; 2] = variants!("elementwise");
pub(super) static ARITHMETIC: [Shader; 3] = variants!("arithmetic", "ones");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    scale: f32,
    shift: f32,
}

/// The values of `OP` in the WGSL.
#[derive(Clone, Copy)]
enum Unary {
    Affine,
    Exp,
    Log,
    Square,
    Silu,
    Gelu,
    Relu,
    Elu,
    Tanh,
    Sigmoid,
}

/// Shader, entry point and grid for `count` numbers: the first entry point if `count` is a multiple
/// of four, else the second.
fn kernel(
    gpu: &Gpu,
    count: usize,
    [fours, each]: [&'static str; 2],
) -> (&'static Shader, &'static str, [u32; 3]) {
    if count.is_multiple_of(4) {
        (gpu.form(&VARIANTS), fours, grid(count / 4, 64))
    } else {
        (&VARIANTS[0], each, grid(count, 64))
    }
}

fn unary(x: &Tensor, op: Unary, scale: f32, shift: f32) -> Tensor {
    let y = Tensor::uninit(x.gpu(), x.shape());
    let count = x.count();
    let params = Params {
        count: count as u32,
        scale,
        shift,
    };
    let (shader, entry, groups) = kernel(x.gpu(), count, ["unary", "unary_each"]);
    x.gpu().dispatch(
        shader,
        entry,
        &[("OP", op as u32)],
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    let saved = x.detach();
    y.with_vjp([x], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), dy.shape());
        let (shader, entry, groups) =
            kernel(dy.gpu(), count, ["unary_backward", "unary_backward_each"]);
        let buffers = [saved.buffer(), dy.buffer(), dx.buffer()];
        dy.gpu().dispatch(
            shader,
            entry,
            &[("OP", op as u32)],
            &buffers,
            &params,
            groups,
        );
        [Some(dx)]
    })
}

/// `scale · x + shift`.
pub fn affine(x: &Tensor, scale: f32, shift: f32) -> Tensor {
    unary(x, Unary::Affine, scale, shift)
}

/// eˣ.
pub fn exp(x: &Tensor) -> Tensor {
    unary(x, Unary::Exp, 1.0, 0.0)
}

/// Natural logarithm of positive normal numbers.
pub fn log(x: &Tensor) -> Tensor {
    unary(x, Unary::Log, 1.0, 0.0)
}

/// x².
pub fn square(x: &Tensor) -> Tensor {
    unary(x, Unary::Square, 1.0, 0.0)
}

/// SiLU, x σ(x).
pub fn silu(x: &Tensor) -> Tensor {
    unary(x, Unary::Silu, 1.0, 0.0)
}

/// GELU, x Φ(x), in the exact form (not the tanh approximation).
pub fn gelu(x: &Tensor) -> Tensor {
    unary(x, Unary::Gelu, 1.0, 0.0)
}

/// max(x, 0); its derivative at 0 is 0.
pub fn relu(x: &Tensor) -> Tensor {
    unary(x, Unary::Relu, 1.0, 0.0)
}

/// ELU with α = 1: x where x > 0, else eˣ − 1.
pub fn elu(x: &Tensor) -> Tensor {
    unary(x, Unary::Elu, 1.0, 0.0)
}

/// Hyperbolic tangent.
pub fn tanh(x: &Tensor) -> Tensor {
    unary(x, Unary::Tanh, 1.0, 0.0)
}

/// Logistic function 1/(1 + e⁻ˣ).
pub fn sigmoid(x: &Tensor) -> Tensor {
    unary(x, Unary::Sigmoid, 1.0, 0.0)
}

/// The values of `OP` in the WGSL.
#[derive(Clone, Copy, Debug)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

/// `a + b`, shapes broadcast as in NumPy.
#[track_caller]
pub fn add(a: &Tensor, b: &Tensor) -> Tensor {
    let shape_a = a.shape();
    let shape_b = b.shape();
    binary(a, b, Binary::Add).with_vjp([a, b], move |dy, [want_a, want_b]| {
        [
            want_a.then(|| sum_to(dy, shape_a)),
            want_b.then(|| sum_to(dy, shape_b)),
        ]
    })
}

/// `a − b`, shapes broadcast as in NumPy.
#[track_caller]
pub fn sub(a: &Tensor, b: &Tensor) -> Tensor {
    let shape_a = a.shape();
    let shape_b = b.shape();
    binary(a, b, Binary::Sub).with_vjp([a, b], move |dy, [want_a, want_b]| {
        [
            want_a.then(|| sum_to(dy, shape_a)),
            want_b.then(|| affine(&sum_to(dy, shape_b), -1.0, 0.0)),
        ]
    })
}

/// `a · b` element by element, shapes broadcast as in NumPy.
#[track_caller]
pub fn mul(a: &Tensor, b: &Tensor) -> Tensor {
    let saved_a = a.detach();
    let saved_b = b.detach();
    binary(a, b, Binary::Mul).with_vjp([a, b], move |dy, [want_a, want_b]| {
        [
            want_a.then(|| sum_to(&binary(dy, &saved_b, Binary::Mul), saved_a.shape())),
            want_b.then(|| sum_to(&binary(dy, &saved_a, Binary::Mul), saved_b.shape())),
        ]
    })
}

/// `a / b` element by element, shapes broadcast as in NumPy.
#[track_caller]
pub fn div(a: &Tensor, b: &Tensor) -> Tensor {
    let y = binary(a, b, Binary::Div);
    let shape_a = a.shape();
    let saved_b = b.detach();
    let saved_y = y.clone();
    y.with_vjp([a, b], move |dy, [want_a, want_b]| {
        let scaled = binary(dy, &saved_b, Binary::Div);
        let db = want_b.then(|| {
            affine(
                &sum_to(&binary(&scaled, &saved_y, Binary::Mul), saved_b.shape()),
                -1.0,
                0.0,
            )
        });
        [want_a.then(|| sum_to(&scaled, shape_a)), db]
    })
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Same {
    count: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Broadcast {
    sizes: [u32; 4],
    a: [u32; 4],
    b: [u32; 4],
    count: u32,
    pad: [u32; 3],
}

#[track_caller]
fn binary(a: &Tensor, b: &Tensor, op: Binary) -> Tensor {
    let Some(shape) = a.shape().broadcast(&b.shape()) else {
        panic!(
            "{op:?} of shapes {:?} and {:?}, which do not broadcast",
            a.shape(),
            b.shape()
        )
    };
    let gpu = a.gpu();
    let y = Tensor::uninit(a.gpu(), shape);
    let count = shape.count();
    let overrides = [("OP", op as u32)];
    // Both operands by elements and, where they are not contiguous along a row, by single numbers.
    let buffers = [a.buffer(), b.buffer(), y.buffer(), a.buffer(), b.buffer()];
    if a.shape() == b.shape() {
        let (shader, each) = gpu.form_of(&ARITHMETIC, &[count]);
        let params = Same {
            count: (count / each) as u32,
        };
        gpu.dispatch(
            shader,
            "same",
            &overrides,
            &buffers[..3],
            &params,
            grid(count / each, 64),
        );
        return y;
    }
    let params = strides(shape, a.shape(), b.shape());
    let (shader, each) = gpu.form_of(&ARITHMETIC, &[params.sizes[3] as usize]);
    let params = Broadcast {
        count: (count / each) as u32,
        ..params
    };
    gpu.dispatch(
        shader,
        "broadcast",
        &overrides,
        &buffers,
        &params,
        grid(count / each, 64),
    );
    y
}

/// Sizes and strides of both operands; neighbouring dimensions are merged if both run on evenly.
fn strides(shape: Shape, a: Shape, b: Shape) -> Broadcast {
    let rank = shape.rank();
    let sizes_a = a.padded(rank);
    let sizes_b = b.padded(rank);
    let mut merged: Vec<[usize; 3]> = Vec::new();
    let mut step_a = 1;
    let mut step_b = 1;
    for i in (0..rank).rev() {
        let size = shape.dims()[i];
        let stride_a = if sizes_a[i] == 1 { 0 } else { step_a };
        let stride_b = if sizes_b[i] == 1 { 0 } else { step_b };
        step_a *= sizes_a[i];
        step_b *= sizes_b[i];
        if size == 1 {
            continue;
        }
        match merged.last_mut() {
            Some([n, sa, sb]) if stride_a == *sa * *n && stride_b == *sb * *n => *n *= size,
            _ => merged.push([size, stride_a, stride_b]),
        }
    }
    assert!(
        merged.len() <= 4,
        "shapes {a:?} and {b:?} broadcast over more than four separate dimensions"
    );
    let mut params = Broadcast {
        sizes: [1; 4],
        a: [0; 4],
        b: [0; 4],
        count: shape.count() as u32,
        pad: [0; 3],
    };
    for (i, [size, stride_a, stride_b]) in merged.into_iter().enumerate() {
        (params.sizes[3 - i], params.a[3 - i], params.b[3 - i]) =
            (size as u32, stride_a as u32, stride_b as u32);
    }
    params
}
