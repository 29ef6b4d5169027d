//! What [`load`](super::load) says about invalid files.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::super::{Outcome, Real, Verdict};
use super::compare::{File, compare_output, output_agrees};
use super::plan::Place;
use super::{Header, Vector, file};

/// A file's tensors: name, type, dimensions, bytes.
type Tensors<'a> = Vec<(&'a str, Dtype, Vec<usize>, Vec<u8>)>;

fn f64s(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn i64s(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Parses the vector of these tensors.
fn read(op: &str, params: &str, tensors: Tensors) -> Result<Vector, String> {
    let metadata = HashMap::from([
        ("op".to_string(), op.to_string()),
        ("params".to_string(), params.to_string()),
    ]);
    let views = tensors.iter().map(|(name, dtype, dims, bytes)| {
        (
            *name,
            TensorView::new(*dtype, dims.clone(), bytes).expect("sizes of the test's tensors fit"),
        )
    });
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())?;
    let vector = file::parse("case".into(), &bytes)?;
    vector.plan()?;
    Ok(vector)
}

/// Six numbers as `in.x` [2, 3], the same as `out.y`, and `more`.
fn simple(more: Tensors<'static>) -> Tensors<'static> {
    let six = || f64s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut tensors = vec![
        ("in.x", Dtype::F64, vec![2, 3], six()),
        ("out.y", Dtype::F64, vec![2, 3], six()),
    ];
    tensors.extend(more);
    tensors
}

fn says(result: Result<Vector, String>, parts: &[&str]) {
    let what = result.err().expect("this file has a fault");
    assert!(parts.iter().all(|part| what.contains(part)), "{what}");
}

#[test]
fn a_right_file_is_read() {
    let vector = read("relu", "{}", simple(vec![])).expect("nothing is wrong");
    assert_eq!((vector.name.as_str(), vector.op.as_str()), ("case", "relu"));
    assert!(read("softmax", r#"{"axis": -2}"#, simple(vec![])).is_ok());
}

#[test]
fn unknown_names_are_named_with_what_is_allowed() {
    says(
        read("rellu", "{}", simple(vec![])),
        &["op `rellu` is not known (did you mean `relu`?); known are conv2d,"],
    );
    says(
        read("softmax", r#"{"axes": 1}"#, simple(vec![])),
        &["param `axes` is unknown; softmax has axis"],
    );
    let four = || f64s(&[0.0; 6]);
    let more = |name| simple(vec![(name, Dtype::F64, vec![2, 3], four())]);
    says(
        read("relu", "{}", more("in.z")),
        &["tensor in.z is unknown; relu has the inputs x"],
    );
    says(
        read("relu", "{}", more("out.z")),
        &["tensor out.z is unknown; relu has the outputs y"],
    );
    says(
        read("relu", "{}", more("grad.z")),
        &["tensor grad.z is unknown; relu has the inputs with a gradient x"],
    );
    says(
        read("relu", "{}", more("hint")),
        &["tensor `hint` is none of in.NAME, out.NAME, cot.NAME, grad.NAME"],
    );
    says(
        read("relu", "{}", more("grad.x")),
        &["no weights of the results: cot.y"],
    );
}

#[test]
fn wrong_values_are_named_with_what_is_right() {
    says(
        read("softmax", r#"{"axis": 2}"#, simple(vec![])),
        &["param `axis` is 2; it must be a dimension of 2"],
    );
    says(
        read("softmax", "[1]", simple(vec![])),
        &["`params` in its metadata is not a JSON object"],
    );
    says(
        read("softmax", "{axis}", simple(vec![])),
        &["`params` in its metadata is not JSON"],
    );
    says(
        read("group_norm", "{}", simple(vec![])),
        &["in.gamma is missing; group_norm needs it"],
    );
    says(
        read("conv2d", "{}", simple(vec![])),
        &["tensor in.x is [2, 3]; it must have 4 dimensions"],
    );
    let mut tensors = simple(vec![]);
    tensors[1].2 = vec![3, 2];
    says(
        read("relu", "{}", tensors),
        &["tensor out.y is [3, 2]; it must be [2, 3]"],
    );
    let mut tensors = simple(vec![]);
    tensors[1].3 = f64s(&[1.0, f64::NAN, 0.0, 0.0, 0.0, 0.0]);
    says(
        read("relu", "{}", tensors),
        &["tensor out.y has NaN at element 1"],
    );
    let tensors = simple(vec![("cot.y", Dtype::F16, vec![1], vec![0, 0])]);
    says(
        read("relu", "{}", tensors),
        &["tensor cot.y is F16; F32 and F64 are read"],
    );
    says(
        read("relu", "{}", simple(vec![]).split_off(1)),
        &["tensor in.x is missing"],
    );
    let mut tensors = simple(vec![]);
    tensors.truncate(1);
    says(
        read("relu", "{}", tensors),
        &["tensor out.y, the expected result of relu, is missing"],
    );
    // Nothing is allocated for sizes that only params give.
    let huge = || ("in.x", Dtype::F64, vec![1, 1, 1, 1], f64s(&[1.0]));
    says(
        read("upsample_nearest", r#"{"scale": 900000000}"#, vec![huge()]),
        &["tensor out.y, the expected"],
    );
    let step = ("in.g", Dtype::F64, vec![1, 1], f64s(&[1.0]));
    let p = ("in.p", Dtype::F64, vec![1], f64s(&[1.0]));
    says(
        read("adam", "{}", vec![p, step]),
        &["there is no expected result; the outputs of adam are p, m, v"],
    );
    let weights = ("cot.y", Dtype::F64, vec![2, 3], f64s(&[0.0; 6]));
    says(
        read("relu", "{}", simple(vec![weights])),
        &["but no gradient: grad.NAME"],
    );
}

#[test]
fn indices_stay_in_their_range() {
    let with = |codes: &[i64]| {
        let table = ("in.table", Dtype::F64, vec![2, 1], f64s(&[1.0, 2.0]));
        let y = ("out.y", Dtype::F64, vec![2, 1], f64s(&[1.0, 2.0]));
        read(
            "embedding",
            "{}",
            vec![table, y, ("in.codes", Dtype::I64, vec![2], i64s(codes))],
        )
    };
    assert!(with(&[0, 1]).is_ok());
    says(
        with(&[0, 2]),
        &["tensor in.codes has 2 at element 1; there are 2"],
    );
    says(
        with(&[-1, 0]),
        &["tensor in.codes has -1 at element 0; an index is 0 to 4294967295"],
    );
}

#[test]
fn the_target_of_a_step_has_one_number_a_channel_or_an_element() {
    let with = |z: &[usize], target: &[usize]| {
        let tensor = |name, dims: &[usize]| {
            (
                name,
                Dtype::F64,
                dims.to_vec(),
                f64s(&vec![0.5; dims.iter().product()]),
            )
        };
        let names = ["in.z", "in.eps", "in.noise", "out.z"];
        let all = names
            .map(|name| tensor(name, z))
            .into_iter()
            .chain([tensor("in.target", target)]);
        read(
            "ou_step",
            r#"{"c0": 1, "c1": 1, "c2": 1, "c3": 1}"#,
            all.collect(),
        )
    };
    for (z, target) in [
        (&[2, 3, 2][..], &[3][..]),
        (&[2, 3, 2], &[2, 3, 2]),
        (&[6], &[6]),
        (&[6], &[1]),
        (&[2, 3], &[1]),
    ] {
        assert!(with(z, target).is_ok(), "{z:?} {target:?}");
    }
    says(
        with(&[2, 3], &[2]),
        &["tensor in.target is [2]; it must be [1], [3] (one number a channel) or [2, 3]"],
    );
    says(with(&[6], &[2]), &["tensor in.target is [2]"]);
}

#[test]
fn a_failure_tells_the_note_and_a_header_the_op() {
    let mut vector = read("relu", "{}", simple(vec![])).expect("nothing is wrong");
    vector.note = Some("made by\nhand".into());
    let outcome = |verdict| Outcome::failed(verdict, "off");
    assert_eq!(
        vector.with_origin(outcome(Verdict::Fail)).detail,
        "off; the file's note: made by hand"
    );
    assert_eq!(vector.with_origin(outcome(Verdict::Pass)).detail, "off");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let header = |name| Header::read(&golden.join(name)).expect("a golden vector has a header");
    let relu = header("relu.safetensors");
    let step = header("ou_step.safetensors");
    assert_eq!(
        (relu.op.as_deref(), relu.has_gradient),
        (Some("relu"), true)
    );
    assert_eq!(
        (step.op.as_deref(), step.has_gradient),
        (Some("ou_step"), false)
    );
    assert!(Header::read(Path::new(file!())).is_none() && Header::read(&golden).is_none());
}

#[test]
fn a_missing_file_is_named() {
    let what = super::load(Path::new("no/such.safetensors"))
        .err()
        .expect("there is none");
    assert!(
        what.starts_with("no/such.safetensors: cannot be read"),
        "{what}"
    );
    says(
        file::parse("case".into(), b"nothing"),
        &["is no whole safetensors file"],
    );
}

#[test]
fn any_two_that_differ_fail() {
    let place = Place::new("y", &[2, 2]).permuted(&[1, 0]);
    let want = [1.0, 2.0, 3.0, 4.0].map(|value| Real::within(value, 1e-6));
    let file = |values: [f64; 4], single| File {
        values: values.to_vec(),
        single,
    };
    let agrees = |values, single| output_agrees(&place, &want, &file(values, single));
    let go = |got: [f64; 4]| {
        compare_output(&got, &want, &file([1.0, 2.0, 3.0, 4.0], false)).expect("equally long")
    };
    let right = [1.0, 2.0, 3.0, 4.0];
    let off = |by: f64| [1.0, 2.0 + by, 3.0, 4.0];
    assert_eq!(go(right).map(|share| share.bound), Ok(0.0));
    assert!(go(off(9e-7)).is_ok_and(|share| share.bound > 0.8));
    let wrong = go(off(2e-6)).expect_err("the GPU is off");
    assert_eq!((wrong.element, wrong.wrong, wrong.count), (1, 1, 4));
    assert!(go([f64::NAN; 4]).is_err_and(|wrong| wrong.wrong == 4));
    assert!(compare_output(&right[1..], &want, &file(right, false)).is_err());
    assert!(agrees(right, false).is_ok());
    // The second element in the engine's order is the third in the file.
    let what = agrees(off(1e-8), false).expect_err("the file is off");
    assert!(
        what.starts_with("out.y element 2 ([1, 0] of [2, 2]): the file has 2.00000001"),
        "{what}"
    );
    assert!(
        agrees(off(1e-6), true).is_ok(),
        "a result in f32 may be off by the bound too"
    );
    assert!(agrees(off(3e-6), true).is_err());
}

#[test]
fn every_op_has_a_golden_vector() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let files = std::fs::read_dir(folder).expect("the golden vectors are part of the source");
    let paths = files.flatten().map(|file| file.path());
    let vectors = paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let ops: Vec<String> = vectors
        .map(|path| super::load(&path).expect("a golden vector is right").op)
        .collect();
    for op in super::ops() {
        assert!(
            ops.iter().any(|have| have == op),
            "{op} has no golden vector"
        );
    }
}
