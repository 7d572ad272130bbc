//! Programs of the machine that we run and wait for.
//!
//! Promises: a failure names the whole command line and its last words. Assumes short runs: nothing here has a timeout.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end; gives standard output, or an error with what was said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.trim().lines().rev().take(5).collect();
        let said: Vec<&str> = said.into_iter().rev().collect();
        bail!("`{line}`: {}: {}", output.status, said.join(" | "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ip` with these words.
pub(crate) fn ip(words: &[&str]) -> Result<String> {
    run(Command::new("ip").args(words))
}

fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
