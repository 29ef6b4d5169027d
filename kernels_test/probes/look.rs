//! How each probe looks, and how it words its finding.

use super::{HALVES, SHADER};
use crate::gpu::{Buffer, Gpu};

fn run(gpu: &Gpu, entry: &'static str, x: &Buffer, y: &Buffer, params: [u32; 2], groups: u32) {
    match entry {
        "integers" | "outside_write" => {
            gpu.dispatch(&SHADER, entry, &[], &[y], &params, [groups, 1, 1])
        }
        "halves" => gpu.dispatch(&HALVES, entry, &[], &[x, y], &params, [groups, 1, 1]),
        "rounding" => gpu.dispatch(&SHADER, entry, &[], &[x, y], &(), [groups, 1, 1]),
        _ => gpu.dispatch(&SHADER, entry, &[], &[x, y], &params, [groups, 1, 1]),
    }
}

/// Runs `entry` on the numbers `x` and returns `outputs` words.
fn ask(gpu: &Gpu, entry: &'static str, x: &[f32], at: u32, outputs: usize) -> Vec<u32> {
    let x_buffer = gpu.upload(x);
    let y = gpu.upload(&vec![0u32; outputs]);
    run(
        gpu,
        entry,
        &x_buffer,
        &y,
        [x.len() as u32, at],
        x.len().div_ceil(64) as u32,
    );
    gpu.read(&y)
}

/// Builtin `which` of `probes.wgsl` at every x.
fn builtin(gpu: &Gpu, which: u32, x: &[f32]) -> Vec<f32> {
    ask(gpu, "functions", x, which, x.len())
        .into_iter()
        .map(f32::from_bits)
        .collect()
}

const EXP: u32 = 0;
const LOG: u32 = 1;
const TANH: u32 = 2;
const SIN: u32 = 3;
const COS: u32 = 4;
const INVERSE_SQRT: u32 = 5;
const SQRT: u32 = 6;
const RECIPROCAL: u32 = 7;
const HALF: u32 = 8;
const COPY: u32 = 9;

pub fn nan_compared(gpu: &Gpu) -> String {
    let bits = ask(gpu, "compare", &[f32::NAN], 0, 1)[0];
    let said = |bit: u32| bits & bit != 0;
    let right = if bits == 1 {
        "as IEEE 754 has it"
    } else {
        "not as IEEE 754 has it"
    };
    format!(
        "for a NaN, a != a is {}, a == a is {}, a < 1 is {}, a >= 1 is {}: {right}",
        said(1),
        said(2),
        said(4),
        said(8)
    )
}

pub fn log_and_exp(gpu: &Gpu) -> String {
    format!(
        "log(0) is {}, exp(NaN) is {}",
        builtin(gpu, LOG, &[0.0])[0],
        builtin(gpu, EXP, &[f32::NAN])[0]
    )
}

pub fn large_tanh(gpu: &Gpu) -> String {
    let x: Vec<f32> = (0..=1800).map(|i| 20.0 + 0.1 * i as f32).collect();
    let nan = builtin(gpu, TANH, &x).iter().filter(|y| y.is_nan()).count();
    let share = 100.0 * nan as f64 / x.len() as f64;
    format!(
        "tanh(50) is {}; NaN on {share:.0} % of [20, 200]",
        builtin(gpu, TANH, &[50.0])[0]
    )
}

pub fn subnormals(gpu: &Gpu) -> String {
    let word = |kept: bool| if kept { "kept" } else { "flushed to 0" };
    let product = builtin(gpu, HALF, &[f32::MIN_POSITIVE])[0] != 0.0;
    let copy = builtin(gpu, COPY, &[f32::MIN_POSITIVE / 8.0])[0] != 0.0;
    format!(
        "{} as the result of a product, {} by a copy",
        word(product),
        word(copy)
    )
}

pub fn rounding(gpu: &Gpu) -> String {
    let of = |x: [f32; 3]| -> Vec<f32> {
        ask(gpu, "rounding", &x, 0, 4)
            .into_iter()
            .map(f32::from_bits)
            .collect()
    };
    let sum = of([1.0, 16_777_216.0, 0.0])[0];
    let lost = of([1.0, 2.0_f32.powi(-30), 0.0])[1];
    let near_one = 1.0 + 2.0_f32.powi(-12);
    let product = of([near_one, near_one, 1.0 + 2.0_f32.powi(-11)]);
    let x: Vec<f32> = std::iter::once(1.0)
        .chain(std::iter::repeat_n(2.0_f32.powi(-25), 1 << 12))
        .collect();
    // One workgroup is enough: `sums` has one invocation.
    let x_buffer = gpu.upload(&x);
    let y = gpu.upload(&[0u32; 2]);
    run(gpu, "sums", &x_buffer, &y, [x.len() as u32, 0], 1);
    let sums = gpu.read::<u32>(&y);
    let kahan = f32::from_bits(sums[0]) > 1.0 + 2.0_f32.powi(-14);
    let yes = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
    format!(
        "(a + b) - b is {}; two-sum {}; Kahan's sum {}; a b - c is {}; fma is {}",
        yes(sum == 1.0, "folded to a", "computed"),
        yes(lost == 2.0_f32.powi(-30), "survives", "is optimised away"),
        yes(kahan, "survives", "is optimised away"),
        yes(product[2] == 0.0, "rounded twice", "contracted"),
        yes(product[3] == 0.0, "rounded twice", "fused"),
    )
}

pub fn halves(gpu: &Gpu) -> String {
    let step = 2.0_f32.powi(-11);
    let x = [
        1.0 + step,
        1.0 + 3.0 * step,
        65_519.0,
        65_520.0,
        3e38,
        2.0_f32.powi(-24),
    ];
    let words = ask(gpu, "halves", &x, 0, 2 * x.len());
    let back = |i: usize| f32::from_bits(words[2 * i + 1]);
    let ties = match (back(0) == 1.0, back(1) == 1.0 + 2.0 * step) {
        (true, false) => "ties go to even",
        (true, true) => "rounds towards zero",
        (false, false) => "ties go up",
        (false, true) => "rounds in no regular way",
    };
    format!(
        "{ties}; 65519 becomes {}, 65520 {}, 3e38 {}; the subnormal 2^-24 is {}",
        back(2),
        back(3),
        back(4),
        if words[10] & 0xffff == 1 {
            "kept"
        } else {
            "flushed"
        }
    )
}

/// Worst error of `got` against `exact` in units in the last place of the exact result.
fn ulps(x: &[f32], got: &[f32], exact: fn(f64) -> f64) -> f64 {
    let error = |(&x, &y): (&f32, &f32)| {
        let want = exact(f64::from(x));
        let ulp = 2.0_f64.powi((want.abs().log2().floor() as i32).max(-126) - 23);
        let error = (f64::from(y) - want).abs() / ulp;
        if error.is_nan() { f64::INFINITY } else { error }
    };
    x.iter().zip(got).map(error).fold(0.0, f64::max)
}

pub fn builtins(gpu: &Gpu) -> String {
    let grid = |low: f64, high: f64| -> Vec<f32> {
        (0..16_384)
            .map(|i| (low + (high - low) * f64::from(i) / 16_383.0) as f32)
            .collect()
    };
    let angles = grid(-std::f64::consts::PI, std::f64::consts::PI);
    let absolute = |which: u32, exact: fn(f64) -> f64| {
        let got = builtin(gpu, which, &angles);
        angles
            .iter()
            .zip(got)
            .map(|(&x, y)| (f64::from(y) - exact(f64::from(x))).abs())
            .fold(0.0, f64::max)
    };
    let relative =
        |which: u32, x: &[f32], exact: fn(f64) -> f64| ulps(x, &builtin(gpu, which, x), exact);
    format!(
        "worst errors: sin {:.1e}, cos {:.1e} on [-pi, pi]; exp {:.1} ULP on [-10, 10]; log {:.1} ULP on [2, 1000]; \
         on [0.001, 100] inverseSqrt {:.1}, sqrt {:.1}, division {:.1} ULP",
        absolute(SIN, f64::sin),
        absolute(COS, f64::cos),
        relative(EXP, &grid(-10.0, 10.0), f64::exp),
        relative(LOG, &grid(2.0, 1000.0), f64::ln),
        relative(INVERSE_SQRT, &grid(0.001, 100.0), |x| 1.0 / x.sqrt()),
        relative(SQRT, &grid(0.001, 100.0), f64::sqrt),
        relative(RECIPROCAL, &grid(0.001, 100.0), |x| 1.0 / x),
    )
}

pub fn integers(gpu: &Gpu) -> String {
    let y = gpu.upload(&[0u32; 4]);
    run(gpu, "integers", &y, &y, [7, 0], 1);
    let words = gpu.read::<u32>(&y);
    format!(
        "without run-time checks 7 / 0 is {} and 7 % 0 is {} for u32, {} and {} for i32",
        words[0], words[1], words[2] as i32, words[3] as i32
    )
}

pub fn loops(gpu: &Gpu) -> String {
    let one = gpu.upload(&[1.0f32]);
    let y = gpu.upload(&[0u32]);
    run(gpu, "ones", &one, &y, [131_072, 0], 1);
    let sum = f32::from_bits(gpu.read::<u32>(&y)[0]);
    let end = if sum == 131_072.0 {
        "no end is near"
    } else {
        "the loop was ended before its time, and nobody told"
    };
    format!("131,072 rounds of adding 1 give {sum}: {end}")
}

/// A binding of four words within a buffer of 64. The words hold 1000 plus their index, or zeros
/// without `numbers`.
fn window(gpu: &Gpu, numbers: bool) -> (Buffer, Buffer) {
    let words: Vec<f32> = (0..64u16).map(|i| f32::from(1000 + i)).collect();
    let whole = if numbers {
        gpu.upload(&words)
    } else {
        gpu.upload(&[0u32; 64])
    };
    let part = whole.slice(0, 16);
    (whole, part)
}

/// What reading `x[at]` gives for a binding of four words.
fn read_at(gpu: &Gpu, at: u32) -> String {
    let (_whole, part) = window(gpu, true);
    let y = gpu.upload(&[u32::MAX]);
    run(gpu, "outside_read", &part, &y, [0, at], 1);
    match f32::from_bits(gpu.read::<u32>(&y)[0]) {
        0.0 => "gives 0".into(),
        1003.0 => "gives the last element".into(),
        value if value == 1000.0 + at as f32 => "gives the memory behind the binding".into(),
        value if (1000.0..1064.0).contains(&value) => format!("gives element {}", value - 1000.0),
        value => format!("gives {value}"),
    }
}

/// Where a write to `y[at]` for a binding of four words lands.
fn write_at(gpu: &Gpu, at: u32) -> String {
    let (whole, part) = window(gpu, false);
    run(gpu, "outside_write", &part, &part, [0, at], 1);
    match gpu.read::<u32>(&whole).iter().position(|&word| word != 0) {
        None if at < 64 => "is dropped".into(),
        None => "is dropped, or lands out of sight".into(),
        Some(3) => "hits the last element".into(),
        Some(hit) if hit == at as usize => "hits the memory behind the binding".into(),
        Some(hit) => format!("hits element {hit}"),
    }
}

pub fn read_outside(gpu: &Gpu) -> String {
    format!(
        "one past the end of a binding {}, without run-time checks",
        read_at(gpu, 4)
    )
}

pub fn write_outside(gpu: &Gpu) -> String {
    format!(
        "one past the end of a binding {}, without run-time checks",
        write_at(gpu, 4)
    )
}

/// 64 MiB behind the binding: far outside any buffer that a probe has made.
const FAR: u32 = 1 << 24;

pub fn far_outside(gpu: &Gpu) -> String {
    let read = read_at(gpu, FAR);
    format!(
        "64 MiB past the end a read {read}, a write {}",
        write_at(gpu, FAR)
    )
}
