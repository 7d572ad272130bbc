//! Tools that are built from one go.mod.
//!
//! Promises: the cache key covers everything that decides the bytes: go.mod, go.sum, sources, version, flags.

use std::fmt::Write as _;
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
    /// What Kubernetes puts beside a storage driver.
    CsiSidecars,
    /// The judge of storage drivers.
    CsiSanity,
    KubeRouter,
    VictoriaMetrics,
    VictoriaLogs,
    /// A second policy engine. Built without the two forks that Cilium's own go.mod puts in the place of dependencies
    /// (of apimachinery and gobgp): no proxy serves them, so it is not exactly upstream's binary.
    Cilium,
}

/// What a family is made of.
struct Facts {
    name: &'static str,
    /// The module whose version is the family's, as go.mod writes it.
    module: &'static str,
    // Inside of us, so that a binary works without the checkout.
    go_mod: &'static str,
    go_sum: &'static str,
    tags: &'static str,
    /// Packages that are told the version in Kubernetes' way.
    told: &'static [&'static str],
    /// The variable that is told the version, in everybody else's way.
    variable: Option<&'static str>,
    /// The same without the `v`.
    plain: Option<&'static str>,
    /// Sources beside go.mod: where in the module, and what.
    sources: &'static [(&'static str, &'static str)],
}

/// A family's go.mod and go.sum, and nothing else that is special.
macro_rules! facts {
    ($name:literal, $module:literal $(, $field:ident: $value:expr)* $(,)?) => {
        Facts {
            $($field: $value,)*
            ..Facts {
                name: $name,
                module: $module,
                go_mod: include_str!(concat!("../../../../tools/", $name, "/go.mod")),
                go_sum: include_str!(concat!("../../../../tools/", $name, "/go.sum")),
                tags: "",
                told: &[],
                variable: None,
                plain: None,
                sources: &[],
            }
        }
    };
}

impl Family {
    const fn facts(self) -> Facts {
        match self {
            Self::Etcd => facts!("etcd", "go.etcd.io/etcd/server/v3"),
            Self::K8s => facts!(
                "k8s",
                "k8s.io/kubernetes",
                tags: "grpcnotrace,selinux,notest",
                told: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
            ),
            Self::Capi => facts!("capi", "sigs.k8s.io/cluster-api", told: &["sigs.k8s.io/cluster-api/version"]),
            Self::Cni => facts!("cni", "github.com/containernetworking/plugins"),
            Self::Coredns => facts!("coredns", "github.com/coredns/coredns"),
            Self::PveClients => facts!(
                "pve-clients",
                "github.com/luthermonson/go-proxmox",
                sources: &[
                    ("go-proxmox/main.go", include_str!("../../../../tools/pve-clients/go-proxmox/main.go")),
                    ("proxmox-api-go/main.go", include_str!("../../../../tools/pve-clients/proxmox-api-go/main.go")),
                    ("quickstart/main.go", include_str!("../../../../tools/pve-clients/quickstart/main.go")),
                ],
            ),
            Self::CsiSidecars => facts!("csi-sidecars", "github.com/kubernetes-csi/external-provisioner/v6"),
            Self::CsiSanity => facts!("csi-sanity", "github.com/kubernetes-csi/csi-test/v5"),
            Self::KubeRouter => facts!("kube-router", "github.com/cloudnativelabs/kube-router/v2"),
            Self::VictoriaMetrics => facts!(
                "victoria-metrics",
                "github.com/VictoriaMetrics/VictoriaMetrics",
                variable: Some("github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version"),
            ),
            Self::VictoriaLogs => facts!(
                "victoria-logs",
                "github.com/VictoriaMetrics/VictoriaLogs",
                variable: Some("github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version"),
            ),
            Self::Cilium => facts!(
                "cilium",
                "github.com/cilium/cilium",
                tags: "osusergo,ipam_provider_operator",
                plain: Some("github.com/cilium/cilium/pkg/version.ciliumVersion"),
            ),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The module whose version is the family's.
    pub(super) const fn module_path(self) -> &'static str {
        self.facts().module
    }

    pub(super) const fn go_mod(self) -> &'static str {
        self.facts().go_mod
    }

    pub(super) const fn go_sum(self) -> &'static str {
        self.facts().go_sum
    }

    /// Sources beside go.mod: where in the module, and what.
    pub(super) const fn sources(self) -> &'static [(&'static str, &'static str)] {
        self.facts().sources
    }

    /// The version in go.mod, with its `v`.
    #[expect(clippy::expect_used, reason = "go.mod is part of us; a test reads every one")]
    pub(super) fn version(self) -> &'static str {
        required_version(self.go_mod(), self.module_path()).expect("each go.mod of ours requires its family's module")
    }

    pub(super) const fn tags(self) -> &'static str {
        self.facts().tags
    }

    /// `-ldflags`: stripped, and with the version that a build from a checkout would have.
    pub(super) fn ldflags(self) -> String {
        let Facts { told, variable, plain, .. } = self.facts();
        let version = self.version();
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let mut flags = String::from("-s -w");
        for package in told {
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
        let plain = plain.map(|variable| (variable, version.trim_start_matches('v')));
        for (variable, version) in variable.map(|variable| (variable, version)).into_iter().chain(plain) {
            // Writing to a String cannot fail.
            let _ = write!(flags, " -X {variable}={version}");
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

    const ALL: [Family; 12] = [
        Family::Etcd,
        Family::K8s,
        Family::Capi,
        Family::Cni,
        Family::Coredns,
        Family::PveClients,
        Family::CsiSidecars,
        Family::CsiSanity,
        Family::KubeRouter,
        Family::VictoriaMetrics,
        Family::VictoriaLogs,
        Family::Cilium,
    ];

    #[test]
    fn every_go_mod_names_the_version_of_its_family() {
        let versions: Vec<&str> = ALL.iter().map(|family| family.version()).collect();
        let kubernetes = ["v3.6.16", "v1.36.3", "v1.14.2", "v1.10.0", "v1.14.0"];
        let others = ["v0.8.2", "v6.3.0", "v5.6.0", "v2.1.0", "v1.151.0", "v1.52.1", "v1.18.4"];
        assert_eq!(versions, [&kubernetes[..], &others[..]].concat());
    }

    #[test]
    fn kubernetes_is_told_its_own_version() {
        let flags = Family::K8s.ldflags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=36"), "{flags}");
    }

    #[test]
    fn cilium_is_told_its_version_as_its_own_makefile_does() {
        let flags = Family::Cilium.ldflags();
        assert!(flags.ends_with("-X github.com/cilium/cilium/pkg/version.ciliumVersion=1.18.4"), "{flags}");
    }

    #[test]
    fn each_family_has_a_directory_of_its_own() {
        let dirs: std::collections::BTreeSet<PathBuf> = ALL.iter().map(|family| family.dir(Path::new("/c"))).collect();
        assert_eq!(dirs.len(), ALL.len());
    }
}
