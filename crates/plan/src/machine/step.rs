//! What we may do, what we may ask, and what a plan is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use pve_types::{DiskSize, NodeName, PoolId, SmbiosUuid, StorageId, Vmid, VolumeId};

use super::Note;
use crate::mark::Owned;
use crate::{Again, Severity};

/// One complete order. `act` has nothing left to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write the intent into status, before the call that cannot be repeated.
    Reserve {
        /// The VMID.
        vmid: Vmid,
        /// The node.
        node: NodeName,
        /// Addresses by NIC.
        addresses: BTreeMap<u8, Vec<IpAddr>>,
    },
    /// Give a reserved VMID back: somebody else has it.
    Release,
    /// Clone the template.
    Clone(CloneOrder),
    /// Write VMID and provider ID into the spec: the clone is done.
    Record {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
        /// Addresses that its tags say it has, where status has lost them.
        addresses: BTreeMap<u8, Vec<IpAddr>>,
    },
    /// Upload the ISO with the bootstrap data.
    UploadSeed {
        /// The VM, proven ours.
        guest: Owned,
        /// Node to upload through.
        node: NodeName,
        /// Storage and name.
        volume: VolumeId,
        /// What the guest is told beside the bootstrap data.
        meta_data: nocloud::MetaData,
        /// Its network.
        network: nocloud::NetworkConfig,
    },
    /// Change the configuration, then grow the boot disk.
    Configure {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
        /// Keys and values.
        set: BTreeMap<String, String>,
        /// What was read; a write on anything else is refused.
        digest: Option<String>,
        /// Disk to grow afterwards, and its new size.
        grow: Option<(String, DiskSize)>,
    },
    /// Start the VM.
    Start {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
    },
    /// Stop the VM.
    Stop {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
    },
    /// Take the ISO with the bootstrap data out of its drive.
    Eject {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
        /// Keys and values.
        set: BTreeMap<String, String>,
        /// What was read; a write on anything else is refused.
        digest: Option<String>,
        /// The ISO, as the VM's mark names it.
        volume: VolumeId,
    },
    /// Remove the ISO with the bootstrap data.
    RemoveSeed {
        /// Node to ask.
        node: NodeName,
        /// The volume; its name holds a VMID that is ours.
        volume: VolumeId,
    },
    /// Destroy the VM with its disks, its backup and HA entries.
    Destroy {
        /// The VM, proven ours.
        guest: Owned,
        /// Where it is.
        node: NodeName,
    },
    /// All is gone: let the object go.
    LetGo,
}

/// A clone, ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneOrder {
    /// Node of the template.
    pub node: NodeName,
    /// The template.
    pub from: Vmid,
    /// The reserved VMID.
    pub to: Vmid,
    /// Name of the VM.
    pub name: String,
    /// Its notes, our mark among them.
    pub description: String,
    /// Full or linked.
    pub full: bool,
    /// Format of the disks.
    pub format: Option<String>,
    /// Storage of the disks.
    pub storage: Option<StorageId>,
    /// Pool that it joins.
    pub pool: Option<PoolId>,
    /// Snapshot of the template.
    pub snapshot: Option<String>,
    /// Node that it goes to, where another than the template's.
    pub target: Option<NodeName>,
}

/// A fact that is needed to decide. The caller looks, puts the answer into [`super::Answers`], and plans again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The configuration of a VM.
    Config {
        /// Its node.
        node: NodeName,
        /// Its VMID.
        vmid: Vmid,
        /// Whether an earlier reading of this process will do, if nothing was written since.
        fresh: Fresh,
    },
    /// Whether a VMID is in use, whoever may see it.
    Exists(Vmid),
    /// A VMID to start from.
    NextVmid,
    /// Addresses by the guest agent.
    Agent {
        /// The VM's node.
        node: NodeName,
        /// Its VMID.
        vmid: Vmid,
    },
    /// How cloud-init stands.
    CloudInit {
        /// The VM's node.
        node: NodeName,
        /// Its VMID.
        vmid: Vmid,
    },
}

/// How new a reading has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// An earlier reading will do, if nothing was written since.
    Cached,
    /// Read in this pass: something is destroyed on the strength of it.
    ThisPass,
}

/// What a pass does.
#[must_use = "a plan that nobody acts on or publishes helps no one"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At most one step.
    pub step: Option<Step>,
    /// A fact that is needed first. Then there is no step.
    pub look: Option<Look>,
    /// Why.
    pub why: Note,
    /// What to say of the VM in status.
    pub facts: Facts,
    /// When to look again.
    pub again: Again,
}

/// What was found of the VM, for status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where it is.
    pub node: Option<NodeName>,
    /// Its UUID.
    pub uuid: Option<SmbiosUuid>,
    /// Addresses to publish.
    pub addresses: Vec<IpAddr>,
    /// It has been given its bootstrap data.
    pub bootstrapped: bool,
    /// It is as wanted.
    pub ready: bool,
}

impl Plan {
    pub(super) fn order(step: Step, why: Note, facts: Facts) -> Self {
        Self { step: Some(step), look: None, why, facts, again: Again::Now }
    }

    pub(super) fn look(look: Look, why: Note, facts: Facts) -> Self {
        Self { step: None, look: Some(look), why, facts, again: Again::Now }
    }

    pub(super) fn rest(why: Note, facts: Facts, again: Again) -> Self {
        Self { step: None, look: None, why, facts, again }
    }

    /// How much this matters.
    pub fn severity(&self) -> Severity {
        self.why.severity()
    }
}
