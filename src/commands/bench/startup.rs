//! Measures the time from launch to the first finished kernel and to the first training step of the
//! toy. Two child processes are timed: the first starts with empty caches, the second with what the
//! first left (compiled pipelines, the driver's own cache).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::work::Work;
use super::{Row, training};
use crate::error::{Error, Result};
use crate::experiment::device::keep_caches;
use crate::gpu::{Gpu, GpuOptions};
use crate::ops;
use crate::tensor::Tensor;

/// Lines that the child prints after the first kernel and after the first training step.
const MILESTONES: [&str; 2] = ["first kernel", "first toy step"];
/// Environment variables that name the folders of the drivers' own caches (Mesa, NVIDIA).
const DRIVER_CACHES: [&str; 2] = ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"];

/// Launches the program twice on the adapter with index `adapter`.
///
/// # Errors
/// [`Error::Io`] if it cannot be launched, [`Error::Adapter`] if a child ends before a milestone.
pub fn measure(adapter: usize) -> Result<Vec<Row>> {
    let here = std::env::temp_dir().join(format!("dbvq-wgpu-start-{}", std::process::id()));
    std::fs::create_dir_all(&here).map_err(Error::io(&here))?;
    let first = launch(adapter, &here);
    let second = launch(adapter, &here);
    let _ = std::fs::remove_dir_all(&here);
    let named = |times: [f64; 2], direction: &str| {
        let row =
            |(shape, seconds): (&str, f64)| Row::of_time("start-up", shape, direction, seconds);
        MILESTONES
            .into_iter()
            .zip(times)
            .map(row)
            .collect::<Vec<_>>()
    };
    Ok([
        named(first?, "nothing kept"),
        named(second?, "kernels kept"),
    ]
    .concat())
}

/// Seconds from launch to each milestone.
fn launch(adapter: usize, cache: &Path) -> Result<[f64; 2]> {
    let program = std::env::current_exe().map_err(Error::io("the running program"))?;
    let mut command = Command::new(&program);
    command
        .args(["bench-startup", &adapter.to_string()])
        .arg(cache)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.envs(DRIVER_CACHES.map(|name| (name, cache)));
    let begin = Instant::now();
    let mut child = command.spawn().map_err(Error::io(&program))?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.stdout.take().expect("it is piped"),
    ));
    let mut next = |what: &str| match lines.next() {
        Some(Ok(line)) if line == what => Ok(begin.elapsed().as_secs_f64()),
        _ => Err(Error::Adapter(
            "a second launch of the program ended before its first kernel".into(),
        )),
    };
    let times = [next(MILESTONES[0])?, next(MILESTONES[1])?];
    child.wait().map_err(Error::io(&program))?;
    Ok(times)
}

/// The child: reaches the milestones, prints them, and leaves compiled pipelines in `cache`.
///
/// # Errors
/// [`Error::Adapter`].
pub fn child(adapter: &str, cache: &Path) -> Result<()> {
    let options = GpuOptions {
        adapter: Some(adapter.into()),
        cache_dir: Some(cache.to_path_buf()),
        checked: false,
        driver_checks: false,
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(options)?;
    ops::silu(&Tensor::from_slice(&gpu, &[1.0], [1])).to_vec();
    say!("{}", MILESTONES[0]);
    let mut step = training::step(
        &gpu,
        &Work::Train {
            preset: "toy".into(),
            stage: None,
        },
    )?;
    step(0)?;
    gpu.wait();
    say!("{}", MILESTONES[1]);
    keep_caches(&gpu);
    Ok(())
}
