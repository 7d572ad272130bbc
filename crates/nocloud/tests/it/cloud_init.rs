//! Debian's cloud-init, unpacked and never installed: an installed one would take the machine
//! for a fresh guest at its next boot.
//!
//! It is found in a node image, or fetched from the machine's apt sources once. When root, it
//! runs over copies (overlays) of `/etc`, `/var` and `/run`, in namespaces without a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::packages::{self, is_root};
use crate::room::{Room, cache};

const PYTHON: &str = "/usr/bin/python3";

/// A cloud-init to ask.
#[derive(Clone)]
pub(crate) struct CloudInit {
    /// Where its packages are unpacked.
    root: PathBuf,
    cage: Cage,
}

/// What keeps it from touching the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cage {
    /// Overlays and namespaces.
    Namespaces,
    /// Not being root. Enough for commands that only read and convert.
    Rights,
}

/// Overlays for what cloud-init writes to, then the command.
const PRELUDE: &str = r#"
set -eu
root=$1 overlay=$2; shift 2
mount -t tmpfs -o mode=755 overlay "$overlay"
mkdir "$overlay/etc" "$overlay/etc.work" "$overlay/var" "$overlay/var.work"
mount -t overlay -o "lowerdir=$root/etc:/etc,upperdir=$overlay/etc,workdir=$overlay/etc.work" etc /etc
mount -t overlay -o "lowerdir=/var,upperdir=$overlay/var,workdir=$overlay/var.work" var /var
mount -t tmpfs -o mode=755 run /run
exec "$@"
"#;

/// Only root can give what was converted to systemd's user, and nobody asks here whose it is.
const WITHOUT_CHOWN: &str = "import os, sys; os.chown = lambda *_, **__: None; \
    from cloudinit.cmd.main import main; sys.exit(main(sys.argv))";

/// The cloud-init to test with, or why there is none.
pub(crate) fn find() -> Result<CloudInit, String> {
    // Looked for once: a mirror that doesn't answer takes its time.
    static FOUND: OnceLock<Result<CloudInit, String>> = OnceLock::new();
    FOUND.get_or_init(look).clone()
}

fn look() -> Result<CloudInit, String> {
    if !Path::new(PYTHON).is_file() {
        return Err(format!("no {PYTHON}"));
    }
    let cache = cache().ok_or("no home directory to keep packages in")?;
    let root = match in_a_node_image(&cache) {
        Some(root) => root,
        None => packages::unpacked(&cache, "cloud-init")?,
    };
    let cage = if may_unshare() { Cage::Namespaces } else { Cage::Rights };
    if cage == Cage::Rights && is_root() {
        return Err("root here may not make namespaces, so nothing would hold it back".into());
    }
    Ok(CloudInit { root, cage })
}

impl CloudInit {
    pub(crate) fn cage(&self) -> Cage {
        self.cage
    }

    /// Runs `cloud-init` with these arguments.
    pub(crate) fn run(&self, room: &Room, arguments: &[&str]) -> Output {
        let start: &[&str] = match self.cage {
            Cage::Namespaces => &[PYTHON, "-m", "cloudinit.cmd.main"],
            Cage::Rights => &[PYTHON, "-c", WITHOUT_CHOWN],
        };
        self.caged(room, &[start, arguments].concat())
    }

    /// Runs a Python program with what cloud-init has to import.
    pub(crate) fn python(&self, room: &Room, program: &str) -> Output {
        self.caged(room, &[PYTHON, "-c", program])
    }

    /// Runs a command that finds cloud-init.
    pub(crate) fn caged(&self, room: &Room, command: &[&str]) -> Output {
        let mut out = match self.cage {
            Cage::Rights => Command::new(command[0]),
            Cage::Namespaces => {
                let overlay = room.path("overlay");
                fs::create_dir_all(&overlay).unwrap();
                let mut unshare = Command::new("unshare");
                unshare.args(["--mount", "--uts", "--ipc", "--pid", "--net"]);
                unshare.args(["--fork", "--kill-child", "--mount-proc"]);
                unshare.args(["sh", "-c", PRELUDE, "cage"]).arg(&self.root).arg(overlay);
                unshare.arg(command[0]);
                unshare
            }
        };
        out.args(&command[1..]);
        out.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        out.env("LANG", "C.UTF-8").env("PYTHONPYCACHEPREFIX", pycache());
        out.env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"));
        out.output().unwrap()
    }
}

/// What Python compiled, for the next run: outside the packages, which stay as they are.
fn pycache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nocloud-pycache")
}

fn has_cloud_init(root: &Path) -> bool {
    root.join("usr/lib/python3/dist-packages/cloudinit").is_dir() && root.join("etc/cloud").is_dir()
}

/// The newest node image that has one.
fn in_a_node_image(cache: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(cache).ok()?.filter_map(Result::ok);
    let images = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("node-image-"));
    let roots = images.map(|image| image.path().join("rootfs")).filter(|root| has_cloud_init(root));
    roots.max_by_key(|root| fs::metadata(root).and_then(|about| about.modified()).ok())
}

/// Whether root may do here what a cage takes: containers often may not.
fn may_unshare() -> bool {
    const PROBE: &str = "set -e; mount -t tmpfs probe /run; mount -t sysfs probe /sys; \
        mkdir /run/up /run/work; \
        mount -t overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work probe /etc";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "sh", "-c", PROBE]);
    is_root() && unshare.output().is_ok_and(|out| out.status.success())
}
