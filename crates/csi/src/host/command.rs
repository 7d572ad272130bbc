//! Tools of the machine: run with a limit on time, and heard out when they fail.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Error;

/// What a tool said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Its exit status; none when a signal ended it.
    pub(super) code: Option<i32>,
    /// On standard output.
    pub(super) out: String,
    /// On standard error.
    pub(super) err: String,
}

/// The last so many characters of what a tool said go into an error.
const WORDS: usize = 400;

/// Runs a tool; its exit status is the caller's to judge. One that takes too long is killed.
pub(super) async fn ask<S: AsRef<OsStr>>(program: &str, args: &[S], limit: Duration) -> Result<Said, Error> {
    let words: Vec<String> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
    let command = format!("{program} {}", words.join(" "));
    let failed = |why: String| Error::Command { command: command.clone(), why };
    let child = Command::new(program).args(args).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(limit, child).await {
        Ok(Ok(output)) => Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Ok(Err(why)) => Err(failed(format!("{why} (the node plugin's image has to have it)"))),
        Err(_) => Err(failed(format!("no end after {} s: it was killed", limit.as_secs()))),
    }
}

/// Runs a tool that has to end well.
pub(super) async fn run<S: AsRef<OsStr>>(program: &str, args: &[S], limit: Duration) -> Result<String, Error> {
    let said = ask(program, args, limit).await?;
    if said.code == Some(0) {
        return Ok(said.out);
    }
    let words: Vec<String> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
    Err(Error::Command { command: format!("{program} {}", words.join(" ")), why: said.why() })
}

impl Said {
    /// Status and words, for an error.
    pub(super) fn why(&self) -> String {
        let words = if self.err.trim().is_empty() { self.out.trim() } else { self.err.trim() };
        let start = words.len().saturating_sub(WORDS);
        let words = words.get(start..).unwrap_or(words);
        match self.code {
            Some(code) => format!("exit status {code}: {words}"),
            None => format!("ended by a signal: {words}"),
        }
    }
}
