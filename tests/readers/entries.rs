//! One function for each reader of untrusted bytes. The tests beside this file and the fuzz targets
//! in `fuzz` call the same functions, which may use public items of the library and [`readers`].
#![allow(dead_code, reason = "the fuzz targets do not look at memory")]

use std::cell::LazyCell;
use std::path::{Path, PathBuf};

use dbvq_wgpu::commands::readers;
use dbvq_wgpu::config::Experiment;
use dbvq_wgpu::data::codes::Text;
use dbvq_wgpu::data::{self, Fit, Kind, Reading};
use dbvq_wgpu::error::{Error, Result};
use dbvq_wgpu::evaluate::features::read_npz;
use dbvq_wgpu::kernels_test::vectors;

/// A reader.
pub struct Reader {
    /// Its name, shared by its test and its fuzz target.
    pub name: &'static str,
    /// Reads.
    pub read: fn(&[u8]) -> Result<()>,
    /// Most memory it may hold while reading, in bytes: a constant plus a multiple of the input's
    /// length.
    pub memory: Memory,
}

/// A bound on memory.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Bytes for any input.
    pub constant: usize,
    /// Bytes per input byte.
    pub multiple: usize,
}

const MIB: usize = 1 << 20;
/// Binary formats: the file, its numbers, and tables of its tensors.
const BINARY: Memory = Memory {
    constant: MIB,
    multiple: 32,
};
/// JSON becomes trees: a list of one-key objects takes some hundred times its text.
const JSON: Memory = Memory {
    constant: MIB,
    multiple: 200,
};
/// TOML does too: a dotted key makes a table for every letter. Configurations are at most 1 MiB
/// long. A bridge has up to a million steps of four numbers.
const TOML: Memory = Memory {
    constant: 64 * MIB,
    multiple: 800,
};
/// Compressed data unpacks to at most 1,032 times its length, with a separate limit besides.
const ARCHIVE: Memory = Memory {
    constant: 4 * MIB,
    multiple: 4 * 1032,
};
/// A decoder may take 256 MiB, and so may its output; both exist twice while pixels are converted.
const PICTURE: Memory = Memory {
    constant: 1024 * MIB,
    multiple: 32,
};

/// All readers.
pub const ALL: [Reader; 22] = [
    Reader {
        name: "archive",
        read: archive,
        memory: ARCHIVE,
    },
    Reader {
        name: "checkpoint",
        read: checkpoint,
        memory: BINARY,
    },
    Reader {
        name: "cifar",
        read: cifar,
        memory: BINARY,
    },
    Reader {
        name: "cifar_names",
        read: cifar_names,
        memory: BINARY,
    },
    Reader {
        name: "codes",
        read: codes,
        memory: ARCHIVE,
    },
    Reader {
        name: "configuration",
        read: configuration,
        memory: TOML,
    },
    Reader {
        name: "draws",
        read: draws,
        memory: BINARY,
    },
    Reader {
        name: "features",
        read: features,
        memory: BINARY,
    },
    Reader {
        name: "kept",
        read: kept,
        memory: JSON,
    },
    Reader {
        name: "kernels",
        read: kernels,
        memory: JSON,
    },
    Reader {
        name: "latents",
        read: latents,
        memory: BINARY,
    },
    Reader {
        name: "list",
        read: list,
        memory: BINARY,
    },
    Reader {
        name: "log",
        read: log,
        memory: JSON,
    },
    Reader {
        name: "mask",
        read: mask,
        memory: PICTURE,
    },
    Reader {
        name: "npz",
        read: npz,
        memory: ARCHIVE,
    },
    Reader {
        name: "packed",
        read: packed,
        memory: JSON,
    },
    Reader {
        name: "picture",
        read: picture,
        memory: PICTURE,
    },
    Reader {
        name: "pipelines",
        read: pipelines,
        memory: BINARY,
    },
    Reader {
        name: "report",
        read: report,
        memory: JSON,
    },
    Reader {
        name: "run_configuration",
        read: run_configuration,
        memory: TOML,
    },
    Reader {
        name: "vector",
        read: vector,
        memory: JSON,
    },
    Reader {
        name: "weights",
        read: weights,
        memory: BINARY,
    },
];

/// Most characters of a message.
const LONGEST: usize = 2500;

/// Reads `bytes` by the reader `name`.
///
/// # Panics
/// If the reader panics, or its message is not a single line of reasonable length.
pub fn check(name: &str, bytes: &[u8]) {
    let reader = ALL
        .iter()
        .find(|reader| reader.name == name)
        .expect("a reader of the list");
    if let Err(error) = (reader.read)(bytes) {
        let message = error.to_string();
        let length = message.chars().count();
        assert!(
            (10..=LONGEST).contains(&length),
            "a message of {length} characters: {message}"
        );
        assert!(
            !message.contains(char::is_control),
            "a message of several lines: {message:?}"
        );
    }
}

thread_local! {
    /// A folder for this thread, on an in-memory file system if there is one: a disk is hundreds of
    /// times slower.
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        folder.expect("a temporary directory")
    });
}

/// Writes `bytes` as the file `name` in a folder of its own; `more` fills the folder when it is
/// created.
fn file(name: &str, bytes: &[u8], more: impl FnOnce(&Path)) -> PathBuf {
    FOLDER.with(|folder| {
        let file = folder.path().join(name);
        let inside = file.parent().expect("it lies in a folder");
        if !inside.exists() {
            std::fs::create_dir_all(inside).expect("a folder");
            more(inside);
        }
        std::fs::write(&file, bytes).expect("a temporary file");
        file
    })
}

fn alone(name: &str, bytes: &[u8]) -> PathBuf {
    file(name, bytes, |_| ())
}

fn archive(bytes: &[u8]) -> Result<()> {
    let file = alone("archive/cifar-10-binary.tar.gz", bytes);
    readers::archive(&file, &file.with_file_name("unpacked"))
}

fn checkpoint(bytes: &[u8]) -> Result<()> {
    readers::checkpoint(bytes).map(drop)
}

fn cifar(bytes: &[u8]) -> Result<()> {
    let file = alone("cifar/data_batch_1.bin", bytes);
    data::open(folder(&file), Some(Kind::Cifar10), &Reading::default()).map(drop)
}

fn cifar_names(bytes: &[u8]) -> Result<()> {
    let batch =
        |folder: &Path| std::fs::write(folder.join("data_batch_1.bin"), [3; 3073]).expect("a file");
    let file = file("names/batches.meta.txt", bytes, batch);
    data::open(folder(&file), Some(Kind::Cifar10), &Reading::default()).map(drop)
}

fn folder(file: &Path) -> &Path {
    file.parent().expect("it lies in a folder")
}

fn configuration(bytes: &[u8]) -> Result<()> {
    let file = alone("configuration/own.toml", bytes);
    let experiment = Experiment::load(&file.to_string_lossy(), &[])?;
    experiment.bridge().build()?;
    if let Experiment::Grid(config) = experiment {
        assert!(!config.unet.widths().is_empty(), "a network has a level");
    }
    Ok(())
}

fn draws(bytes: &[u8]) -> Result<()> {
    assert_eq!(readers::draws(bytes) % 4, 0, "samples are whole");
    Ok(())
}

fn features(bytes: &[u8]) -> Result<()> {
    readers::features(bytes);
    Ok(())
}

fn kept(bytes: &[u8]) -> Result<()> {
    readers::kept(bytes);
    Ok(())
}

fn kernels(bytes: &[u8]) -> Result<()> {
    readers::kernels(bytes);
    Ok(())
}

fn latents(bytes: &[u8]) -> Result<()> {
    readers::latents(&alone("latents/latents.bin", bytes)).map(drop)
}

fn packed(bytes: &[u8]) -> Result<()> {
    let _ = readers::packed(&alone("packed/images.pack", bytes));
    Ok(())
}

fn list(bytes: &[u8]) -> Result<()> {
    let picture = |splits: &Path| {
        let class = splits.with_file_name("train").join("bird");
        std::fs::create_dir_all(&class).expect("a folder");
        image::RgbImage::new(4, 4)
            .save(class.join("a.png"))
            .expect("a picture");
    };
    let file = file("list/splits/train.csv", bytes, picture);
    data::open(
        folder(folder(&file)),
        Some(Kind::MiniImageNet),
        &Reading::default(),
    )
    .map(drop)
}

fn log(bytes: &[u8]) -> Result<()> {
    assert!(
        readers::log(bytes) <= bytes.len() + 200,
        "as many numbers along a side as fit"
    );
    Ok(())
}

fn mask(bytes: &[u8]) -> Result<()> {
    readers::mask(alone("mask/mask.png", bytes)).map(drop)
}

/// A data set of codes, in the format that its first bytes suggest.
fn codes(bytes: &[u8]) -> Result<()> {
    let name = match bytes {
        [b'P', b'K', ..] => "codes/set.npz",
        [_, _, _, _, _, _, _, _, b'{', ..] => "codes/set.safetensors",
        _ => "codes/set.txt",
    };
    let text = Text {
        window: 3,
        symbols: None,
    };
    let set = data::codes::open(&alone(name, bytes), text)?;
    assert!(
        set.codes.iter().all(|&code| (code as usize) < set.count),
        "codes below K"
    );
    assert!(set.len() >= 2, "two samples");
    Ok(())
}

fn npz(bytes: &[u8]) -> Result<()> {
    let statistics = read_npz(&alone("npz/statistics.npz", bytes))?;
    let d = statistics.mean.len();
    assert_eq!(statistics.covariance.len(), d * d, "a square");
    Ok(())
}

fn picture(bytes: &[u8]) -> Result<()> {
    let file = alone("picture/picture.png", bytes);
    let wrong = |what| Error::Data(format!("picture.png {what}"));
    let picture = data::picture(&file, None).map_err(wrong)?;
    let pixels = picture.width() as usize * picture.height() as usize;
    assert_eq!(picture.as_raw().len(), 3 * pixels, "three bytes a pixel");
    let (square, _) = data::square(&file, 8, Fit::Crop).map_err(wrong)?;
    assert_eq!(square.dimensions(), (8, 8));
    Ok(())
}

fn pipelines(bytes: &[u8]) -> Result<()> {
    assert!(
        readers::pipelines(bytes) < bytes.len().max(1),
        "a checksum stands before them"
    );
    Ok(())
}

fn report(bytes: &[u8]) -> Result<()> {
    let page = readers::report(alone("report/report.json", bytes))?;
    assert!(page.starts_with("# Conformance"), "{page}");
    Ok(())
}

fn run_configuration(bytes: &[u8]) -> Result<()> {
    let file = alone("run/config.toml", bytes);
    readers::run_configuration(folder(&file)).map(drop)
}

fn vector(bytes: &[u8]) -> Result<()> {
    let file = alone("vector/vector.safetensors", bytes);
    let _ = vectors::Header::read(&file);
    vectors::load(&file).map(drop).map_err(Error::Data)
}

fn weights(bytes: &[u8]) -> Result<()> {
    let layers: [(&str, &[usize]); 2] = [("a", &[2, 3]), ("b", &[0])];
    readers::weights(bytes, &layers).map(drop)
}
