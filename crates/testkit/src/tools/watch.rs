//! Running something slow without falling silent.
//!
//! Promises: its words are in a log file, whose end is in the error; a tick every few seconds.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process::tail;

/// Nobody should wonder for longer whether it still works.
const TICK: Duration = Duration::from_secs(5);

/// Runs a command to its end. Each tick gets the last line that it said.
pub(crate) fn watch(mut command: Command, log: &Path, tick: &dyn Fn(Option<String>)) -> Result<()> {
    let program = command.get_program().to_owned();
    let program = program.display();
    let file = File::create(log).with_context(|| format!("open log `{}`", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone().context("share the log")?).stderr(file);
    let child = command.spawn().with_context(|| format!("start `{program}`"))?;
    let status = wait(child, || tick(tail(log).lines().next_back().map(str::to_owned)))
        .with_context(|| format!("wait for `{program}`"))?;
    if !status.success() {
        bail!("`{program}` ended with {status}; `{}` ends:\n{}", log.display(), tail(log));
    }
    Ok(())
}

fn wait(mut child: Child, tick: impl Fn()) -> Result<ExitStatus> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait()));
    loop {
        match receive.recv_timeout(TICK) {
            Ok(status) => return Ok(status?),
            Err(mpsc::RecvTimeoutError::Timeout) => tick(),
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the thread that waited is gone"),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_a_failed_command_said_is_in_the_error() {
        let log = std::env::temp_dir().join(format!("testkit-watch-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo no space left >&2; exit 2"]);
        let error = format!("{:#}", watch(command, &log, &|_| {}).unwrap_err());
        std::fs::remove_file(&log).unwrap();
        assert!(error.starts_with("`sh` ended with exit status: 2") && error.ends_with("no space left"), "{error}");
    }
}
