//! Compute kernels from outside this crate.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use crate::gpu::{Buffer, EntryFacts, GROUPS, Gpu, Origin, Shader, parse};
use crate::tensor::{Codes, Shape, Tensor};

/// A compute kernel of your own: WGSL with one entry point that reads tensors and writes one.
///
/// Bindings are in group 0, in ascending order: first the inputs (`var<storage, read>`), then the
/// output (`var<storage, read_write>`). Each is an array of `f32`, `vec4<f32>` or, for [`Codes`],
/// `u32`. Parameters are one `var<immediate>` of at most 128 bytes.
///
/// The kernel runs with WebGPU's run-time checks: an out-of-bounds index accesses no memory outside
/// the binding. The checks need a device that was opened with the driver's bounds checks, as
/// [`GpuOptions::default`](crate::gpu::GpuOptions) does. [`Kernel::trusted`] omits them.
///
/// The result has no gradient until [`Tensor::with_vjp`] adds one.
/// [`kernels_test::verify`](crate::kernels_test::verify) checks the result and its gradient against
/// a definition in f64.
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
/// Safe code cannot run unchecked WGSL, replace a built-in kernel, or pass it raw memory:
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

/// An input of a [`Kernel`]: a [`Tensor`] or [`Codes`].
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
    /// Makes a kernel from WGSL with exactly one entry point.
    ///
    /// # Panics
    /// If the WGSL is invalid (with naga's message), does not have exactly one entry point, or has
    /// bindings other than [`Kernel`] describes.
    pub fn new(wgsl: &str) -> Kernel {
        Kernel::of(wgsl, Origin::Foreign)
    }

    /// Like [`Kernel::new`], but without WebGPU's run-time checks. The kernel runs on every device,
    /// with or without the driver's bounds checks.
    ///
    /// # Safety
    /// For all shapes and parameters that the kernel is run with, no invocation may access an
    /// element outside a binding's array or loop forever. On CPU drivers, such an access reaches
    /// the memory of this process.
    ///
    /// # Panics
    /// As [`Kernel::new`].
    #[expect(unsafe_code, reason = "what may go wrong is the caller's to rule out")]
    pub unsafe fn trusted(wgsl: &str) -> Kernel {
        Kernel::of(wgsl, Origin::Trusted)
    }

    /// The kernel of a text, made once: pipelines refer to it for as long as the process runs, and an
    /// op may ask for its kernel each time it runs.
    fn of(wgsl: &str, origin: Origin) -> Kernel {
        type Key = (String, Origin);
        static KNOWN: LazyLock<Mutex<HashMap<Key, Kernel>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
        let key = (wgsl.to_string(), origin);
        if let Some(kernel) = known.get(&key) {
            return kernel.clone();
        }
        let kernel = Kernel::made(wgsl, origin, known.len());
        known.insert(key, kernel.clone());
        kernel
    }

    fn made(wgsl: &str, origin: Origin, number: usize) -> Kernel {
        let shader = Shader {
            name: leaked(&format!("own {number}")),
            source: leaked(wgsl),
            instead: None,
            origin,
        };
        let parsed = parse(&shader).unwrap_or_else(|message| panic!("{message}"));
        let (entry, facts) = match parsed.entries.iter().next() {
            Some(found) if parsed.entries.len() == 1 => found,
            _ => panic!(
                "a kernel has one entry point, this WGSL has {}",
                parsed.entries.len()
            ),
        };
        check_bindings(entry, facts, &parsed.module);
        Kernel {
            shader: Box::leak(Box::new(shader)),
            entry: leaked(entry),
            facts: facts.clone(),
        }
    }

    /// Runs the kernel with one invocation per output element and returns the output, which has
    /// shape `output` and no gradient. `global_invocation_id.x` is the index of the element. The
    /// last workgroup may have invocations beyond the last element; they must do nothing. A kernel
    /// without parameters gets `&()`.
    ///
    /// # Panics
    /// If the number of inputs or the size of `params` does not match the WGSL, if the workgroup
    /// has more than one dimension, if the output has more elements than 65,535 workgroups have
    /// invocations, or if the device has no bounds checks and the kernel is not
    /// [trusted](Kernel::trusted).
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

    /// Like [`Kernel::run`], with a grid of `groups` workgroups.
    ///
    /// # Panics
    /// If the number of inputs or the size of `params` does not match the WGSL, if a dimension of
    /// the grid is over 65,535, or if the device has no bounds checks and the kernel is not
    /// [trusted](Kernel::trusted).
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

fn leaked(text: &str) -> &'static str {
    Box::leak(text.to_string().into_boxed_str())
}
