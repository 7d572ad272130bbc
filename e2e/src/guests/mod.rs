//! Real guests: a bridge, `guest-node` attached to a simulator, and a look at what guests leave.
//!
//! Promises: one test at a time has guests (their cards and cgroups are named after VMIDs); at the end its bridges are
//! gone. Assumes the lab, whose namespaces hold nothing but what tests put there, and a node image in the cache.

mod dhcp;
mod hypervisor;
mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use testkit::{Process, ProcessSpec};
use tokio::sync::{Mutex, MutexGuard};

pub use self::dhcp::{Dhcp, Lease};
pub use self::hypervisor::Hypervisor;
pub use self::trace::{left, loops, on_bridge, processes};

use crate::binary::binary;
use crate::stage::say;

/// The router's address on the bridge: the gateway that a story's cluster names.
const GATEWAY: &str = "10.10.0.1/16";
const BRIDGE: &str = "vmbr0";
/// Orderly ends of all guests.
const GRACE: Duration = Duration::from_secs(15);

static ALONE: Mutex<()> = Mutex::const_new(());

/// The guests of one simulator.
pub struct Guests {
    process: Option<Process>,
    program: PathBuf,
    image: PathBuf,
    log: PathBuf,
    state: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// The node image that was made last; `None`, said aloud, where there is none.
pub fn image(name: &str) -> Result<Option<PathBuf>> {
    let mut images = Vec::new();
    for entry in std::fs::read_dir(testkit::cache_dir()?).into_iter().flatten() {
        let entry = entry.context("read the cache directory")?;
        if entry.file_name().to_string_lossy().starts_with("node-image-") {
            images.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    let newest = images.into_iter().max().map(|(_, path)| path);
    if newest.is_none() {
        say(&format!("SKIPPED {name}: there is no node image; `oxmox demo prepare` builds it"));
    }
    Ok(newest)
}

impl Guests {
    /// Lays the bridge and attaches to the simulator behind this control door.
    pub async fn attach(image: &Path, dir: &Path, control: &str) -> Result<Self> {
        let alone = ALONE.lock().await;
        let mut guests = Self {
            process: None,
            program: binary("guest-node")?,
            image: image.to_owned(),
            log: dir.join("guest-node.log"),
            state: dir.join("nodes"),
            _alone: alone,
        };
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["address", "add", GATEWAY, "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        guests.start(control)?;
        Ok(guests)
    }

    /// Attaches anew.
    pub fn start(&mut self, control: &str) -> Result<()> {
        let process = ProcessSpec::new("guest-node", &self.program, &self.log)
            .args(["run", "--sim", control, "--image"])
            .arg(&self.image)
            .arg("--state")
            .arg(&self.state)
            .start()?;
        self.process = Some(process);
        Ok(())
    }

    /// Where the guests keep what they write.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The process that holds them.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::pid)
    }

    /// What that process has said last.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::tail).unwrap_or_default()
    }

    /// Runs a command in a guest; what it says.
    pub async fn exec(&self, vmid: u64, words: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("exec").arg("--state").arg(&self.state).arg(vmid.to_string()).args(words);
        let output = command.stdin(std::process::Stdio::null()).output().await.context("start `guest-node`")?;
        if !output.status.success() {
            bail!("`{}` in VM {vmid}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Copies a file into a guest, as a program.
    pub async fn put(&self, vmid: u64, from: &Path, to: &str) -> Result<()> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("exec").arg("--state").arg(&self.state).arg(vmid.to_string());
        command.args(["sh", "-c", "cat > \"$0\" && chmod 755 \"$0\"", to]);
        let file = std::fs::File::open(from).with_context(|| format!("open `{}`", from.display()))?;
        let output = command.stdin(file).output().await.context("start `guest-node`")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "copy `{}` into VM {vmid}: {}", from.display(), error.trim());
        Ok(())
    }

    /// Runs a command in a guest that may fail: its exit code, and all that it says.
    pub async fn tries(&self, vmid: u64, words: &[&str]) -> Result<(i32, String)> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("exec").arg("--state").arg(&self.state).arg(vmid.to_string()).args(words);
        let output = command.stdin(std::process::Stdio::null()).output().await.context("start `guest-node`")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Kills that process as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        let process = self.process.take().context("guest-node does not run")?;
        process.kill().await.map(drop)
    }

    /// Waits until that process has ended by itself.
    pub async fn ended(&mut self, limit: Duration) -> Result<()> {
        let mut process = self.process.take().context("guest-node does not run")?;
        tokio::time::timeout(limit, process.wait()).await.context("guest-node does not end by itself")?.map(drop)
    }

    /// Powers all guests off and takes the bridge away.
    pub async fn end(mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(GRACE).await?;
        }
        Ok(())
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // A failed test's, too; its guests' leashes end by themselves.
        for link in trace::bridges() {
            let _gone = ip(&["link", "delete", "dev", &link]);
        }
    }
}

/// Runs `ip` in the lab's own network.
pub fn ip(words: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(words).status().context("start `ip` (iproute2)")?;
    ensure!(status.success(), "`ip {}` failed", words.join(" "));
    Ok(())
}
