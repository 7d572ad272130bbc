//! What was read of the management cluster and of the workload cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::{ProxmoxClusterSpec, ProxmoxMachineSpec, ProxmoxMachineStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Certificate, PoliciesSeen, Read, VolumesSeen, WorkersSeen, addresses};

/// The management cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Management {
    /// Its version.
    pub version: Read<String>,
    /// The `ProxmoxCluster`.
    pub cluster: Read<ClusterSeen>,
    /// The cluster's `ProxmoxMachine`s.
    pub machines: Read<Vec<MachineSeen>>,
    /// UIDs of all `ProxmoxMachine`s of all namespaces.
    pub all_machines: Read<Vec<String>>,
    /// The cluster's `ProxmoxMachineTemplate`s.
    pub templates: Read<Vec<MachineTemplateSeen>>,
    /// Wanted machines, by what wants them (`KubeadmControlPlane/cp`, `MachineDeployment/md`).
    pub replicas: Read<BTreeMap<String, u32>>,
}

/// A `ProxmoxCluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterSeen {
    /// Its name.
    pub name: String,
    /// What it wants. (It refers to a Secret, but holds none.)
    pub spec: ProxmoxClusterSpec,
}

/// A `ProxmoxMachine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSeen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When it was made, by the API server's clock.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What it wants.
    pub spec: ProxmoxMachineSpec,
    /// What its controller says.
    pub status: ProxmoxMachineStatus,
}

impl MachineSeen {
    /// The addresses that its controller knows.
    pub(crate) fn known_addresses(&self) -> BTreeSet<IpAddr> {
        let given = self.status.ip_addresses.values().flatten();
        let given = given.flat_map(|addresses| addresses.ipv4.iter().chain(&addresses.ipv6));
        addresses(given.chain(self.status.addresses.iter().map(|one| &one.address)))
    }
}

/// A `ProxmoxMachineTemplate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineTemplateSeen {
    /// Its name.
    pub name: String,
    /// What its machines want.
    pub spec: ProxmoxMachineSpec,
}

/// The workload cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Its version.
    pub version: Read<String>,
    /// Its nodes.
    pub nodes: Read<Vec<NodeSeen>>,
    /// What answers at the control-plane endpoint.
    pub endpoint: Read<EndpointSeen>,
    /// What probes of network policies saw.
    #[serde(default = "not_asked")]
    pub policies: Read<PoliciesSeen>,
    /// Its nodes as members of it.
    #[serde(default = "not_asked_yet")]
    pub workers: Read<WorkersSeen>,
    /// Volumes for its pods.
    #[serde(default = "not_asked_before")]
    pub volumes: Read<VolumesSeen>,
}

fn not_asked() -> Read<PoliciesSeen> {
    Read::not_asked("that evidence is older than the probes of network policies")
}

fn not_asked_before() -> Read<VolumesSeen> {
    Read::not_asked("that evidence is older than the checks of volumes")
}

fn not_asked_yet() -> Read<WorkersSeen> {
    Read::not_asked("that evidence is older than the checks of workers")
}

/// What answers at the control-plane endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointSeen {
    /// `host:port`.
    pub address: String,
    /// The certificate that it shows.
    pub certificate: Certificate,
}

/// A node of the workload cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Its provider id.
    pub provider_id: Option<String>,
    /// Whether it is ready; `None`: it has never said.
    pub ready: Option<bool>,
    /// The `Ready` condition's message.
    pub message: String,
    /// The kubelet's version.
    pub kubelet: String,
}
