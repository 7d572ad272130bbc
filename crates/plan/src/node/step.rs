//! What we may do, what we may ask, and what a plan is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pve_types::{NodeName, Vmid};

use super::gone::Gone;
use super::{Address, Taint};
use crate::{Again, Severity};

/// One complete order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these fields of the Node.
    Write(Change),
    /// Delete the Node: its VM is proven gone.
    Delete(Gone),
}

/// Fields of a Node to write; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// `spec.providerID`, where it has none.
    pub provider_id: Option<String>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Annotations to set, or to remove.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Taints to add.
    pub add: BTreeSet<Taint>,
    /// Taints to remove.
    pub remove: BTreeSet<Taint>,
    /// All addresses, where they differ.
    pub addresses: Option<Vec<Address>>,
}

impl Change {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { provider_id, labels, annotations, add, remove, addresses } = self;
        provider_id.is_none()
            && labels.is_empty()
            && annotations.is_empty()
            && add.is_empty()
            && remove.is_empty()
            && addresses.is_none()
    }
}

/// A fact that is needed to decide. The caller looks, puts the answer into [`super::Answers`], and plans again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Who a VM is.
    Identity {
        /// Its region.
        region: String,
        /// Its node.
        node: NodeName,
        /// Its number.
        vmid: Vmid,
        /// Whether what was read since it came into view will do.
        fresh: Fresh,
    },
    /// Whether a VM runs, asked of QEMU and not of the last broadcast.
    Power {
        /// Its region.
        region: String,
        /// Its node.
        node: NodeName,
        /// Its number.
        vmid: Vmid,
    },
    /// Quorum, membership and our rights.
    Standing {
        /// The region.
        region: String,
    },
    /// Whether a number is in use.
    Number {
        /// The region.
        region: String,
        /// The number.
        vmid: Vmid,
    },
    /// Addresses by the guest agent.
    Agent {
        /// The VM's region.
        region: String,
        /// Its node.
        node: NodeName,
        /// Its number.
        vmid: Vmid,
    },
}

/// How new a reading has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// An earlier reading will do.
    Cached,
    /// Read in this pass: something follows from it that cannot be taken back.
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
    /// When to look again.
    pub again: Again,
}

impl Plan {
    pub(super) fn order(step: Step, why: Note) -> Self {
        Self { step: Some(step), look: None, why, again: Again::OnChange }
    }

    pub(super) fn look(look: Look, why: Note) -> Self {
        Self { step: None, look: Some(look), why, again: Again::Now }
    }

    pub(super) fn rest(why: Note, again: Again) -> Self {
        Self { step: None, look: None, why, again }
    }
}

/// Why a plan is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The Node is as its VM is.
    Settled(Vmid),
    /// Who the VM is.
    Initialised {
        /// The VM.
        vmid: Vmid,
        /// Its Proxmox VE node.
        node: NodeName,
    },
    /// The VM is on another Proxmox VE node, or another field has changed.
    Followed {
        /// The VM.
        vmid: Vmid,
        /// Its Proxmox VE node.
        node: NodeName,
    },
    /// The provider ID is somebody else's.
    Foreign(String),
    /// Neither a provider ID of ours nor the taint that asks for one.
    NotAsked,
    /// The kubelet has not said yet which machine it runs on.
    NoUuid,
    /// Provider ID and kubelet name different machines.
    Disagrees {
        /// What the provider ID says.
        provider_id: String,
        /// What the kubelet says.
        uuid: String,
    },
    /// The provider ID names a region that we do not know.
    UnknownRegion(String),
    /// No VM that we see is this Node.
    NoVm,
    /// Several VMs have this Node's UUID.
    Twins(Vec<Vmid>),
    /// Proxmox VE could not be read.
    Unread(String),
    /// The VM's Proxmox VE node is lost.
    NodeLost {
        /// The VM.
        vmid: Vmid,
        /// Its Proxmox VE node.
        node: NodeName,
    },
    /// The VM is stopped.
    Stopped(Vmid),
    /// The VM is stopped and its Proxmox VE node was lost: pods and volumes may go elsewhere.
    OutOfService {
        /// The VM.
        vmid: Vmid,
        /// The Proxmox VE node that was lost.
        node: String,
    },
    /// The VM is shown as stopped where it was moved to, while the node that it ran on is still away.
    MovedUnproven {
        /// The VM.
        vmid: Vmid,
        /// Where it ran.
        from: String,
    },
    /// The VM runs again.
    Back(Vmid),
    /// The VM runs, the Node is not ready.
    Runs(Vmid),
    /// The VM is proven gone.
    Gone(String),
    /// The VM is not seen, and that proves nothing.
    Unproven(String),
}

impl Note {
    /// The reason of an event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Settled(_) => "Settled",
            Self::Initialised { .. } => "Initialised",
            Self::Followed { .. } => "Followed",
            Self::Foreign(_) | Self::NotAsked => "NotOurs",
            Self::NoUuid => "NoSystemUUID",
            Self::Disagrees { .. } => "ProviderIDDisagrees",
            Self::UnknownRegion(_) => "UnknownRegion",
            Self::NoVm => "VirtualMachineNotFound",
            Self::Twins(_) => "DuplicateUUID",
            Self::Unread(_) => "ProxmoxUnreachable",
            Self::NodeLost { .. } => "ProxmoxNodeLost",
            Self::Stopped(_) => "VirtualMachineStopped",
            Self::OutOfService { .. } => "OutOfService",
            Self::MovedUnproven { .. } => "StopNotProven",
            Self::Back(_) => "VirtualMachineBack",
            Self::Runs(_) => "VirtualMachineRuns",
            Self::Gone(_) => "VirtualMachineGone",
            Self::Unproven(_) => "AbsenceNotProven",
        }
    }

    /// How much this matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Settled(_)
            | Self::Initialised { .. }
            | Self::Followed { .. }
            | Self::Foreign(_)
            | Self::NotAsked
            | Self::NoUuid
            | Self::Back(_)
            | Self::Runs(_) => Severity::Info,
            Self::Disagrees { .. }
            | Self::UnknownRegion(_)
            | Self::NoVm
            | Self::Twins(_)
            | Self::Unread(_)
            | Self::NodeLost { .. }
            | Self::Stopped(_)
            | Self::OutOfService { .. }
            | Self::MovedUnproven { .. }
            | Self::Gone(_)
            | Self::Unproven(_) => Severity::Warning,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled(vmid) => write!(f, "as VM {vmid} is"),
            Self::Initialised { vmid, node } => write!(f, "this is VM {vmid} on `{node}`"),
            Self::Followed { vmid, node } => write!(f, "labels and addresses are those of VM {vmid} on `{node}`"),
            Self::Foreign(id) => write!(f, "spec.providerID `{id}` is not of Proxmox VE: left alone"),
            Self::NotAsked => write!(
                f,
                "no spec.providerID and no taint `{}`: left alone (start the kubelet with --cloud-provider=external)",
                Taint::Uninitialized.key()
            ),
            Self::NoUuid => write!(f, "waiting for the kubelet to write status.nodeInfo.systemUUID"),
            Self::Disagrees { provider_id, uuid } => write!(
                f,
                "spec.providerID says `{provider_id}`, status.nodeInfo.systemUUID says `{uuid}`: left alone; delete the \
                 Node, and let the kubelet register anew"
            ),
            Self::UnknownRegion(region) => write!(
                f,
                "spec.providerID names region `{region}`, for which there are no credentials: add it to the cloud config"
            ),
            Self::NoVm => write!(
                f,
                "no VM that our credentials see has this Node's UUID: give the token VM.Audit on it, or on its pool"
            ),
            Self::Twins(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "VMs {} have the same SMBIOS UUID: nothing is done until all but one have another (qm set VMID \
                     --smbios1 uuid=…)",
                    all.join(", ")
                )
            }
            Self::Unread(why) => write!(f, "cannot read Proxmox VE: {why}"),
            Self::NodeLost { vmid, node } => {
                write!(f, "Proxmox VE's node `{node}` is lost; nobody knows whether VM {vmid} still runs")
            }
            Self::Stopped(vmid) => write!(f, "VM {vmid} is stopped"),
            Self::OutOfService { vmid, node } => write!(
                f,
                "VM {vmid} is proven stopped after Proxmox VE's node `{node}` was lost: pods and volumes may move"
            ),
            Self::MovedUnproven { vmid, from } => write!(
                f,
                "VM {vmid} is shown as stopped, but Proxmox VE's node `{from}`, where it ran, is still away: it may run \
                 there; bring the node back, or remove it from the cluster"
            ),
            Self::Back(vmid) => write!(f, "VM {vmid} is back"),
            Self::Runs(vmid) => write!(f, "VM {vmid} runs, its kubelet does not report"),
            Self::Gone(proof) => write!(f, "the VM is gone ({proof}): the Node is deleted"),
            Self::Unproven(why) => write!(f, "the VM is not seen, but not proven gone: {why}"),
        }
    }
}
