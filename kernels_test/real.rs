//! The number type of definitions: a value in f64, its derivative along one direction, and a bound
//! on its error in f32 arithmetic of WGSL's precision.
//!
//! One plain definition of an op thus gives what the forward check compares with, how far the GPU
//! may be off, and the directional derivative for the gradient check. The bounds are first-order
//! running error bounds (Higham 2002, chapter 3) with unit roundoff u = 2⁻²³, because WGSL rounds
//! either way. Builtins carry the bounds of the WGSL specification, our own functions
//! (`shaders/shared/accurate.wgsl`) their own.
//!
//! A sum of n terms may be off by γ_n Σ|term| within the specification. An adapter whose roundings
//! are independent stays below λ√n u Σ|term| (Higham & Mary 2019), which is the `likely` bound: an
//! adapter beyond it conforms, but rounds worse than it needs to.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::tape::{self, Partial};

/// Unit roundoff of WGSL's `+ - *`, which round correctly but in either direction.
pub const U: f64 = 1.0 / (1 << 23) as f64;

/// λ of the likely bound on sums: it holds for all but 2 exp(−λ²/2) of them, 3e-8.
const LAMBDA: f64 = 6.0;

/// A value, its derivative along the case's direction, and bounds on its error in f32.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real {
    /// The value in f64.
    pub value: f64,
    /// Derivative along the direction.
    pub tangent: f64,
    /// Error in f32 that the specification allows.
    pub bound: f64,
    /// Largest error of f32 with independent roundings.
    pub likely: f64,
    /// Magnitude before cancellation: |value| if nothing cancels, else more. A relative error of u
    /// in every term makes an error of u times this.
    pub size: f64,
    /// Index of its node on the recording tape; 0 for constants and when nothing records.
    pub(super) node: u32,
}

impl Real {
    /// An exact constant.
    pub fn constant(value: f64) -> Real {
        Real {
            value,
            size: value.abs(),
            ..Real::default()
        }
    }

    /// A constant that f32 holds rounded, such as a coefficient the host computed in f64.
    pub fn rounded(value: f64) -> Real {
        Real::within(value, value.abs() * U)
    }

    /// A code as the check compares it: its high and low half.
    pub fn code(code: u32) -> [Real; 2] {
        [
            Real::constant(f64::from(code >> 16)),
            Real::constant(f64::from(code & 0xffff)),
        ]
    }

    /// A value that is off by at most `bound`, which is its likely bound too.
    pub fn within(value: f64, bound: f64) -> Real {
        Real {
            bound,
            likely: bound,
            ..Real::constant(value)
        }
    }

    /// An input element of a case, with its component of the direction.
    pub fn input(value: f64, tangent: f64) -> Real {
        Real {
            tangent,
            ..Real::constant(value)
        }
    }

    /// The same as a leaf of the recording tape, if there is one.
    pub(super) fn leaf(self) -> Real {
        Real {
            node: tape::leaf(),
            ..self
        }
    }

    /// The same as a constant, for what a result does not depend on, such as the maximum that
    /// softmax subtracts.
    pub fn detached(self) -> Real {
        Real {
            tangent: 0.0,
            node: 0,
            ..self
        }
    }

    /// How far its size exceeds |value|.
    fn excess(self) -> f64 {
        (self.size - self.value.abs()).max(0.0)
    }

    /// f(self) with derivative `slope`, where computing f adds the error `own`.
    fn map(self, value: f64, slope: Partial, own: f64) -> Real {
        let steep = slope.value.abs();
        Real {
            value,
            tangent: slope.value * self.tangent,
            bound: steep * self.bound + own,
            likely: steep * self.likely + own,
            size: value.abs() + steep * self.excess(),
            node: tape::node([(self.node, slope)]),
        }
    }

    /// Σ of `terms`, in whatever order the kernel adds them: γ_n Σ|term|.
    pub fn sum(terms: impl IntoIterator<Item = Real>) -> Real {
        let mut n = 0.0;
        let mut size = 0.0;
        let mut total = Real::default();
        let mut nodes = Vec::new();
        for term in terms {
            n += 1.0;
            size += term.value.abs();
            total.value += term.value;
            total.tangent += term.tangent;
            total.bound += term.bound;
            total.likely += term.likely;
            total.size += term.size;
            if term.node != 0 {
                nodes.push(term.node);
            }
        }
        let gamma = n * U / (1.0 - n * U);
        let likely = gamma.min(LAMBDA * n.sqrt() * U);
        let node = tape::sum(&nodes);
        Real {
            bound: total.bound + gamma * size,
            likely: total.likely + likely * size,
            node,
            ..total
        }
    }

    /// eˣ: 3 + 2|x| ULP.
    pub fn exp(self) -> Real {
        let y = self.value.exp();
        let own = (3.0 + 2.0 * self.value.abs()) * U * y;
        // eˣ is its own derivative, error included.
        self.map(
            y,
            Partial {
                value: y,
                bound: y * self.bound + own,
                size: y + y * self.excess(),
            },
            own,
        )
    }

    /// ln x by `accurate_log`: 3 ULP, and the rounding of e · ln 2 where the result is large.
    pub fn ln(self) -> Real {
        let y = self.value.ln();
        let slope = 1.0 / self.value;
        let relative = slope.abs() * self.bound;
        let partial = Partial {
            value: slope,
            bound: slope.abs() * relative,
            size: slope * slope * self.size,
        };
        self.map(y, partial, 3.0 * U * y.abs() + 1e-9)
    }

    /// √x: 1/inverseSqrt(x), 2 and 2.5 ULP.
    pub fn sqrt(self) -> Real {
        let y = self.value.sqrt();
        let slope = 0.5 / y;
        let own = 5.0 * U * y;
        let relative = slope * self.bound / y;
        let partial = Partial {
            value: slope,
            bound: slope * (relative + 5.0 * U),
            size: slope * (1.0 + slope * self.excess() / y),
        };
        self.map(y, partial, own)
    }

    /// 1/√x for an x that no error takes below `least`, such as a sum of squares plus a constant: 5
    /// ULP, and 2.5 of the quotient. Errors may be as large as x itself, so the bound is over the
    /// interval rather than first-order.
    pub fn inverse_root(self, least: f64) -> Real {
        let x = self.value;
        let least = least.min(self.value);
        let at = |x: f64| 1.0 / x.sqrt();
        let steep = |x: f64| 0.5 / (x * x.sqrt());
        let y = at(x);
        let slope = steep(x);
        let within = |f: &dyn Fn(f64) -> f64, error: f64| {
            let low = (x - error).max(least);
            let high = x + error;
            (f(low) - f(x)).max(f(x) - f(high))
        };
        let own = 7.5 * U * y;
        let likely = within(&at, self.likely);
        let partial = Partial {
            value: -slope,
            bound: within(&steep, self.bound) + 3.0 * 7.5 * U * slope,
            size: slope * (1.0 + 1.5 * self.excess() / x),
        };
        let mapped = self.map(y, partial, own);
        Real {
            bound: within(&at, self.bound) + own,
            likely: likely + own,
            ..mapped
        }
    }

    /// σ(x) by `accurate_sigmoid`.
    pub fn sigmoid(self) -> Real {
        let y = 1.0 / (1.0 + (-self.value).exp());
        let e = (-self.value.abs()).exp();
        let slope = e / (1.0 + e).powi(2);
        // σ(x) σ(−x), where only the exponential is off by more than a few roundings.
        let relative = (3.0 + 2.0 * self.value.abs() + 8.0) * U + self.bound;
        let partial = Partial {
            value: slope,
            bound: slope * relative,
            size: slope * (1.0 + self.excess()),
        };
        self.map(
            y,
            partial,
            U * ((3.0 + 2.0 * self.value.abs()) * slope + 4.0 * y),
        )
    }

    /// tanh x by `accurate_tanh`.
    pub fn tanh(self) -> Real {
        let y = self.value.tanh();
        let e = (-2.0 * self.value.abs()).exp();
        let slope = 4.0 * e / (1.0 + e).powi(2);
        // sech² through one exponential.
        let relative = (3.0 + 4.0 * self.value.abs() + 10.0) * U + 2.0 * self.bound;
        let partial = Partial {
            value: slope,
            bound: slope * relative,
            size: slope * (1.0 + 2.0 * self.excess()),
        };
        self.map(
            y,
            partial,
            U * (8.0 * y.abs() + (3.0 + 4.0 * self.value.abs()) * slope * 0.5),
        )
    }

    /// erf x by `accurate_erf`.
    pub fn erf(self) -> Real {
        let x = self.value;
        let y = erf(self.value);
        let slope = 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp();
        // x² is rounded before its exponential is taken.
        let relative = (3.0 + 4.0 * x * x + 4.0) * U + 2.0 * x.abs() * self.bound;
        let size = slope * (1.0 + 2.0 * x.abs() * self.excess());
        let partial = Partial {
            value: slope,
            bound: slope * relative,
            size,
        };
        self.map(
            y,
            partial,
            U * (6.0 * y.abs() + (3.0 + 2.0 * x * x) * (1.0 - y.abs())),
        )
    }

    /// max(x, 0), whose derivative at 0 is 0.
    pub fn relu(self) -> Real {
        let slope = f64::from(u8::from(self.value > 0.0));
        // Where f32 may land on the other side of the kink, or flush to 0, both slopes are right.
        let kink =
            self.value != 0.0 && self.value.abs() <= self.bound + f64::from(f32::MIN_POSITIVE);
        let partial = if kink {
            Partial {
                value: slope,
                bound: 1.0,
                size: 1.0 / U,
            }
        } else {
            Partial::exact(slope)
        };
        let Real { bound, likely, .. } = self;
        Real {
            bound,
            likely,
            ..self.map(self.value.max(0.0), partial, 0.0)
        }
    }

    /// max(x, y).
    pub fn max(self, other: Real) -> Real {
        if self.value >= other.value {
            self
        } else {
            other
        }
    }

    /// self + sign · b.
    fn plus(self, b: Real, sign: f64) -> Real {
        let value = self.value + sign * b.value;
        let own = U * value.abs();
        Real {
            value,
            tangent: self.tangent + sign * b.tangent,
            bound: self.bound + b.bound + own,
            likely: self.likely + b.likely + own,
            size: self.size + b.size,
            node: tape::node([
                (self.node, Partial::exact(1.0)),
                (b.node, Partial::exact(sign)),
            ]),
        }
    }

    /// The value as the partial derivative with respect to the other factor.
    fn factor(self) -> Partial {
        Partial {
            value: self.value,
            bound: self.bound,
            size: self.size,
        }
    }
}

impl Add for Real {
    type Output = Real;
    fn add(self, b: Real) -> Real {
        self.plus(b, 1.0)
    }
}

impl Sub for Real {
    type Output = Real;
    fn sub(self, b: Real) -> Real {
        self.plus(b, -1.0)
    }
}

impl Neg for Real {
    type Output = Real;
    fn neg(self) -> Real {
        let node = tape::node([(self.node, Partial::exact(-1.0))]);
        Real {
            value: -self.value,
            tangent: -self.tangent,
            node,
            ..self
        }
    }
}

impl Mul for Real {
    type Output = Real;
    fn mul(self, b: Real) -> Real {
        let value = self.value * b.value;
        let left = self.value.abs();
        let right = b.value.abs();
        let carried = |a: f64, c: f64| left * c + right * a + a * c;
        let own = U * value.abs();
        Real {
            value,
            tangent: self.value * b.tangent + b.value * self.tangent,
            bound: carried(self.bound, b.bound) + own,
            likely: carried(self.likely, b.likely) + own,
            // The last term is of second order. It is all there is for the square of a value that
            // cancels completely.
            size: value.abs()
                + left * b.excess()
                + right * self.excess()
                + U * self.excess() * b.excess(),
            node: tape::node([(self.node, b.factor()), (b.node, self.factor())]),
        }
    }
}

impl Div for Real {
    type Output = Real;
    fn div(self, b: Real) -> Real {
        let value = self.value / b.value;
        let whole = b.value.abs();
        let carried = |a: f64, c: f64| (a + value.abs() * c) / (whole - c).max(f64::MIN_POSITIVE);
        let own = 2.5 * U * value.abs();
        let bound = carried(self.bound, b.bound) + own;
        let size = value.abs() + (self.excess() + value.abs() * b.excess()) / whole;
        let left = Partial {
            value: 1.0 / b.value,
            bound: (b.bound / whole + 2.5 * U) / whole,
            size: b.size / (whole * whole),
        };
        // −y / b.
        let right = Partial {
            value: -value / b.value,
            bound: (bound + value.abs() * b.bound / whole) / whole,
            size: (size + value.abs() * b.excess() / whole) / whole,
        };
        Real {
            value,
            tangent: (self.tangent - value * b.tangent) / b.value,
            bound,
            likely: carried(self.likely, b.likely) + own,
            size,
            node: tape::node([(self.node, left), (b.node, right)]),
        }
    }
}

impl From<f64> for Real {
    fn from(value: f64) -> Real {
        Real::constant(value)
    }
}

/// erf in f64 by its Maclaurin series (|x| < 3) or continued fraction; error below 1e-14.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 3.0 {
        let mut term = a;
        let mut sum = a;
        let mut n = 0.0;
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        return x.signum() * sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let tail = (1..60).rev().fold(a, |t, k| a + f64::from(k) / 2.0 / t);
    x.signum() * (1.0 - (-a * a).exp() / (tail * std::f64::consts::PI.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_known_values() {
        // Abramowitz & Stegun, table 7.1.
        for (x, y) in [
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (3.5, 0.999_999_256_9),
        ] {
            assert!((erf(x) - y).abs() < 1e-10, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn tangents_are_derivatives() {
        let x = |v: f64| Real::input(v, 1.0);
        let f = |v: Real| {
            (v * v + Real::constant(1.0)).ln() / v.exp() + v.tanh() * v.sigmoid()
                - v.erf() * (v * v).sqrt()
        };
        let h = 1e-6;
        let slope = (f(x(0.7 + h)).value - f(x(0.7 - h)).value) / (2.0 * h);
        assert!((f(x(0.7)).tangent - slope).abs() < 1e-8);
    }

    #[test]
    fn an_inverse_root_is_bounded_by_what_it_cannot_fall_below() {
        let x = Real::within(1e-5, 1e-3);
        let y = x.inverse_root(1e-5);
        assert!((y.value - 1e5f64.sqrt()).abs() < 1e-9);
        // From 1e-5 up to 1.01e-3, never below.
        assert!(y.bound > 0.9 * y.value && y.bound < y.value, "{}", y.bound);
        let narrow = Real {
            tangent: 1.0,
            ..Real::within(4.0, 1e-6)
        }
        .inverse_root(1e-5);
        assert!((narrow.tangent + 0.0625).abs() < 1e-12);
        assert!(
            (narrow.bound - (0.0625e-6 + 7.5 * U * 0.5)).abs() < 1e-9,
            "{}",
            narrow.bound
        );
    }

    #[test]
    fn bounds_cover_f32() {
        let terms: Vec<f32> = (1..1000).map(|i| (i as f32 * 0.37).sin()).collect();
        let exact = Real::sum(terms.iter().map(|&t| Real::constant(f64::from(t))));
        let error = (f64::from(terms.iter().sum::<f32>()) - exact.value).abs();
        assert!(error > 0.0 && error < exact.likely && exact.likely < exact.bound);
    }
}
