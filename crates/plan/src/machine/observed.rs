//! What we may know of a machine and its surroundings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::MachineReason;
use pve_types::{GuestConfig, NodeName, SmbiosUuid, Upid, Vmid, VolumeId};

use crate::Seen;
use crate::inventory::{GuestRow, Inventory};

/// What was seen.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The `ProxmoxCluster` is provisioned.
    pub cluster_ready: bool,
    /// The bootstrap data: absent while the bootstrap provider has not made it.
    pub bootstrap: Seen<()>,
    /// Kubernetes' version of the machine, for the meta-data.
    pub kubernetes_version: Option<String>,
    /// The Node has joined.
    pub node_joined: bool,
    /// What Kubernetes holds of earlier passes.
    pub recorded: Recorded,
    /// What Proxmox VE holds, as one shared reading tells.
    pub inventory: Seen<Arc<Inventory>>,
    /// The task that an earlier pass started, while it runs or cannot be read. A failed one shows in `backoff`.
    pub task: Seen<Task>,
    /// A step that failed lately.
    pub backoff: Option<Backoff>,
    /// What tasks of ours are known to have done.
    pub done: Done,
    /// Whether the VM runs, where a task of ours tells that later than the inventory.
    pub power: Option<bool>,
    /// Answers to [`super::Look`]s.
    pub answers: Answers,
    /// VMIDs that other machines reserved.
    pub reserved: BTreeSet<Vmid>,
    /// Addresses that other machines have, or that VMs' tags say they have.
    pub taken: BTreeSet<IpAddr>,
    /// Machines of the same cluster and role on each node.
    pub siblings: BTreeMap<NodeName, usize>,
    /// Memory in bytes that machines not yet visible will take.
    pub promised: BTreeMap<NodeName, u64>,
    /// A VMID at or below which all are taken, as Proxmox VE says; `None`: not asked.
    pub next_vmid: Option<Vmid>,
    /// The VMID was reserved by this very process, which has made no call for the machine since.
    pub untried: bool,
    /// How long nothing of ours can have been under way for this machine: since the last call, or since our start.
    pub quiet: Duration,
}

/// What Kubernetes holds of earlier passes: hints, each checked against the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// `status.reservedVMID`.
    pub reserved: Option<Vmid>,
    /// `spec.virtualMachineID`.
    pub vmid: Option<Vmid>,
    /// The UUID in `spec.providerID`.
    pub uuid: Option<SmbiosUuid>,
    /// `status.proxmoxNode`.
    pub node: Option<NodeName>,
    /// Addresses by NIC.
    pub addresses: BTreeMap<u8, Vec<IpAddr>>,
    /// `status.initialization.provisioned`.
    pub provisioned: bool,
    /// The VM was given its bootstrap data.
    pub bootstrapped: bool,
    /// The ISO with the bootstrap data is gone again.
    pub seed_removed: bool,
}

/// A task that an earlier pass started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its UPID.
    pub upid: Upid,
}

/// A step that failed, or was refused, and is to be left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// What we were doing.
    pub doing: MachineReason,
    /// What came back.
    pub why: String,
    /// How long still.
    pub left: Duration,
}

/// What tasks of ours are known to have done. Lost with the process: then it is done again, or found done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The ISO with the present bootstrap data was uploaded.
    pub seed_uploaded: bool,
    /// This ISO, proven to be the VM's by its mark, was taken out of its drive.
    pub ejected: Option<VolumeId>,
    /// The VM was destroyed, and the inventory is newer than that.
    pub destroyed: bool,
}

/// Answers to looks.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Configurations of VMs.
    pub configs: BTreeMap<Vmid, Seen<GuestConfig>>,
    /// Whether a VMID is in use anywhere in the Proxmox VE cluster (`GET /cluster/nextid?vmid=`).
    pub exists: Seen<()>,
    /// Addresses that the guest agent told: absent while the agent does not answer.
    pub agent: Seen<Vec<AgentAddress>>,
    /// How cloud-init stands: absent while it runs or nothing answers.
    pub cloud_init: Seen<CloudInit>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { configs: BTreeMap::new(), exists: Seen::Unasked, agent: Seen::Unasked, cloud_init: Seen::Unasked }
    }
}

/// An address that the guest agent told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAddress {
    /// MAC of the interface, upper case.
    pub mac: String,
    /// The address.
    pub address: IpAddr,
}

/// How cloud-init ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudInit {
    /// Well, or with recoverable errors.
    Done,
    /// The guest has no cloud-init.
    None,
    /// It failed.
    Failed(String),
}

impl Observed {
    /// Whether the VM runs, by what is known last.
    pub fn runs(&self, row: &GuestRow) -> bool {
        self.power.or(row.running) == Some(true)
    }
}
