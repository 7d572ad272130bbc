//! Running a command on a leash, from outside.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::clean::{self, Scope};
use super::init::INIT;
use super::proc::{ProcessId, first_child};
use super::state::{State, directory};
use super::{DIR, INSIDE, cgroup};

/// What a command gets to end by itself once we are asked to stop.
const GRACE: Duration = Duration::from_secs(20);

/// A leash to be.
#[derive(Debug, Clone)]
pub struct Leash {
    /// What people call it; [`enter`] and [`clean`] find it by this.
    pub name: String,
    /// The words that make a process [`super::init`]: a binary of ours and its hidden command. The command to run is
    /// appended.
    pub init: Vec<OsString>,
}

impl Leash {
    /// A leash whose first process is this binary again, called with `lab-init`.
    pub fn new(name: &str) -> Result<Self> {
        let ourselves = std::env::current_exe().context("find our own binary")?;
        Ok(Self { name: name.to_owned(), init: vec![ourselves.into_os_string(), INIT.into()] })
    }

    /// Runs `command` to its end and cleans up behind it. Ctrl-C and SIGTERM are the command's to answer; if it does
    /// not end, all is killed. On a leash already: just runs it.
    ///
    /// Call it on the thread that lives as long as the process (the kernel's parent-death signal is per thread): in
    /// `block_on` of a current-thread runtime in `main`.
    pub async fn run(&self, command: &[OsString]) -> Result<ExitStatus> {
        let (program, args) = command.split_first().context("run a command on a leash: no command given")?;
        if super::inside() {
            let mut child = tokio::process::Command::new(program).args(args).spawn();
            let child = child.as_mut().map_err(|error| anyhow::anyhow!("start `{}`: {error}", program.display()))?;
            return child.wait().await.context("wait for the command");
        }
        ensure!(
            getuid().is_root(),
            "make private namespaces for real nodes: that needs root\nhint: run this one command through sudo"
        );
        clean::clean(&Scope::Orphans)?;
        let owner = std::process::id();
        let directory = directory()?;
        let dir = directory.join(owner.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("make `{}`", dir.display()))?;
        let cgroup = cgroup::make(owner)?;
        let mut child = tokio::process::Command::from(self.command(cgroup.as_deref(), &dir, command))
            .kill_on_drop(true)
            .spawn()
            .context("start `setpriv` and `unshare` (util-linux)")?;
        let pid = child.id().context("read the leash's process number")?;
        let ids = ProcessId::of(owner).zip(ProcessId::of(pid)).context("read the leash's start time from /proc");
        let ended = async {
            let (owner, leash) = ids?;
            State { name: self.name.clone(), owner, leash, cgroup: cgroup.clone(), dir: dir.clone() }
                .write(&directory)?;
            watch(&mut child, pid).await
        }
        .await;
        // Whatever happened: gone before we are.
        let _ = child.start_kill();
        let _ = child.wait().await;
        clean::sweep(&State::path(&directory, owner), &dir, cgroup.as_deref())?;
        ended
    }

    /// `setpriv … unshare … sh …`: the shell enters the cgroup while the machine's tree is still in sight, and only
    /// then takes the cgroup namespace, whose root that cgroup so becomes.
    fn command(&self, cgroup: Option<&Path>, dir: &Path, command: &[OsString]) -> Command {
        const ENTER: &str =
            r#"if [ -n "$1" ]; then echo 0 > "$1/cgroup.procs" || exit 125; fi; shift; exec unshare --cgroup -- "$@""#;
        let mut unshare = Command::new("setpriv");
        unshare
            .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--propagation", "private"])
            .args(["--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(cgroup.map(Path::as_os_str).unwrap_or_default())
            .args(&self.init)
            .args(command)
            .env(INSIDE, "1")
            .env(DIR, dir)
            // Nothing answers in there: better to hear so at once.
            .env("CARGO_NET_OFFLINE", "true");
        unshare
    }
}

/// Waits for the end; hands signals on to our init (`unshare` itself answers none).
async fn watch(child: &mut tokio::process::Child, pid: u32) -> Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    tokio::select! {
        status = child.wait() => return status.context("wait for the leash"),
        _ = interrupt.recv() => {} // the terminal has told the whole process group, the command too
        _ = terminate.recv() => tell_init(pid)?,
        _ = hang_up.recv() => tell_init(pid)?,
    }
    tracing::info!(grace = ?GRACE, "asked to stop; waiting for the command to end");
    tokio::select! {
        status = child.wait() => return status.context("wait for the leash"),
        () = second(&mut interrupt, &mut terminate) => {}
        () = timeout() => {}
    }
    child.start_kill().context("kill the leash")?;
    let _ = child.wait().await;
    Ok(ExitStatus::from_raw(Signal::KILL.as_raw()))
}

async fn timeout() {
    let forever = std::future::pending::<()>();
    let _ = tokio::time::timeout(GRACE, forever).await;
}

async fn second(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn tell_init(unshare: u32) -> Result<()> {
    let init = first_child(unshare).and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    match init {
        Some(init) => kill_process(init, Signal::TERM).context("ask the command to stop"),
        None => Ok(()),
    }
}

/// Runs `command` inside the living leash of that name, to its end: a shell in the demo.
pub async fn enter(name: &str, command: &[OsString]) -> Result<ExitStatus> {
    let state = State::all(&directory()?)?
        .into_iter()
        .find(|state| state.name == name && state.leash.lives())
        .with_context(|| format!("enter `{name}`: no such leash is alive"))?;
    let init = first_child(state.leash.pid).with_context(|| format!("enter `{name}`: it is just ending"))?;
    tokio::process::Command::new("nsenter")
        .args(["--target", &init.to_string()])
        .args(["--net", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--"])
        .args(command)
        .env(INSIDE, "1")
        .env(DIR, &state.dir)
        .status()
        .await
        .context("start `nsenter` (util-linux)")
}
