//! Checks kernels from outside this crate with the conformance suite.

use super::{Case, Expectation, Verdict};
use crate::error::Result;
use crate::gpu::{Gpu, GpuOptions, adapters};

/// Runs `cases` on every usable adapter, twice: with and without WebGPU's run-time checks in the
/// built-in kernels. Each time, it checks that
/// * the output matches the definition in f64;
/// * gradients match it along random directions, for every input that wants a gradient;
/// * a second run gives the same bits;
/// * nothing is written to the memory around the tensors.
///
/// Returns one line for each adapter, setting of the checks and case that fails; none if all pass.
///
/// ```
/// use dbvq_wgpu::kernels_test::{Case, Input, verify};
///
/// let case = Case::new(
///     "silu of twice x",
///     "[7]",
///     vec![Input::normal(&[7])],
///     |_, x| (&x[0] * 2.0).silu(),
///     |x| x[0].iter().map(|&x| { let x = x + x; x * x.sigmoid() }).collect(),
/// );
/// assert_eq!(verify(&[case])?, Vec::<String>::new());
/// # Ok::<(), dbvq_wgpu::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Adapter`](crate::error::Error::Adapter) if there is no usable adapter, or if one cannot
/// be opened.
pub fn verify(cases: &[Case]) -> Result<Vec<String>> {
    let usable: Vec<_> = adapters()
        .into_iter()
        .filter(|adapter| adapter.usable.is_ok())
        .collect();
    if usable.is_empty() {
        // Returns the error that says why there is none.
        Gpu::open_default()?;
    }
    let expectations: Vec<Expectation> = cases.iter().map(Expectation::of).collect();
    let mut failures = Vec::new();
    for adapter in usable {
        for checked in [true, false] {
            let gpu = Gpu::open(GpuOptions {
                adapter: Some(adapter.index.to_string()),
                checked,
                poison: true,
                ..GpuOptions::default()
            })?;
            for (case, expectation) in cases.iter().zip(&expectations) {
                let outcome = expectation.check(&gpu);
                if outcome.verdict != Verdict::Pass {
                    failures.push(format!(
                        "{} {} on {}: {}: {}",
                        case.op,
                        case.name,
                        adapter.name,
                        outcome.verdict.word(),
                        outcome.detail
                    ));
                }
            }
        }
    }
    Ok(failures)
}
