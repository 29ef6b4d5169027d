//! Runs in use, signals, and limits of the system.

use super::*;

/// A training that runs until it is stopped, once it has written a checkpoint.
fn endless(run: &Path, resume: bool) -> Child {
    let mut command = training("toy", run, 1_000_000, 5);
    command
        .args(if resume { &["--resume"][..] } else { &[] })
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let modified = || {
        std::fs::metadata(run.join("checkpoint.safetensors"))
            .and_then(|m| m.modified())
            .ok()
    };
    let before = modified();
    let mut child = command.spawn().expect("the program starts");
    let begin = Instant::now();
    while modified() == before {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "no checkpoint in a minute"
        );
        let ended = child.try_wait().expect("a child can be waited for");
        assert!(
            ended.is_none(),
            "the training ended by itself ({ended:?}); it needs a GPU adapter"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_run_directory_in_use_is_11() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut child = endless(&run, false);
    let second = training("toy", &run, 1_000_000, 5);
    fails(
        add(second, &["--resume"]),
        11,
        &["another process", "run", "--out"],
    );
    child.kill().expect("it still runs");
    child.wait().expect("it is gone");
    // A dead process holds no lock.
    drop(stop(endless(&run, true)));
}

/// Kills the child and waits for it.
fn stop(mut child: Child) -> Child {
    child.kill().expect("it still runs");
    child.wait().expect("it is gone");
    child
}

#[cfg(unix)]
#[test]
fn signals_save_and_say_so() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut last = 0;
    for (resume, signal, code) in [
        (false, "-INT", 130),
        (true, "-TERM", 143),
        (true, "-HUP", 129),
    ] {
        let child = endless(&run, resume);
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("kill is installed");
        assert!(sent.success());
        let output = child.wait_with_output().expect("it is gone");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let (step, _) = checkpoint(&run);
        assert!(
            step > last && said.contains(&format!("stopped at step {step}, saved")),
            "{step} after {last}: {said}"
        );
        assert!(said.contains("--resume"), "{said}");
        assert_eq!(
            logged_steps(&run),
            (1..=step).collect::<Vec<_>>(),
            "every step once"
        );
        last = step;
    }
}

#[cfg(unix)]
#[test]
fn an_ignored_hangup_stays_ignored() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut command = Command::new("sh");
    let training = training("toy", &run, 1_000_000, 5);
    // As `nohup` does.
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(training.get_program())
        .args(training.get_args());
    command.stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell is installed");
    let await_step = |least: u64| {
        let begin = Instant::now();
        while !run.join("checkpoint.safetensors").exists() || checkpoint(&run).0 < least {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "no step {least} in a minute"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        checkpoint(&run).0
    };
    let step = await_step(5);
    assert!(
        Command::new("kill")
            .args(["-HUP", &child.id().to_string()])
            .status()
            .expect("kill is installed")
            .success()
    );
    await_step(step + 10);
    assert!(
        child
            .try_wait()
            .expect("a child can be waited for")
            .is_none(),
        "it goes on"
    );
    drop(stop(child));
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_9_and_leaves_nothing_half_written() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut command = Command::new("sh");
    let training = training("toy", &run, 6, 2);
    command
        .args(["-c", "ulimit -f 16; exec \"$@\"", "sh"])
        .arg(training.get_program())
        .args(training.get_args());
    command.env("XDG_CACHE_HOME", dir.path().join("cache"));
    fails(command, 9, &["checkpoint", "ulimit -f"]);
    let names = std::fs::read_dir(&run)
        .expect("the run")
        .map(|entry| entry.expect("an entry").file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("checkpoint")),
        "{names:?}"
    );
}
