//! What is known of a Node, and of the VMs that may be it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use pve_types::{NodeName, SmbiosUuid, Vmid};

use super::ProviderId;
use crate::Seen;

/// A Node, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its `spec.providerID`.
    pub provider_id: ProviderId,
    /// The UUID that the kubelet read from its firmware (`status.nodeInfo.systemUUID`).
    pub uuid: Option<SmbiosUuid>,
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Those of its taints that we may set or remove.
    pub taints: BTreeSet<Taint>,
    /// Its addresses.
    pub addresses: Vec<Address>,
}

/// A taint that we set or remove; no other is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taint {
    /// The kubelet's: nobody has said yet which machine this is.
    Uninitialized,
    /// The VM is stopped.
    Shutdown,
    /// The VM is stopped and will not come back by itself: its pods and volumes may go elsewhere.
    OutOfService,
}

impl Taint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Uninitialized, Self::Shutdown, Self::OutOfService];

    /// Its key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Uninitialized => "node.cloudprovider.kubernetes.io/uninitialized",
            Self::Shutdown => "node.cloudprovider.kubernetes.io/shutdown",
            Self::OutOfService => "node.kubernetes.io/out-of-service",
        }
    }

    /// The value that we give it.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Self::Uninitialized | Self::Shutdown => None,
            Self::OutOfService => Some("nodeshutdown"),
        }
    }

    /// Its effect.
    pub fn effect(self) -> &'static str {
        match self {
            Self::Uninitialized | Self::Shutdown => "NoSchedule",
            Self::OutOfService => "NoExecute",
        }
    }
}

/// An address of a Node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// What kind.
    pub kind: AddressKind,
    /// The address.
    pub address: String,
}

/// Kinds of addresses, as Kubernetes names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressKind {
    /// The Node's name.
    Hostname,
    /// Within the cluster.
    InternalIp,
    /// From outside.
    ExternalIp,
    /// A name within the cluster; never ours.
    InternalDns,
    /// A name from outside; never ours.
    ExternalDns,
}

impl AddressKind {
    /// As Kubernetes names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hostname => "Hostname",
            Self::InternalIp => "InternalIP",
            Self::ExternalIp => "ExternalIP",
            Self::InternalDns => "InternalDNS",
            Self::ExternalDns => "ExternalDNS",
        }
    }

    /// The kind of that name.
    pub fn read(word: &str) -> Option<Self> {
        let all = [Self::Hostname, Self::InternalIp, Self::ExternalIp, Self::InternalDns, Self::ExternalDns];
        all.into_iter().find(|kind| kind.word() == word)
    }
}

/// One Proxmox VE cluster, by its region.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// The shared reading of its VMs.
    pub view: Seen<Arc<View>>,
    /// VMs whose configuration was read since they came into view.
    pub identities: Arc<BTreeMap<Vmid, Identity>>,
}

/// One reading of the VMs that our credentials see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// VMs, templates included, by number.
    pub vms: BTreeMap<Vmid, Vm>,
    /// Nodes of Proxmox VE, and whether they are online.
    pub nodes: BTreeMap<NodeName, bool>,
}

/// A VM in a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    /// Its number.
    pub vmid: Vmid,
    /// The Proxmox VE node that it is on.
    pub node: NodeName,
    /// Its name, once broadcast.
    pub name: Option<String>,
    /// Whether it runs.
    pub power: Power,
    /// Cores.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
    /// Its state under high availability, if it is.
    pub ha: Option<String>,
    /// What holds it.
    pub lock: Option<String>,
}

/// Whether a VM runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It runs, or is held on the way.
    On,
    /// It does not.
    Off,
    /// Proxmox VE cannot say: just made, or its node is away.
    Unknown,
}

/// What a VM's configuration says of who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its SMBIOS UUID.
    pub uuid: Option<SmbiosUuid>,
    /// Its SMBIOS SKU, as text.
    pub sku: Option<String>,
}

/// How far what we do not see is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The cluster has a majority.
    pub quorate: bool,
    /// Its nodes by its own membership, and whether they are online.
    pub members: BTreeMap<NodeName, bool>,
    /// Where we have `VM.Audit`.
    pub audit: Audit,
}

/// Where our credentials have `VM.Audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// On every VM.
    All,
    /// On a pool, or single VMs.
    Some,
    /// Nowhere.
    Nothing,
}

/// Whether a VM number is in use, whoever may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// No guest of the cluster has it.
    Free,
    /// A guest has it.
    Taken,
}

/// An interface of a guest, as its agent tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`, `lo`, …
    pub name: String,
    /// Its addresses with the lengths of their prefixes.
    pub addresses: Vec<IpNet>,
}

/// Answers to the looks of this pass.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Configurations, by region and number.
    pub identities: BTreeMap<(String, Vmid), Seen<Identity>>,
    /// Whether VMs run, asked one by one.
    pub power: BTreeMap<(String, Vmid), Seen<Power>>,
    /// Standings, by region.
    pub standings: BTreeMap<String, Seen<Standing>>,
    /// Numbers.
    pub numbers: BTreeMap<(String, Vmid), Seen<Number>>,
    /// Interfaces by the guest agent.
    pub agents: BTreeMap<(String, Vmid), Seen<Vec<Interface>>>,
}
