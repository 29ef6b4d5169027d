// Functions whose builtins WGSL allows to be too loose (sin, cos: 4.9e-4 absolute; tanh may overflow; erf is missing).
// Polynomials are near-minimax fits made for this project (Lawson-weighted least squares in f64); the error of the
// fit itself stands beside each, rounding comes on top.

// Natural logarithm of a positive normal number; relative error about 2 ULP, also near 1.
// x = 2^e m, m in [sqrt 1/2, sqrt 2), log m = f - f^2/2 + f^3 P(f), f = m - 1: fit 7e-10.
fn accurate_log(x: f32) -> f32 {
    let bits = bitcast<i32>(x);
    let e = (bits - 0x3f3504f3) >> 23u;
    let f = bitcast<f32>(bits - (e << 23u)) - 1.0;
    var p = 6.915149077579824e-2;
    p = p * f - 1.1789685561441934e-1;
    p = p * f + 1.1873009624448247e-1;
    p = p * f - 1.2384371744414047e-1;
    p = p * f + 1.4218656649558067e-1;
    p = p * f - 1.6669249408228032e-1;
    p = p * f + 2.0002226630519793e-1;
    p = p * f - 2.499998662601536e-1;
    p = p * f + 3.333331043980263e-1;
    let tail = f * f * (f * p - 0.5);
    let exponent = f32(e);
    // ln 2 in two parts: the first has few bits, so its product with the exponent is exact.
    return exponent * 0.693359375 + (f + (tail - exponent * 2.12194440054690583e-4));
}

// (sin, cos) of 2 pi u for u in [0, 1]; absolute error about 1e-7.
fn sincos_turn(u: f32) -> vec2<f32> {
    let quadrant = floor(4.0 * u + 0.5);
    let r = 4.0 * u - quadrant;
    let z = r * r;
    let s = r * (1.570796322 + z * (-6.459634786e-1 + z * (7.968022806e-2 - z * 4.602176989e-3)));
    let c = 1.0 + z * (-1.233700541 + z * (2.536692039e-1 + z * (-2.086007132e-2 + z * 9.036316980e-4)));
    let q = u32(quadrant) & 3u;
    let swapped = select(vec2(s, c), vec2(c, -s), (q & 1u) == 1u);
    return select(swapped, -swapped, q >= 2u);
}

// Error function; absolute error about 1e-7. |x| < 1: x P(x^2), fit 1e-9; else 1 - exp(-x^2) Q(1/(1+x/2)), fit 2e-11.
fn accurate_erf(x: f32) -> f32 {
    let a = min(abs(x), 4.0);
    let z = a * a;
    let near = a * (1.128379166 + z * (-3.761262714e-1 + z * (1.128360018e-1 + z * (-2.685444459e-2
        + z * (5.189535339e-3 + z * (-8.020841280e-4 + z * 7.889119532e-5))))));
    let t = 1.0 / (1.0 + 0.5 * a);
    let q = 2.073642937e-3 + t * (2.570792564e-1 + t * (4.081660960e-1 + t * (-9.065589255e-2
        + t * (6.705460118e-1 + t * (-2.540864140e-1 + t * 6.652350077e-3)))));
    let far = 1.0 - exp(-z) * q;
    return sign(x) * select(far, near, a < 1.0);
}

// Hyperbolic tangent without overflow. |x| < 0.6: x P(x^2), fit 2e-9; else through exp(-2|x|).
fn accurate_tanh(x: f32) -> f32 {
    let a = min(abs(x), 15.0);
    let z = a * a;
    let near = a * (1.0 + z * (-3.333328509e-1 + z * (1.333172944e-1 + z * (-5.377184622e-2
        + z * (2.076358475e-2 - z * 5.863215967e-3)))));
    let e = exp(-2.0 * a);
    return sign(x) * select((1.0 - e) / (1.0 + e), near, a < 0.6);
}

// Logistic function through exp(-|x|), which cannot overflow.
fn accurate_sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// Derivative of x sigmoid(x): s(x) (1 + x s(-x)), both s from one exponential.
fn silu_slope(x: f32) -> f32 {
    let e = exp(-abs(x));
    let up = select(e, 1.0, x >= 0.0) / (1.0 + e);
    let down = select(1.0, e, x >= 0.0) / (1.0 + e);
    return up * (1.0 + x * down);
}
