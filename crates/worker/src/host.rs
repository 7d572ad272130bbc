//! What is known of this machine, and of the control plane that it is to join.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Record, Seen, Version};

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Who runs this.
    pub uid: u32,
    /// The Node's name: the one that was asked for, or the host name.
    pub name: Seen<String>,
    /// Which machine this is.
    pub identity: Seen<Identity>,
    /// The unified cgroup tree; absent: there is none.
    pub cgroups: Seen<Cgroups>,
    /// Swap that is in use.
    pub swap: Seen<Vec<String>>,
    /// TCP ports that somebody listens on.
    pub listening: Seen<BTreeSet<u16>>,
    /// Whether there is a default route.
    pub default_route: Seen<bool>,
    /// `net.ipv4.ip_forward`.
    pub forward: Seen<bool>,
    /// `net.bridge.bridge-nf-call-iptables`; absent: the module br_netfilter is not there.
    pub bridge_filter: Seen<bool>,
    /// Memory in MiB.
    pub memory_mib: Seen<u64>,
    /// File systems that a kubelet watches, by directory.
    pub rooms: BTreeMap<String, Seen<Room>>,
    /// The container runtime; absent: nothing listens there.
    pub runtime: Seen<Runtime>,
    /// The kubelet's version; absent: there is no such program.
    pub kubelet: Seen<Version>,
    /// kubeadm's version.
    pub kubeadm: Seen<Version>,
    /// What an earlier join has left.
    pub left: Seen<Vec<String>>,
    /// What our own join wrote down.
    pub record: Seen<Record>,
    /// The Node that this machine is by the kubelet's own credentials; absent: it has none.
    pub member: Seen<Member>,
    /// The control plane of the bundle.
    pub server: Seen<Server>,
}

/// The unified cgroup tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    /// Its controllers.
    pub controllers: BTreeSet<String>,
}

/// Room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// A container runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// `containerd`.
    pub name: String,
    /// `v2.1.4`.
    pub version: String,
    /// Of its interface: `v1`.
    pub api: String,
}

/// This machine as a Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The API server that the kubelet talks to.
    pub server: String,
    /// The Node, as the kubelet may read it; absent: it has not registered.
    pub node: Seen<NodeSeen>,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// What its condition says.
    pub message: String,
    /// Which machine its kubelet said that it is.
    pub identity: Identity,
}

/// Which machine something is: a copy of a VM may keep the first, and gets another of the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// UUID of the firmware, in small letters; empty where there is none.
    pub uuid: String,
}

impl Identity {
    /// Whether both are surely one machine.
    pub fn is(&self, other: &Self) -> bool {
        !self.machine_id.is_empty() && self == other
    }
}

/// A control plane as a machine sees it that has a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub url: String,
    /// Its clock minus ours in milliseconds; its own has whole seconds.
    pub clock_ahead_ms: Seen<i64>,
    /// The hash of the authority that it says it has, and whether that is the bundle's.
    pub authority: Seen<(String, bool)>,
    /// Its version.
    pub version: Seen<Version>,
    /// What it says to the token.
    pub token: Seen<TokenSays>,
    /// The Node of our name; absent: the name is free.
    pub node: Seen<NodeSeen>,
}

/// What an API server says to a bootstrap token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSays {
    /// It may join.
    Welcome,
    /// There is no token of that id: it has expired, was deleted, or never was.
    NoSuchId,
    /// There is one of that id, and the secret is another.
    WrongSecret,
    /// It is known, and may not read what a join needs.
    MayNotJoin,
}
