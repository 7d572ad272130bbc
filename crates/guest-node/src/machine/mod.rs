//! One guest from power-on to off, seen from outside.
//!
//! ```text
//! power-on ─► leash ─► born ─► cards laid, `go` ─► userland ─► … ─► off
//!                                   │ power off: cards away, SIGKILL to its PID namespace
//!                                   │ shutdown: ask inside, then the same
//! ```
//!
//! Promises: [`live`] returns when nothing of the power-on is left but the VM's disk directory; what happens on the way
//! is told as [`Happening`]s. Assumes a runtime on the thread that lives longest, because a leash ends with its parent.

pub mod agent;
pub mod cgroup;
mod containers;
pub mod disk;
pub mod leash;
pub mod nic;
pub mod route;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OnceCell, mpsc};
use tracing::{debug, info, warn};

use self::agent::Agent;
use self::disk::face::Face;
use crate::guest::Guest;
use crate::image::NodeImage;
use crate::init::line::{Order, Said};
use crate::init::{Boot, PodNetwork, Purpose};
use crate::seed::Seed;

/// Where guests come from and go to on this machine.
#[derive(Debug)]
pub struct Site {
    /// The node image.
    pub image: NodeImage,
    /// State directories of VMs, one below it each.
    pub state: PathBuf,
    /// Put before a PVE bridge's name to get this machine's.
    pub bridge_prefix: String,
    /// Our own program.
    pub program: PathBuf,
    /// A directory of container images beside those of the node image, as tars: each guest imports them at its boot.
    pub more_images: Option<PathBuf>,
    /// Who brings the pods' network.
    pub pod_network: PodNetwork,
    containers: OnceCell<Option<PathBuf>>,
}

impl Site {
    /// A site with this node image, state directory, bridge prefix and program.
    pub fn new(image: NodeImage, state: PathBuf, bridge_prefix: String, program: PathBuf) -> Self {
        Self {
            image,
            state,
            bridge_prefix,
            program,
            more_images: None,
            pod_network: PodNetwork::Node,
            containers: OnceCell::new(),
        }
    }

    /// What this VM keeps.
    pub fn home(&self, vmid: u32) -> PathBuf {
        self.state.join(vmid.to_string())
    }
}

/// What somebody else does to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Off at once.
    Off,
    /// Off orderly.
    Shutdown,
}

/// What a guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Its PID 1, as seen here: its namespaces can be entered.
    Born(i32),
    /// A guest agent would answer now.
    Up,
    /// Pods' prefixes and the addresses behind which they are.
    Pods(Vec<(String, String)>),
    /// It ended.
    Off(String),
}

/// Runs one power-on to its end: with this seed and these disks from its first moment.
pub async fn live(
    site: &Site,
    guest: &Guest,
    (seed, disks): (Option<Seed>, Vec<Face>),
    mut orders: mpsc::Receiver<Power>,
    tell: &mpsc::Sender<Happening>,
) {
    let why = match begin(site, guest, seed, disks).await {
        Ok((leash, line)) => attend(site, guest, leash, line, &mut orders, tell).await,
        Err(err) => {
            warn!(vmid = guest.vmid, "cannot start: {err:#}");
            format!("cannot start: {err:#}")
        }
    };
    // A receiver that is gone has no more interest in this guest.
    let _ = tell.send(Happening::Off(why)).await;
}

async fn begin(site: &Site, guest: &Guest, seed: Option<Seed>, disks: Vec<Face>) -> Result<(Child, ChildStdin)> {
    let home = site.home(guest.vmid);
    let disk = disk(&home, guest)?;
    if let Some(ready) = site.containers.get_or_init(|| containers::prepared(site)).await {
        containers::give(ready, &disk)?;
    }
    let seed = match seed {
        Some(seed) => {
            seed.write(&home.join("seed"))?;
            Some(home.join("seed"))
        }
        None => None,
    };
    let boot = Boot {
        guest: guest.clone(),
        image: site.image.dir().to_owned(),
        disk,
        disks,
        seed,
        program: site.program.clone(),
        more_images: site.more_images.clone(),
        pod_network: site.pod_network,
        purpose: Purpose::Guest,
    };
    start(&boot, &home).await
}

/// Starts a leash with a guest on it.
async fn start(boot: &Boot, home: &Path) -> Result<(Child, ChildStdin)> {
    let file = home.join("boot.json");
    tokio::fs::write(&file, serde_json::to_vec_pretty(boot)?).await.context("write the boot file")?;
    let console = std::fs::OpenOptions::new().create(true).append(true).open(home.join("console.log"))?;
    let mut leash = Command::new(&boot.program)
        .arg("leash")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(console)
        // Ctrl-C at a terminal is for us; the leash ends when we close its line.
        .process_group(0)
        .spawn()
        .context("start the leash")?;
    let line = leash.stdin.take().context("line to the guest")?;
    Ok((leash, line))
}

/// Where a running guest's PID 1 is told.
fn pid_file(home: &Path) -> PathBuf {
    home.join("pid")
}

/// The agent of a VM that runs, found by its state directory.
pub fn running(state: &Path, vmid: u32) -> Result<Agent> {
    let file = pid_file(&state.join(vmid.to_string()));
    let pid = std::fs::read_to_string(&file)
        .with_context(|| format!("VM `{vmid}` does not run under `{}`", state.display()))?;
    Ok(Agent::new(pid.trim().parse().context("pid file")?))
}

/// The VM's disk directory; that of another VM which had this number before is not ours.
fn disk(home: &Path, guest: &Guest) -> Result<PathBuf> {
    let owner = home.join("uuid");
    if home.exists() && std::fs::read_to_string(&owner).ok().as_deref() != Some(guest.uuid.as_str()) {
        forget(home)?;
    }
    let disk = home.join("disk");
    std::fs::create_dir_all(&disk).context("disk directory")?;
    std::fs::write(owner, &guest.uuid)?;
    disk.canonicalize().context("disk directory")
}

/// Forgets all that was kept of a VM.
pub fn forget(home: &Path) -> Result<()> {
    match std::fs::remove_dir_all(home) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(err).with_context(|| format!("remove `{}`", home.display()))
        }
        _ => Ok(()),
    }
}

async fn attend(
    site: &Site,
    guest: &Guest,
    mut leash: Child,
    line: ChildStdin,
    orders: &mut mpsc::Receiver<Power>,
    tell: &mpsc::Sender<Happening>,
) -> String {
    let mut line = Some(line);
    let mut said = leash.stdout.take().map(|out| BufReader::new(out).lines());
    let mut why = "the guest ended".to_owned();
    loop {
        let next = async {
            match &mut said {
                Some(said) => said.next_line().await.ok().flatten(),
                None => None,
            }
        };
        tokio::select! {
            text = next => {
                let Some(text) = text else { break };
                let Ok(said) = serde_json::from_str::<Said>(&text) else {
                    debug!(vmid = guest.vmid, "{text}");
                    continue;
                };
                if let Err(err) = hear(site, guest, said, &mut line, tell, &mut why).await {
                    warn!(vmid = guest.vmid, "{err:#}");
                    why = format!("cannot start: {err:#}");
                    line = None;
                }
            }
            order = orders.recv(), if line.is_some() => match order {
                Some(Power::Shutdown) => {
                    if send(&mut line, Order::Shutdown).await.is_err() {
                        line = None;
                    }
                }
                // Closing the line is the order: the leash takes the cards away, then kills.
                Some(Power::Off) => {
                    "powered off".clone_into(&mut why);
                    line = None;
                }
                None => line = None,
            },
        }
    }
    drop(line);
    match leash.wait().await {
        Ok(status) if status.success() => {}
        Ok(status) => warn!(vmid = guest.vmid, "leash: {status}; its words are in the VM's `console.log`"),
        Err(err) => warn!(vmid = guest.vmid, "leash: {err}"),
    }
    // Absent where it never came to be born.
    let _ = tokio::fs::remove_file(pid_file(&site.home(guest.vmid))).await;
    why
}

async fn hear(
    site: &Site,
    guest: &Guest,
    said: Said,
    line: &mut Option<ChildStdin>,
    tell: &mpsc::Sender<Happening>,
    why: &mut String,
) -> Result<()> {
    match said {
        Said::Born { pid } => {
            tokio::fs::write(pid_file(&site.home(guest.vmid)), pid.to_string()).await.context("pid file")?;
            let _ = tell.send(Happening::Born(pid)).await;
            nic::lay(guest, &site.bridge_prefix, pid)?;
            send(line, Order::Go).await?;
        }
        Said::Userland => {
            let _ = tell.send(Happening::Up).await;
        }
        Said::Note { seconds, text } => info!(vmid = guest.vmid, seconds, "{text}"),
        Said::Pods { cidrs, addresses } => {
            let _ = tell.send(Happening::Pods(route::pair(&cidrs, &addresses))).await;
        }
        Said::Ended { why: words } => *why = words,
    }
    Ok(())
}

async fn send(line: &mut Option<ChildStdin>, order: Order) -> Result<()> {
    let line = line.as_mut().context("the line to the guest is closed")?;
    let mut text = serde_json::to_vec(&order)?;
    text.push(b'\n');
    line.write_all(&text).await.context("order to the guest")?;
    line.flush().await.context("order to the guest")
}
