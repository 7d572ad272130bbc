//! Stopping when asked.
//!
//! * What it is: a token that is cancelled by SIGTERM or SIGINT.
//! * What it promises: the first signal asks everything to finish its work; the second ends the
//!   process at once, with the exit code a shell gives to a process ended by that signal.
//! * What it assumes: called once, inside a runtime. Whoever holds a lease gives it back after its
//!   controllers ended, not when the token is cancelled.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that the first SIGTERM or SIGINT cancels; the second such signal exits at once.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => {
            tokio::spawn(listen(term, int, token.clone()));
        }
        // Without our listener the signals end the process by themselves.
        (Err(why), _) | (_, Err(why)) => warn!(%why, "cannot listen for signals: a stop will be abrupt"),
    }
    token
}

async fn listen(mut term: Signal, mut int: Signal, token: CancellationToken) {
    let first = either(&mut term, &mut int).await;
    info!(signal = first.name(), "stopping; a second signal ends at once");
    token.cancel();
    let second = either(&mut term, &mut int).await;
    warn!(signal = second.name(), "second signal: ending at once");
    std::process::exit(second.exit_code());
}

#[derive(Clone, Copy)]
enum Asked {
    Term,
    Int,
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
        }
    }

    /// 128 and the signal's number, as shells say it.
    fn exit_code(self) -> i32 {
        match self {
            Self::Term => 128 + 15,
            Self::Int => 128 + 2,
        }
    }
}

async fn either(term: &mut Signal, int: &mut Signal) -> Asked {
    tokio::select! {
        _ = term.recv() => Asked::Term,
        _ = int.recv() => Asked::Int,
    }
}

#[cfg(test)]
mod test {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    const CHILD: &str = "shutdown::test::child_that_only_the_other_test_starts";

    #[tokio::test]
    #[ignore = "started by the_first_signal_asks_and_the_second_ends as a process of its own"]
    async fn child_that_only_the_other_test_starts() {
        let token = on_signal();
        say("listening");
        token.cancelled().await;
        say("asked");
        std::future::pending::<()>().await;
    }

    /// Past the harness, which would keep it until the test ends.
    fn say(word: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "child: {word}").unwrap();
        out.flush().unwrap();
    }

    fn signals(signal: Signal, code: i32) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, "--exact", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("child: listening")));
        kill_process(pid, signal).unwrap();
        assert!(lines.any(|line| line.ends_with("child: asked")));
        kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }

    #[test]
    fn the_first_signal_asks_and_the_second_ends() {
        signals(Signal::TERM, 143);
        signals(Signal::INT, 130);
    }
}
