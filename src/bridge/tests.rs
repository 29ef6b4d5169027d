//! The bridge against Gaussian conditioning, against plain DDPM and against exactly solvable
//! targets.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking that it failed"
)]

use super::*;
use proptest::prelude::*;

/// A bridge with its (ϑ, η) and a pair of levels s < t ≤ T.
fn bridge_and_levels() -> impl Strategy<Value = (Bridge, usize, usize)> {
    (bridges(), 0.0..1.0, 0.0..1.0).prop_map(|(bridge, x, y): (Bridge, f64, f64)| {
        let t = 1 + (x * bridge.steps() as f64) as usize;
        let s = (y * t as f64) as usize;
        (bridge, s, t)
    })
}

fn bridges() -> impl Strategy<Value = Bridge> {
    let spacing = prop_oneof![
        (0.05..5.0).prop_map(|total_time| Spacing::Constant { total_time }),
        (1e-3..0.3, 1e-3..0.6).prop_map(|(beta_start, beta_end)| Spacing::Linear {
            beta_start,
            beta_end
        }),
        Just(Spacing::Cosine {}),
    ];
    (0.1..3.0, 0.05..3.0, -3.0..3.0, 2usize..40, spacing).prop_map(
        |(theta, eta, target, steps, spacing)| {
            Bridge::new(theta, eta, Target::Scalar(target), steps, spacing).unwrap()
        },
    )
}

fn linear(theta: f64, eta: f64, steps: usize, beta_start: f64, beta_end: f64) -> Bridge {
    Bridge::new(
        theta,
        eta,
        Target::default(),
        steps,
        Spacing::Linear {
            beta_start,
            beta_end,
        },
    )
    .unwrap()
}

/// The images' schedule (Ho et al.).
fn images() -> Bridge {
    linear(1.0, f64::sqrt(2.0), 1000, 1e-4, 0.02)
}

#[track_caller]
fn close(name: &str, value: f64, expected: f64) {
    near(name, value, expected, 1e-10);
}

#[track_caller]
fn near(name: &str, value: f64, expected: f64, tolerance: f64) {
    let gap = (value - expected).abs();
    assert!(
        gap <= tolerance * value.abs().max(expected.abs()),
        "{name}: {value:e}, not {expected:e}"
    );
}

/// KL(N(m, s2) ‖ N(m', s2')).
fn gaussian_kl(m: f64, s2: f64, m_: f64, s2_: f64) -> f64 {
    0.5 * ((s2 + (m - m_).powi(2)) / s2_ - 1.0 - (s2 / s2_).ln())
}

/// Moments of (z_s, z_t) − z* given z_0 = z* + 1: means, variances and covariance, by composing
/// one-step transitions `y ← √α y + √(v β) ε` alone.
struct Joint {
    mean_s: f64,
    mean_t: f64,
    var_s: f64,
    var_t: f64,
    cov: f64,
}

impl Joint {
    fn new(bridge: &Bridge, s: usize, t: usize) -> Joint {
        let v = bridge.eta().powi(2) / (2.0 * bridge.theta());
        let mut mean = 1.0;
        let mut var = 0.0;
        let mut at_s = (mean, var, var);
        for step in 1..=t {
            let alpha = (-2.0 * bridge.theta() * bridge.delta(step)).exp();
            mean *= alpha.sqrt();
            var = alpha * var + v * (1.0 - alpha);
            at_s = if step <= s {
                (mean, var, var)
            } else {
                (at_s.0, at_s.1, at_s.2 * alpha.sqrt())
            };
        }
        Joint {
            mean_s: at_s.0,
            mean_t: mean,
            var_s: at_s.1,
            var_t: var,
            cov: at_s.2,
        }
    }
}

proptest! {
    #[test]
    fn forward_is_the_composed_chain((bridge, _, t) in bridge_and_levels()) {
        let joint = Joint::new(&bridge, 0, t);
        let forward = bridge.forward(t);
        close("signal", forward.signal, joint.mean_t);
        close("noise", forward.noise.powi(2), joint.var_t);
        let abar = bridge.alpha_bar(t);
        close("log-SNR", bridge.log_snr(t).exp(), abar / (bridge.stationary_variance() * (1.0 - abar)));
    }

    #[test]
    fn between_is_gaussian_conditioning((bridge, s, t) in bridge_and_levels()) {
        // E[z_s | z_t] = m_s + C / V_t (z_t − m_t),   Var = V_s − C² / V_t.
        let joint = Joint::new(&bridge, s, t);
        let bridge = bridge.between(s, t);
        close("z_t", bridge.zt, joint.cov / joint.var_t);
        close("z_0", bridge.z0, joint.mean_s - joint.cov / joint.var_t * joint.mean_t);
        close("variance", bridge.variance, joint.var_s - joint.cov.powi(2) / joint.var_t);
    }

    #[test]
    fn reverse_mean_is_the_bridge_at_the_true_noise((bridge, _, t) in bridge_and_levels()) {
        // Put z_0 − z* = (z_t − z* − noise ε) / signal into the bridge's mean.
        let (mean, forward, between) = (bridge.reverse_mean(t), bridge.forward(t), bridge.between(t - 1, t));
        close("z", mean.z, between.zt + between.z0 / forward.signal);
        close("ε", mean.net, -between.z0 * forward.noise / forward.signal);
        close("variance", bridge.sigma2(t, ReverseVariance::Bridge), between.variance);
        close("forward", bridge.sigma2(t, ReverseVariance::Forward), bridge.stationary_variance() * bridge.beta(t));
    }

    #[test]
    fn ddim_1_is_the_bridge_for_every_stride((bridge, s, t) in bridge_and_levels()) {
        let (step, between) = (bridge.ddim(s, t, 1.0), bridge.between(s, t));
        let z0 = bridge.predict_z0(t, Prediction::Noise);
        close("c0", step.c0, between.zt + between.z0 * z0.z);
        close("c1", step.c1, between.z0 * z0.net);
        close("c2", step.c2, between.variance.sqrt());
        let (one, ancestral) = (bridge.ddim(t - 1, t, 1.0), bridge.ancestral(t, ReverseVariance::Bridge));
        close("c0", one.c0, ancestral.c0);
        close("c1", one.c1, ancestral.c1);
        close("c2", one.c2, ancestral.c2);
        near("c3", one.c3, 1.0 - ancestral.c0, 1e-6);
    }

    #[test]
    fn ddim_with_exact_noise_lands_on_the_marginal((bridge, s, t) in bridge_and_levels(), kappa in 0.0..=1.0) {
        let (from, to, step) = (bridge.forward(t), bridge.forward(s), bridge.ddim(s, t, kappa));
        close("signal", step.c0 * from.signal, to.signal);
        let spread = (step.c0 * from.noise + step.c1).powi(2) + step.c2.powi(2);
        prop_assert!((spread - to.noise.powi(2)).abs() <= 1e-10 * (step.c0 * from.noise).powi(2));
        prop_assert!((step.c0 + step.c3 - 1.0).abs() < 1e-10 * step.c0, "z* is a fixed point");
        prop_assert!(kappa > 0.0 || step.c2 == 0.0);
    }

    #[test]
    fn predictions_invert_the_forward_marginal((bridge, _, t) in bridge_and_levels(), z0 in -3.0f64..3.0, eps in -3.0f64..3.0) {
        let (forward, v) = (bridge.forward(t), bridge.velocity(t));
        let z = forward.signal * z0 + forward.noise * eps;
        for (prediction, net) in [(Prediction::Noise, eps), (Prediction::Velocity, v.eps * eps + v.z0 * z0)] {
            let (of_z0, of_eps) = (bridge.predict_z0(t, prediction), bridge.predict_eps(t, prediction));
            let scale = (of_z0.z * z).abs() + (of_z0.net * net).abs();
            prop_assert!((of_z0.z * z + of_z0.net * net - z0).abs() <= 1e-10 * scale);
            let scale = (of_eps.z * z).abs() + (of_eps.net * net).abs();
            prop_assert!((of_eps.z * z + of_eps.net * net - eps).abs() <= 1e-10 * scale);
            // Both network outputs give the same step.
            let (a, b) = (bridge.ddim(t - 1, t, 0.5), bridge.ddim(t - 1, t, 0.5).on(of_eps));
            let (target, scale) = (1.3, a.c0 * (z.abs() + 1.3) + (a.c1 * eps).abs());
            let moved = |step: Step, net: f64| step.c0 * (target + z) + step.c1 * net + step.c3 * target;
            prop_assert!((moved(a, eps) - moved(b, net)).abs() <= 1e-10 * scale);
        }
    }

    #[test]
    fn scaling_gives_plain_ddpm(theta in 0.1..5.0, eta in 0.05..3.0, t in 1usize..=40, s in 0usize..40, kappa in 0.0..1.0) {
        // y = (z − z*) / √v is DDPM with the same ᾱ: coefficients of noise scale with √v, those of
        // states do not.
        let s = s.min(t - 1);
        let (ours, plain) = (linear(theta, eta, 40, 1e-3, 0.3), linear(1.0, f64::sqrt(2.0), 40, 1e-3, 0.3));
        let scale = ours.stationary_variance().sqrt();
        close("v of DDPM", plain.stationary_variance(), 1.0);
        close("noise", ours.forward(t).noise, scale * plain.forward(t).noise);
        let (a, b) = (ours.ddim(s, t, kappa), plain.ddim(s, t, kappa));
        close("c0", a.c0, b.c0);
        close("c1", a.c1, scale * b.c1);
        close("c2", a.c2, scale * b.c2);
        close("weight", ours.weight(t, ReverseVariance::Forward), plain.weight(t, ReverseVariance::Forward));
        let previous = (t < 40).then_some(40);
        close("dpm++", ours.dpmpp2m(previous, t, s).now, plain.dpmpp2m(previous, t, s).now);
    }

    #[test]
    fn weight_is_the_kl_of_the_reverse_gaussians((bridge, _, t) in bridge_and_levels(), z0 in -2.0f64..2.0, eps in -2.0f64..2.0, wrong in -2.0f64..2.0) {
        let t = t.max(2); // t = 1 has its own σ_1
        let (forward, between, mean) = (bridge.forward(t), bridge.between(t - 1, t), bridge.reverse_mean(t));
        let z = forward.signal * z0 + forward.noise * eps;
        let truth = between.z0 * z0 + between.zt * z;
        let guess = mean.z * z + mean.net * wrong;
        for variance in [ReverseVariance::Bridge, ReverseVariance::Forward] {
            let sigma2 = bridge.sigma2(t, variance);
            // The part of the KL that depends on the network; the rest is 0 for the bridge
            // variance.
            let constant = gaussian_kl(0.0, between.variance, 0.0, sigma2);
            let kl = gaussian_kl(truth, between.variance, guess, sigma2);
            let weighted = bridge.weight(t, variance) * (eps - wrong).powi(2);
            prop_assert!((kl - constant - weighted).abs() <= 1e-8 * (1.0 + kl.abs()), "{kl} {constant} {weighted}");
        }
    }

    #[test]
    fn terminal_kl_is_the_mean_of_the_closed_form(bridge in bridges(), mean in -2.0..2.0, std in 0.0..2.0) {
        // z_0 − z* = mean ± std, each with probability ½.
        let (forward, v) = (bridge.forward(bridge.steps()), bridge.stationary_variance());
        let kl = |z0: f64| gaussian_kl(forward.signal * z0, forward.noise.powi(2), 0.0, v);
        let exact = 0.5 * (kl(mean + std) + kl(mean - std));
        let ours = bridge.terminal_kl(std * std + mean * mean);
        prop_assert!((ours - exact).abs() <= 1e-10 * (1.0 + exact.abs()), "{ours} {exact}");
    }

    #[test]
    fn variance_v_is_kept(bridge in bridges()) {
        let v = bridge.stationary_variance();
        for t in 0..=bridge.steps() {
            let forward = bridge.forward(t);
            close("Var z_t", forward.signal.powi(2) * v + forward.noise.powi(2), v);
        }
    }

    #[test]
    fn timesteps_fall_evenly_from_t_to_0(steps in 1usize..1500, share in 0.0..1.0) {
        let bridge = linear(1.0, 1.0, steps, 0.01, 0.01);
        let count = 1 + (share * steps as f64) as usize;
        let levels = bridge.timesteps(count).unwrap();
        prop_assert_eq!((levels.len(), levels[0], levels[count]), (count + 1, steps, 0));
        prop_assert!(levels.windows(2).all(|w| w[0] > w[1] && (w[0] - w[1]).abs_diff(steps / count) <= 1));
    }
}

#[test]
fn level_0_is_the_data() {
    let bridge = images();
    assert_eq!(
        bridge.forward(0),
        Marginal {
            signal: 1.0,
            noise: 0.0
        }
    );
    assert_eq!(
        bridge.between(0, 7),
        Conditional {
            z0: 1.0,
            zt: 0.0,
            variance: 0.0
        }
    );
    assert_eq!(bridge.log_snr(0), f64::INFINITY);
    assert_eq!(bridge.weight(1, ReverseVariance::Bridge), f64::INFINITY);
    assert_eq!(bridge.ancestral(1, ReverseVariance::Forward).c2, 0.0);
    assert_eq!(
        bridge.dpmpp2m(Some(9), 5, 0),
        Multistep {
            z: 0.0,
            now: 1.0,
            previous: -0.0
        }
    );
}

#[test]
fn schedules_are_the_published_ones() {
    let images = images();
    close("β_1", images.beta(1), 1e-4);
    close("β_T", images.beta(1000), 0.02);
    near("ᾱ_T of Ho et al.", images.alpha_bar(1000), 4.04e-5, 2e-3);
    near("ᾱ_100", images.alpha_bar(100), 0.897, 1e-3);
    let toy = Bridge::new(
        2.0,
        0.1,
        Target::default(),
        50,
        Spacing::Constant { total_time: 1.727 },
    )
    .unwrap();
    near("ᾱ_T of the toy", toy.alpha_bar(50), 1e-3, 1e-3);
    close("Σ δ", (1..=50).map(|t| toy.delta(t)).sum(), 1.727);
    let cosine = Bridge::new(1.0, 1.0, Target::default(), 100, Spacing::Cosine {}).unwrap();
    let f = |t: f64| {
        ((t / 100.0 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (1..100).for_each(|t| {
        close(
            "ᾱ_t of the cosine",
            cosine.alpha_bar(t),
            f(t as f64) / f(0.0),
        )
    });
    assert_eq!(cosine.beta(100), 0.999);
}

/// The exact noise of a Gaussian target N(z* + m, s²): ε = noise (z − z* − √ᾱ m) / (ᾱ s² + v (1 −
/// ᾱ)).
struct GaussianTarget {
    mean: f64,
    variance: f64,
}

impl GaussianTarget {
    /// Mean and standard deviation of z_t − z*.
    fn at(&self, bridge: &Bridge, t: usize) -> (f64, f64) {
        let Marginal { signal, noise } = bridge.forward(t);
        (
            signal * self.mean,
            (signal.powi(2) * self.variance + noise.powi(2)).sqrt(),
        )
    }

    fn eps(&self, bridge: &Bridge, t: usize, z: f64) -> f64 {
        let (mean, std) = self.at(bridge, t);
        bridge.forward(t).noise * (z - mean) / std.powi(2)
    }

    /// The PF-ODE keeps the quantile: (z_t − mean_t) / std_t is constant.
    fn ode(&self, bridge: &Bridge, t: usize, quantile: f64) -> f64 {
        let (mean, std) = self.at(bridge, t);
        mean + std * quantile
    }
}

/// Error at level 64 of 1024 against the PF-ODE, for `count` even strides.
fn ode_error(count: usize, multistep: bool) -> f64 {
    let bridge = linear(0.7, 0.9, 1024, 1e-4, 0.02);
    let target = GaussianTarget {
        mean: 0.8,
        variance: 0.15,
    };
    let mut z = target.ode(&bridge, 1024, 1.1);
    let mut before: Option<(usize, f64)> = None;
    for i in 0..count {
        let t = 1024 - 960 * i / count;
        let s = 1024 - 960 * (i + 1) / count;
        let eps = target.eps(&bridge, t, z);
        let of_z0 = bridge.predict_z0(t, Prediction::Noise);
        let z0 = of_z0.z * z + of_z0.net * eps;
        z = if multistep {
            let step = bridge.dpmpp2m(before.map(|b| b.0), t, s);
            step.z * z + step.now * z0 + step.previous * before.map_or(0.0, |b| b.1)
        } else {
            let step = bridge.ddim(s, t, 0.0);
            step.c0 * z + step.c1 * eps
        };
        before = Some((t, z0));
    }
    (z - target.ode(&bridge, 64, 1.1)).abs()
}

#[test]
fn dpmpp2m_is_of_second_order_and_ddim_of_first() {
    for (multistep, order) in [(true, 2.0), (false, 1.0)] {
        for count in [120, 240, 480] {
            let measured = (ode_error(count, multistep) / ode_error(2 * count, multistep)).log2();
            assert!(
                (measured - order).abs() < 0.15,
                "multistep {multistep}, {count} steps: order {measured}"
            );
        }
    }
    assert!(ode_error(20, true) < 0.1 * ode_error(20, false));
}

/// Output variance of a sampler from N(0, 1) for the target N(0, ¼) with exact noise: each step is
/// linear in z.
fn returned_variance(step: impl Fn(&Bridge, usize) -> Step) -> f64 {
    let bridge = images();
    let target = GaussianTarget {
        mean: 0.0,
        variance: 0.25,
    };
    (1..=1000).rev().fold(1.0, |variance, t| {
        let step = step(&bridge, t);
        (step.c0 + step.c1 * target.eps(&bridge, t, 1.0)).powi(2) * variance + step.c2.powi(2)
    })
}

#[test]
fn algorithm_2_as_printed_collapses() {
    near(
        "as printed",
        returned_variance(|b, t| b.paper_literal(t)),
        6e-85,
        0.1,
    );
    near(
        "corrected",
        returned_variance(|b, t| b.ancestral(t, ReverseVariance::Forward)),
        0.25,
        0.02,
    );
    near(
        "DDIM",
        returned_variance(|b, t| b.ddim(t - 1, t, 0.0)),
        0.25,
        0.02,
    );
}

#[test]
fn bad_values_are_named() {
    let constant = |total_time| Spacing::Constant { total_time };
    let ends = |beta_start, beta_end| Spacing::Linear {
        beta_start,
        beta_end,
    };
    let zero = || Target::Scalar(0.0);
    for (theta, eta, target, steps, spacing, named) in [
        (1.0, 1.0, zero(), 0, Spacing::Cosine {}, "steps = 0"),
        (0.0, 1.0, zero(), 9, Spacing::Cosine {}, "theta = 0"),
        (f64::NAN, 1.0, zero(), 9, Spacing::Cosine {}, "theta = NaN"),
        (1.0, -2.0, zero(), 9, Spacing::Cosine {}, "eta = -2"),
        (
            1.0,
            f64::INFINITY,
            zero(),
            9,
            Spacing::Cosine {},
            "eta = inf",
        ),
        (
            1.0,
            1e200,
            zero(),
            9,
            Spacing::Cosine {},
            "stationary variance",
        ),
        (
            1.0,
            1.0,
            Target::Scalar(f64::NAN),
            9,
            Spacing::Cosine {},
            "target",
        ),
        (
            1.0,
            1.0,
            Target::PerChannel(vec![]),
            9,
            Spacing::Cosine {},
            "target",
        ),
        (
            1.0,
            1.0,
            Target::PerChannel(vec![0.0, f64::INFINITY]),
            9,
            Spacing::Cosine {},
            "target",
        ),
        (1.0, 1.0, zero(), 9, constant(0.0), "total_time = 0"),
        (
            1.0,
            1.0,
            zero(),
            9,
            constant(f64::INFINITY),
            "total_time = inf",
        ),
        (1.0, 1.0, zero(), 9, constant(1e9), "beta = 1"),
        (1.0, 1.0, zero(), 9, constant(50.0), "alpha_bar_T"),
        (
            1.0,
            1.0,
            zero(),
            9,
            ends(0.0, 0.1),
            "beta = 0 at step 1 of 9",
        ),
        (
            1.0,
            1.0,
            zero(),
            9,
            ends(0.1, 1.0),
            "beta = 1 at step 9 of 9",
        ),
        (1.0, 1.0, zero(), 9, ends(f64::NAN, 0.1), "beta = NaN"),
    ] {
        let error = Bridge::new(theta, eta, target, steps, spacing).unwrap_err();
        assert!(
            matches!(error, Error::Config(_)) && error.to_string().contains(named),
            "{named}: {error}"
        );
    }
    assert!(images().timesteps(0).is_err() && images().timesteps(1001).is_err());
    assert_eq!(
        linear(1.0, 1.0, 10, 0.1, 0.1).timesteps(4).unwrap(),
        [10, 8, 5, 3, 0]
    );
}

#[test]
fn configurations_are_read_strictly() {
    let spacing = |text: &str| serde_json::from_str::<Spacing>(text);
    let linear = Spacing::Linear {
        beta_start: 1e-4,
        beta_end: 0.02,
    };
    assert_eq!(
        spacing(r#"{"schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}"#).unwrap(),
        linear
    );
    assert_eq!(
        spacing(r#"{"schedule": "constant", "total_time": 2}"#).unwrap(),
        Spacing::Constant { total_time: 2.0 }
    );
    assert_eq!(
        spacing(r#"{"schedule": "cosine"}"#).unwrap(),
        Spacing::Cosine {}
    );
    assert_eq!(
        spacing(&serde_json::to_string(&linear).unwrap()).unwrap(),
        linear
    );
    assert!(spacing(r#"{"schedule": "cosine", "beta_end": 0.02}"#).is_err());
    assert!(spacing(r#"{"schedule": "constant", "total_time": 2, "beta_end": 0.02}"#).is_err());
    let target = |text: &str| serde_json::from_str::<Target>(text).unwrap();
    assert_eq!(target("1"), Target::Scalar(1.0));
    assert_eq!(target("[1, 2.5]").channels(2).unwrap(), [1.0, 2.5]);
    assert_eq!(target("0.5").channels(3).unwrap(), [0.5; 3]);
    assert!(target("[1, 2.5]").channels(3).is_err());
}
