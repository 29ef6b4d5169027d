//! Vectors whose gradients are 0, or a small difference of large numbers: correct kernels pass, and
//! one fault fails. Needs a GPU adapter.

use std::path::Path;

use dbvq_wgpu::gpu::{Gpu, GpuOptions, Prefer, Shader};
use dbvq_wgpu::kernels_test::vectors;
use dbvq_wgpu::kernels_test::{Fault, Outcome, Verdict};
use dbvq_wgpu::ops;

/// A golden vector, a shader's file, and a replacement in its text.
const FAULTS: [(&str, &str, &str, &str); 5] = [
    (
        "relu_zeros",
        "elementwise",
        "select(0.0, 1.0, v > 0.0)",
        "select(0.0, 1.0, v >= 0.0)",
    ),
    (
        "softmax_one_hot",
        "softmax",
        "(saved * (values(dlaw[i]) - sum))",
        "(saved * (values(dlaw[i]) - 0.999 * sum))",
    ),
    (
        "attention_one_key",
        "attention_backward",
        "sh_ds[slot] = probability(s.r0, log_sum, vec4(keys.x) < seen) * (dp.r0 - dots);",
        "sh_ds[slot] = probability(s.r0, log_sum, vec4(keys.x) < seen) * (dp.r0 - 1.001 * dots);",
    ),
    (
        "group_norm_constant_group",
        "group_norm",
        "let xhat = (x[at] - saved[slab]) * saved[slab + 1u];",
        "let xhat = (x[at] - 0.999 * saved[slab]) * saved[slab + 1u];",
    ),
    (
        "group_norm_silu_constant_group",
        "group_norm",
        "dx[at.x] = rstd * (g - means.x - xhat * means.y);",
        "dx[at.x] = rstd * (g - 0.5 * means.x - xhat * means.y);",
    ),
];

/// Checks a golden vector with the kernels that every adapter runs, some replaced by `stand_ins`.
fn outcome(name: &str, stand_ins: Vec<Shader>) -> Outcome {
    let options = GpuOptions {
        poison: true,
        prefer: Prefer::Portable,
        stand_ins,
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(options).expect("these tests need a GPU adapter; Mesa's lavapipe will do");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let vector = vectors::load(&folder.join(format!("{name}.safetensors")))
        .expect("a golden vector is right");
    vector.check(&vector.prepared(), &gpu)
}

/// All variants of the shader file with the fault.
#[expect(unsafe_code, reason = "it breaks kernels on purpose")]
fn broken(stem: &str, from: &str, to: &str) -> Vec<Shader> {
    let of_stem = ops::shaders()
        .into_iter()
        .filter(|shader| shader.stem() == stem);
    let with_fault = |shader: &Shader| {
        assert_eq!(
            shader.source().matches(from).count(),
            1,
            "shaders/{stem}.wgsl: `{from}` is to stand there once"
        );
        // SAFETY: the device checks bounds.
        unsafe { shader.with_source(shader.source().replacen(from, to, 1)) }
    };
    of_stem.map(with_fault).collect()
}

#[test]
fn right_kernels_pass_and_a_fault_fails() {
    for (name, stem, from, to) in FAULTS {
        let right = outcome(name, Vec::new());
        assert_eq!(right.verdict, Verdict::Pass, "{name}: {}", right.detail);
        let wrong = outcome(name, broken(stem, from, to));
        assert_eq!(
            (wrong.verdict, wrong.fault),
            (Verdict::Fail, Fault::Adapter),
            "{name} passes with `{to}`"
        );
        // Which element, how far off, how many wrong, with which bits, by which kernel.
        for what in [
            "grad.",
            " element ",
            " times the bound; ",
            "elements wrong",
            "(0x",
            "kernels: ",
            stem,
        ] {
            assert!(wrong.detail.contains(what), "{name}: {}", wrong.detail);
        }
        let evidence = wrong.evidence.expect("the numbers");
        for tensor in ["in.", ".got", ".expected", ".bound"] {
            assert!(
                evidence
                    .tensors
                    .iter()
                    .any(|(name, ..)| name.contains(tensor)),
                "{name}: no {tensor}"
            );
        }
        assert!(
            evidence
                .kernels
                .iter()
                .any(|kernel| kernel.wgsl().contains(to)),
            "{name}: the kernel that ran"
        );
    }
}

#[test]
fn a_wrong_result_says_what_it_is_made_of() {
    let stand_ins = broken(
        "elementwise",
        "case 6u: { return max(v, 0.0); } // ReLU",
        "case 6u: { return max(v, 0.5); }",
    );
    let wrong = outcome("relu", stand_ins);
    assert_eq!(wrong.verdict, Verdict::Fail);
    for what in [
        "out.y element",
        "the GPU has 0.5 (0x3f000000), the definition",
        "of 81 elements wrong; made from in.x [",
    ] {
        assert!(wrong.detail.contains(what), "{}", wrong.detail);
    }
}
