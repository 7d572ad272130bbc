//! The first process on a leash: makes the place livable, runs the command, reaps, hands on signals.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// The hidden command that makes a binary call [`init`].
pub const INIT: &str = "lab-init";

/// Runs as PID 1 of a leash; returns how the command ended. With its return everything inside ends.
pub async fn init(command: &[OsString]) -> Result<ExitStatus> {
    ensure!(getpid().is_init(), "`{INIT}` is for our own use: run `lab` instead");
    furnish()?;
    // Before the child starts, so that none of its signals is missed.
    let mut child_changed = signal(SignalKind::child()).context("listen for SIGCHLD")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let (program, args) = command.split_first().context("run a command on a leash: no command given")?;
    let child = Command::new(program).args(args).spawn().with_context(|| format!("start `{}`", program.display()))?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("read the command's process number")?;
    loop {
        if let Some(status) = reap(child)? {
            return Ok(status);
        }
        tokio::select! {
            _ = child_changed.recv() => {}
            _ = interrupt.recv() => {} // from the terminal, which has told the command too
            _ = terminate.recv() => match kill_process(child, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => bail!("ask the command to stop: {error}"),
            },
        }
    }
}

/// Takes every child that has ended, orphans that were given to us among them; the command's end if it is there.
fn reap(child: Pid) -> Result<Option<ExitStatus>> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => ended = Some(exit_status(status)),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(ended),
            Err(error) => bail!("reap: {error}"),
        }
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    ExitStatus::from_raw(status.as_raw())
}

/// Loopback up, forwarding on (this namespace is the router of the nodes in it), and what must not be the machine's.
fn furnish() -> Result<()> {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("start `ip` (iproute2)")?;
    ensure!(status.success(), "bring loopback up: `ip link set lo up` ended with {status}");
    for knob in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
        if let Err(error) = fs::write(knob, "1") {
            tracing::warn!(knob, %error, "nodes will not be routed"); // a machine without IPv6 has no such file
        }
    }
    rustix::system::sethostname(b"oxmox-lab").context("set the host name")?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
        .context("mount a `/run` of our own")?;
    // A sysfs that shows this namespace's network devices.
    mount("sysfs", "/sys", "sysfs", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
        .context("mount a `/sys` of our own")?;
    furnish_cgroups()
}

/// Our cgroup as the whole tree, ourselves in a leaf of it, so that controllers may be handed down to nodes.
fn furnish_cgroups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if let Err(error) = mount("cgroup2", root, "cgroup2", flags, None) {
        tracing::warn!(%error, "no cgroup2 tree in here: real nodes will not run");
        return Ok(());
    }
    let leaf = root.join("lab");
    fs::create_dir_all(&leaf).with_context(|| format!("make the cgroup `{}`", leaf.display()))?;
    fs::write(leaf.join("cgroup.procs"), "0").with_context(|| format!("enter the cgroup `{}`", leaf.display()))?;
    let offered = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in offered.split_whitespace() {
        if let Err(error) = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")) {
            tracing::debug!(controller, %error, "not handed down");
        }
    }
    Ok(())
}
