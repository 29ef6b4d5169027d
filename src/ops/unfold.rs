//! The patches that a convolution's taps see, as rows of a matrix, and the sums back (PyTorch's
//! `unfold` and `fold`). With them a convolution of few channels is a product of matrices, whose
//! kernels are faster than those for few channels.

use super::conv2d::params::{Conv, Params, UNFOLD};
use super::grid;
use crate::tensor::Tensor;

/// `x` [n, h, w, c] → [n, out_h, out_w, taps · c, rounded up to a multiple of four], of a kernel of
/// `kernel` taps down and across; sizes as of [`conv2d`](super::conv2d), a mask does not count.
/// Behind the last tap, and where a tap reads outside of the image, are zeros.
///
/// # Panics
/// If the kernel is larger than the padded image.
#[track_caller]
pub fn unfold(x: &Tensor, kernel: [usize; 2], conv: Conv) -> Tensor {
    unfold_rows(x, Params::of(x.dims(), kernel, Conv { mask: None, ..conv }))
}

/// The sums of what [`unfold`] has spread: `rows` [n, out_h, out_w, ..] as it would make them → [n,
/// h, w, c] = `image`.
///
/// # Panics
/// If `unfold` of such an image does not make such rows.
#[track_caller]
pub fn fold(rows: &Tensor, image: [usize; 4], kernel: [usize; 2], conv: Conv) -> Tensor {
    fold_rows(rows, Params::of(image, kernel, Conv { mask: None, ..conv }))
}

/// [`unfold`] for a convolution without a mask.
pub(super) fn unfold_rows(x: &Tensor, params: Params) -> Tensor {
    let params = params.with_rows();
    unfolded(x, params).with_vjp([x], move |dy, _| [Some(folded(dy, params))])
}

/// [`fold`] for one such.
#[track_caller]
pub(super) fn fold_rows(rows: &Tensor, params: Params) -> Tensor {
    let params = params.with_rows();
    assert_eq!(
        rows.shape(),
        params.shapes()[2],
        "fold: rows {:?} of {:?}",
        rows.shape(),
        params.shapes()[0]
    );
    folded(rows, params).with_vjp([rows], move |dy, _| [Some(unfolded(dy, params))])
}

impl Params {
    /// With as many output channels as a row has numbers.
    fn with_rows(self) -> Params {
        Params {
            o: (self.taps * self.c).next_multiple_of(4),
            ..self
        }
    }
}

fn unfolded(x: &Tensor, params: Params) -> Tensor {
    let y = Tensor::uninit(x.gpu(), params.shapes()[2]);
    x.gpu().dispatch(
        &UNFOLD,
        "unfold",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(y.count() / 4, 64),
    );
    y
}

fn folded(rows: &Tensor, params: Params) -> Tensor {
    let y = Tensor::uninit(rows.gpu(), params.shapes()[0]);
    let groups = grid(params.pixels() * params.c.div_ceil(4) as usize, 64);
    rows.gpu().dispatch(
        &UNFOLD,
        "fold",
        &[],
        &[rows.buffer(), y.buffer()],
        &params,
        groups,
    );
    y
}
