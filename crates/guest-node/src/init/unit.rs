//! Services of a guest, as far as a node needs them: what systemd would know of each.
//!
//! Promises: a unit is data; starting it is one command. Assumes that everything logs to `/var/log/<unit>.log`.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::inside;

/// The services that a guest knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Containerd,
    Kubelet,
    Keepalived,
}

impl Unit {
    pub(super) const ALL: [Self; 3] = [Self::Containerd, Self::Kubelet, Self::Keepalived];

    /// By its name, with or without `.service`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".service").unwrap_or(name);
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Keepalived => "keepalived",
        }
    }

    /// A file without which starting is pointless: it is waited for.
    pub(super) fn needs(self) -> Option<&'static Path> {
        match self {
            Self::Containerd => None,
            Self::Kubelet => Some(Path::new("/var/lib/kubelet/config.yaml")),
            Self::Keepalived => Some(Path::new("/etc/keepalived/keepalived.conf")),
        }
    }

    /// Whether a fresh node starts it at boot, as the packages of a real one do.
    pub(super) fn wanted_at_boot(self) -> bool {
        match self {
            Self::Containerd | Self::Kubelet => true,
            Self::Keepalived => self.enabled_file().exists(),
        }
    }

    pub(super) fn enabled_file(self) -> PathBuf {
        Path::new("/var/lib/guest-node/enabled").join(self.name())
    }

    pub(super) fn log(self) -> PathBuf {
        Path::new("/var/log").join(self.name()).with_extension("log")
    }

    pub(super) fn start(self) -> Result<Child> {
        let mut command = match self {
            Self::Containerd => {
                let mut command = inside("containerd");
                command.args(["--log-level", "warn"]);
                command
            }
            // The words of kubeadm's own drop-in for systemd; the shell reads the two environment files as systemd does.
            Self::Kubelet => {
                let mut command = inside("/bin/sh");
                command.args([
                    "-c",
                    "[ ! -f /var/lib/kubelet/kubeadm-flags.env ] || . /var/lib/kubelet/kubeadm-flags.env
                     [ ! -f /etc/default/kubelet ] || . /etc/default/kubelet
                     exec kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
                       --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml \
                       --config-dir=/etc/kubernetes/kubelet.conf.d $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS",
                ]);
                command
            }
            Self::Keepalived => {
                let mut command = inside("keepalived");
                command.args(["--dont-fork", "--log-console", "--log-detail"]);
                command
            }
        };
        logging(&mut command, &self.log())?;
        command.spawn().with_context(|| format!("start `{}`", self.name()))
    }
}

/// Sends what a command says to a log file.
pub(super) fn logging(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let open = || -> Result<File> {
        OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("open `{}`", log.display()))
    };
    command.stdin(Stdio::null()).stdout(open()?).stderr(open()?);
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_unit_answers_to_both_of_its_names() {
        assert_eq!(Unit::named("kubelet"), Some(Unit::Kubelet));
        assert_eq!(Unit::named("keepalived.service"), Some(Unit::Keepalived));
        assert_eq!(Unit::named("docker"), None);
    }
}
