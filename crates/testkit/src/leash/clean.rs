//! Ending leashes that their owner did not end.
//!
//! Promises: only processes are killed that a state file names by number, start time and boot; only cgroups called
//! `oxmox-<pid>` are removed, and only when that number is dead or its leash has just been ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::cgroup;
use super::proc::ProcessId;
use super::state::{self, State, directory};
use crate::eventually::{NotYet, eventually_blocking};

const GONE: Duration = Duration::from_secs(20);

/// Which leashes to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those whose owner is dead.
    Orphans,
    /// Those, and every living one of that name.
    Named(String),
    /// All.
    Everything,
}

/// Ends them and removes what they left. Returns what was removed, for people to read.
pub fn clean(scope: &Scope) -> Result<Vec<String>> {
    let mut done = Vec::new();
    if super::inside() {
        return Ok(done); // from in here the machine is out of sight
    }
    let directory = directory()?;
    for state in State::all(&directory)? {
        let wanted = match scope {
            Scope::Orphans => false,
            Scope::Named(name) => state.name == *name,
            Scope::Everything => true,
        };
        if !wanted && state.owner.lives() {
            continue;
        }
        if state.leash.lives() {
            kill(&state.leash)?;
            done.push(format!("ended `{}` (process {})", state.name, state.leash.pid));
        }
        sweep(&State::path(&directory, state.owner.pid), &state.dir, state.cgroup.as_deref())?;
        done.push(format!("removed what `{}` of process {} left", state.name, state.owner.pid));
    }
    for path in state::ownerless(&directory) {
        fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
        done.push(format!("removed `{}`", path.display()));
    }
    for path in cgroup::ownerless() {
        cgroup::remove(&path)?;
        done.push(format!("removed the cgroup `{}`", path.display()));
    }
    Ok(done)
}

/// Removes what a dead leash left outside. The state file goes last: until then a later run finds the rest.
pub(super) fn sweep(state: &Path, dir: &PathBuf, cgroup: Option<&Path>) -> Result<()> {
    if let Some(cgroup) = cgroup {
        cgroup::remove(cgroup)?;
    }
    for (path, result) in [(dir.as_path(), fs::remove_dir_all(dir)), (state, fs::remove_file(state))] {
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("remove `{}`", path.display()))?,
        }
    }
    Ok(())
}

fn kill(process: &ProcessId) -> Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("end process {}: not a process number", process.pid))?;
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error).with_context(|| format!("end process {}", process.pid)),
    }
    eventually_blocking(GONE, || if process.lives() { Err(NotYet::because("still there")) } else { Ok(()) })
        .with_context(|| format!("wait for the end of process {}", process.pid))
}
