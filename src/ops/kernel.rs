//! Kernels from outside of this crate.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex};

use crate::gpu::{Buffer, EntryFacts, GROUPS, Gpu, Origin, Shader, parse};
use crate::tensor::{Codes, Shape, Tensor};

/// A compute kernel of your own, in WGSL: one entry point that reads some tensors and writes one.
///
/// Its bindings are in group 0: the inputs in their order (`var<storage, read>`), then the output
/// (`var<storage, read_write>`), as arrays of `f32`, `vec4<f32>` or, for [`Codes`], `u32`.
/// Parameters are one `var<immediate>` struct of at most 128 bytes.
///
/// The kernel runs with WebGPU's checks: an index out of bounds reads or writes nothing outside of
/// the binding's memory. They need a device with the driver's bounds checks, as
/// [`GpuOptions::default`](crate::gpu::GpuOptions) opens it. [`Kernel::trusted`] leaves them out.
///
/// [`Tensor::with_vjp`] gives the result a gradient, and
/// [`kernels_test::verify`](crate::kernels_test::verify) checks both against a definition in f64.
///
/// ```
/// use dbvq_wgpu::prelude::*;
///
/// let swish = Kernel::new(
///     "@group(0) @binding(0) var<storage, read> x: array<f32>;
///      @group(0) @binding(1) var<storage, read_write> y: array<f32>;
///      var<immediate> beta: f32;
///      @compute @workgroup_size(64)
///      fn swish(@builtin(global_invocation_id) id: vec3<u32>) {
///          if id.x < arrayLength(&y) {
///              y[id.x] = x[id.x] / (1.0 + exp(-beta * x[id.x]));
///          }
///      }",
/// );
/// let gpu = Gpu::open_default()?;
/// let x = Tensor::from_slice(&gpu, &[-1.0, 0.0, 2.0], [3]);
/// let y = swish.run(&gpu, &[&x], x.shape(), &1.0f32);
/// assert!((y.to_vec()[2] - 1.761_594).abs() < 1e-5);
/// # Ok::<(), Error>(())
/// ```
///
/// Safe code cannot run unchecked WGSL, replace a built-in kernel or hand it memory:
/// ```compile_fail,E0133
/// let kernel = dbvq_wgpu::ops::Kernel::trusted("");
/// ```
/// ```compile_fail,E0451
/// let forged = dbvq_wgpu::gpu::Shader { name: "adam", ..dbvq_wgpu::ops::shaders()[0].clone() };
/// ```
/// ```compile_fail,E0133
/// let forged = dbvq_wgpu::ops::shaders()[0].with_source(String::new());
/// ```
/// ```compile_fail,E0624
/// let buffer = dbvq_wgpu::gpu::Gpu::open_default().unwrap().alloc(4);
/// ```
#[derive(Clone, Debug)]
pub struct Kernel {
    shader: &'static Shader,
    entry: &'static str,
    facts: EntryFacts,
}

/// What a [`Kernel`] reads: a [`Tensor`] or [`Codes`].
pub trait Operand: sealed::Sealed {}

impl Operand for Tensor {}
impl Operand for Codes {}

mod sealed {
    use crate::gpu::Buffer;
    use crate::tensor::{Codes, Tensor};

    pub trait Sealed {
        #[expect(
            private_interfaces,
            reason = "the trait is sealed: only this crate calls it"
        )]
        fn memory(&self) -> &Buffer;
    }

    impl Sealed for Tensor {
        #[expect(private_interfaces, reason = "as above")]
        fn memory(&self) -> &Buffer {
            self.buffer()
        }
    }

    impl Sealed for Codes {
        #[expect(private_interfaces, reason = "as above")]
        fn memory(&self) -> &Buffer {
            self.buffer()
        }
    }
}

impl Kernel {
    /// A kernel of this WGSL, which has one entry point.
    ///
    /// # Panics
    /// With naga's message if the WGSL is invalid, and if its bindings are not as described above.
    pub fn new(wgsl: &str) -> Kernel {
        Kernel::of(wgsl, Origin::Foreign)
    }

    /// [`Kernel::new`] without WebGPU's checks, on every device.
    ///
    /// # Safety
    /// No invocation may access an element outside of a binding's array or loop without end,
    /// whatever shapes and parameters the kernel is run with: on CPU drivers it would access the
    /// memory of this process.
    ///
    /// # Panics
    /// As [`Kernel::new`].
    #[expect(unsafe_code, reason = "what may go wrong is the caller's to rule out")]
    pub unsafe fn trusted(wgsl: &str) -> Kernel {
        Kernel::of(wgsl, Origin::Trusted)
    }

    fn of(wgsl: &str, origin: Origin) -> Kernel {
        let shader = interned(wgsl, origin);
        let parsed = parse(shader).unwrap_or_else(|message| panic!("{message}"));
        let (entry, facts) = match parsed.entries.iter().next() {
            Some(found) if parsed.entries.len() == 1 => found,
            _ => panic!(
                "a kernel has one entry point, this WGSL has {}",
                parsed.entries.len()
            ),
        };
        check_bindings(entry, facts, &parsed.module);
        let entry = interned_name(entry);
        Kernel {
            shader,
            entry,
            facts: facts.clone(),
        }
    }

    /// Runs the kernel with an invocation for each element of the output, which has shape `output`
    /// and no gradient. `global_invocation_id.x` is the element; those beyond the last must do
    /// nothing.
    ///
    /// # Panics
    /// If inputs or parameters do not match the WGSL, if its workgroup has more than one dimension,
    /// if the output has more elements than 65,535 workgroups, or if the device has no bounds
    /// checks.
    #[track_caller]
    pub fn run<P: bytemuck::NoUninit>(
        &self,
        gpu: &Gpu,
        inputs: &[&dyn Operand],
        output: impl Into<Shape>,
        params: &P,
    ) -> Tensor {
        let output = output.into();
        let [width, height, depth] = self.facts.workgroup;
        assert!(
            height == 1 && depth == 1,
            "{}: a workgroup of {:?} needs its own grid: Kernel::run_in",
            self.entry,
            self.facts.workgroup
        );
        let groups = output.count().div_ceil(width as usize);
        assert!(
            groups <= GROUPS,
            "{}: {output:?} is more than {GROUPS} workgroups of {width}; give a grid: Kernel::run_in",
            self.entry
        );
        self.run_in(gpu, inputs, output, params, [groups as u32, 1, 1])
    }

    /// [`Kernel::run`] in a grid of `groups` workgroups.
    ///
    /// # Panics
    /// If inputs or parameters do not match the WGSL, a dimension of the grid is over 65,535, or
    /// the device has no bounds checks.
    #[track_caller]
    pub fn run_in<P: bytemuck::NoUninit>(
        &self,
        gpu: &Gpu,
        inputs: &[&dyn Operand],
        output: impl Into<Shape>,
        params: &P,
        groups: [u32; 3],
    ) -> Tensor {
        assert!(
            self.shader.origin == Origin::Trusted || gpu.has_driver_checks(),
            "{}: a kernel from outside needs a device with bounds checks; open it with `GpuOptions {{ driver_checks: \
             true, .. }}`",
            self.entry
        );
        assert_eq!(
            inputs.len() + 1,
            self.facts.bindings.len(),
            "{}: inputs and output given, and bindings that it uses",
            self.entry
        );
        let y = Tensor::uninit(gpu, output);
        let mut buffers: Vec<&Buffer> = inputs.iter().map(|input| input.memory()).collect();
        buffers.push(y.buffer());
        gpu.dispatch(self.shader, self.entry, &[], &buffers, params, groups);
        y
    }
}

fn check_bindings(entry: &str, facts: &EntryFacts, module: &naga::Module) {
    for (_, variable) in module.global_variables.iter() {
        let storage = matches!(variable.space, naga::AddressSpace::Storage { .. });
        let name = variable.name.as_deref().unwrap_or_default();
        if let Some(binding) = &variable.binding {
            assert!(
                storage && binding.group == 0,
                "{entry}: `{name}` must be a storage buffer in group 0"
            );
        }
    }
    let Some(((_, output, written), inputs)) = facts.bindings.split_last() else {
        panic!("{entry}: a kernel writes an output, this one has no binding")
    };
    assert!(
        *written,
        "{entry}: the last binding, `{output}`, is the output and must be written"
    );
    for (_, input, written) in inputs {
        assert!(
            !written,
            "{entry}: `{input}` is written, but only the last binding may be"
        );
    }
}

/// The shader of a text, made once: pipelines refer to it for as long as the process runs.
fn interned(wgsl: &str, origin: Origin) -> &'static Shader {
    static KNOWN: LazyLock<Mutex<HashMap<String, &'static Shader>>> = LazyLock::new(Mutex::default);
    let mut hasher = DefaultHasher::new();
    (wgsl, origin == Origin::Trusted).hash(&mut hasher);
    let name = format!("own {:016x}", hasher.finish());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    known.entry(name).or_insert_with_key(|name| {
        Box::leak(Box::new(Shader {
            name: Box::leak(name.clone().into_boxed_str()),
            source: Box::leak(wgsl.to_string().into_boxed_str()),
            instead: None,
            origin,
        }))
    })
}

/// A name that lives as long as the process, kept once.
fn interned_name(name: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<HashMap<String, &'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    known
        .entry(name.to_string())
        .or_insert_with_key(|name| Box::leak(name.clone().into_boxed_str()))
}
