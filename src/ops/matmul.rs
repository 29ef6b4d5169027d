//! Matrix products.

use bytemuck::{Pod, Zeroable};

use super::family::{Asked, Gradient, KernelFamily, Tiled, fastest, noise, tiled};
use super::reduce::{VARIANTS, sum_middle, sum_parts};
use crate::gpu::{GROUPS, Gpu, Override, Shader, shader};
use crate::tensor::{Shape, Tensor};

pub(super) static SHADER: Shader = shader!("matmul");
pub(super) static VEC4: Shader = shader!("matmul_vec4");
pub(super) static LANES: Shader = shader!("matmul_lanes");
pub(super) static TILED: Tiled = tiled!("matmul_tiled");
/// The kernels that measuring chooses from, and the one that sums their parts.
pub(super) static MEASURED: [&Shader; 6] =
    [&VEC4, &LANES, &TILED[0], &TILED[1], &TILED[2], &VARIANTS[0]];

/// Rows and columns of a block of outputs.
const BLOCK: usize = 4;
/// Most columns for which a subgroup's block is half as wide.
const NARROW: usize = 32;
/// Most terms per part of a sum over K.
const PART: usize = 2048;

/// Whether products on cooperative matrices give the known sums. Operands are small multiples of
/// 1/16, which f16 holds and f32 sums exactly. Tries every tile, with the left operand, the right
/// one or neither as a gradient.
pub fn matrices_are_right(gpu: &Gpu) -> bool {
    let [m, k, n] = [132, 100, 132];
    let whole = |count: usize, of: usize| {
        (0..count)
            .map(|i| (i * 37 % of) as f32 / 16.0 - 0.5)
            .collect::<Vec<_>>()
    };
    let left = whole(m * k, 17);
    let right = whole(k * n, 19);
    let sum = |at: usize| {
        (0..k)
            .map(|i| left[at / n * k + i] * right[i * n + at % n])
            .sum::<f32>()
    };
    let sums: Vec<f32> = (0..m * n).map(sum).collect();
    let [a, b] =
        [(&left, [1, m, k]), (&right, [1, k, n])].map(|(x, dims)| Tensor::from_slice(gpu, x, dims));
    let kinds = [Gradient::Neither, Gradient::Left, Gradient::Right];
    let all = KernelFamily::on_matrices(gpu)
        .into_iter()
        .flat_map(|family| kinds.map(|gradient| (family, gradient)));
    let product = |(family, gradient)| {
        let epilogue = Epilogue {
            gradient,
            ..Epilogue::default()
        };
        product_by(family, [1, m, n, k], &a, &b, epilogue, Trans::default()).to_vec()
    };
    all.map(product).all(|found| found == sums)
}

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
    fold: u32,
}

/// Batched product `y = op(a) op(b)`: `a` [batch, m, k], `b` [batch, k, n] (with the last two
/// dimensions swapped where `trans` says so), `y` [batch, m, n].
///
/// # Panics
/// If batches or inner sizes differ.
#[track_caller]
pub fn matmul(a: &Tensor, b: &Tensor, trans: Trans) -> Tensor {
    product(a, b, Epilogue::default(), trans).with_vjp([a, b], gradients(a, b, trans))
}

/// `y = x wᵀ + b`: `x` [.., i], `w` [o, i], `b` `[o]`, `y` [.., o].
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let (flat, weight, dims) = rows(x, w);
    if let Some(b) = b {
        assert_eq!(
            b.dims(),
            [w.shape().dims()[0]],
            "linear: w {:?} and b {:?}",
            w.shape(),
            b.shape()
        );
    }
    product_with_bias(&flat, &weight, b, WEIGHT)
        .reshape(dims)
        .noted(&[&[w], b.as_slice()].concat())
}

/// `y = x wᵀ + residual`: [`linear`] with `residual`, of y's shape, added in the same pass.
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn linear_residual(x: &Tensor, w: &Tensor, residual: &Tensor) -> Tensor {
    let (flat, weight, dims) = rows(x, w);
    assert_eq!(
        residual.shape(),
        Shape::from(&dims),
        "linear_residual: x {:?} and the residual",
        x.shape()
    );
    let gradients = gradients(&flat, &weight, WEIGHT);
    let shape = [1, flat.shape().dims()[1], w.shape().dims()[0]];
    let y = product(
        &flat,
        &weight,
        Epilogue {
            residual: Some(residual),
            ..Epilogue::default()
        },
        WEIGHT,
    );
    let y = y.with_vjp(
        [&flat, &weight, &residual.reshape(shape)],
        move |dy, [want_x, want_w, _]| {
            let [dx, dw] = gradients(dy, [want_x, want_w]);
            [dx, dw, Some(dy.clone())]
        },
    );
    y.reshape(dims).noted(&[w])
}

/// `y = x op(w) + b`: `x` [1, rows, i], `w` [1, i, o] or as `trans` says, `b` `[o]`, `y` [1, rows,
/// o].
#[track_caller]
pub(super) fn product_with_bias(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    trans: Trans,
) -> Tensor {
    let Some(b) = b else {
        return matmul(x, w, trans);
    };
    let gradients = gradients(x, w, trans);
    let y = product(
        x,
        w,
        Epilogue {
            bias: Some(b),
            ..Epilogue::default()
        },
        trans,
    );
    let [_, rows, o] = y.dims();
    y.with_vjp([x, w, b], move |dy, [want_x, want_w, want_b]| {
        let [dx, dw] = gradients(dy, [want_x, want_w]);
        [
            dx,
            dw,
            want_b.then(|| sum_middle(dy, [1, rows, o], 1.0, false).reshape([o])),
        ]
    })
}

/// How `w` [o, i] enters a product with rows.
const WEIGHT: Trans = Trans { a: false, b: true };

/// `x` as [1, rows, i], `w` as [1, o, i], and the result's dimensions.
#[track_caller]
fn rows(x: &Tensor, w: &Tensor) -> (Tensor, Tensor, Vec<usize>) {
    let [o, i] = w.dims();
    let mut dims = x.shape().dims().to_vec();
    assert_eq!(
        dims.pop(),
        Some(i),
        "linear: x {:?} and w {:?}",
        x.shape(),
        w.shape()
    );
    let rows = dims.iter().product();
    dims.push(o);
    (x.reshape([1, rows, i]), w.reshape([1, o, i]), dims)
}

/// Gradients of y = op(a) op(b): d op(a) = dy op(b)ᵀ, d op(b) = op(a)ᵀ dy; transposed where the
/// operand is.
fn gradients(
    a: &Tensor,
    b: &Tensor,
    trans: Trans,
) -> impl Fn(&Tensor, [bool; 2]) -> [Option<Tensor>; 2] + 'static {
    let a = a.detach();
    let b = b.detach();
    let of = |gradient| Epilogue {
        gradient,
        ..Epilogue::default()
    };
    let [left, right] = [of(Gradient::Left), of(Gradient::Right)];
    move |dy, [want_a, want_b]| {
        let da = want_a.then(|| {
            if trans.a {
                product(
                    &b,
                    dy,
                    right,
                    Trans {
                        a: trans.b,
                        b: true,
                    },
                )
            } else {
                product(
                    dy,
                    &b,
                    left,
                    Trans {
                        a: false,
                        b: !trans.b,
                    },
                )
            }
        });
        let db = want_b.then(|| {
            if trans.b {
                product(
                    dy,
                    &a,
                    left,
                    Trans {
                        a: true,
                        b: trans.a,
                    },
                )
            } else {
                product(
                    &a,
                    dy,
                    right,
                    Trans {
                        a: !trans.a,
                        b: false,
                    },
                )
            }
        });
        [da, db]
    }
}

impl KernelFamily {
    /// Workgroups for an output [m, n].
    fn groups(self, m: usize, n: usize) -> usize {
        match self {
            KernelFamily::Scalar => (m.div_ceil(BLOCK) * n.div_ceil(BLOCK)).div_ceil(64),
            KernelFamily::Vec4 => (m.div_ceil(2 * BLOCK) * n.div_ceil(BLOCK)).div_ceil(64),
            KernelFamily::Lanes => {
                m.div_ceil(32) * n.div_ceil(if n > NARROW { 2 * NARROW } else { NARROW })
            }
            KernelFamily::Tiled(tile) => tile.count(m, n),
        }
    }

    /// Parts of a sum over K. Splits long sums of few outputs, or most of the GPU would idle.
    fn parts(self, [batch, m, n, k]: [usize; 4]) -> usize {
        let least = k.div_ceil(PART).max(1);
        match self {
            KernelFamily::Lanes => (64 / (batch * self.groups(m, n))).min(k / 256).max(least),
            // A round takes at least sixteen terms.
            KernelFamily::Tiled(tile) => {
                let tiles = batch * self.groups(m, n);
                (128 / tiles)
                    .min(k / 256)
                    .max(k.div_ceil(16 * PART))
                    .max(tile.parts(tiles, k))
            }
            _ if batch * m.div_ceil(BLOCK) * n.div_ceil(BLOCK) < 1024 && k >= 512 => {
                k.div_ceil(256)
            }
            _ => least,
        }
        .min(GROUPS)
    }
}

/// What is added to a product in the same pass, and which operand is a gradient: that one is scaled
/// before rounding to f16, and the sum scaled back.
#[derive(Clone, Copy, Default)]
pub(super) struct Epilogue<'a> {
    bias: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
    gradient: Gradient,
}

/// The product, not recorded on the tape.
#[track_caller]
fn product(a: &Tensor, b: &Tensor, epilogue: Epilogue, trans: Trans) -> Tensor {
    let [batch, m, n, k] = sizes(a, b, trans);
    a.gpu().count_flops(2 * batch * m * n * k);
    uncounted(a, b, epilogue, trans)
}

/// [`product`] for an op that counts its floating-point operations itself.
#[track_caller]
pub(super) fn uncounted(a: &Tensor, b: &Tensor, epilogue: Epilogue, trans: Trans) -> Tensor {
    let sizes = sizes(a, b, trans);
    let [batch, m, n, k] = sizes;
    let gpu = a.gpu();
    // A vec4 runs along K, or along the rows of a transposed a and the columns of a plain b.
    let vectors = k % 4 == 0 && (!trans.a || m % 4 == 0) && (trans.b || n % 4 == 0);
    if vectors && n % 4 != 0 {
        // Kernels that share loads write whole vec4s.
        return product_by(KernelFamily::Vec4, sizes, a, b, epilogue, trans);
    }
    let by_rule = KernelFamily::by_rule(gpu, vectors, [m, n]);
    if by_rule == KernelFamily::Scalar {
        return product_by(by_rule, sizes, a, b, epilogue, trans);
    }
    let asked =
        [batch, m, n, k, usize::from(trans.a), usize::from(trans.b)].map(|size| size as u32);
    let asked = Asked {
        op: "matmul",
        shaders: &[&MEASURED],
        sizes: &asked,
    };
    let found = fastest(
        gpu,
        asked,
        || KernelFamily::all(gpu, |tile| tile.parts(batch * tile.count(m, n), k)),
        || {
            let [a, b] = [(a, 0), (b, 1)].map(|(t, stream)| noise(gpu, t.shape(), stream));
            let epilogue = Epilogue {
                gradient: epilogue.gradient,
                ..Epilogue::default()
            };
            move |family| vec![product_by(family, sizes, &a, &b, epilogue, trans)]
        },
    );
    product_by(found.unwrap_or(by_rule), sizes, a, b, epilogue, trans)
}

/// Batch, rows, columns and terms (K) of a product.
#[track_caller]
fn sizes(a: &Tensor, b: &Tensor, trans: Trans) -> [usize; 4] {
    let [batch, a1, a2] = a.dims();
    let [batch_b, b1, b2] = b.dims();
    let (m, k) = if trans.a { (a2, a1) } else { (a1, a2) };
    let (k_b, n) = if trans.b { (b2, b1) } else { (b1, b2) };
    assert!(
        batch == batch_b && k == k_b,
        "matmul: a {:?} and b {:?} with {trans:?}",
        a.shape(),
        b.shape()
    );
    [batch, m, n, k]
}

/// The product by `family`, of these [`sizes`].
fn product_by(
    family: KernelFamily,
    sizes: [usize; 4],
    a: &Tensor,
    b: &Tensor,
    epilogue: Epilogue,
    trans: Trans,
) -> Tensor {
    let [batch, m, n, k] = sizes;
    let blocks = family.groups(m, n);
    let parts = family.parts(sizes);
    let part = k.div_ceil(parts).next_multiple_of(4);
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
        fold: blocks.div_ceil(GROUPS).max(1) as u32,
    };
    let y = Tensor::uninit(a.gpu(), [parts * batch, m, n]);
    let whole = parts == 1;
    let bias = epilogue.bias.filter(|_| whole);
    let residual = epilogue.residual.filter(|_| whole);
    let buffers = [
        a.buffer(),
        b.buffer(),
        bias.unwrap_or(a).buffer(),
        residual.unwrap_or(a).buffer(),
        y.buffer(),
    ];
    let flags = [
        bias.is_some(),
        residual.is_some(),
        trans.a,
        !trans.b,
        n > NARROW,
    ]
    .map(u32::from);
    let names = ["BIAS", "RESIDUAL", "A_ROWS", "B_COLUMNS", "WIDE"];
    let flags: [Override; 5] = std::array::from_fn(|i| (names[i], flags[i]));
    let groups = [
        blocks.div_ceil(params.fold as usize) as u32,
        parts as u32,
        batch as u32 * params.fold,
    ];
    let (shader, entry, overrides) = match family {
        KernelFamily::Scalar => (&SHADER, "direct", flags[..2].to_vec()),
        KernelFamily::Vec4 => (&VEC4, "direct", flags[..4].to_vec()),
        KernelFamily::Lanes => (&LANES, "lanes", flags.to_vec()),
        KernelFamily::Tiled(tile) => (
            tile.shader(&TILED),
            "tiled",
            [&flags[..4], &tile.overrides(epilogue.gradient)].concat(),
        ),
    };
    a.gpu()
        .dispatch(shader, entry, &overrides, &buffers, &params, groups);
    if whole {
        return y;
    }
    if n % 4 == 0 {
        let added = [epilogue.bias, epilogue.residual];
        return sum_parts(&y, parts, [batch * m, n], added).reshape([batch, m, n]);
    }
    let mut y = sum_middle(&y, [1, parts, batch * m * n], 1.0, false).reshape([batch, m, n]);
    if let Some(bias) = epilogue.bias {
        y = super::add(&y, &bias.detach());
    }
    match epilogue.residual {
        Some(residual) => super::add(&y, &residual.detach().reshape([batch, m, n])),
        None => y,
    }
}
