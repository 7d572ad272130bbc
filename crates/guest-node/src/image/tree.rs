//! What lies in the image's file tree beside Debian's packages: Kubernetes' tools, CNI plugins, fronts, cloud-init's
//! choice of modules.
//!
//! Promises: a cluster's own configuration is never touched; whatever a small machine lacks is made up for here.
//! Assumes that a guest finds our own program at [`crate::GUEST_PROGRAM`].

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::ToolPaths;
use crate::GUEST_PROGRAM;

/// Names under which our program stands in front of another one; see `front`.
const FRONTS: [&str; 8] = ["kubeadm", "runc", "systemctl", "service", "poweroff", "halt", "reboot", "shutdown"];

/// What a package's maintainer script would have linked.
const LINKS: [(&str, &str); 9] = [
    ("iptables", "xtables-nft-multi"),
    ("iptables-save", "xtables-nft-multi"),
    ("iptables-restore", "xtables-nft-multi"),
    ("ip6tables", "xtables-nft-multi"),
    ("ip6tables-save", "xtables-nft-multi"),
    ("ip6tables-restore", "xtables-nft-multi"),
    ("arptables", "xtables-nft-multi"),
    ("ebtables", "xtables-nft-multi"),
    ("udhcpc", "../bin/busybox"),
];

const CLOUD_CONFIG: &str = include_str!("cloud.cfg");

pub(super) fn lay(root: &Path, tools: &ToolPaths) -> Result<()> {
    for dir in [
        "usr/bin",
        "usr/sbin",
        "usr/local/bin",
        "usr/local/sbin",
        "usr/lib/modules",
        "opt/cni/bin",
        "etc/cloud/cloud.cfg.d",
    ] {
        fs::create_dir_all(root.join(dir)).with_context(|| format!("make `{dir}` in the node image"))?;
    }
    for (from, name) in [(&tools.kubelet, "kubelet"), (&tools.kubeadm, "kubeadm"), (&tools.kubectl, "kubectl")] {
        copy(from, &root.join("usr/bin").join(name))?;
    }
    for entry in fs::read_dir(&tools.cni).context("CNI plugins")? {
        let entry = entry?;
        copy(&entry.path(), &root.join("opt/cni/bin").join(entry.file_name()))?;
    }
    for name in FRONTS {
        symlink(GUEST_PROGRAM, root.join("usr/local/bin").join(name)).with_context(|| format!("front `{name}`"))?;
    }
    for (name, target) in LINKS {
        let link = root.join("usr/sbin").join(name);
        if link.symlink_metadata().is_err() {
            symlink(target, &link).with_context(|| format!("link `{name}`"))?;
        }
    }
    fs::write(root.join("etc/cloud/cloud.cfg.d/99-guest-node.cfg"), CLOUD_CONFIG).context("cloud-init's modules")?;
    Ok(())
}

/// Compiles cloud-init once here instead of once in every guest, where it costs seconds.
pub(super) fn compile_python(root: &Path) -> Result<()> {
    let python = Path::new("/usr/bin/python3");
    let modules = root.join("usr/lib/python3/dist-packages");
    // Guests run the machine's Python where it has one; what another version compiled would not be read.
    if python.exists() && modules.is_dir() {
        let mut command = Command::new(python);
        command.args(["-I", "-m", "compileall", "-q", "-s"]).arg(root).args(["-p", "/"]).arg(&modules);
        // A module that does not compile is one that nobody imports.
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("compile Python modules")?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("copy `{}` into the node image", from.display()))
}
