//! Compiles WGSL files to pipelines, one per (entry point, overrides), several in parallel.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};

use rustc_hash::FxHashMap;

use super::facts::IMMEDIATE_BYTES;
use super::{EntryFacts, GpuOptions, Origin, Override, Shader, parse};
use crate::error::panic_text;

/// An entry point with its overrides, compiled or being compiled.
pub(super) struct Pipeline {
    pub id: u32,
    /// `file/entry`, for the profile.
    pub label: String,
    pub facts: EntryFacts,
    pub layout: wgpu::BindGroupLayout,
    compiled: OnceCell<Compiled>,
    /// Receives the pipeline from the thread that compiles it.
    compiler: Receiver<Compiled>,
    overrides: Vec<Override>,
    shader: &'static str,
    entry: &'static str,
    /// Whether it comes from outside of the crate.
    pub foreign: bool,
}

/// A pipeline, or the message of a compiler that panicked.
type Compiled = Result<wgpu::ComputePipeline, String>;

impl Pipeline {
    pub fn is_compiled(&self) -> bool {
        self.compiled.get().is_some()
            || self
                .compiler
                .try_recv()
                .is_ok_and(|made| self.compiled.set(made).is_ok())
    }

    fn wait(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            self.compiler
                .recv()
                .unwrap_or_else(|error| Err(error.to_string()))
        })
    }

    /// The pipeline, after waiting for the compiler.
    pub fn raw(&self) -> &wgpu::ComputePipeline {
        self.wait()
            .as_ref()
            .unwrap_or_else(|why| panic!("{} could not be compiled: {why}", self.label))
    }
}

/// Compiler threads, with stacks as large as the main thread's: drivers' compilers recurse.
static COMPILERS: LazyLock<rayon::ThreadPool> = LazyLock::new(|| {
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|i| format!("compiler {i}"))
        .stack_size(8 << 20);
    threads.build().expect("threads can be started")
});

struct Loaded {
    raw: wgpu::ShaderModule,
    entries: BTreeMap<String, EntryFacts>,
}

/// All shader modules and pipelines of a device.
pub(super) struct Kernels {
    modules: FxHashMap<&'static str, Rc<Loaded>>,
    pipelines: FxHashMap<u64, Vec<Rc<Pipeline>>>,
    pub cache: Option<wgpu::PipelineCache>,
    pub compiled: u32,
    /// Bounds checks, loop bounding and zeroed workgroup memory, as WebGPU requires.
    pub checked: bool,
    stand_ins: Vec<Shader>,
    /// Whether pipelines are compiled on other threads.
    threads: bool,
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // The program must not exit while its driver compiles.
        self.wait();
    }
}

impl Kernels {
    /// Starts empty. OpenGL has a single context, which compiling would lock for too long: there
    /// pipelines are compiled one by one when they are requested.
    pub fn new(cache: Option<wgpu::PipelineCache>, options: &GpuOptions, backend: &str) -> Kernels {
        Kernels {
            modules: FxHashMap::default(),
            pipelines: FxHashMap::default(),
            cache,
            compiled: 0,
            checked: options.checked,
            stand_ins: options.stand_ins.clone(),
            threads: backend != "gl",
        }
    }

    /// Waits for all compilers.
    pub fn wait(&self) {
        for pipeline in self.pipelines.values().flatten() {
            let _ = pipeline.wait();
        }
    }

    /// The pipeline of `entry` with `overrides`; its first use starts the compilation.
    pub fn pipeline(
        &mut self,
        device: &wgpu::Device,
        shader: &'static Shader,
        entry: &'static str,
        overrides: &[Override],
    ) -> Rc<Pipeline> {
        let key = key(shader.name, entry, overrides);
        let same = |p: &&Rc<Pipeline>| {
            p.shader == shader.name && p.entry == entry && p.overrides == overrides
        };
        if let Some(found) = self
            .pipelines
            .get(&key)
            .and_then(|list| list.iter().find(same))
        {
            return found.clone();
        }
        let made = Rc::new(self.compile(device, shader, entry, overrides));
        self.pipelines.entry(key).or_default().push(made.clone());
        made
    }

    fn compile(
        &mut self,
        device: &wgpu::Device,
        shader: &'static Shader,
        entry: &'static str,
        overrides: &[Override],
    ) -> Pipeline {
        let module = self.module(device, shader);
        let Some(facts) = module.entries.get(entry).cloned() else {
            panic!("shaders/{}.wgsl has no entry point {entry}", shader.stem())
        };
        assert!(
            facts.immediates <= IMMEDIATE_BYTES,
            "{}/{entry}: {} bytes of immediates",
            shader.name,
            facts.immediates
        );
        let label = format!("{}/{entry}", shader.name);
        let layout = bind_group_layout(device, &label, &facts);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: facts.immediates,
        });
        let (sender, compiler) = channel();
        let compile = {
            let device = device.clone();
            let module = module.raw.clone();
            let cache = self.cache.clone();
            let label = label.clone();
            let overrides = overrides.to_vec();
            let zeroed = self.checked || shader.origin == Origin::Foreign;
            move || {
                let constants: Vec<(&str, f64)> = overrides
                    .iter()
                    .map(|&(name, v)| (name, f64::from(v)))
                    .collect();
                device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&label),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(entry),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &constants,
                        zero_initialize_workgroup_memory: zeroed,
                    },
                    cache: cache.as_ref(),
                })
            }
        };
        let job = move || {
            // `compile` is dropped, with its handles on the device, before the pipeline is sent:
            // its receiver may close the device.
            let made = catch_unwind(AssertUnwindSafe(compile))
                .map_err(|panic| panic_text(&*panic).to_string());
            let _ = sender.send(made);
        };
        if self.threads {
            COMPILERS.spawn(job)
        } else {
            job()
        }
        self.compiled += 1;
        let compiled = OnceCell::new();
        let overrides = overrides.to_vec();
        Pipeline {
            id: self.compiled,
            label,
            facts,
            layout,
            compiled,
            compiler,
            overrides,
            shader: shader.name,
            entry,
            foreign: shader.origin != Origin::BuiltIn,
        }
    }

    /// The shader that a test put in place of `shader`, or `shader` itself.
    pub fn standing_for(&self, shader: &Shader) -> Shader {
        self.stand_ins
            .iter()
            .find(|s| s.name == shader.name)
            .unwrap_or(shader)
            .clone()
    }

    fn module(&mut self, device: &wgpu::Device, shader: &'static Shader) -> Rc<Loaded> {
        if let Some(loaded) = self.modules.get(shader.name) {
            return loaded.clone();
        }
        let parsed = parse(&self.standing_for(shader)).unwrap_or_else(|e| panic!("{e}"));
        let checked = self.checked || shader.origin == Origin::Foreign;
        let raw = create_module(device, shader.name, parsed.module, checked);
        let loaded = Rc::new(Loaded {
            raw,
            entries: parsed.entries,
        });
        self.modules.insert(shader.name, loaded.clone());
        loaded
    }
}

/// Creates the module with or without WebGPU's run-time checks. The conformance suite runs every
/// built-in kernel both ways and shows that none leaves its bindings or loops forever.
#[expect(
    unsafe_code,
    reason = "wgpu marks leaving out run-time checks as unsafe; built-in kernels are tested with them"
)]
fn create_module(
    device: &wgpu::Device,
    name: &str,
    module: naga::Module,
    checked: bool,
) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Naga(Cow::Owned(module));
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source,
    };
    if checked {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: built-in kernels index only within the sizes in their Params, which the conformance
    // suite tests for every kernel; for others the caller of an unsafe function answers.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}

fn key(shader: &str, entry: &str, overrides: &[Override]) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (shader, entry, overrides).hash(&mut hasher);
    hasher.finish()
}

fn bind_group_layout(
    device: &wgpu::Device,
    label: &str,
    facts: &EntryFacts,
) -> wgpu::BindGroupLayout {
    let entry = |(at, (_, _, writes)): (usize, &(u32, String, bool))| wgpu::BindGroupLayoutEntry {
        binding: facts.bindings[at].0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: !writes },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries: Vec<_> = facts.bindings.iter().enumerate().map(entry).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    })
}
