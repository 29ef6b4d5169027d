//! Multi-head attention: in tiles that never store the score matrix, or by products that do.
//! Products serve CPU adapters, where barriers cost more than the memory, and shapes where they
//! measure faster.

use bytemuck::{Pod, Zeroable};

use super::family::{Asked, fastest, noise};
use super::layout::{pad_last, permute};
use super::matmul::Trans;
use super::softmax::softmax_of_valid;
use super::{LOOPS, grid};
use crate::gpu::{GROUPS, Override, Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("attention");
pub(super) static BACKWARD: Shader = shader!("attention_backward");

/// Most channels per head: 16 lanes side by side with four vec4s each.
const WIDEST: usize = 256;
/// Up to this many vec4s per row, a lane holds two of them; beyond, four. So tiles have at most 64
/// rows on either side, and lanes hold few sums where they can.
const NARROW: usize = 32;
/// Most scores to store where that is faster: 64 MiB.
const SCORES: usize = 1 << 24;

/// Options of [`attention`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attention {
    /// Query i sees only keys j ≤ i, both counted from the first: the mask is a lower triangle
    /// aligned at the top left, also if the lengths differ, as in ONNX and PyTorch.
    pub causal: bool,
    /// Factor of q kᵀ; `None`: 1/√d.
    pub scale: Option<f32>,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    slabs: u32,
    heads: u32,
    len_own: u32,
    len_other: u32,
    vectors: u32,
    across: u32,
    blocks: u32,
    causal_offset: u32,
    scale: f32,
}

/// y = softmax(scale · q kᵀ) v for each sample and head (Vaswani et al. 2017), in tiles (Dao et al.
/// 2022). `q` [n, len_q, heads, d]; `k`, `v` [n, len_k, heads, d]; y [n, len_q, heads, d].
///
/// # Panics
/// If shapes do not fit, there is no key, d is over 256, or a length is over some 18,000 (d = 256)
/// to 43,000 (see [`LOOPS`]).
#[track_caller]
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: Attention) -> Tensor {
    let [n, _, heads, d] = q.dims::<4>();
    let [_, len_k, ..] = k.dims::<4>();
    assert!(
        k.dims() == [n, len_k, heads, d] && v.dims() == [n, len_k, heads, d],
        "attention: q {:?}, k {:?}, v {:?}",
        q.shape(),
        k.shape(),
        v.shape()
    );
    assert!(len_k >= 1, "attention: no key");
    assert!(
        (1..=WIDEST).contains(&d),
        "attention: {d} channels a head; there may be 1 to {WIDEST}"
    );
    let scale = options.scale.unwrap_or(1.0 / (d as f32).sqrt());
    way(q, k, options.causal)(q, k, v, options.causal, scale)
}

/// [`by_tiles`] or [`unfused`].
type Algorithm = fn(&Tensor, &Tensor, &Tensor, bool, f32) -> Tensor;

/// The faster algorithm. Products only if the scores may be stored: on CPU adapters, or where they
/// were measured to be faster.
fn way(q: &Tensor, k: &Tensor, causal: bool) -> Algorithm {
    let [n, len_q, heads, d] = q.dims();
    let [_, len_k, ..] = k.dims::<4>();
    let gpu = q.gpu();
    if n * heads * len_q * len_k > SCORES || n * heads > GROUPS {
        return by_tiles;
    }
    // Where gradients are wanted, they are half of the work.
    let gradients = gpu.records_gradients() && q.wants_grad();
    let sizes = [
        n,
        len_q,
        heads,
        d,
        len_k,
        usize::from(causal),
        usize::from(gradients),
    ]
    .map(|size| size as u32);
    let own = [
        &SHADER,
        &BACKWARD,
        &super::softmax::VARIANTS[0],
        &super::layout::VARIANTS[0],
    ];
    let asked = Asked {
        op: "attention",
        shaders: &[&own, &super::matmul::MEASURED],
        sizes: &sizes,
    };
    let ways = || -> Vec<(_, Algorithm)> { vec![("tiles", by_tiles), ("products", unfused)] };
    let found = fastest(gpu, asked, ways, || {
        let shapes = [q, k, k].map(|x| x.shape());
        let operands: [Tensor; 3] = std::array::from_fn(|i| noise(gpu, shapes[i], i as u32));
        let scale = 1.0 / (d as f32).sqrt();
        move |way: Algorithm| {
            let [q, k, v] = operands
                .each_ref()
                .map(|x| if gradients { x.leaf() } else { x.clone() });
            let y = way(&q, &k, &v, causal, scale);
            if !gradients {
                return vec![y];
            }
            let gradients = super::mean_all(&super::square(&y)).backward();
            let of = |x: &Tensor| gradients.get(x).cloned();
            [Some(y.detach()), of(&q), of(&k), of(&v)]
                .into_iter()
                .flatten()
                .collect()
        }
    });
    found.unwrap_or(if gpu.is_cpu() { unfused } else { by_tiles })
}

/// In tiles, with rows padded to whole vec4s.
fn by_tiles(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool, scale: f32) -> Tensor {
    let [.., d] = q.dims::<4>();
    let width = d.next_multiple_of(4);
    let [q, k, v] = [q, k, v].map(|x| pad_last(x, width));
    pad_last(&whole_vectors(&q, &k, &v, causal, scale), d)
}

/// As two batched products with a softmax between them, all sizes padded to multiples of four.
/// Stores the scores.
fn unfused(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool, scale: f32) -> Tensor {
    let [n, len_q, heads, d] = q.dims::<4>();
    let [_, len_k, ..] = k.dims::<4>();
    let width = d.next_multiple_of(4);
    let [q, k, v] = [q, k, v].map(|x| {
        let length = x.dims::<4>()[1].next_multiple_of(4);
        permute(x, [heads, length, width]).reshape([n * heads, length, width])
    });
    let scores = super::matmul(&q, &k, Trans { a: false, b: true });
    let y = super::matmul(
        &softmax_of_valid(&scores, scale, len_k, causal),
        &v,
        Trans::default(),
    );
    let [_, length, _] = y.dims();
    permute(&y.reshape([n, heads, length, width]), [len_q, heads, d])
}

/// Attention on rows of whole vec4s.
fn whole_vectors(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool, scale: f32) -> Tensor {
    let params = Params::of(q, k, causal, scale);
    let gpu = q.gpu();
    let [n, len_q, heads, _] = q.dims();
    let y = Tensor::uninit(gpu, q.shape());
    let lse = Tensor::uninit(gpu, [n, len_q, heads]);
    // One product of all queries with all keys. The forward pass has two: scores and weighted sum;
    // both backward kernels repeat the scores.
    let product = 2 * q.count() * k.dims::<4>()[1];
    gpu.count_flops(2 * product);
    let buffers = [q.buffer(), k.buffer(), v.buffer(), y.buffer(), lse.buffer()];
    gpu.dispatch(
        &SHADER,
        "forward",
        &params.overrides(),
        &buffers,
        &params,
        params.grid(),
    );
    let saved_q = q.detach();
    let saved_k = k.detach();
    let saved_v = v.detach();
    let saved_y = y.clone();
    y.with_vjp([q, k, v], move |dy, [want_q, want_k, want_v]| {
        let q = &saved_q;
        let k = &saved_k;
        let v = &saved_v;
        let gpu = dy.gpu();
        let delta = Tensor::uninit(gpu, lse.shape());
        let buffers = [saved_y.buffer(), dy.buffer(), delta.buffer()];
        gpu.dispatch(
            &BACKWARD,
            "backward_dots",
            &[],
            &buffers,
            &params,
            grid(delta.count(), 64),
        );
        let rows = [lse.buffer(), delta.buffer()];
        let dq = want_q.then(|| {
            gpu.count_flops(3 * product);
            let dq = Tensor::uninit(gpu, q.shape());
            let buffers = [
                q.buffer(),
                k.buffer(),
                dy.buffer(),
                v.buffer(),
                rows[0],
                rows[1],
                dq.buffer(),
            ];
            gpu.dispatch(
                &BACKWARD,
                "backward_query",
                &params.overrides(),
                &buffers,
                &params,
                params.grid(),
            );
            dq
        });
        if !want_k && !want_v {
            return [dq, None, None];
        }
        gpu.count_flops(4 * product);
        let params = Params::of(k, q, causal, scale);
        let dk = Tensor::uninit(gpu, k.shape());
        let dv = Tensor::uninit(gpu, k.shape());
        let buffers = [
            k.buffer(),
            q.buffer(),
            v.buffer(),
            dy.buffer(),
            rows[0],
            rows[1],
            dk.buffer(),
            dv.buffer(),
        ];
        gpu.dispatch(
            &BACKWARD,
            "backward_key",
            &params.overrides(),
            &buffers,
            &params,
            params.grid(),
        );
        [dq, Some(dk), Some(dv)]
    })
}

impl Params {
    /// For workgroups that own rows of `own` and loop over the rows of `other`.
    #[track_caller]
    fn of(own: &Tensor, other: &Tensor, causal: bool, scale: f32) -> Params {
        let [n, len_own, heads, width] = own.dims::<4>();
        let [_, len_other, ..] = other.dims::<4>();
        let vectors = width / 4;
        let each = if vectors > NARROW { 4 } else { 2 };
        let across = vectors.div_ceil(each).next_power_of_two().max(4);
        let rounds = len_other.div_ceil(4 * across) * (2 * vectors + 5 * across);
        assert!(
            rounds <= LOOPS,
            "attention: {len_other} rows of {width} channels take {rounds} rounds of {LOOPS}"
        );
        Params {
            slabs: (n * heads) as u32,
            heads: heads as u32,
            len_own: len_own as u32,
            len_other: len_other as u32,
            vectors: vectors as u32,
            across: across as u32,
            blocks: len_own.div_ceil(256 / across) as u32,
            // Far beyond any key, yet far from overflow.
            causal_offset: if causal { 0 } else { 1 << 30 },
            scale,
        }
    }

    fn overrides(&self) -> [Override; 1] {
        [("WIDE", u32::from(self.vectors as usize > NARROW))]
    }

    fn grid(&self) -> [u32; 3] {
        grid((self.slabs * self.blocks) as usize, 1)
    }
}
