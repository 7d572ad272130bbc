//! The leash: one small process between us and a guest, which ends the guest whenever we end, however we end.
//!
//! ```text
//! guest-node ──stdin──► leash ──► unshare (killed with the leash) ──► PID 1 (killed with unshare)
//! end of stdin ─► cards away ─► SIGKILL ─► cgroup removed ─► leash ends
//! ```
//!
//! Promises: when it has ended, no process, card, mount, namespace or cgroup of the guest is left. Assumes that only
//! guest-node holds the other end of its standard input.

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{cgroup, disk, nic};
use crate::guest::Guest;
use crate::init::Boot;

/// Holds the guest of this boot file until it ends.
pub fn hold(file: &Path) -> Result<()> {
    let boot: Boot = serde_json::from_slice(&fs::read(file).context("read the boot file")?)?;
    clean(&boot.guest).context("clear away the last power-on")?;
    disk::sweep(file.parent().context("the VM's directory")?).context("clear away the last power-on")?;
    let cgroup = cgroup::path(boot.guest.vmid)?;
    fs::create_dir_all(&cgroup).with_context(|| format!("make cgroup `{}`", cgroup.display()))?;
    let mut child = spawn(&boot, file, &cgroup)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("pid of the guest")?;
    let mut inside = child.stdin.take().context("line to the guest")?;
    let guest = boot.guest.clone();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            // A guest that no longer listens is ending: its exit is waited for below.
            let _ = inside.write_all(format!("{line}\n").as_bytes()).and_then(|()| inside.flush());
        }
        nic::take_away(&guest);
        let _ = kill_process(pid, Signal::KILL);
    });
    child.wait().context("wait for the guest")?;
    clean(&boot.guest)?;
    disk::sweep(file.parent().context("the VM's directory")?)
}

fn spawn(boot: &Boot, file: &Path, cgroup: &Path) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"])
        .arg(cgroup)
        .args(["setpriv", "--pdeathsig", "KILL", "--", "unshare"])
        .args(["--net", "--mount", "--cgroup", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--"])
        .arg(&boot.program)
        .arg("init")
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .context("start the guest's namespaces")
}

/// Removes what a power-on leaves outside its namespaces.
fn clean(guest: &Guest) -> Result<()> {
    nic::take_away(guest);
    cgroup::remove(&cgroup::path(guest.vmid)?)
}
