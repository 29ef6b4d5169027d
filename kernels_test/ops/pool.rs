//! Average and maximum over windows.

use super::{Case, Input, Real};
use crate::ops::{self, Pool};

/// n, h, w, c.
pub(crate) type Sizes = [usize; 4];

/// With kernel_h, kernel_w, stride, pad_h, pad_w.
const ALL: &[(Sizes, [usize; 5])] = &[
    ([1, 1, 1, 1], [1, 1, 1, 0, 0]),
    ([2, 8, 8, 4], [2, 2, 2, 0, 0]),
    ([1, 21, 21, 3], [2, 2, 2, 0, 0]),
    ([1, 21, 21, 3], [3, 3, 2, 1, 1]),
    ([2, 7, 5, 32], [3, 3, 1, 1, 1]),
    ([1, 9, 6, 5], [4, 2, 3, 2, 1]),
    ([1, 7, 8, 2], [2, 3, 4, 1, 0]),
    ([2, 6, 7, 3], [6, 7, 1, 0, 0]),
    ([1, 2, 3, 128], [5, 4, 2, 2, 2]),
    ([1, 3, 2, 513], [3, 1, 1, 1, 0]),
    ([1, 150, 120, 1], [150, 120, 1, 0, 0]),
];

pub fn cases(list: &mut Vec<Case>) {
    for &(sizes, [kh, kw, stride, pad_h, pad_w]) in ALL {
        let pool = Pool {
            kernel: [kh, kw],
            stride,
            padding: [pad_h, pad_w],
            count_include_pad: true,
        };
        let name = format!("{sizes:?} {kh}x{kw} stride {stride} pad {pad_h},{pad_w}");
        for count_include_pad in [true, false] {
            let pool = Pool {
                count_include_pad,
                ..pool
            };
            list.push(Case::new(
                "avg_pool2d",
                format!("{name}{}", if count_include_pad { "" } else { " inside" }),
                vec![Input::normal(&sizes)],
                move |_, x| ops::avg_pool2d(&x[0], pool),
                move |x| average(&x[0], sizes, pool),
            ));
        }
        // Negative, so that padding with zeros would win; random, so that there are no ties.
        list.push(maximum_of(
            format!("{name} negative"),
            Input::uniform(&sizes, -3.0, -1.0),
            sizes,
            pool,
        ));
    }
    // Ties everywhere: their values are equal, so only the choice of which one gets the gradient
    // matters.
    let sizes = [2, 9, 8, 3];
    let numbers = (0..2 * 9 * 8 * 3)
        .map(|i| (i * 7919 % 31 % 3) as f32)
        .collect();
    let ties = Input {
        wants_grad: true,
        ..Input::given(&sizes, numbers)
    };
    let pool = Pool {
        kernel: [3, 3],
        stride: 2,
        padding: [1, 1],
        count_include_pad: true,
    };
    list.push(maximum_of("ties to the first".into(), ties, sizes, pool));
}

fn maximum_of(name: String, input: Input, sizes: Sizes, pool: Pool) -> Case {
    let define = move |x: &[Vec<Real>]| maximum(&x[0], sizes, pool);
    Case::new(
        "max_pool2d",
        name,
        vec![input],
        move |_, x| ops::max_pool2d(&x[0], pool),
        define,
    )
}

/// The first of the largest pixels of each window.
pub(crate) fn maximum(x: &[Real], sizes: Sizes, pool: Pool) -> Vec<Real> {
    let first_of = |a: Real, b: Real| if b.value > a.value { b } else { a };
    let values = windows(x, sizes, pool)
        .into_iter()
        .map(|window| window.into_iter().reduce(first_of));
    values
        .map(|v| v.expect("no window is without a pixel"))
        .collect()
}

/// The average of each window.
pub(crate) fn average(x: &[Real], sizes: Sizes, pool: Pool) -> Vec<Real> {
    let mean = |window: Vec<Real>| {
        let all = pool.kernel[0] * pool.kernel[1];
        let count = if pool.count_include_pad {
            all
        } else {
            window.len()
        };
        Real::sum(window) / Real::constant(count as f64)
    };
    windows(x, sizes, pool).into_iter().map(mean).collect()
}

/// The image's pixels in each window, in raster order.
fn windows(x: &[Real], [n, h, w, c]: Sizes, pool: Pool) -> Vec<Vec<Real>> {
    let [kh, kw] = pool.kernel;
    let stride = pool.stride;
    let [pad_h, pad_w] = pool.padding;
    let out_h = (h + 2 * pad_h - kh) / stride + 1;
    let out_w = (w + 2 * pad_w - kw) / stride + 1;
    let mut all = vec![Vec::new(); n * out_h * out_w * c];
    for (at, window) in all.iter_mut().enumerate() {
        let pixel = at / c;
        let channel = at % c;
        let b = pixel / (out_h * out_w);
        let p = pixel / out_w % out_h;
        let q = pixel % out_w;
        for (i, j) in (0..kh * kw).map(|tap| (tap / kw, tap % kw)) {
            let row = (p * stride + i).wrapping_sub(pad_h);
            let column = (q * stride + j).wrapping_sub(pad_w);
            if row < h && column < w {
                window.push(x[((b * h + row) * w + column) * c + channel]);
            }
        }
    }
    all
}
