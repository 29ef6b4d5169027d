//! The patches that a convolution's taps see, as rows of a matrix (im2col), and their sums back:
//! PyTorch's `unfold` and `fold`. They turn a convolution of few channels into a matrix product,
//! whose kernels are faster.

use super::conv2d::params::{Conv, Params, UNFOLD};
use super::grid;
use crate::tensor::Tensor;

/// `x` [n, h, w, c] → [n, out_h, out_w, taps · c rounded up to a multiple of four], for `kernel`
/// taps down and across; sizes as in [`conv2d`](super::conv2d), masks are ignored. Zeros follow the
/// last tap, and stand where a tap reads outside of the image.
///
/// # Panics
/// If the kernel is larger than the padded image.
#[track_caller]
pub fn unfold(x: &Tensor, kernel: [usize; 2], conv: Conv) -> Tensor {
    unfold_rows(x, Params::of(x.dims(), kernel, Conv { mask: None, ..conv }))
}

/// Sums what [`unfold`] spreads: `rows` [n, out_h, out_w, ..], shaped as `unfold` makes them, → [n,
/// h, w, c] = `image`.
///
/// # Panics
/// If `unfold` of such an image gives rows of another shape.
#[track_caller]
pub fn fold(rows: &Tensor, image: [usize; 4], kernel: [usize; 2], conv: Conv) -> Tensor {
    fold_rows(rows, Params::of(image, kernel, Conv { mask: None, ..conv }))
}

/// [`unfold`] for a convolution without a mask.
pub(super) fn unfold_rows(x: &Tensor, params: Params) -> Tensor {
    let params = params.with_rows();
    unfolded(x, params).with_vjp([x], move |dy, _| [Some(folded(dy, params))])
}

/// [`fold`] for a convolution without a mask.
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
    /// With the length of a row as the number of output channels.
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
