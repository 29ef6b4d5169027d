//! Downloads the official CIFAR-10: resumable, verified before it is unpacked, and writing only the
//! expected files.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::data::cifar10::NAMES;
use crate::data::cifar10::place::{FOLDER, OFFICIAL, folder};
use crate::error::{Error, Result, excerpt};
use crate::report::file;
use crate::report::progress::Progress;

const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const MD5: &str = "c32a1d4ab5d03f1284b67883e8d87530";
/// Maximum bytes to download; the archive has 162 MiB, so anything larger is something else.
const MOST: u64 = 256 << 20;
/// The same limits for one file in it, and for all of it unpacked (the official one has 177 MiB).
const MOST_UNPACKED: u64 = 64 << 20;
const MOST_OF_ALL: u64 = 256 << 20;
/// Maximum number of attempts to resume an interrupted transfer.
const TRIES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(300);

/// Installs the missing files of the official archive into `dir`.
///
/// # Errors
/// [`Error::Data`] if the archive cannot be downloaded or is not the official one, or if different
/// files with the same names exist; [`Error::Locked`] if another process is downloading it;
/// [`Error::Io`].
pub fn cifar10(dir: &Path, url: Option<&str>) -> Result<()> {
    Source {
        url: url.unwrap_or(URL),
        md5: MD5,
        files: &OFFICIAL,
    }
    .install(dir)
}

/// An archive and the wanted files in it, each with its MD5.
struct Source<'a> {
    url: &'a str,
    md5: &'a str,
    files: &'a [(&'a str, &'a str)],
}

impl Source<'_> {
    fn install(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let folder = folder(dir).unwrap_or_else(|| dir.join(FOLDER));
        let missing = self.missing(&folder)?;
        if missing.is_empty() {
            return Ok(());
        }
        let by_hand = dir.join(ARCHIVE);
        if by_hand.is_file() {
            if md5(&by_hand)? != self.md5 {
                let path = by_hand.display();
                return Err(Error::Data(format!(
                    "{path} is not the official archive (MD5 {}); remove it",
                    self.md5
                )));
            }
            let mut file = File::open(&by_hand).map_err(Error::io(&by_hand))?;
            return unpack(&mut file, &by_hand, &folder, &missing);
        }
        let part = dir.join(format!("{ARCHIVE}.part"));
        let mut file = options().open(&part).map_err(Error::io(&part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Locked(part)),
            Err(std::fs::TryLockError::Error(e)) => return Err(Error::io(&part)(e)),
        }
        let fetched = self.fetch(&mut file, &part);
        if fetched.is_err() && std::fs::metadata(&part).is_ok_and(|m| m.len() == 0) {
            std::fs::remove_file(&part).map_err(Error::io(&part))?;
        }
        fetched?;
        unpack(&mut file, &part, &folder, &missing)?;
        std::fs::remove_file(&part).map_err(Error::io(&part))
    }

    /// The names of the files that are missing from `folder`; an existing file with other content
    /// is an error.
    fn missing(&self, folder: &Path) -> Result<Vec<&str>> {
        let mut missing = Vec::new();
        for (name, right) in self.files {
            let path = folder.join(name);
            if !path.exists() {
                missing.push(*name);
            } else if md5(&path)? != *right {
                let path = path.display();
                return Err(Error::Data(format!(
                    "{path} is not the official file; move it away, or choose another --dir"
                )));
            }
        }
        if !missing.is_empty() && !folder.join(NAMES).exists() {
            missing.push(NAMES);
        }
        Ok(missing)
    }

    /// Completes the download `file` at the path `part`, and verifies it.
    fn fetch(&self, file: &mut File, part: &Path) -> Result<()> {
        let length = |file: &File| file.metadata().map(|m| m.len()).map_err(Error::io(part));
        // The existing bytes may be the beginning of another file.
        let mut doubtful = length(file)? > 0;
        for tries_left in (0..TRIES).rev() {
            let before = length(file)?;
            let why = match self.transfer(file).map_err(Error::io(part))? {
                Ok(()) if self.is_right(file).map_err(Error::io(part))? => return Ok(()),
                Ok(()) => {
                    file.set_len(0).map_err(Error::io(part))?;
                    if std::mem::take(&mut doubtful) {
                        continue;
                    }
                    return Err(self.failed(part, 0, "the file served there has a different MD5"));
                }
                Err(why) => why,
            };
            let have = length(file)?;
            if have <= before || tries_left == 0 {
                return Err(self.failed(part, have, &why));
            }
            std::thread::sleep(PAUSE);
        }
        Err(self.failed(part, 0, "every attempt got a wrong file"))
    }

    /// Whether the file has the archive's MD5. Reads through the locked handle, since on some
    /// systems the lock blocks others.
    fn is_right(&self, file: &mut File) -> std::io::Result<bool> {
        file.seek(SeekFrom::Start(0))?;
        Ok(md5_of(file)? == self.md5)
    }

    fn failed(&self, part: &Path, have: u64, why: &str) -> Error {
        let url = self.url;
        let md5 = self.md5;
        let dir = part.parent().unwrap_or(part).display();
        let kept = if have > 0 {
            format!(" (it continues after the {} MiB kept)", have >> 20)
        } else {
            String::new()
        };
        Error::Data(format!(
            "could not download {url}: {why}; run the command again{kept}, or download it by hand, save it in {dir} as {ARCHIVE} \
             (MD5 {md5}) and run the command again"
        ))
    }

    /// One request for the rest of `file`. The outer error is of the file, the inner one of the
    /// network.
    fn transfer(&self, file: &mut File) -> std::io::Result<Result<(), String>> {
        let mut have = file.seek(SeekFrom::End(0))?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE));
        let config = config
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        let mut request = ureq::Agent::from(config.build()).get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let header = |name: &str| {
            response
                .headers()
                .get(name)?
                .to_str()
                .ok()
                .map(String::from)
        };
        let rest = header("content-length").and_then(|length| length.parse::<u64>().ok());
        match response.status().as_u16() {
            206 if header("content-range")
                .is_some_and(|range| range.starts_with(&format!("bytes {have}-"))) => {}
            // The server has nothing more; the checksum will tell whether the file is complete.
            416 if have > 0 => return Ok(Ok(())),
            200 => {
                file.set_len(0)?;
                have = file.seek(SeekFrom::Start(0))?;
            }
            status => return Ok(Err(format!("the server answered {status}"))),
        }
        let total = rest.map(|rest| have + rest);
        copy(response.body_mut().as_reader(), file, have, total)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options
}

/// Appends the received bytes; an error unless `total` bytes are there in the end.
fn copy(
    from: impl Read,
    to: &mut File,
    first: u64,
    total: Option<u64>,
) -> std::io::Result<Result<(), String>> {
    let mut progress = Progress::new("download, KiB", first >> 10, total.unwrap_or(MOST) >> 10);
    let mut from = from.take(MOST - first.min(MOST));
    let mut have = first;
    let mut block = vec![0; 1 << 16];
    let ended = loop {
        match from.read(&mut block) {
            Ok(0) => break None,
            Ok(n) => {
                to.write_all(&block[..n])?;
                have += n as u64;
                progress.at(have >> 10, String::new);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => break Some(e.to_string()),
        }
    };
    progress.finish();
    to.sync_all()?;
    Ok(match (ended, total) {
        (_, Some(total)) if have == total => Ok(()),
        (None, None) => Ok(()),
        (why, _) => Err(format!(
            "the transfer broke off ({})",
            why.unwrap_or_else(|| "too few or too many bytes".into())
        )),
    })
}

/// Writes the members `wanted` of the archive's folder into `folder`; all other members are
/// ignored, whatever their paths.
pub(super) fn unpack(
    file: &mut File,
    archive: &Path,
    folder: &Path,
    wanted: &[&str],
) -> Result<()> {
    let path = archive.display();
    file.seek(SeekFrom::Start(0)).map_err(Error::io(archive))?;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let damaged = |e: std::io::Error| {
        let why = excerpt(&e.to_string());
        Error::Data(format!(
            "{path} is a damaged archive ({why}); remove it and run again"
        ))
    };
    let mut found = Vec::new();
    // Limits the unpacked length, which a malicious archive could make arbitrarily long.
    let unpacked = GzDecoder::new(BufReader::new(file)).take(MOST_OF_ALL);
    for entry in tar::Archive::new(unpacked).entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let member = entry.path().map_err(damaged)?.into_owned();
        let Some(name) =
            expected(&member, wanted).filter(|_| entry.header().entry_type().is_file())
        else {
            continue;
        };
        let size = entry.size();
        let mut bytes = Vec::new();
        if size > MOST_UNPACKED {
            return Err(Error::Data(format!(
                "{path}: {name} in it has {size} bytes, so it is not CIFAR-10; remove it"
            )));
        }
        entry.take(size).read_to_end(&mut bytes).map_err(damaged)?;
        file::write(&folder.join(name), &bytes)?;
        found.push(name);
    }
    match wanted.iter().find(|name| !found.contains(name)) {
        Some(name) => Err(Error::Data(format!(
            "{path} has no {FOLDER}/{name}; remove it and run again"
        ))),
        None => Ok(()),
    }
}

/// The name in `wanted` that `member` matches.
fn expected<'a>(member: &Path, wanted: &[&'a str]) -> Option<&'a str> {
    let plain: PathBuf = member
        .components()
        .filter(|c| *c != Component::CurDir)
        .collect();
    wanted
        .iter()
        .find(|name| plain == Path::new(FOLDER).join(name))
        .copied()
}

/// The MD5 of a file in hexadecimal.
pub(super) fn md5(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    md5_of(&mut file).map_err(Error::io(path))
}

/// The MD5 of the rest of `reader`.
fn md5_of(reader: &mut impl Read) -> std::io::Result<String> {
    let mut sum = md5::Context::new();
    std::io::copy(reader, &mut sum)?;
    Ok(format!("{:x}", sum.finalize()))
}

#[cfg(test)]
mod tests;
