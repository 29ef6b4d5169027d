//! Tests the download against a minimal local server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

/// How the server answers one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Sends everything that was requested.
    Whole,
    /// Announces everything that was requested, but sends only this many bytes.
    Cut(usize),
    /// Sends the whole file, ignoring the range.
    NoRanges,
    Status(u16),
}

/// Answers one request after another, then ends; returns the first byte that each asked for.
fn serve(body: Vec<u8>, answers: &[Answer]) -> (String, JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "http://{}/cifar-10-binary.tar.gz",
        listener.local_addr().expect("it is bound")
    );
    let answers = answers.to_vec();
    let work = move || {
        let answer = |answer: &Answer| {
            let (mut stream, _) = listener.accept().expect("a request");
            let lines = BufReader::new(stream.try_clone().expect("a socket"))
                .lines()
                .map_while(Result::ok);
            let head: Vec<String> = lines
                .take_while(|line| !line.is_empty())
                .map(|l| l.to_lowercase())
                .collect();
            let range = head
                .iter()
                .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
            let from: usize = range.map_or(0, |from| from.parse().expect("a number"));
            let (status, rest, send) = match answer {
                Answer::Status(status) => (*status, &body[..0], 0),
                Answer::NoRanges => (200, &body[..], body.len()),
                _ if from >= body.len() => (416, &body[..0], 0),
                Answer::Whole => (if from > 0 { 206 } else { 200 }, &body[from..], body.len()),
                Answer::Cut(n) => (if from > 0 { 206 } else { 200 }, &body[from..], *n),
            };
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                body.len().saturating_sub(1),
                body.len()
            );
            let range = if status == 206 { range } else { String::new() };
            let length = rest.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\n{range}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&rest[..send.min(length)]))
                .expect("sent");
            from
        };
        answers.iter().map(answer).collect()
    };
    (url, std::thread::spawn(work))
}

/// An archive with these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // `set_path` would reject malicious paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, *bytes).expect("in memory");
    }
    tar.into_inner()
        .and_then(GzEncoder::finish)
        .expect("in memory")
}

/// Two batches of noise, which is incompressible, so that the archive is long enough to interrupt.
fn batches() -> [Vec<u8>; 2] {
    [1, 2].map(|seed: u32| {
        let stream = crate::philox::Stream {
            seed: 0,
            step: 0,
            stream: seed,
            first: 0,
        };
        (0..50_000).map(|i| stream.bits(i) as u8).collect()
    })
}

fn official() -> Vec<u8> {
    let [one, two] = batches();
    archive(&[
        ("cifar-10-batches-bin/readme.html", b"<html>"),
        ("cifar-10-batches-bin/data_batch_1.bin", &one),
        ("../outside.bin", b"evil"),
        ("cifar-10-batches-bin/../data_batch_1.bin", b"evil"),
        ("/cifar-10-batches-bin/data_batch_1.bin", b"evil"),
        ("./cifar-10-batches-bin/test_batch.bin", &two),
        ("cifar-10-batches-bin/batches.meta.txt", b"a\nb\n"),
    ])
}

fn sum(bytes: &[u8]) -> String {
    format!("{:x}", md5::compute(bytes))
}

/// Installs from `url` into `folder/data`.
fn install(folder: &TempDir, url: &str, md5: &str) -> Result<()> {
    let [one, two] = batches().map(|bytes| sum(&bytes));
    let files = [
        ("data_batch_1.bin", one.as_str()),
        ("test_batch.bin", two.as_str()),
    ];
    Source {
        url,
        md5,
        files: &files,
    }
    .install(&folder.path().join("data"))
}

/// Paths of all files below `folder`, relative to it.
fn files(folder: &TempDir) -> Vec<String> {
    fn walk(dir: &Path, list: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(dir)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
        {
            if path.is_dir() {
                walk(&path, list)
            } else {
                list.push(path)
            }
        }
    }
    let mut list = Vec::new();
    walk(folder.path(), &mut list);
    let name = |path: &PathBuf| {
        path.strip_prefix(folder.path())
            .expect("below")
            .to_string_lossy()
            .replace('\\', "/")
    };
    let mut names: Vec<String> = list.iter().map(name).collect();
    names.sort_unstable();
    names
}

const INSTALLED: [&str; 3] = [
    "data/cifar-10-batches-bin/batches.meta.txt",
    "data/cifar-10-batches-bin/data_batch_1.bin",
    "data/cifar-10-batches-bin/test_batch.bin",
];
const PART: &str = "data/cifar-10-binary.tar.gz.part";

/// A folder in which `body` has already been downloaded.
fn begun(body: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("data")).expect("a temporary folder");
    std::fs::write(folder.path().join(PART), body).expect("a temporary file");
    folder
}

#[test]
fn whole_interrupted_resumed_and_from_a_server_without_ranges() {
    use Answer::{Cut, NoRanges, Whole};
    let body = official();
    let end = body.len();
    let foreign = vec![7; end];
    for (begun_with, answers, asked) in [
        (&body[..0], &[Whole][..], &[0][..]),
        (
            &body[..0],
            &[Cut(30_000), Cut(20_000), Whole],
            &[0, 30_000, 50_000],
        ),
        (&body[..40_000], &[Whole], &[40_000]),
        (&body[..40_000], &[NoRanges], &[40_000]),
        (&body[..], &[Whole], &[end]),
        (&foreign[..40_000], &[Whole, Whole], &[40_000, 0]),
        (&foreign[..], &[Whole, Cut(9), Whole], &[end, 0, 9]),
    ] {
        let folder = begun(begun_with);
        let (url, server) = serve(body.clone(), answers);
        install(&folder, &url, &sum(&body)).expect("it is fetched");
        assert_eq!(server.join().expect("no panic"), asked);
        assert_eq!(
            files(&folder),
            INSTALLED,
            "the named members, nothing beside, no archive"
        );
        for (name, right) in INSTALLED[1..].iter().zip(batches()) {
            assert!(
                std::fs::read(folder.path().join(name)).expect(name) == right,
                "{name}"
            );
        }
        install(&folder, "http://127.0.0.1:1/", "none").expect("nothing is left to do");
    }
}

#[test]
fn a_transfer_that_stops_keeps_what_it_has() {
    let body = official();
    let folder = begun(b"");
    let (url, server) = serve(body.clone(), &[Answer::Cut(30_000), Answer::Cut(0)]);
    let said = install(&folder, &url, &sum(&body))
        .expect_err("broken off")
        .to_string();
    assert!(
        ["broke off", "run the command again", "by hand", &url]
            .iter()
            .all(|word| said.contains(word)),
        "{said}"
    );
    assert_eq!(
        (server.join().expect("no panic"), files(&folder)),
        (vec![0, 30_000], vec![PART.to_string()])
    );
    assert_eq!(
        std::fs::read(folder.path().join(PART)).expect("kept"),
        body[..30_000]
    );
}

#[test]
fn another_file_or_no_file_is_refused() {
    let body = official();
    for (answers, word) in [
        (&[Answer::Whole][..], "a different MD5"),
        (&[Answer::Status(404)], "404"),
        (&[Answer::Status(503)], "503"),
    ] {
        let folder = begun(b"");
        let (url, server) = serve(body.clone(), answers);
        let error = install(&folder, &url, &sum(b"other")).expect_err("refused");
        assert!(
            error.exit_code() == 8 && error.to_string().contains(word),
            "{error}"
        );
        server.join().expect("no panic");
        assert_eq!(files(&folder), Vec::<String>::new(), "nothing of it stays");
    }
}

#[test]
fn without_a_network_it_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = install(&folder, "http://127.0.0.1:1/x.tar.gz", MD5)
        .expect_err("nobody listens")
        .to_string();
    for word in [
        "could not download",
        "by hand",
        "cifar-10-binary.tar.gz",
        MD5,
    ] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn an_archive_put_there_by_hand_is_used_and_kept() {
    let body = official();
    let folder = begun(b"");
    std::fs::remove_file(folder.path().join(PART)).expect("it was there");
    let path = folder.path().join("data").join(ARCHIVE);
    std::fs::write(&path, &body).expect("a temporary file");
    let said = install(&folder, "http://127.0.0.1:1/", "other")
        .expect_err("refused")
        .to_string();
    assert!(said.contains("is not the official archive"), "{said}");
    install(&folder, "http://127.0.0.1:1/", &sum(&body)).expect("unpacked");
    assert_eq!((files(&folder).len(), path.exists()), (4, true));
}

#[test]
fn damaged_archives_and_those_that_lack_files_are_refused() {
    let body = official();
    let lacking = archive(&[("cifar-10-batches-bin/data_batch_1.bin", &batches()[0])]);
    for (body, word) in [
        (&body[..60_000], "damaged archive"),
        (b"no archive at all", "damaged archive"),
        (&lacking, "has no cifar-10-batches-bin/test_batch.bin"),
    ] {
        let folder = begun(b"");
        let (url, server) = serve(body.to_vec(), &[Answer::Whole]);
        let error = install(&folder, &url, &sum(body)).expect_err("refused");
        assert!(
            error.exit_code() == 8 && error.to_string().contains(word),
            "{error}"
        );
        server.join().expect("no panic");
        // A damaged archive may leave a whole file, but never a partial one.
        let batch = std::fs::read(folder.path().join(INSTALLED[1]));
        assert!(batch.is_err() || batch.is_ok_and(|bytes| bytes == batches()[0]));
    }
}

#[test]
fn files_of_the_same_name_are_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inner = folder.path().join("data").join(FOLDER);
    std::fs::create_dir_all(&inner).expect("a temporary folder");
    std::fs::write(inner.join("test_batch.bin"), "mine").expect("a temporary file");
    let said = install(&folder, "http://127.0.0.1:1/", MD5)
        .expect_err("refused")
        .to_string();
    assert!(
        said.contains("test_batch.bin is not the official file; move it away"),
        "{said}"
    );
    assert_eq!(
        std::fs::read(inner.join("test_batch.bin")).expect("untouched"),
        b"mine"
    );
}

#[test]
fn checksums_are_those_of_rfc_1321() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    assert_eq!(
        md5(file.path()).expect("it is there"),
        "d41d8cd98f00b204e9800998ecf8427e"
    );
    std::fs::write(file.path(), "abc").expect("a temporary file");
    assert_eq!(
        md5(file.path()).expect("it is there"),
        "900150983cd24fb0d6963f7d28e17f72"
    );
}
