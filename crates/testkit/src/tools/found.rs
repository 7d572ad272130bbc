//! Tools that somebody else has built: in `$KUBEBUILDER_ASSETS` or on `PATH`.
//!
//! Promises: only one that says it is of a fitting version is used. For what a node's images are made of, fitting is
//! the very version (kubeadm derives image names from it); for the rest, the same minor version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tool::Tool;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    SameMinor,
    Exact,
}

pub(super) fn elsewhere(tool: Tool) -> Option<PathBuf> {
    let (args, fit) = question(tool)?;
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(tool.file_name()))
        .filter(|candidate| candidate.is_file())
        .find(|candidate| answers(candidate, args).is_some_and(|words| fits(&words, tool.family().version(), fit)))
}

/// How it is asked for its version. Names that others use for other things are not looked for.
fn question(tool: Tool) -> Option<(&'static [&'static str], Fit)> {
    match tool {
        Tool::Etcd | Tool::KubeApiserver | Tool::KubeControllerManager | Tool::KubeScheduler => {
            Some((&["--version"], Fit::SameMinor))
        }
        Tool::Kubectl => Some((&["version", "--client"], Fit::SameMinor)),
        Tool::Kubelet | Tool::KubeProxy => Some((&["--version"], Fit::Exact)),
        Tool::Kubeadm => Some((&["version", "-o", "short"], Fit::Exact)),
        Tool::CapiManifests
        | Tool::CapiCore
        | Tool::CapiControlPlane
        | Tool::CapiBootstrap
        | Tool::CniBridge
        | Tool::CniLoopback
        | Tool::CniHostLocal
        | Tool::CniPortmap
        | Tool::Coredns
        | Tool::GoProxmox
        | Tool::ProxmoxApiGo
        | Tool::PveQuickstart
        | Tool::SnapshotCrds
        | Tool::CsiProvisioner
        | Tool::CsiAttacher
        | Tool::CsiSnapshotter
        | Tool::SnapshotController
        | Tool::CsiSanity
        | Tool::KubeRouter
        | Tool::VictoriaMetrics
        | Tool::Vmalert
        | Tool::VictoriaLogs
        | Tool::CiliumFiles
        | Tool::CiliumAgent
        | Tool::CiliumOperator
        | Tool::CiliumCni
        | Tool::CiliumDbg => None,
    }
}

fn answers(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn fits(words: &str, wanted: &str, fit: Fit) -> bool {
    let Some(wanted) = numbers(wanted) else { return false };
    words.split_whitespace().find_map(numbers).is_some_and(|found| match fit {
        Fit::Exact => found == wanted,
        Fit::SameMinor => found[..2] == wanted[..2],
    })
}

/// `v1.36.3` or `1.36.3`; anything after that makes it another version.
fn numbers(word: &str) -> Option<[u32; 3]> {
    let parts: Vec<u32> = word.trim_start_matches('v').split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn another_patch_fits_a_control_plane_but_not_a_node() {
        assert!(fits("Kubernetes v1.36.1\n", "v1.36.3", Fit::SameMinor));
        assert!(!fits("Kubernetes v1.36.1\n", "v1.36.3", Fit::Exact));
        assert!(fits("Kubernetes v1.36.3\n", "v1.36.3", Fit::Exact));
    }

    #[test]
    fn another_minor_never_fits() {
        assert!(!fits("Client Version: v1.35.3\nKustomize Version: v5.8.1\n", "v1.36.3", Fit::SameMinor));
        assert!(!fits("etcd Version: 3.5.16\n", "v3.6.16", Fit::SameMinor));
    }

    #[test]
    fn the_first_version_in_its_words_counts() {
        assert!(fits("etcd Version: 3.6.9\nGit SHA: Not provided\nGo Version: go1.26.8\n", "v3.6.16", Fit::SameMinor));
        assert!(!fits("no version at all", "v3.6.16", Fit::SameMinor));
    }
}
