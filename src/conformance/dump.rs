//! `--dump DIR`: the tensors and kernels of failed cases, for debugging.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};
use crate::gpu::Launch;
use crate::kernels_test::{Evidence, Mode};
use crate::report::file;

/// Environment variable that tells the child process the folder.
pub const VARIABLE: &str = "DBVQ_CONFORMANCE_DUMP";

/// Maximum characters of a case's name in a folder's name.
const LONGEST: usize = 60;

/// Creates the folder.
///
/// # Errors
/// [`Error::Usage`] if it exists and is not empty; [`Error::Io`].
pub fn prepare(folder: &Path) -> Result<()> {
    if let Ok(mut entries) = std::fs::read_dir(folder)
        && entries.next().is_some()
    {
        let what = format!(
            "--dump {}: is not empty; name a new or empty folder",
            folder.display()
        );
        return Err(Error::Usage(what));
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder))
}

/// Writes the tensors and kernels of `name` (op and case) in `mode`. Returns the folder.
///
/// # Errors
/// [`Error::Io`].
pub fn write(
    folder: &Path,
    name: &str,
    mode: Mode,
    detail: &str,
    evidence: &Evidence,
) -> Result<PathBuf> {
    let hash = &blake3::hash(name.as_bytes()).to_hex()[..8];
    let place = folder
        .join(format!("{}-{hash}", plain(name)))
        .join(plain(mode.name));
    std::fs::create_dir_all(&place).map_err(Error::io(&place))?;
    file::write(
        &place.join("tensors.safetensors"),
        &tensors(name, mode, detail, evidence),
    )?;
    for (number, kernel) in evidence.kernels.iter().enumerate() {
        let stem = format!(
            "{number:02}-{}",
            plain(&format!("{}-{}", kernel.shader.name, kernel.entry))
        );
        file::write(&place.join(format!("{stem}.wgsl")), wgsl(kernel).as_bytes())?;
        match kernel.spirv(mode.checked) {
            Ok(Some(bytes)) => file::write(&place.join(format!("{stem}.spv")), &bytes)?,
            Ok(None) => {}
            Err(what) => file::write(
                &place.join(format!("{stem}.spv.error.txt")),
                what.as_bytes(),
            )?,
        }
    }
    Ok(place)
}

/// The safetensors file of all tensors, in f64, with the failure as metadata.
fn tensors(name: &str, mode: Mode, detail: &str, evidence: &Evidence) -> Vec<u8> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = evidence
        .tensors
        .iter()
        .map(|(name, dims, numbers)| {
            (
                name,
                dims,
                numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = bytes.iter().filter_map(|(name, dims, bytes)| {
        Some((
            name.as_str(),
            TensorView::new(Dtype::F64, (*dims).clone(), bytes).ok()?,
        ))
    });
    let pairs = [("case", name), ("mode", mode.name), ("detail", detail)];
    let metadata: HashMap<String, String> =
        pairs.map(|(key, value)| (key.into(), value.into())).into();
    safetensors::serialize(views, Some(metadata))
        .expect("each name is there once, each size that of its numbers")
}

/// The WGSL, headed by the constants and the grid that it ran with.
fn wgsl(kernel: &Launch) -> String {
    format!(
        "// {}, {:?} workgroups\n{}",
        kernel.label(),
        kernel.groups,
        kernel.wgsl()
    )
}

/// `text` as a file name that is valid on any system.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_ascii_alphanumeric() || c == '.' {
            out.push(c)
        } else if !out.ends_with('-') {
            out.push('-')
        }
    }
    out.trim_matches(['-', '.']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels_test::CHECKED;
    use crate::ops;

    #[test]
    fn a_dump_has_the_numbers_and_the_kernels() {
        let folder = std::env::temp_dir().join(format!("dbvq-dump-{}", std::process::id()));
        prepare(&folder).expect("a new folder");
        let shader = ops::shaders()
            .into_iter()
            .find(|s| s.name == "elementwise")
            .expect("a shader")
            .clone();
        let kernel = Launch {
            shader,
            entry: "unary_each",
            overrides: vec![("OP", 6)],
            groups: [1, 1, 1],
        };
        let tensors = vec![
            ("in.0".to_string(), vec![2], vec![1.0, -2.0]),
            ("out.got".into(), vec![1, 1], vec![0.5]),
        ];
        let evidence = Evidence {
            tensors,
            kernels: vec![kernel],
        };
        let place =
            write(&folder, "relu/-2..2 [3]", CHECKED, "off", &evidence).expect("it can be written");
        let bytes = std::fs::read(place.join("tensors.safetensors")).expect("the tensors");
        let back = safetensors::SafeTensors::deserialize(&bytes).expect("they can be read");
        assert_eq!(back.tensor("in.0").expect("an input").shape(), [2]);
        assert_eq!(
            back.tensor("out.got").expect("a result").data(),
            0.5f64.to_le_bytes()
        );
        let text = std::fs::read_to_string(place.join("00-elementwise-unary-each.wgsl"))
            .expect("the WGSL");
        assert!(
            text.starts_with("// elementwise/unary_each (OP 6), [1, 1, 1] workgroups"),
            "{text}"
        );
        if cfg!(target_os = "linux") {
            let words =
                std::fs::read(place.join("00-elementwise-unary-each.spv")).expect("the SPIR-V");
            assert_eq!(words[..4], 0x0723_0203u32.to_le_bytes());
        }
        let error = prepare(&folder).expect_err("there is something in it");
        assert!(
            error.exit_code() == 2 && error.to_string().contains("not empty"),
            "{error}"
        );
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(plain("conv2d/[1, 2] -> 3, 4x4"), "conv2d-1-2-3-4x4");
        assert!(plain(&"é/".repeat(300)).len() <= LONGEST && plain("../..").is_empty());
    }
}
