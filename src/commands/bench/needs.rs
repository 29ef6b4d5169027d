//! The minimum work of a case: its operations, and the bytes moved if everything is read and
//! written once. With the adapter's two ceilings this gives the least time it can take (the
//! roofline model, Williams et al. 2009).

use super::work::{Case, Direction, Work};

/// An adapter's ceilings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Multiplications and additions in registers, 10⁹ per second.
    pub fma_gflops: f64,
    /// Bytes read and written by a copy, 10⁹ per second.
    pub copy_gbs: f64,
}

/// Operations and bytes of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes of its inputs and outputs; `None` if they are not counted (training steps).
    pub bytes: Option<f64>,
}

impl Needs {
    /// The needs of `case`; 0 for training steps, whose operations are counted while they are
    /// recorded.
    pub fn of(case: &Case) -> Needs {
        let [flops, words] = match (&case.work, case.direction) {
            (Work::Train { .. } | Work::UnetStep { .. }, _) => return Needs::default(),
            (Work::Matmul { m, k, n }, direction) => {
                let [a, b, y] = [m * k, k * n, m * n];
                let products = if direction == Direction::Forward {
                    1
                } else {
                    2
                };
                [
                    products * 2 * m * k * n,
                    a + b + y + if products == 2 { a + b } else { 0 },
                ]
            }
            (work @ (Work::Conv2d { .. } | Work::ConvTranspose2d { .. }), _) => convolution(work),
            // Mean, variance, scale, shift and SiLU take about 12 operations per element, their
            // gradients twice as many.
            (Work::GroupNormSilu { n, h, w, c, .. }, Direction::Forward) => {
                [12 * n * h * w * c, 2 * n * h * w * c]
            }
            (Work::GroupNormSilu { n, h, w, c, .. }, _) => [24 * n * h * w * c, 3 * n * h * w * c],
            // q kᵀ and p v; backward: dv, dp, dq, dk, and q kᵀ again.
            (Work::Attention { n, len, d }, Direction::Forward) => {
                [4 * n * len * len * d, 4 * n * len * d]
            }
            (Work::Attention { n, len, d }, _) => [10 * n * len * len * d, 8 * n * len * d],
            (Work::Nearest { rows, d, codes }, _) => {
                [2 * rows * d * codes, rows * d + d * codes + rows]
            }
            // Reads gradient, weight, two moments and average; writes all but the gradient.
            (Work::Adam { count }, _) => [18 * count, 9 * count],
            // Philox and Box-Muller take about 40 operations per element.
            (Work::OuStep { n, h, w, c }, _) => [46 * n * h * w * c, 3 * n * h * w * c],
        };
        Needs {
            flops: flops as f64,
            bytes: Some(4.0 * words as f64),
        }
    }

    /// The least time on an adapter with these ceilings, seconds.
    pub fn least_seconds(&self, ceilings: Ceilings) -> f64 {
        let memory = self.bytes.unwrap_or(0.0) / (1e9 * ceilings.copy_gbs);
        memory.max(self.flops / (1e9 * ceilings.fma_gflops))
    }

    /// The fraction of the ceiling that a time of `seconds` reaches; above 1 if the data come from
    /// a cache.
    pub fn share(&self, seconds: f64, ceilings: Ceilings) -> f64 {
        self.least_seconds(ceilings) / seconds
    }
}

/// Operations and words of a convolution, the same in every direction since each involves all three
/// tensors. Taps on the padding are counted.
fn convolution(work: &Work) -> [usize; 2] {
    let (transposed, &[n, h, w, c, o, kernel, stride, padding]) = match work {
        Work::Conv2d {
            n,
            h,
            w,
            c,
            o,
            kernel,
            stride,
            padding,
        } => (false, &[*n, *h, *w, *c, *o, *kernel, *stride, *padding]),
        Work::ConvTranspose2d {
            n,
            h,
            w,
            c,
            o,
            kernel,
            stride,
            padding,
        } => (true, &[*n, *h, *w, *c, *o, *kernel, *stride, *padding]),
        _ => return [0, 0],
    };
    let out = |size: usize| {
        if transposed {
            (size - 1) * stride + kernel - 2 * padding
        } else {
            (size + 2 * padding - kernel) / stride + 1
        }
    };
    let x = n * h * w * c;
    let y = n * out(h) * out(w) * o;
    let weight = kernel * kernel * c * o;
    let pairs = if transposed { x * o } else { y * c };
    [2 * pairs * kernel * kernel, x + y + weight]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::prepared::Prepared;
    use crate::commands::bench::work::kernels;
    use crate::gpu::Gpu;

    const CEILINGS: Ceilings = Ceilings {
        fma_gflops: 100.0,
        copy_gbs: 10.0,
    };

    #[test]
    fn the_lower_roof_counts() {
        // The two roofs meet at 10 operations per byte.
        let bound_by_memory = Needs {
            flops: 1e9,
            bytes: Some(1e9),
        };
        assert_eq!(bound_by_memory.least_seconds(CEILINGS), 0.1);
        assert_eq!(bound_by_memory.share(0.4, CEILINGS), 0.25);
        let bound_by_arithmetic = Needs {
            flops: 2e10,
            bytes: Some(1e9),
        };
        assert_eq!(bound_by_arithmetic.least_seconds(CEILINGS), 0.2);
        assert_eq!(
            Needs {
                bytes: None,
                ..bound_by_arithmetic
            }
            .share(0.2, CEILINGS),
            1.0
        );
        let meeting = Needs {
            flops: 1e10,
            bytes: Some(1e9),
        };
        assert_eq!(meeting.least_seconds(CEILINGS), 0.1);
    }

    #[test]
    fn a_product_reads_and_writes_three_matrices() {
        let case = |direction| Case {
            work: Work::Matmul { m: 2, k: 3, n: 5 },
            direction,
        };
        let forward = Needs::of(&case(Direction::Forward));
        assert_eq!(
            forward,
            Needs {
                flops: 60.0,
                bytes: Some(4.0 * (6.0 + 15.0 + 10.0))
            }
        );
        // dA = dy Bᵀ, dB = Aᵀ dy: reads three, writes two.
        let backward = Needs::of(&case(Direction::Backward));
        assert_eq!(
            backward,
            Needs {
                flops: 120.0,
                bytes: Some(4.0 * (2.0 * 6.0 + 2.0 * 15.0 + 10.0))
            }
        );
    }

    #[test]
    fn operations_are_those_that_the_engine_counts() {
        let gpu = Gpu::rehearsal(None, u64::MAX).expect("a rehearsal");
        let mut compared = 0;
        for work in kernels() {
            for &direction in work.directions() {
                let case = Case {
                    work: work.clone(),
                    direction,
                };
                let prepared = Prepared::new(&gpu, &case).expect("a kernel needs no data");
                let counted = prepared.count(&gpu) as f64;
                // The engine recomputes the attention scores in both backward kernels.
                if counted > 0.0
                    && !(case.work.op() == "attention" && direction == Direction::Backward)
                {
                    assert_eq!(counted, Needs::of(&case).flops, "{case}");
                    compared += 1;
                }
            }
        }
        assert!(compared >= 20, "only {compared} cases");
    }
}
