//! A child that is watched: a log file, an end that can be waited for, and no life of its own.
//!
//! Promises: dropped, it is killed; when its owner is killed and no leash holds both, the kernel kills it too
//! (`setpriv --pdeathsig`); an error about it carries the end of its log.
//! Assumes: spawned from a thread that lives as long as the child is wanted (the kernel's parent-death signal is per
//! thread): a runtime's worker or the test's own thread, never `spawn_blocking`.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::leash;

/// Enough of a log for a reader to see why; little enough for a terminal.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 * 1024;

/// What to start.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// What people call it.
    pub name: String,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the environment.
    pub env: Vec<(String, OsString)>,
    /// Where stdout and stderr go. Truncated at the start.
    pub log: PathBuf,
}

impl ProcessSpec {
    /// `program`, called `name`, logging to `log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), program: program.into(), args: Vec::new(), env: Vec::new(), log: log.into() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Process> {
        if let Some(dir) = self.log.parent() {
            fs::create_dir_all(dir).with_context(|| format!("make `{}`", dir.display()))?;
        }
        let log = fs::File::create(&self.log).with_context(|| format!("open log `{}`", self.log.display()))?;
        // In the lab one SIGKILL to its first process ends everything already.
        let mut command = if leash::inside() || !Path::new(SETPRIV).exists() {
            Command::new(&self.program)
        } else {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
            command
        };
        let child = command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("share the log between stdout and stderr")?)
            .stdout(log)
            .process_group(0) // Ctrl-C is for us to answer, in order
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {} (`{}`)", self.name, self.program.display()))?;
        Ok(Process { name: self.name, log: self.log, child })
    }
}

const SETPRIV: &str = "/usr/bin/setpriv";

/// A running child. Dropped, it is killed.
#[derive(Debug)]
#[must_use = "dropped, it is killed"]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("ask after {}", self.name))
    }

    /// An error with the log's end in it, if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended ({status}); its log ends:\n{}", self.name, self.tail()),
        }
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("wait for {}", self.name))
    }

    /// Sends a signal. One that has ended already is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            return Ok(());
        };
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", self.name))
    }

    /// SIGTERM, and SIGKILL when it is still there after `grace`.
    pub async fn stop(mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Ok(ended) = tokio::time::timeout(grace, self.child.wait()).await {
            return ended.with_context(|| format!("wait for {}", self.name));
        }
        tracing::warn!(process = %self.name, ?grace, "did not end by itself, killing it");
        self.kill().await
    }

    /// SIGKILL, and its end awaited.
    pub async fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }
}

/// The last lines of a log file; what went wrong with reading it, if something did.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Err(error) => format!("(log `{}` could not be read: {error})", log.display()),
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::NotYet;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("testkit-process-{}-{name}.log", std::process::id()))
    }

    #[tokio::test]
    async fn a_child_that_dies_is_reported_with_the_end_of_its_log() {
        let log = log("dies");
        let mut child =
            ProcessSpec::new("sh", "/bin/sh", &log).args(["-c", "echo no such flag >&2; exit 3"]).start().unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(3));
        let error = child.must_run().unwrap_err().to_string();
        fs::remove_file(&log).unwrap();
        assert!(error.contains("sh has ended") && error.ends_with("no such flag"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_ignores_sigterm_is_killed_after_its_grace() {
        let log = log("stubborn");
        let child = ProcessSpec::new("stubborn", "/bin/sh", &log)
            .args(["-c", "trap '' TERM; echo up; exec sleep 600"])
            .start()
            .unwrap();
        crate::eventually(Duration::from_secs(10), || async {
            if child.tail() == "up" { Ok(()) } else { Err("not up".into()) }
        })
        .await
        .unwrap();
        let status = child.stop(Duration::from_millis(50)).await.unwrap();
        fs::remove_file(&log).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

    #[tokio::test]
    async fn dropping_it_kills_it() {
        let log = log("dropped");
        let child = ProcessSpec::new("sleep", "/bin/sleep", &log).arg("600").start().unwrap();
        let stat = format!("/proc/{}/stat", child.pid().unwrap());
        drop(child);
        crate::eventually(Duration::from_secs(10), || {
            let stat = fs::read_to_string(&stat);
            async move {
                match stat {
                    Err(_) => Ok(()),
                    Ok(line) if line.contains(") Z ") => Ok(()),
                    Ok(line) => Err(NotYet::because(line)),
                }
            }
        })
        .await
        .unwrap();
        fs::remove_file(&log).unwrap();
    }
}
