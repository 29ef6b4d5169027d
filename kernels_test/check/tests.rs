//! The comparison's own tests.

use super::*;

fn within(value: f64, bound: f64) -> Real {
    Real::within(value, bound)
}

#[test]
fn equal_numbers_pass_and_anything_over_the_bound_fails() {
    let eps = f64::from(f32::EPSILON);
    assert_eq!(
        compare(&[1.0, -2.5, 0.0], &[1.0, -2.5, 0.0].map(Real::constant)),
        Ok(Shares::default())
    );
    let share = compare(&[1.0 + f32::EPSILON], &[within(1.0, 2.0 * eps)])
        .expect("inside the bound")
        .bound;
    assert!((share - 0.5).abs() < 1e-6, "{share}");
    assert!(compare(&[1.0 + f32::EPSILON], &[within(1.0, 0.99 * eps)]).is_err());
    let what = compare(
        &[0.0, 0.0, 1.1],
        &[within(0.0, 0.0), within(0.0, 0.0), within(1.0, 1e-3)],
    );
    let what = what.expect_err("far off");
    assert!(what.contains("element 2") && what.contains("1.1"), "{what}");
    assert!(
        compare(&[-1.0], &[within(1.0, 0.1)]).is_err(),
        "a wrong sign"
    );
    assert!(
        compare(&[1e-40], &[within(0.0, 0.0)]).is_ok(),
        "an adapter may flush subnormal numbers"
    );
    assert!(compare(&[1e-37], &[within(0.0, 0.0)]).is_err());
}

#[test]
fn over_the_likely_bound_is_a_warning() {
    let want = Real {
        likely: 1e-3,
        ..within(1.0, 1e-2)
    };
    let outcome =
        |got| Outcome::of(compare(&[got], &[want]).expect("inside the bound"), None).verdict;
    assert_eq!(
        [outcome(1.0005), outcome(1.005)],
        [Verdict::Pass, Verdict::QualityWarning]
    );
}

#[test]
fn numbers_that_are_not_finite_fail_on_either_side() {
    let loose = |value: f64| within(value, f64::MAX);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(
            compare(&[bad], &[loose(1.0)]).is_err(),
            "{bad} from the GPU"
        );
        assert!(
            compare(&[1.0], &[loose(f64::from(bad))]).is_err(),
            "{bad} from the definition"
        );
        assert!(
            compare(&[bad], &[loose(f64::from(bad))]).is_err(),
            "{bad} from both"
        );
        assert!(
            compare_gradient(&[bad], &[1.0], &[within(1.0, 1.0)], false).is_err(),
            "{bad} in a gradient"
        );
    }
    for bound in [f64::NAN, f64::INFINITY] {
        assert!(
            compare(&[1.0], &[within(1.0, bound)]).is_err(),
            "a bound of {bound} would let everything pass"
        );
    }
    assert!(
        compare(&[], &[loose(1.0)]).is_err() && compare(&[1.0], &[]).is_err(),
        "lengths differ"
    );
}

#[test]
fn what_unwinds_becomes_a_verdict() {
    let raise = |error: Error| guarded(|| std::panic::resume_unwind(Box::new(error))).verdict;
    assert_eq!(
        raise(Error::OutOfMemory("full".into())),
        Verdict::ResourceError
    );
    assert_eq!(raise(Error::DeviceLost("gone".into())), Verdict::Crash);
    let outcome = guarded(|| std::panic::resume_unwind(Box::new("shapes [2] and [3]")));
    assert_eq!(
        outcome,
        Outcome::failed(Verdict::Fail, "panic: shapes [2] and [3]")
    );
}
