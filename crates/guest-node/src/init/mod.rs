//! PID 1 of a guest.
//!
//! ```text
//! born ──(outside: cards are laid, `go`)──► mounts ──► supervisor ──► its end is the guest's end
//! ```
//!
//! Promises: reaps every orphan; ends when the supervisor ends, and with it the whole PID namespace. Assumes that it was
//! started by the leash, with standard input and output as the line to the outside.

mod cloud;
pub mod door;
mod file_system;
pub mod line;
mod network;
mod pod_network;
mod supervisor;
mod unit;

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::line::{Order, Said};
use crate::GUEST_PROGRAM;
use crate::guest::Guest;
use crate::machine::disk::face::Face;

/// All that a guest has to know to boot.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Boot {
    /// The VM.
    pub guest: Guest,
    /// The node image.
    pub image: PathBuf,
    /// What this VM keeps from one boot to the next.
    pub disk: PathBuf,
    /// The disks that it finds on its first look.
    #[serde(default)]
    pub disks: Vec<Face>,
    /// The NoCloud seed, as files; absent where the VM has none.
    pub seed: Option<PathBuf>,
    /// Our own program, as the outside sees it.
    pub program: PathBuf,
    /// A directory with more container images, which change more often than the node image.
    #[serde(default)]
    pub more_images: Option<PathBuf>,
    /// Who brings the pods' network.
    #[serde(default)]
    pub pod_network: PodNetwork,
    /// What it boots for.
    #[serde(default)]
    pub purpose: Purpose,
}

/// Who brings the pods' network.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PodNetwork {
    /// Each node for itself: a bridge with addresses of its own prefix.
    #[default]
    Node,
    /// The cluster, as in real life: a node has none until somebody installs one.
    Cluster,
}

/// What a guest boots for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Purpose {
    /// To be the VM.
    #[default]
    Guest,
    /// To bring the node image's container images into containerd, and end.
    Import,
}

/// Lies in containerd's directory once all container images are in.
pub(crate) const IMAGES_MARK: &str = "guest-node-images";

/// The environment of everything inside: nothing of the machine's own gets in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the guest's PID 1. Ends with its supervisor.
pub fn init(boot: &Path) -> Result<()> {
    let boot: Boot = serde_json::from_slice(&fs::read(boot).context("read the boot file")?)?;
    // This is still the outside's /proc: it tells the number that the outside knows us by.
    let pid = fs::read_link("/proc/self").context("own pid")?;
    let pid = pid.to_string_lossy().parse().context("own pid")?;
    line::say(&Said::Born { pid })?;
    let mut first = String::new();
    std::io::stdin().lock().read_line(&mut first)?;
    let Ok(Order::Go) = serde_json::from_str(&first) else { bail!("expected `go`, got `{}`", first.trim()) };

    file_system::build(&boot)?;
    fs::write("/run/guest-node/boot.json", serde_json::to_vec(&boot)?)?;
    let supervisor = inside(GUEST_PROGRAM).arg("supervise").spawn().context("start the supervisor")?;
    let ours = i32::try_from(supervisor.id()).context("pid of the supervisor")?;
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get() == ours => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err).context("reap"),
        }
    }
}

/// Runs units, cloud-init and the pod network until the guest is to end.
pub fn supervise() -> Result<()> {
    let boot: Boot = serde_json::from_slice(&fs::read("/run/guest-node/boot.json").context("read the boot file")?)?;
    supervisor::run(&boot)
}

/// A command with a guest's own environment.
pub(crate) fn inside(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8").current_dir("/");
    command
}
