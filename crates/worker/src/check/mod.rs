//! What really stops a join, as a function of what was seen. Sources: kubeadm's preflight and the defaults of
//! `KubeletConfiguration` (swap, eviction), Kubernetes' policy of version skew.

#[cfg(test)]
pub(crate) mod test;

use crate::finding::{Finding, Report};
use crate::{Host, NodeSeen, Phase, Seen, Server, TokenSays, Version};

/// The kubelet's own port, the one it answers its health on, and kube-proxy's.
const PORTS: [(u16, &str); 3] =
    [(10250, "the kubelet"), (10248, "the kubelet's health"), (10256, "kube-proxy's health")];
/// Controllers that a kubelet needs of cgroup v2.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// A kubelet may be this many minor versions older than the API server.
const OLDER: u32 = 3;
const SKEW_WARNING_MS: i64 = 5_000;
/// A bootstrap certificate is valid from five minutes before it is signed (kube-controller-manager's backdate).
const SKEW_FAILED_MS: i64 = 60_000;
const MEMORY_WARNING_MIB: u64 = 1024;
const MEMORY_FAILED_MIB: u64 = 512;
/// `evictionHard`: nodefs.available<10%, imagefs.available<15%.
const ROOM_FAILED: u64 = 10;
const ROOM_WARNING: u64 = 15;

const LEAVE: &str = "`oxmox worker leave`, then join";

/// Looks at all of it. What concerns the control plane is left out when no bundle was given.
pub fn check(host: &Host) -> Report {
    let mut findings = vec![
        root(host),
        name(host),
        cgroups(host),
        swap(host),
        kernel_forward(host),
        bridge_filter(host),
        default_route(host),
        memory(host),
        room(host),
        ports(host),
        runtime(host),
        kubelet(host),
        kubeadm(host),
        leftovers(host),
    ];
    if let Some(server) = host.server.known() {
        findings.extend([reachable(server), authority(server), clock(server), token(server), name_free(host, server)]);
    }
    Report { findings }
}

fn root(host: &Host) -> Finding {
    match host.uid {
        0 => Finding::passed("host.root", "root"),
        uid => Finding::failed("host.root", format!("user {uid}"), "run it as root: kubeadm and the kubelet need it"),
    }
}

fn name(host: &Host) -> Finding {
    let id = "host.name";
    match &host.name {
        Seen::Known(name) if crate::bundle::is_node_name(name) => Finding::passed(id, format!("`{name}`")),
        Seen::Known(name) => Finding::failed(
            id,
            format!("`{name}` is no name of a Node"),
            "use a-z, 0-9, - and . in the host name (`hostnamectl set-hostname`), or set `nodeName` in the bundle",
        ),
        other => unread(id, other),
    }
}

fn cgroups(host: &Host) -> Finding {
    let id = "host.cgroups";
    match &host.cgroups {
        Seen::Known(seen) => {
            let missing: Vec<&str> = CONTROLLERS.into_iter().filter(|one| !seen.controllers.contains(*one)).collect();
            if missing.is_empty() {
                return Finding::passed(id, format!("version 2 with {}", CONTROLLERS.join(", ")));
            }
            Finding::failed(
                id,
                format!("version 2 without {}", missing.join(", ")),
                "enable them in the parent's cgroup.subtree_control; in a container, give it a delegated tree",
            )
        }
        Seen::Absent => Finding::failed(
            id,
            "no unified tree at /sys/fs/cgroup",
            "boot with systemd.unified_cgroup_hierarchy=1: kubelets of today want cgroup version 2",
        ),
        other => unread(id, other),
    }
}

fn swap(host: &Host) -> Finding {
    let id = "host.swap";
    match &host.swap {
        Seen::Known(all) if all.is_empty() => Finding::passed(id, "none"),
        Seen::Known(all) => Finding::failed(
            id,
            format!("in use: {}", all.join(", ")),
            "`swapoff -a` and take it out of /etc/fstab; where the cluster's kubelets have failSwapOn: false, --ignore host.swap",
        ),
        other => unread(id, other),
    }
}

fn kernel_forward(host: &Host) -> Finding {
    let id = "host.ip-forward";
    match &host.forward {
        Seen::Known(true) => Finding::passed(id, "net.ipv4.ip_forward = 1"),
        Seen::Known(false) | Seen::Absent => Finding::failed(
            id,
            "net.ipv4.ip_forward is not 1",
            "`sysctl -w net.ipv4.ip_forward=1`, and into a file of /etc/sysctl.d",
        ),
        other => unread(id, other),
    }
}

fn bridge_filter(host: &Host) -> Finding {
    let id = "host.bridge-filter";
    let next = "`modprobe br_netfilter` and `sysctl -w net.bridge.bridge-nf-call-iptables=1`, both for good, unless the \
                cluster's CNI plugin does without (Cilium)";
    match &host.bridge_filter {
        Seen::Known(true) => Finding::passed(id, "net.bridge.bridge-nf-call-iptables = 1"),
        Seen::Known(false) => Finding::warning(id, "net.bridge.bridge-nf-call-iptables is 0", next),
        Seen::Absent => Finding::warning(id, "the module br_netfilter is not there", next),
        other => unread(id, other),
    }
}

fn default_route(host: &Host) -> Finding {
    let id = "host.default-route";
    match &host.default_route {
        Seen::Known(true) => Finding::passed(id, "there is one"),
        Seen::Known(false) | Seen::Absent => Finding::failed(
            id,
            "none",
            "kubeadm finds the machine's address by it: add one (`ip route add default via GATEWAY`)",
        ),
        other => unread(id, other),
    }
}

fn memory(host: &Host) -> Finding {
    let id = "host.memory";
    match &host.memory_mib {
        Seen::Known(mib) if *mib < MEMORY_FAILED_MIB => {
            Finding::failed(id, format!("{mib} MiB"), "a kubelet and a runtime alone need more: 1 GiB at the least")
        }
        Seen::Known(mib) if *mib < MEMORY_WARNING_MIB => {
            Finding::warning(id, format!("{mib} MiB"), "little is left for pods: 1 GiB or more")
        }
        Seen::Known(mib) => Finding::passed(id, format!("{mib} MiB")),
        other => unread(id, other),
    }
}

fn room(host: &Host) -> Finding {
    let id = "host.disk";
    let next = "make room, or give /var/lib/kubelet and /var/lib/containerd file systems of their own";
    let mut worst = Finding::unread(id, "no file system was looked at");
    let mut least = u64::MAX;
    for (directory, room) in &host.rooms {
        let room = match room {
            Seen::Known(room) => room,
            other => return unread(id, other),
        };
        let percent = room.free.saturating_mul(100).checked_div(room.total).unwrap_or_default();
        if percent >= least {
            continue;
        }
        least = percent;
        let saw = format!("{directory}: {percent} % of {:.1} GiB free", gib(room.total));
        worst = match percent {
            ..ROOM_FAILED => Finding::failed(id, format!("{saw}: the kubelet would evict pods at once"), next),
            ROOM_FAILED..ROOM_WARNING => Finding::warning(id, saw, next),
            _ => Finding::passed(id, saw),
        };
    }
    worst
}

#[expect(clippy::cast_precision_loss, reason = "a size, printed with one decimal")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn ports(host: &Host) -> Finding {
    let id = "host.ports";
    let taken = match &host.listening {
        Seen::Known(all) => PORTS.iter().filter(|(port, _)| all.contains(port)),
        other => return unread(id, other),
    };
    let taken: Vec<String> = taken.map(|(port, whose)| format!("{port} ({whose})")).collect();
    if taken.is_empty() {
        let all: Vec<String> = PORTS.iter().map(|(port, _)| port.to_string()).collect();
        return Finding::passed(id, format!("{} are free", all.join(", ")));
    }
    Finding::failed(
        id,
        format!("somebody listens on {}", taken.join(", ")),
        "`ss -ltnp` says who; a kubelet of an earlier join goes with `oxmox worker leave`",
    )
}

fn runtime(host: &Host) -> Finding {
    let id = "host.runtime";
    match &host.runtime {
        Seen::Known(seen) if seen.api == "v1" => {
            Finding::passed(id, format!("{} {}, CRI {}", seen.name, seen.version, seen.api))
        }
        Seen::Known(seen) => Finding::failed(
            id,
            format!("{} {} speaks CRI `{}`", seen.name, seen.version, seen.api),
            "kubelets of today want CRI v1: containerd 1.7 or newer, or CRI-O",
        ),
        Seen::Absent => Finding::failed(
            id,
            "no container runtime listens",
            "install and start containerd (`systemctl enable --now containerd`), or name its socket by --cri-socket",
        ),
        other => unread(id, other),
    }
}

fn kubelet(host: &Host) -> Finding {
    let id = "host.kubelet";
    let kubelet = match &host.kubelet {
        Seen::Known(version) => version,
        Seen::Absent => {
            return Finding::failed(
                id,
                "there is no kubelet",
                "install the package kubelet of the control plane's minor version",
            );
        }
        other => return unread(id, other),
    };
    let Some(server) = server_version(host) else { return Finding::passed(id, kubelet.to_string()) };
    let saw = format!("{kubelet}, API server {server}");
    if (kubelet.major, kubelet.minor) > (server.major, server.minor) {
        return Finding::failed(
            id,
            format!("{saw}: a kubelet may not be newer"),
            "upgrade the control plane first, or install a kubelet of its minor version",
        );
    }
    match server.minor - kubelet.minor {
        0..=OLDER => Finding::passed(id, saw),
        older => Finding::failed(
            id,
            format!("{saw}: {older} minor versions older"),
            "install a kubelet that is at most three minor versions older than the control plane",
        ),
    }
}

fn server_version(host: &Host) -> Option<&Version> {
    host.server.known().and_then(|server| server.version.known())
}

fn kubeadm(host: &Host) -> Finding {
    let id = "host.kubeadm";
    let kubeadm = match &host.kubeadm {
        Seen::Known(version) => version,
        Seen::Absent => {
            return Finding::failed(
                id,
                "there is no kubeadm",
                "install the package kubeadm of the control plane's minor version",
            );
        }
        other => return unread(id, other),
    };
    match server_version(host) {
        Some(server) if (server.major, server.minor) != (kubeadm.major, kubeadm.minor) => Finding::warning(
            id,
            format!("{kubeadm}, API server {server}"),
            "kubeadm joins to control planes of its own minor version: install that",
        ),
        Some(server) => Finding::passed(id, format!("{kubeadm}, API server {server}")),
        None => Finding::passed(id, kubeadm.to_string()),
    }
}

fn leftovers(host: &Host) -> Finding {
    let id = "host.leftovers";
    let half = host.record.known().map(|record| record.phase);
    match (&host.left, half) {
        (Seen::Known(left), _) if left.is_empty() => Finding::passed(id, "nothing of an earlier join"),
        (Seen::Known(left), None) => Finding::failed(id, format!("of an earlier join: {}", some(left)), LEAVE),
        (Seen::Known(left), Some(Phase::Joining)) => {
            let next = "`oxmox worker join` takes it up again; `oxmox worker leave` takes it away";
            Finding::failed(id, format!("of a join that did not end: {}", some(left)), next)
        }
        (Seen::Known(_), Some(Phase::Joined)) => {
            Finding::failed(id, "this machine has joined already", "`oxmox worker leave`, if it is to join anew")
        }
        (other, _) => unread(id, other),
    }
}

/// The first of them.
fn some(all: &[String]) -> String {
    let first = all.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len() {
        0..=3 => first,
        more => format!("{first} and {} more", more - 3),
    }
}

fn reachable(server: &Server) -> Finding {
    let id = "host.server";
    match &server.authority {
        Seen::Known(_) => Finding::passed(id, format!("{} answers", server.url)),
        Seen::Absent => Finding::failed(
            id,
            format!("{} answers, and has no ConfigMap kube-public/cluster-info", server.url),
            "`kubeadm init phase bootstrap-token` on the control plane makes it",
        ),
        Seen::Unread(why) => Finding::failed(
            id,
            format!("{} does not answer: {why}", server.url),
            "check the address in the bundle, routes and firewalls between, and that the control plane runs",
        ),
        Seen::Unasked => Finding::unread(id, "nobody asked"),
    }
}

fn authority(server: &Server) -> Finding {
    let id = "host.authority";
    match &server.authority {
        Seen::Known((hash, true)) => Finding::passed(id, hash.clone()),
        Seen::Known((hash, false)) => Finding::failed(
            id,
            format!("{} has {hash}, which is not the bundle's", server.url),
            "another cluster, or somebody in between: compare with the control plane's /etc/kubernetes/pki/ca.crt, and make \
             a new bundle",
        ),
        other => unread(id, other),
    }
}

fn clock(server: &Server) -> Finding {
    let id = "host.clock";
    let ahead = match &server.clock_ahead_ms {
        Seen::Known(ms) => *ms,
        other => return unread(id, other),
    };
    let way = if ahead < 0 { "ahead of" } else { "behind" };
    let saw = format!("{:.1} s {way} the API server", seconds(ahead.abs()));
    let next = "set both clocks by NTP (`chronyc tracking`): certificates have dates";
    match ahead.abs() {
        SKEW_FAILED_MS.. => Finding::failed(id, saw, next),
        SKEW_WARNING_MS.. => Finding::warning(id, saw, next),
        _ => Finding::passed(id, saw),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a difference of clocks, printed with one decimal")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn token(server: &Server) -> Finding {
    let id = "host.token";
    let new = "make a new bundle: `oxmox worker bundle` where a kubeconfig is";
    match &server.token {
        Seen::Known(TokenSays::Welcome) => Finding::passed(id, "it may join"),
        Seen::Known(TokenSays::NoSuchId) => Finding::failed(
            id,
            "the control plane has no token of that id: it has expired, was deleted, or was made this second",
            new,
        ),
        Seen::Known(TokenSays::WrongSecret) => {
            Finding::failed(id, "the control plane has another secret for that id", new)
        }
        Seen::Known(TokenSays::MayNotJoin) => Finding::failed(
            id,
            "the token is known, and may not read kube-system/kubeadm-config",
            "its group must be system:bootstrappers:kubeadm:default-node-token; `kubeadm init phase bootstrap-token` \
             gives that group its rights",
        ),
        other => unread(id, other),
    }
}

/// Whether the Node of our name is this machine's own, of an earlier life.
pub(crate) fn is_own(host: &Host, node: &NodeSeen) -> bool {
    host.identity.known().is_some_and(|own| own.is(&node.identity))
}

fn name_free(host: &Host, server: &Server) -> Finding {
    let id = "host.name-free";
    match &server.node {
        Seen::Absent => Finding::passed(id, "no Node has this name"),
        Seen::Known(node) if is_own(host, node) && !node.ready => {
            Finding::passed(id, format!("Node `{}` is this machine's own, of an earlier join", node.name))
        }
        Seen::Known(node) if is_own(host, node) => Finding::failed(
            id,
            format!("Node `{}` is this machine's own, and still counts as Ready", node.name),
            "wait a minute, until its kubelet is missed, or `kubectl delete node NAME`",
        ),
        Seen::Known(node) => {
            let state = if node.ready { "Ready" } else { "not Ready" };
            Finding::failed(
                id,
                format!("Node `{}` is there already, another machine's, and {state}", node.name),
                "set `nodeName` in the bundle; or, if that machine is gone for good: `kubectl delete node NAME`",
            )
        }
        other => unread(id, other),
    }
}

fn unread<T>(id: &'static str, seen: &Seen<T>) -> Finding {
    match seen {
        Seen::Unread(why) => Finding::unread(id, why.clone()),
        Seen::Absent => Finding::unread(id, "it is not there"),
        Seen::Known(_) | Seen::Unasked => Finding::unread(id, "nobody asked"),
    }
}
