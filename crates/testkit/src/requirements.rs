//! What the machine must have: commands, each with Debian's package for it.
//!
//! Promises: as root the plain ones are installed by apt; otherwise the very command is named. A package that brings a
//! service is never installed, whatever the table says.
//! Assumes: Debian's package names. On another distribution the names of the commands are the help.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::getuid;

/// A command that something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The command.
    pub command: &'static str,
    /// Debian's package.
    pub package: &'static str,
    /// Who needs it.
    pub needed_by: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    /// It is carried into places without libraries.
    Static,
}

const fn needs(command: &'static str, package: &'static str, needed_by: &'static str) -> Requirement {
    Requirement { command, package, needed_by, kind: Kind::Any }
}

/// For [`crate::leash`].
pub const LEASH: [Requirement; 4] = [
    needs("ip", "iproute2", "networks of the lab"),
    needs("unshare", "util-linux", "namespaces of the lab"),
    needs("nsenter", "util-linux", "entering the lab"),
    needs("setpriv", "util-linux", "ending children with their parent"),
];

/// For real nodes.
pub const NODE: [Requirement; 13] = [
    needs("iptables", "iptables", "pods' networks"),
    needs("nft", "nftables", "kube-proxy"),
    needs("ipset", "ipset", "network policies"),
    needs("isoinfo", "genisoimage", "reading cloud-init's ISO images"),
    Requirement {
        command: "busybox",
        package: "busybox-static",
        needed_by: "small containers, DHCP",
        kind: Kind::Static,
    },
    needs("mkfs.ext4", "e2fsprogs", "disks of guests"),
    needs("mkfs.xfs", "xfsprogs", "disks of guests"),
    needs("mount", "mount", "nodes' file systems"),
    needs("losetup", "mount", "disks of guests"),
    needs("dpkg-deb", "dpkg", "the node image"),
    needs("apt-get", "apt", "the node image"),
    needs("tar", "tar", "the node image"),
    needs("python3", "python3-minimal", "cloud-init in the node image"),
];

/// They start a daemon when installed, or take over the next boot. Nodes have them in their image instead.
const NEVER: [&str; 10] = [
    "cloud-init",
    "containerd",
    "containerd.io",
    "dnsmasq",
    "docker.io",
    "etcd-server",
    "keepalived",
    "kubelet",
    "openvswitch-switch",
    "runc",
];

/// What is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(Vec<Requirement>);

impl Missing {
    /// What is not there.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    fn packages(&self) -> Vec<&'static str> {
        let mut packages: Vec<&str> = self.0.iter().map(|requirement| requirement.package).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }

    /// The command that helps.
    pub fn command(&self) -> String {
        format!("apt-get install --no-install-recommends {}", self.packages().join(" "))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("missing on this machine:")?;
        for Requirement { command, package, needed_by, kind } in &self.0 {
            let linked = match kind {
                Kind::Any => "",
                Kind::Static => ", statically linked",
            };
            write!(f, "\n  `{command}`{linked} (package {package}), for {needed_by}")?;
        }
        write!(f, "\nhint: sudo {}", self.command())
    }
}

/// Looks; changes nothing.
pub fn check(requirements: &[Requirement]) -> Result<(), Missing> {
    let dirs: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        // Not on the PATH of everybody who is not root.
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .collect();
    check_in(requirements, &dirs)
}

fn check_in(requirements: &[Requirement], dirs: &[PathBuf]) -> Result<(), Missing> {
    let missing: Vec<Requirement> =
        requirements.iter().copied().filter(|requirement| !dirs.iter().any(|dir| is_met(requirement, dir))).collect();
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
}

/// Makes it so: by apt when root; otherwise the error names the command. `tell` hears what is done.
pub fn ensure(requirements: &[Requirement], tell: &dyn Fn(&str)) -> Result<()> {
    let Err(missing) = check(requirements) else { return Ok(()) };
    let apt = Path::new("/usr/bin/apt-get");
    if !getuid().is_root() || !apt.exists() || crate::leash::inside() {
        bail!("{missing}");
    }
    let packages = missing.packages();
    if let Some(service) = packages.iter().find(|package| NEVER.contains(package)) {
        bail!("install `{service}`: packages that bring services are never installed on the machine");
    }
    tell(&format!("installing {}", packages.join(", ")));
    if let Err(first) = install(apt, &packages) {
        tell(&format!("{first:#}; reading the package lists and trying again"));
        run(Command::new(apt).arg("update"))?;
        install(apt, &packages)?;
    }
    match check(requirements) {
        Ok(()) => Ok(()),
        Err(still) => bail!("{still}"),
    }
}

fn install(apt: &Path, packages: &[&str]) -> Result<()> {
    run(Command::new(apt).args(["install", "--yes", "--no-install-recommends"]).args(packages))
        .with_context(|| format!("install {}", packages.join(", ")))
}

fn run(command: &mut Command) -> Result<()> {
    let output =
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output().context("start `apt-get`")?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    bail!("apt-get ended with {}: {}", output.status, words.trim().lines().next_back().unwrap_or("(it said nothing)"))
}

fn is_met(requirement: &Requirement, dir: &Path) -> bool {
    let path = dir.join(requirement.command);
    let executable = path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    executable
        && match requirement.kind {
            Kind::Any => true,
            Kind::Static => is_static(&path),
        }
}

/// A dynamically linked program names its loader near its start.
fn is_static(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && start.starts_with(b"\x7fELF") && !start.windows(8).any(|bytes| bytes == b"ld-linux")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nothing_that_brings_a_service_is_ever_asked_for() {
        for requirement in LEASH.iter().chain(&NODE) {
            assert!(!NEVER.contains(&requirement.package), "{requirement:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_helps() {
        let missing = check_in(&[LEASH[0], LEASH[1], LEASH[2], NODE[1]], &[PathBuf::from("/nowhere")]).unwrap_err();
        assert_eq!(missing.command(), "apt-get install --no-install-recommends iproute2 nftables util-linux");
        let words = missing.to_string();
        assert!(words.contains("`nsenter` (package util-linux), for entering the lab"), "{words}");
        assert!(words.ends_with("hint: sudo apt-get install --no-install-recommends iproute2 nftables util-linux"));
    }

    #[test]
    fn a_shell_is_found_and_a_dynamic_program_is_not_taken_for_a_static_one() {
        let shell = needs("sh", "dash", "this test");
        let dirs = [PathBuf::from("/bin")];
        assert_eq!(check_in(&[shell], &dirs), Ok(()));
        let static_shell = Requirement { kind: Kind::Static, ..shell };
        assert!(check_in(&[static_shell], &dirs).is_err());
    }
}
