//! `dbvq-wgpu adapters`: lists the GPUs with their limits and features.

use std::fmt::Write;

use crate::error::{Error, Result};
use crate::gpu::{AdapterFacts, every_adapter, hiding, none_found};
use crate::report::console::print_document;

/// Prints the list, including OpenGL adapters; `json` prints it as JSON.
///
/// # Errors
/// [`Error::Adapter`] if there is none; with `json` an empty list is printed first.
pub fn run(json: bool) -> Result<()> {
    let list = every_adapter();
    let document = if json {
        serde_json::to_string_pretty(&list).expect("facts are plain data") + "\n"
    } else {
        let only_gl = list.iter().all(|facts| facts.backend == "gl");
        list.iter().map(|facts| text(facts, only_gl)).collect()
    };
    print_document(&document)?;
    if let Some(variables) = hiding().filter(|_| !list.is_empty()) {
        note!("note: {variables}");
    }
    if list.is_empty() {
        Err(Error::Adapter(none_found()))
    } else {
        Ok(())
    }
}

/// `alone`: whether all adapters are OpenGL ones.
fn text(a: &AdapterFacts, alone: bool) -> String {
    let mark = match (a.default, a.backend == "gl" && !alone) {
        (true, _) => "  (default)",
        (_, true) => "  (OpenGL: a duplicate, used only with --adapter)",
        _ => "",
    };
    let mut out = format!("{} {}{mark}\n", a.index, a.name);
    let mib = |bytes: u64| bytes >> 20;
    let l = &a.limits;
    let _ = writeln!(
        out,
        "    {} / {}, driver {} {}, vendor {:#06x}, device {:#06x}",
        a.backend, a.kind, a.driver, a.driver_info, a.vendor, a.device
    );
    let _ = writeln!(
        out,
        "    binding up to {} MiB, buffer up to {} MiB",
        mib(l.max_storage_buffer_binding_size),
        mib(l.max_buffer_size)
    );
    let invocations = l.max_compute_invocations_per_workgroup;
    let memory = l.max_compute_workgroup_storage_size >> 10;
    let _ = writeln!(
        out,
        "    workgroup: {invocations} invocations, {memory} KiB; subgroup {}..{} lanes",
        a.subgroup[0], a.subgroup[1]
    );
    let _ = writeln!(
        out,
        "    {} storage buffers, {} bytes of immediates",
        l.max_storage_buffers_per_shader_stage, l.max_immediate_size
    );
    let f = &a.features;
    let all = [
        ("f16", f.shader_f16),
        ("int64", f.shader_int64),
        ("subgroups", f.subgroup),
        ("timestamps", f.timestamps_in_passes),
        ("pipeline cache", f.pipeline_cache),
        ("cooperative matrix", f.cooperative_matrix),
    ];
    let names = |present: bool| {
        all.iter()
            .filter(|(_, has)| *has == present)
            .map(|(n, _)| *n)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(matrices) = a.cooperative() {
        let _ = writeln!(
            out,
            "    matrices of f16 summed in f32: {0} x {0} (--precision f16)",
            matrices.edge
        );
    }
    let _ = writeln!(
        out,
        "    has {}; lacks {}",
        or_nothing(names(true)),
        or_nothing(names(false))
    );
    if let Err(why) = &a.usable {
        let _ = writeln!(out, "    cannot run the kernels: {why}");
    }
    out
}

fn or_nothing(list: String) -> String {
    if list.is_empty() {
        "nothing".into()
    } else {
        list
    }
}
