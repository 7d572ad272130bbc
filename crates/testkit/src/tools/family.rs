//! Tools that are built from one go.mod.
//!
//! Promises: the cache key covers everything that decides the bytes: go.mod, go.sum, sources, version, flags.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Tools that share a go.mod. One for all is impossible: their dependencies disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Etcd,
    K8s,
    Capi,
    Cni,
    Coredns,
    /// Programs of ours around clients of Proxmox VE that others wrote: the only family with sources.
    PveClients,
}

impl Family {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::K8s => "k8s",
            Self::Capi => "capi",
            Self::Cni => "cni",
            Self::Coredns => "coredns",
            Self::PveClients => "pve-clients",
        }
    }

    /// The module whose version is the family's, as go.mod writes it.
    pub(super) const fn module_path(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::K8s => "k8s.io/kubernetes",
            Self::Capi => "sigs.k8s.io/cluster-api",
            Self::Cni => "github.com/containernetworking/plugins",
            Self::Coredns => "github.com/coredns/coredns",
            Self::PveClients => "github.com/luthermonson/go-proxmox",
        }
    }

    // Inside of us, so that a binary works without the checkout.
    pub(super) const fn go_mod(self) -> &'static str {
        match self {
            Self::Etcd => include_str!("../../../../tools/etcd/go.mod"),
            Self::K8s => include_str!("../../../../tools/k8s/go.mod"),
            Self::Capi => include_str!("../../../../tools/capi/go.mod"),
            Self::Cni => include_str!("../../../../tools/cni/go.mod"),
            Self::Coredns => include_str!("../../../../tools/coredns/go.mod"),
            Self::PveClients => include_str!("../../../../tools/pve-clients/go.mod"),
        }
    }

    pub(super) const fn go_sum(self) -> &'static str {
        match self {
            Self::Etcd => include_str!("../../../../tools/etcd/go.sum"),
            Self::K8s => include_str!("../../../../tools/k8s/go.sum"),
            Self::Capi => include_str!("../../../../tools/capi/go.sum"),
            Self::Cni => include_str!("../../../../tools/cni/go.sum"),
            Self::Coredns => include_str!("../../../../tools/coredns/go.sum"),
            Self::PveClients => include_str!("../../../../tools/pve-clients/go.sum"),
        }
    }

    /// Sources beside go.mod: where in the module, and what.
    pub(super) const fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Etcd | Self::K8s | Self::Capi | Self::Cni | Self::Coredns => &[],
            Self::PveClients => &[
                ("go-proxmox/main.go", include_str!("../../../../tools/pve-clients/go-proxmox/main.go")),
                ("proxmox-api-go/main.go", include_str!("../../../../tools/pve-clients/proxmox-api-go/main.go")),
                ("quickstart/main.go", include_str!("../../../../tools/pve-clients/quickstart/main.go")),
            ],
        }
    }

    /// The version in go.mod, with its `v`.
    #[expect(clippy::expect_used, reason = "go.mod is part of us; a test reads every one")]
    pub(super) fn version(self) -> &'static str {
        required_version(self.go_mod(), self.module_path()).expect("each go.mod of ours requires its family's module")
    }

    pub(super) const fn tags(self) -> &'static str {
        match self {
            Self::K8s => "grpcnotrace,selinux,notest",
            Self::Etcd | Self::Capi | Self::Cni | Self::Coredns | Self::PveClients => "",
        }
    }

    /// `-ldflags`: stripped, and with the version that a build from a checkout would have.
    pub(super) fn ldflags(self) -> String {
        let packages: &[&str] = match self {
            Self::K8s => &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
            Self::Capi => &["sigs.k8s.io/cluster-api/version"],
            Self::Etcd | Self::Cni | Self::Coredns | Self::PveClients => &[],
        };
        let version = self.version();
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let mut flags = String::from("-s -w");
        for package in packages {
            for (name, value) in [
                ("gitVersion", version),
                ("gitMajor", major),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
                ("gitCommit", "unknown"),
                ("buildDate", "1970-01-01T00:00:00Z"),
            ] {
                flags.push_str(" -X ");
                flags.push_str(package);
                flags.push('.');
                flags.push_str(name);
                flags.push('=');
                flags.push_str(value);
            }
        }
        flags
    }

    /// Where its tools are kept.
    pub(super) fn dir(self, cache: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        for part in [self.go_mod(), self.go_sum(), self.version(), self.tags(), &self.ldflags()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for text in self.sources().iter().flat_map(|(name, text)| [name, text]) {
            hash.update(text.as_bytes());
            hash.update([0]);
        }
        let key = hex::encode(hash.finalize());
        cache.join("tools").join(format!("{}-{}", self.name(), &key[..12]))
    }
}

fn required_version(go_mod: &'static str, module: &str) -> Option<&'static str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next()? == module).then(|| words.next())?.filter(|word| word.starts_with('v'))
    })
}

#[cfg(test)]
mod test {
    use super::*;

    const ALL: [Family; 6] =
        [Family::Etcd, Family::K8s, Family::Capi, Family::Cni, Family::Coredns, Family::PveClients];

    #[test]
    fn every_go_mod_names_the_version_of_its_family() {
        let versions: Vec<&str> = ALL.iter().map(|family| family.version()).collect();
        assert_eq!(versions, ["v3.6.16", "v1.36.3", "v1.14.2", "v1.10.0", "v1.14.0", "v0.8.2"]);
    }

    #[test]
    fn kubernetes_is_told_its_own_version() {
        let flags = Family::K8s.ldflags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=36"), "{flags}");
    }

    #[test]
    fn each_family_has_a_directory_of_its_own() {
        let dirs: std::collections::BTreeSet<PathBuf> = ALL.iter().map(|family| family.dir(Path::new("/c"))).collect();
        assert_eq!(dirs.len(), ALL.len());
    }
}
