//! A server that is measured: ours or the peer, as a child of ours.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{TEMPLATE, VM, tell};

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server that runs; dropped, it is killed.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: String,
    pub(super) password: String,
    /// How long it took until it listened.
    pub(super) started: Duration,
    child: Child,
    /// What it reads at its start.
    _guests: Option<Guests>,
}

/// The optimised binary, where there is one.
pub(super) fn program() -> Result<PathBuf> {
    let here = std::env::current_exe().context("find our own binary")?;
    let target = here.ancestors().nth(2).context("find the target directory")?;
    let release = target.join("release/pve-sim");
    if release.is_file() {
        tell("profile release");
        return Ok(release);
    }
    tell("profile debug (for figures that count: cargo build --release -p pve-sim)");
    let debug = target.join("debug/pve-sim");
    anyhow::ensure!(debug.is_file(), "find `{}`\nhint: cargo build --release -p pve-sim", debug.display());
    Ok(debug)
}

/// The first line that a child says, and when.
async fn first_line(command: &mut Command) -> Result<(Child, String, Duration)> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start `{}`", command.as_std().get_program().display()))?;
    let out = child.stdout.take().context("read the child's words")?;
    let mut lines = BufReader::new(out).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("wait for the server")??;
    let started = began.elapsed();
    Ok((child, line.context("the server ended before it listened")?, started))
}

impl Server {
    /// Ours, in no hurry with anything but tasks.
    pub(super) async fn ours(program: &Path, guests: u32) -> Result<Self> {
        let nodes = if guests >= 10_000 { "100" } else { "3" };
        let mut command = Command::new(program);
        command.args(["-o", "json", "--no-login-delay", "--nodes", nodes, "--vms", &guests.to_string()]);
        command.args(["--task-seconds", "clone=0.001,clone-full=0.001"]);
        let (child, line, started) = first_line(&mut command).await?;
        let facts: Value = serde_json::from_str(&line).context("read what the simulator says")?;
        let text = |key: &str| facts[key].as_str().map(str::to_owned).context("read what the simulator says");
        let address = text("url")?.trim_start_matches("https://").to_owned();
        let password = text("root_password")?;
        Ok(Self { name: "pve-sim", address, password, started, child, _guests: None })
    }

    /// `fakepve`, with tasks that take no time.
    pub(super) async fn peer(program: &Path, guests: u32) -> Result<Self> {
        let list = Guests::write(guests)?;
        // It names the port that it was given only, so it cannot choose one.
        let port = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--password", "bench", "--time-scale", "0"]);
        let (child, _, started) = first_line(command.arg(&list.0).stderr(Stdio::null())).await?;
        let address = format!("127.0.0.1:{port}");
        Ok(Self { name: "fakepve", address, password: "bench".to_owned(), started, child, _guests: Some(list) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// The file with the peer's guests, removed when it is dropped.
struct Guests(PathBuf);

impl Guests {
    fn write(guests: u32) -> Result<Self> {
        let config = json!({
            "memory": "2048", "cores": 2, "ostype": "l26", "scsihw": "virtio-scsi-pci",
            "scsi0": "local:100/vm-100-disk-0.qcow2,size=8G", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        });
        let vm = |vmid: u32| json!({"vmid": vmid, "name": format!("vm-{vmid}"), "status": "running", "config": config});
        let mut all: Vec<Value> = (VM..).filter(|vmid| *vmid != TEMPLATE).take(guests as usize).map(vm).collect();
        all.push(json!({"vmid": TEMPLATE, "name": "template", "template": true, "config": {"template": 1}}));
        let file = std::env::temp_dir().join(format!("bench-sim-{}-{guests}.json", std::process::id()));
        std::fs::write(&file, json!({"guests": all}).to_string())
            .with_context(|| format!("write `{}`", file.display()))?;
        Ok(Self(file))
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // A left file in the temporary directory harms nobody.
        let _gone = std::fs::remove_file(&self.0);
    }
}
