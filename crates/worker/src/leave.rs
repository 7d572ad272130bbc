//! What comes next on the way out of a cluster.
//!
//! * Promises: only what was not here before the join is removed, or, where no join of ours wrote that down, only what
//!   kubeadm and the kubelet make, by name; nothing below a mount; what stands there already empty is no step.
//! * Assumes: the caller does the first step and looks again; a step that changed nothing is an error of his.

use std::collections::BTreeSet;
use std::fmt;

use crate::firewall::{is_our_link, is_our_set, is_our_table};
use crate::{Record, Seen};

/// Files and directories that kubeadm and the kubelet make.
pub(crate) const KUBEADM: [&str; 9] = [
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/pki/ca.crt",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/pki/",
    "/var/lib/kubelet/pods/",
    "/var/lib/kubelet/cpu_manager_state",
];
/// What a control plane has, which is not left by `worker leave`.
pub(crate) const CONTROL_PLANE: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Directories of Kubernetes: what is new in them since the join is the join's.
pub(crate) const WATCHED: [&str; 11] = [
    "/etc/kubernetes",
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/lib/calico",
    "/run/calico",
    "/run/cilium",
    "/run/flannel",
    "/var/log/pods",
    "/var/log/containers",
];

/// What of Kubernetes is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    /// Our record.
    pub record: Seen<Record>,
    /// All files and directories (with a slash at the end) of the watched directories.
    pub files: Seen<BTreeSet<String>>,
    /// Mounts, by directory.
    pub mounts: Seen<BTreeSet<String>>,
    /// Network links.
    pub links: Seen<BTreeSet<String>>,
    /// Tables of nftables (`nft ip kube-proxy`), chains (`iptables nat KUBE-X`, `ip6tables …`) and sets (`ipset X`).
    pub filters: Seen<BTreeSet<String>>,
    /// Whether kubeadm is there.
    pub kubeadm: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `kubeadm reset`: ends the kubelet and its pods, unmounts and removes what is kubeadm's.
    Reset,
    /// These tables, chains and sets go.
    Filters(BTreeSet<String>),
    /// This link goes.
    Link(String),
    /// These files and empty directories go, deepest first.
    Files(Vec<String>),
    /// Our record goes.
    Record,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => write!(f, "kubeadm reset --force"),
            Self::Filters(all) => write!(f, "remove from the packet filter: {}", listed(all.iter())),
            Self::Link(name) => write!(f, "ip link delete {name}"),
            Self::Files(all) => write!(f, "remove {}", listed(all.iter())),
            Self::Record => write!(f, "remove {}", crate::record::FILE),
        }
    }
}

fn listed<'a>(all: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = all.len().saturating_sub(6);
    let first: Vec<&str> = all.take(6).map(String::as_str).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

/// The steps that are left, in order; none: this machine is left. The error says what keeps us.
pub fn next(seen: &Traces) -> Result<Vec<Step>, String> {
    let record = match &seen.record {
        Seen::Known(record) => Some(record),
        Seen::Absent => None,
        Seen::Unread(why) => return Err(format!("read the record of the join: {why}")),
        Seen::Unasked => return Err("nobody looked for the record of the join".to_owned()),
    };
    let files = known("the directories of Kubernetes", &seen.files)?;
    let mounts = known("mounts", &seen.mounts)?;
    let links = known("network links", &seen.links)?;
    if files.contains(CONTROL_PLANE) {
        return Err(format!(
            "this machine is a control plane: `{CONTROL_PLANE}` is there\nhint: `kubeadm reset` by hand"
        ));
    }
    let (new, own_links): (Vec<&String>, Vec<&String>) = match record {
        Some(record) => (
            files.iter().filter(|path| !record.files.contains(*path)).collect(),
            links.iter().filter(|name| is_our_link(name) && !record.links.contains(*name)).collect(),
        ),
        None => (
            files.iter().filter(|path| kubeadms(path)).collect(),
            links.iter().filter(|name| is_our_link(name)).collect(),
        ),
    };
    let mut steps = Vec::new();
    let to_reset = new.iter().any(|path| kubeadms(path));
    if to_reset {
        if !seen.kubeadm {
            return Err(
                "kubeadm is not here, and it has to end the kubelet and its pods\nhint: install it again".to_owned()
            );
        }
        steps.push(Step::Reset);
    }
    let filters: BTreeSet<String> = match &seen.filters {
        Seen::Known(all) => {
            let before = record.map(|record| &record.filters);
            let ours = |one: &&String| is_our_filter(one) && !before.is_some_and(|before| before.contains(*one));
            // Without a record a chain of the CNI plugins may be somebody else's, such as Podman's.
            let sure = |one: &&String| record.is_some() || !one.contains(" CNI-");
            all.iter().filter(ours).filter(sure).cloned().collect()
        }
        Seen::Absent => BTreeSet::new(),
        Seen::Unread(why) => return Err(format!("read the packet filter: {why}")),
        Seen::Unasked => return Err("nobody looked at the packet filter".to_owned()),
    };
    if !filters.is_empty() {
        steps.push(Step::Filters(filters));
    }
    steps.extend(own_links.into_iter().cloned().map(Step::Link));
    if !new.is_empty() {
        // Before the reset volumes are mounted; after it nothing may be.
        let inside = |path: &&String| new.iter().any(|one| one.ends_with('/') && path.starts_with(one.as_str()));
        if !to_reset && let Some(mount) = mounts.iter().find(inside) {
            return Err(format!(
                "`{mount}` is still mounted\nhint: see who uses it (`fuser -vm {mount}`), and unmount it"
            ));
        }
        // Children stand after their directory.
        steps.push(Step::Files(new.into_iter().rev().cloned().collect()));
    }
    if record.is_some() {
        steps.push(Step::Record);
    }
    Ok(steps)
}

fn known<'a, T>(what: &str, seen: &'a Seen<T>) -> Result<&'a T, String> {
    match seen {
        Seen::Known(value) => Ok(value),
        Seen::Unread(why) => Err(format!("read {what}: {why}")),
        Seen::Absent | Seen::Unasked => Err(format!("nobody looked at {what}")),
    }
}

fn kubeadms(path: &str) -> bool {
    KUBEADM.iter().any(|own| path == *own || (own.ends_with('/') && path.starts_with(own)))
}

fn is_our_filter(filter: &str) -> bool {
    match filter.split_once(' ') {
        Some(("nft", table)) => is_our_table(table),
        Some(("ipset", set)) => is_our_set(set),
        // only chains of Kubernetes' own are read at all
        Some(("iptables" | "ip6tables", _)) => true,
        Some(_) | None => false,
    }
}

/// What an earlier join has left that stops the next: kubeadm's own files.
pub(crate) fn leftovers(files: &BTreeSet<String>) -> Vec<String> {
    files.iter().filter(|path| kubeadms(path)).cloned().collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::Phase;
    use crate::check::test::record;

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    /// A machine with a CNI configuration and a filter of its own, which has joined.
    fn joined() -> Traces {
        let before = [
            "/etc/kubernetes/",
            "/etc/kubernetes/kubelet.conf.d/",
            "/etc/cni/net.d/",
            "/etc/cni/net.d/87-podman.conflist",
        ];
        let record = Record {
            files: set(&before),
            links: set(&["lo", "eth0", "cni0"]),
            filters: set(&["iptables nat CNI-OLD"]),
            ..record(Phase::Joined)
        };
        let new = [
            "/etc/kubernetes/kubelet.conf",
            "/etc/cni/net.d/10-flannel.conflist",
            "/var/lib/kubelet/",
            "/var/lib/kubelet/config.yaml",
        ];
        Traces {
            record: Seen::Known(record),
            files: Seen::Known(set(&before).into_iter().chain(set(&new)).collect()),
            mounts: Seen::Known(set(&["/"])),
            links: Seen::Known(set(&["lo", "eth0", "cni0", "flannel.1", "vmbr0"])),
            filters: Seen::Known(set(&[
                "iptables nat CNI-OLD",
                "iptables nat KUBE-SERVICES",
                "nft ip kube-proxy",
                "nft inet mine",
            ])),
            kubeadm: true,
        }
    }

    #[test]
    fn what_came_with_the_join_goes_and_what_was_there_stays() {
        let steps = next(&joined()).unwrap();
        assert_eq!(
            steps,
            [
                Step::Reset,
                Step::Filters(set(&["iptables nat KUBE-SERVICES", "nft ip kube-proxy"])),
                Step::Link("flannel.1".into()),
                Step::Files(
                    [
                        "/var/lib/kubelet/config.yaml",
                        "/var/lib/kubelet/",
                        "/etc/kubernetes/kubelet.conf",
                        "/etc/cni/net.d/10-flannel.conflist"
                    ]
                    .map(str::to_owned)
                    .into()
                ),
                Step::Record,
            ]
        );
    }

    #[test]
    fn without_a_record_only_kubeadms_own_goes() {
        let mut seen = joined();
        seen.record = Seen::Absent;
        seen.links = Seen::Known(set(&["eth0", "flannel.1"]));
        let steps = next(&seen).unwrap();
        assert_eq!(steps[0], Step::Reset);
        assert_eq!(steps[1], Step::Filters(set(&["iptables nat KUBE-SERVICES", "nft ip kube-proxy"])));
        let files = ["/var/lib/kubelet/config.yaml", "/etc/kubernetes/kubelet.conf"].map(str::to_owned);
        assert_eq!(steps[3], Step::Files(files.into()), "a CNI configuration may be anybody's");
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn a_machine_that_is_left_has_nothing_to_do() {
        let mut seen = joined();
        if let Seen::Known(record) = &seen.record {
            (seen.files, seen.filters) = (Seen::Known(record.files.clone()), Seen::Absent);
        }
        (seen.record, seen.links) = (Seen::Absent, Seen::Known(set(&["lo", "eth0"])));
        assert_eq!(next(&seen), Ok(Vec::new()));
    }

    #[test]
    fn what_is_mounted_is_not_removed() {
        let mut seen = joined();
        let volume = "/var/lib/kubelet/pods/1/volumes/x";
        seen.files = Seen::Known(set(&["/var/lib/kubelet/plugins/", "/var/lib/kubelet/plugins/x/"]));
        seen.mounts = Seen::Known(set(&["/var/lib/kubelet/plugins/x/mount", volume]));
        let why = next(&seen).unwrap_err();
        assert!(why.contains("`/var/lib/kubelet/plugins/x/mount` is still mounted"), "{why}");
    }

    #[test]
    fn a_control_plane_and_what_was_not_read_stop_everything() {
        let mut seen = joined();
        seen.files = Seen::Known(set(&[CONTROL_PLANE, "/etc/kubernetes/kubelet.conf"]));
        assert!(next(&seen).unwrap_err().contains("is a control plane"));
        for blind in [
            Traces { record: Seen::Unread("x".into()), ..joined() },
            Traces { files: Seen::Unread("x".into()), ..joined() },
            Traces { mounts: Seen::Unread("x".into()), ..joined() },
            Traces { links: Seen::Unread("x".into()), ..joined() },
            Traces { filters: Seen::Unread("x".into()), ..joined() },
            Traces::default(),
        ] {
            assert!(next(&blind).is_err(), "{blind:?}");
        }
    }
}
