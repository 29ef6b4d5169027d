//! The conformance check catches broken kernels: each kernel below is run as it stands, which must pass, and with one
//! deliberate fault in its text, which must fail. Needs a GPU adapter.

#[path = "mutations/attention.rs"]
mod attention;

use dbvq_wgpu::gpu::{Buffer, Gpu, GpuOptions, Override, Shader, parse};
use dbvq_wgpu::kernels_test::{Real, compare};
use dbvq_wgpu::ops;
use dbvq_wgpu::philox::Stream;

/// One binding of a kernel: what goes in, and what must come out.
enum Slot {
    Floats(Vec<f32>),
    Codes(Vec<u32>),
    Out(Vec<Real>),
    InOut(Vec<f32>, Vec<Real>),
}

/// One dispatch of an entry point, with its definition's result.
struct Kernel {
    shader: &'static str,
    entry: &'static str,
    overrides: &'static [Override],
    /// In ascending order of the bindings that the entry point uses.
    slots: Vec<Slot>,
    /// The words of `Params`.
    params: Vec<u32>,
    groups: [u32; 3],
    /// What is replaced by what; the first text must occur exactly once.
    faults: &'static [(&'static str, &'static str)],
}

impl Kernel {
    /// Runs `shader` in place of the kernel's own.
    fn run(&self, shader: &'static Shader) -> Result<(), String> {
        let options = GpuOptions { checked: false, poison: true, ..GpuOptions::default() };
        let gpu = Gpu::open(options).expect("these tests need a GPU adapter; Mesa's lavapipe will do");
        let buffers: Vec<Buffer> = self.slots.iter().map(|slot| slot.buffer(&gpu)).collect();
        self.dispatch(&gpu, shader, &buffers.iter().collect::<Vec<_>>());
        for (slot, buffer) in self.slots.iter().zip(&buffers) {
            if let Slot::Out(expected) | Slot::InOut(_, expected) = slot {
                compare(&gpu.read(buffer), expected)?;
            }
        }
        gpu.check_guards()
    }

    fn dispatch(&self, gpu: &Gpu, shader: &'static Shader, buffers: &[&Buffer]) {
        macro_rules! sizes {
            ($($n:literal)*) => {
                match self.params.len() {
                    $($n => {
                        let words = <[u32; $n]>::try_from(self.params.as_slice()).expect("the length was matched");
                        gpu.dispatch(shader, self.entry, self.overrides, buffers, &words, self.groups);
                    })*
                    other => panic!("give `sizes` the length {other}"),
                }
            };
        }
        sizes!(3 4 5 9 11);
    }

    /// The shader with one of the faults, compiled under a name of its own.
    fn broken(&self, at: usize) -> &'static Shader {
        let (from, to) = self.faults[at];
        let source = self.shader().source;
        assert_eq!(source.matches(from).count(), 1, "shaders/{}.wgsl: `{from}` is to stand there once", self.shader);
        let shader = Shader {
            name: Box::leak(format!("{}-{}-{at}", self.shader, self.entry).into_boxed_str()),
            source: Box::leak(source.replacen(from, to, 1).into_boxed_str()),
        };
        if let Err(e) = parse(&shader) {
            panic!("a fault must still be WGSL: {e}");
        }
        Box::leak(Box::new(shader))
    }

    fn shader(&self) -> &'static Shader {
        ops::shaders().into_iter().find(|s| s.name == self.shader).expect("it is listed")
    }
}

impl Slot {
    fn buffer(&self, gpu: &Gpu) -> Buffer {
        match self {
            Slot::Floats(values) | Slot::InOut(values, _) => gpu.upload(values),
            Slot::Codes(codes) => gpu.upload(codes),
            Slot::Out(expected) => gpu.alloc(expected.len()),
        }
    }
}

fn normals(count: usize, stream: u32) -> Vec<f32> {
    let stream = Stream { seed: 4, step: 0, stream };
    (0..count as u32).map(|i| stream.normal(i) as f32).collect()
}

fn positives(count: usize, stream: u32) -> Vec<f32> {
    normals(count, stream).iter().map(|v| v.abs() + 0.1).collect()
}

fn real(value: f32) -> Real {
    Real::constant(f64::from(value))
}

fn reals(values: &[f32]) -> Vec<Real> {
    values.iter().map(|&v| real(v)).collect()
}

fn one() -> Real {
    Real::constant(1.0)
}

fn silu_slope(u: Real) -> Real {
    u.sigmoid() * (one() + u * (-u).sigmoid())
}

fn unary_backward() -> Kernel {
    let (x, dy) = (normals(517, 0), normals(517, 1));
    let dx = reals(&x).into_iter().zip(reals(&dy)).map(|(x, dy)| dy * silu_slope(x)).collect();
    Kernel {
        shader: "elementwise",
        entry: "unary_backward",
        overrides: &[("OP", 4)],
        slots: vec![Slot::Floats(x), Slot::Floats(dy), Slot::Out(dx)],
        params: vec![517, 1f32.to_bits(), 0],
        groups: [3, 1, 1],
        faults: &[
            ("return s * (1.0 + v * accurate_sigmoid(-v));", "return s;"),
            ("y[i] = dy[i] * derivative(x[i]);", "y[i] = dy[i] + derivative(x[i]);"),
            // The last element stays unwritten.
            (
                "i < min(first + 4u, p.count); i += 1u) {\n        y[i] = dy",
                "i + 1u < min(first + 4u, p.count); i += 1u) {\n        y[i] = dy",
            ),
            // Values are right, but memory behind the tensor is written.
            (
                "i < min(first + 4u, p.count); i += 1u) {\n        y[i] = dy",
                "i < first + 4u; i += 1u) {\n        y[i] = dy",
            ),
        ],
    }
}

fn tree() -> Kernel {
    let (outer, middle, inner) = (3, 301, 2);
    // The last row is two terms short.
    let x = normals(outer * middle * inner - 2 * inner, 2);
    let sum = |at: usize| {
        let (o, i) = (at / inner, at % inner);
        real(0.5) * Real::sum((0..middle).filter_map(|r| x.get((o * middle + r) * inner + i)).map(|&v| real(v)))
    };
    let y = (0..outer * inner).map(sum).collect();
    Kernel {
        shader: "reduce",
        entry: "tree",
        overrides: &[("SQUARE", 0)],
        params: vec![outer as u32, middle as u32, inner as u32, x.len() as u32, 0.5f32.to_bits()],
        slots: vec![Slot::Floats(x), Slot::Out(y)],
        groups: [(outer * inner) as u32, 1, 1],
        faults: &[
            ("half > 0u; half /= 2u", "half > 1u; half /= 2u"),
            ("(var r = lid; r < terms; r += 64u)", "(var r = lid; r + 1u < terms; r += 64u)"),
            ("(var r = lid; r < terms; r += 64u)", "(var r = lid; r < p.middle; r += 64u)"),
            ("at % p.inner;", "(at % p.inner) * p.middle;"),
            ("y[at] = p.scale * sh_sum[0];", "y[at] = sh_sum[0];"),
        ],
    }
}

/// Sizes of the group norms: n, hw, channels, groups, and ε, large enough to matter.
const NORM: ([usize; 4], f32) = ([2, 37, 6, 3], 0.25);

fn norm_params() -> Vec<u32> {
    NORM.0.iter().map(|&n| n as u32).chain([NORM.1.to_bits()]).collect()
}

/// (element, channel) of each element of group `slab`.
fn slab_places(slab: usize) -> Vec<(usize, usize)> {
    let [_, hw, c, groups] = NORM.0;
    let (width, n, group) = (c / groups, slab / groups, slab % groups);
    let channels = move |p: usize| (group * width..(group + 1) * width).map(move |ch| ((n * hw + p) * c + ch, ch));
    (0..hw).flat_map(channels).collect()
}

fn norm_forward() -> Kernel {
    let ([n, hw, c, groups], eps) = NORM;
    let (x, gamma, beta) = (normals(n * hw * c, 3), normals(c, 4), normals(c, 5));
    // A mean away from zero, so that leaving it out shows.
    let x: Vec<f32> = x.iter().map(|v| v + 1.0).collect();
    let (mut y, mut stats) = (vec![Real::default(); x.len()], Vec::new());
    for slab in 0..n * groups {
        let places = slab_places(slab);
        let scale = Real::rounded(1.0 / places.len() as f64);
        let mean = Real::sum(places.iter().map(|&(at, _)| real(x[at]))) * scale;
        let squares = Real::sum(places.iter().map(|&(at, _)| (real(x[at]) - mean) * (real(x[at]) - mean)));
        let inverse = one() / (squares * scale + real(eps)).sqrt();
        for (at, channel) in places {
            y[at] = real(gamma[channel]) * ((real(x[at]) - mean) * inverse) + real(beta[channel]);
        }
        stats.extend([mean, inverse]);
    }
    Kernel {
        shader: "group_norm",
        entry: "forward",
        overrides: &[],
        slots: vec![Slot::Floats(x), Slot::Floats(gamma), Slot::Floats(beta), Slot::Out(y), Slot::Out(stats)],
        params: norm_params(),
        groups: [(n * groups) as u32, 1, 1],
        faults: &[
            (" + beta[at.y]);", " + 0.0 * beta[at.y]);"),
            (".x + p.eps);", ".x);"),
            ("let v = x[element(slab, i).x] - mean;", "let v = x[element(slab, i).x];"),
            ("(slab - n * p.groups) * width + i % width", "(slab - n * p.groups) + (i % width) * p.groups"),
            ("stats[2u * slab + 1u] = rstd;", "stats[2u * slab + 1u] = rstd * rstd;"),
        ],
    }
}

fn norm_backward() -> Kernel {
    let [n, hw, c, groups] = NORM.0;
    let (x, gamma, beta, dy) = (normals(n * hw * c, 6), normals(c, 7), normals(c, 18), normals(n * hw * c, 8));
    let saved: Vec<f32> = normals(n * groups, 9).iter().flat_map(|mean| [*mean, 0.8]).collect();
    let mut dx = vec![Real::default(); x.len()];
    for slab in 0..n * groups {
        let places = slab_places(slab);
        let (mean, inverse) = (real(saved[2 * slab]), real(saved[2 * slab + 1]));
        let hat = |at: usize| (real(x[at]) - mean) * inverse;
        let g = |&(at, channel): &(usize, usize)| real(gamma[channel]) * real(dy[at]);
        let count = Real::constant(places.len() as f64);
        let mean_g = Real::sum(places.iter().map(g)) / count;
        let mean_gx = Real::sum(places.iter().map(|place| g(place) * hat(place.0))) / count;
        for place in &places {
            dx[place.0] = inverse * (g(place) - mean_g - hat(place.0) * mean_gx);
        }
    }
    Kernel {
        shader: "group_norm",
        entry: "backward_input",
        overrides: &[],
        slots: vec![
            Slot::Floats(x),
            Slot::Floats(gamma),
            Slot::Floats(beta),
            Slot::Floats(dy),
            Slot::Floats(saved),
            Slot::Out(dx),
        ],
        params: norm_params(),
        groups: [(n * groups) as u32, 1, 1],
        faults: &[
            (" - xhat * means.y);", ");"),
            (" - means.x - xhat", " + means.x - xhat"),
            ("at.y);\n        sums += vec2(g, g * xhat);", "at.y);\n        sums += vec2(g, xhat);"),
            ("dx[at.x] = rstd * (", "dx[at.x] = ("),
        ],
    }
}

fn softmax() -> Kernel {
    let (rows, k, scale) = (70, 5, 0.5f32);
    let x = normals(rows * k, 10);
    let row = |logits: &[f32]| {
        let scaled: Vec<Real> = logits.iter().map(|&l| real(l) * real(scale)).collect();
        let top = scaled.iter().copied().fold(scaled[0], Real::max);
        let sum = Real::sum(scaled.iter().map(|&l| (l - top).exp())).ln();
        scaled.into_iter().map(move |l| ((l - top) - sum).exp()).collect::<Vec<_>>()
    };
    let y = x.chunks(k).flat_map(row).collect();
    Kernel {
        shader: "softmax",
        entry: "forward",
        overrides: &[("LOG", 0)],
        slots: vec![Slot::Floats(x), Slot::Out(y)],
        params: vec![rows as u32, k as u32, scale.to_bits()],
        groups: [2, 1, 1],
        faults: &[
            (
                "for (var i = 0u; i < p.k; i += 1u) {\n        sum +=",
                "for (var i = 1u; i < p.k; i += 1u) {\n        sum +=",
            ),
            ("let log_y = (p.scale * x[first + i] - norm.x) - norm.y;", "let log_y = p.scale * x[first + i] - norm.y;"),
            ("return vec2(top, accurate_log(sum));", "return vec2(top, sum);"),
        ],
    }
}

fn scatter_add() -> Kernel {
    let (rows, d, entries, part) = (100, 3, 7, 40);
    let x = normals(rows * d, 11);
    let codes: Vec<u32> = (0..rows).map(|row| ((row * row + 3 * row) % entries) as u32).collect();
    let parts = rows.div_ceil(part);
    let sum = |at: usize| {
        let (plane, entry, column) = (at / (entries * d), at / d % entries, at % d);
        let inside = plane * part..rows.min((plane + 1) * part);
        Real::sum(inside.filter(|&row| codes[row] == entry as u32).map(|row| real(x[row * d + column])))
    };
    let y = (0..parts * entries * d).map(sum).collect();
    Kernel {
        shader: "gather",
        entry: "scatter_add",
        overrides: &[],
        slots: vec![Slot::Codes(codes), Slot::Floats(x), Slot::Out(y)],
        params: [rows, d, entries, part].map(|n| n as u32).to_vec(),
        groups: [1, parts as u32, 1],
        faults: &[
            ("m < min((wid.y + 1u) * p.part, p.rows)", "m + 1u < min((wid.y + 1u) * p.part, p.rows)"),
            ("sum += table[m * p.d + column];", "sum += table[column * p.rows + m];"),
            ("if codes[m] == entry {", "if codes[m] >= entry {"),
            ("y[wid.y * p.entries * p.d + at] = sum;", "y[at] = sum;"),
        ],
    }
}

fn film_backward() -> Kernel {
    let (n, length, c) = (3, 7, 25);
    let (x, modulation, dy) = (normals(n * length * c, 12), normals(n * 2 * c, 13), normals(n * length * c, 14));
    let row = |i: usize| 2 * c * (i / (length * c)) + i % c;
    let g = |i: usize| {
        let u = real(x[i]) * real(modulation[row(i)]) + real(modulation[row(i) + c]);
        real(dy[i]) * silu_slope(u)
    };
    let dx = (0..x.len()).map(|i| g(i) * real(modulation[row(i)])).collect();
    let half = |at: usize| {
        let (sample, second, channel) = (at / (2 * c), at / c % 2 == 1, at % c);
        let places = (0..length).map(|l| (sample * length + l) * c + channel);
        Real::sum(places.map(|i| if second { g(i) } else { g(i) * real(x[i]) }))
    };
    let dmodulation = (0..n * 2 * c).map(half).collect();
    Kernel {
        shader: "film",
        entry: "backward",
        overrides: &[],
        slots: vec![Slot::Floats(x), Slot::Floats(modulation), Slot::Floats(dy), Slot::Out(dx), Slot::Out(dmodulation)],
        params: [n, length, c].map(|n| n as u32).to_vec(),
        groups: [2, 1, 1],
        faults: &[
            ("        dx[i] = g * s;", "        dx[i] = g;"),
            ("db += g;", "db = g;"),
            ("ds += g * v;", "ds += g * u;"),
            (
                "dmodulation[row] = ds;\n    dmodulation[row + p.c] = db;",
                "dmodulation[row] = db;\n    dmodulation[row + p.c] = ds;",
            ),
        ],
    }
}

fn ou_step() -> Kernel {
    let (count, channels) = (130, 5);
    let [z, eps, xi] = [15, 16, 17].map(|stream| normals(count, stream));
    let target = normals(channels, 18);
    let c = [1.1f32, -0.3, 0.2, 0.7];
    let out = |i: usize| {
        let terms = [z[i], eps[i], xi[i], target[i % channels]];
        Real::sum(c.iter().zip(terms).map(|(&c, term)| real(c) * real(term)))
    };
    let out = (0..count).map(out).collect();
    // No stream: the noise is given.
    let params = [count as u32, channels as u32, channels as u32].into_iter().chain(c.map(f32::to_bits)).chain([0; 4]);
    Kernel {
        shader: "ou_step",
        entry: "step",
        overrides: &[("DRAW", 0)],
        params: params.collect(),
        slots: vec![Slot::Floats(z), Slot::Floats(eps), Slot::Floats(xi), Slot::Floats(target), Slot::Out(out)],
        groups: [1, 1, 1],
        faults: &[
            (" + s.c1 * eps[i]", " - s.c1 * eps[i]"),
            (" + s.c2 * noise[j]", ""),
            ("select(0u, i % s.channels, s.targets > 1u)", "select(0u, i / s.channels % s.channels, s.targets > 1u)"),
            ("noise[j] = xi[i];", "noise[j] = xi[j];"),
        ],
    }
}

fn adam() -> Kernel {
    let count = 130;
    let [g, weight, first, average] = [19, 20, 21, 22].map(|stream| normals(count, stream));
    let second = positives(count, 23);
    let clip = vec![3.0f32, 0.5];
    let [lr, beta1, beta2, eps, decay, correction1, correction2, ema] =
        [1e-2f32, 0.9, 0.99, 1e-3, 1e-1, 2.0, 5.0, 0.75];
    let mut state = [const { Vec::new() }; 4];
    for i in 0..count {
        let g = real(g[i]) * real(clip[1]);
        let m = real(beta1) * real(first[i]) + (one() - real(beta1)) * g;
        let v = real(beta2) * real(second[i]) + (one() - real(beta2)) * g * g;
        let step = (m * real(correction1)) / ((v * real(correction2)).sqrt() + real(eps));
        let w = real(weight[i]) - real(lr) * (step + real(decay) * real(weight[i]));
        let average = real(ema) * real(average[i]) + (one() - real(ema)) * w;
        [w, m, v, average].into_iter().zip(&mut state).for_each(|(value, list)| list.push(value));
    }
    let [w, m, v, a] = state;
    let numbers = [lr, beta1, beta2, eps, decay, correction1, correction2, ema].map(f32::to_bits);
    Kernel {
        shader: "adam",
        entry: "adam",
        overrides: &[],
        slots: vec![
            Slot::Floats(g),
            Slot::Floats(clip),
            Slot::InOut(weight, w),
            Slot::InOut(first, m),
            Slot::InOut(second, v),
            Slot::InOut(average, a),
        ],
        params: [count as u32].into_iter().chain(numbers).collect(),
        groups: [3, 1, 1],
        faults: &[
            ("gradient[i] * clip_scale[1]", "gradient[i] * clip_scale[0]"),
            ("(1.0 - p.beta2) * g * g", "(1.0 - p.beta2) * g"),
            ("sqrt(v * p.correction2)", "sqrt(v)"),
            ("(step + p.decay * weight[i])", "step"),
            ("(1.0 - p.ema) * w;", "(1.0 - p.ema) * weight[i] * p.ema;"),
            // The last parameter stays as it was.
            ("if i >= p.count {", "if i + 1u >= p.count {"),
        ],
    }
}

fn kernels() -> Vec<Kernel> {
    vec![
        unary_backward(),
        tree(),
        norm_forward(),
        norm_backward(),
        softmax(),
        scatter_add(),
        film_backward(),
        ou_step(),
        adam(),
        attention::forward(),
        attention::backward_query(),
        attention::backward_key(),
    ]
}

#[test]
fn kernels_as_they_stand_pass() {
    for kernel in kernels() {
        if let Err(e) = kernel.run(kernel.shader()) {
            panic!("shaders/{}.wgsl, {}: {e}", kernel.shader, kernel.entry);
        }
    }
}

#[test]
fn every_fault_is_caught() {
    let (mut caught, mut missed) = (0, Vec::new());
    for kernel in kernels() {
        for (at, (from, to)) in kernel.faults.iter().enumerate() {
            match kernel.run(kernel.broken(at)) {
                Err(what) => {
                    println!("{}/{}: `{from}` -> `{to}`: {what}", kernel.shader, kernel.entry);
                    caught += 1;
                }
                Ok(()) => missed.push(format!("shaders/{}.wgsl, {}: `{from}` -> `{to}`", kernel.shader, kernel.entry)),
            }
        }
    }
    assert!(missed.is_empty(), "{caught} caught, but not\n{}", missed.join("\n"));
    assert!(caught >= 30, "only {caught} faults");
}

/// Only where lanes run one after another is a missing barrier sure to show.
#[test]
fn a_missing_barrier_is_caught_on_a_cpu() {
    let facts = dbvq_wgpu::gpu::adapters().into_iter().find(|a| a.default);
    if facts.expect("these tests need a GPU adapter; Mesa's lavapipe will do").kind != "cpu" {
        eprintln!("the adapter is no CPU: without a barrier its lanes may be right by luck");
        return;
    }
    let kernel = Kernel { faults: &[("        workgroupBarrier();\n", "")], ..tree() };
    let outcome = kernel.run(kernel.broken(0));
    assert!(outcome.is_err(), "a tree without barriers passes");
}

#[test]
fn equal_numbers_pass_and_anything_over_the_bound_fails() {
    let want = |value: f64, bound: f64| Real { bound, ..Real::constant(value) };
    assert_eq!(compare(&[1.0, -2.5, 0.0], &reals(&[1.0, -2.5, 0.0])), Ok(0.0));
    let share = compare(&[1.0 + f32::EPSILON], &[want(1.0, 2.0 * f64::from(f32::EPSILON))]).expect("inside the bound");
    assert!((share - 0.5).abs() < 1e-6, "{share}");
    assert!(compare(&[1.0 + f32::EPSILON], &[want(1.0, 0.99 * f64::from(f32::EPSILON))]).is_err());
    let what = compare(&[0.0, 0.0, 1.1], &[want(0.0, 0.0), want(0.0, 0.0), want(1.0, 1e-3)]).expect_err("far off");
    assert!(what.contains("element 2") && what.contains("1.1"), "{what}");
    assert!(compare(&[-1.0], &[want(1.0, 0.1)]).is_err(), "a wrong sign");
    assert!(compare(&[1e-40], &[want(0.0, 0.0)]).is_ok(), "an adapter may flush subnormal numbers");
    assert!(compare(&[1e-37], &[want(0.0, 0.0)]).is_err());
}

#[test]
fn numbers_that_are_not_finite_fail_on_either_side() {
    let loose = |value: f64| Real { bound: f64::MAX, ..Real::constant(value) };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(compare(&[bad], &[loose(1.0)]).is_err(), "{bad} from the GPU");
        assert!(compare(&[1.0], &[loose(f64::from(bad))]).is_err(), "{bad} from the definition");
        assert!(compare(&[bad], &[loose(f64::from(bad))]).is_err(), "{bad} from both");
    }
    for bound in [f64::NAN, f64::INFINITY] {
        let unbounded = Real { bound, ..Real::constant(1.0) };
        assert!(compare(&[1.0], &[unbounded]).is_err(), "a bound of {bound} would let everything pass");
    }
    assert!(compare(&[], &[loose(1.0)]).is_err() && compare(&[1.0], &[]).is_err(), "lengths differ");
}
