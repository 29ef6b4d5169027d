//! A program that answers a line of JSON with a line of JSON; started when first asked, and again
//! after it died.

use crate::Result;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Prefix of an answer: libraries print as well.
const MARK: &str = "answer ";

/// A program to compare.
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// The command that starts it, or why it cannot be started.
    program: Result<Command>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    /// A peer that `program` starts.
    pub fn new(name: &str, program: Result<Command>) -> Peer {
        Peer {
            name: name.to_owned(),
            program,
            running: None,
        }
    }

    /// Asks for an answer; an error says why there is none.
    pub fn ask(&mut self, request: &Value, limit: Duration) -> Result<Value> {
        let program = self.program.as_mut().map_err(|why| why.clone())?;
        let mut running = self
            .running
            .take()
            .map_or_else(|| Running::start(program), Ok)?;
        let answer = running.ask(request, limit);
        if let Ok(answer) = answer {
            self.running = Some(running);
            return match answer["error"].as_str() {
                Some(why) => Err(why.to_owned()),
                None => Ok(answer),
            };
        }
        // It is dead or stuck: the next request starts a new one.
        let _ = running.child.kill();
        let _ = running.child.wait();
        answer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

impl Running {
    fn start(program: &mut Command) -> Result<Running> {
        let shown = crate::process::shown(program);
        let started = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = started.map_err(|e| format!("cannot start `{shown}`: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("`{shown}` has no pipes"));
        };
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output)
                .lines()
                .map_while(std::result::Result::ok)
            {
                if let Some(answer) = line.strip_prefix(MARK) {
                    let _ = sender.send(answer.to_owned());
                }
            }
        });
        Ok(Running {
            child,
            input,
            answers,
        })
    }

    fn ask(&mut self, request: &Value, limit: Duration) -> Result<Value> {
        writeln!(self.input, "{request}").map_err(|_| "it died".to_owned())?;
        match self.answers.recv_timeout(limit) {
            Ok(answer) => {
                serde_json::from_str(&answer).map_err(|e| format!("its answer is no JSON: {e}"))
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer in {} s", limit.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err("it died".into()),
        }
    }
}

/// The number `name` of an answer.
pub fn number(answer: &Value, name: &str) -> Result<f64> {
    answer[name]
        .as_f64()
        .ok_or_else(|| format!("its answer has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shell(script: &str) -> Peer {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Peer::new("sh", Ok(command))
    }

    #[test]
    #[cfg(unix)]
    fn what_a_peer_answers_or_does_not() {
        let ask = |peer: &mut Peer| peer.ask(&json!({ "run": true }), Duration::from_millis(500));
        let mut good = shell("while read line; do echo noise; echo 'answer {\"ms\": 2.5}'; done");
        assert_eq!(
            ask(&mut good).and_then(|answer| number(&answer, "ms")),
            Ok(2.5)
        );
        assert_eq!(
            ask(&mut good).and_then(|answer| number(&answer, "s")),
            Err("its answer has no s".into())
        );
        assert_eq!(
            ask(&mut shell(
                "read line; echo 'answer {\"error\": \"no\"}'; read l"
            )),
            Err("no".into())
        );
        assert_eq!(ask(&mut shell("read line; exit 1")), Err("it died".into()));
        assert_eq!(ask(&mut shell("sleep 9")), Err("no answer in 0 s".into()));
        assert_eq!(
            ask(&mut Peer::new("none", Err("does not build here".into()))),
            Err("does not build here".into())
        );
    }
}
