//! Why a plan is what it is, with its evidence. One function each renders it as a condition's reason and message.

use std::fmt;

use api::MachineReason;
use pve_types::{NodeName, Upid, Vmid};

use super::Invalid;
use crate::{Severity, placement, template};

/// What a condition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

/// Why a plan is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// All is as wanted.
    Settled {
        /// The VM.
        vmid: Vmid,
    },
    /// As wanted; the ISO with the bootstrap data goes once the Node has joined.
    AwaitsNode {
        /// The VM.
        vmid: Vmid,
    },
    /// Nothing is left.
    Gone,
    /// The cluster is not ready.
    ClusterNotReady,
    /// No bootstrap data yet.
    NoBootstrapData,
    /// Bootstrap data could not be read.
    BootstrapUnread(String),
    /// The spec cannot be.
    InvalidSpec(Vec<Invalid>),
    /// No template.
    NoTemplate(template::NoTemplate),
    /// No node.
    NoRoom(placement::NoRoom),
    /// No storage takes an ISO on that node.
    NoIsoStorage(NodeName),
    /// All addresses are given.
    NoAddress {
        /// `ipv4Config` or `ipv6Config`.
        field: &'static str,
        /// How many addresses there are.
        size: u128,
    },
    /// All VMIDs are taken.
    NoVmid,
    /// A VMID is reserved.
    Reserving(Vmid),
    /// The reserved VMID turned out to be somebody else's.
    VmidTaken(Vmid),
    /// The VMID exists, but shows no name or mark yet, or is hidden from us.
    NotVisibleYet(Vmid),
    /// The template is being cloned.
    Cloning {
        /// The template.
        from: Vmid,
        /// The VMID.
        to: Vmid,
        /// The node.
        node: NodeName,
    },
    /// The clone is done.
    Recording(Vmid),
    /// The bootstrap data is handed over.
    HandingOver(Vmid),
    /// The configuration is changed.
    Configuring(Vmid),
    /// The VM is being started.
    Starting(Vmid),
    /// The guest agent does not answer yet.
    AgentAwaited(Vmid),
    /// No address is known yet.
    AddressAwaited(Vmid),
    /// cloud-init runs.
    CloudInitAwaited(Vmid),
    /// cloud-init failed.
    CloudInitFailed {
        /// The VM.
        vmid: Vmid,
        /// What it said.
        why: String,
    },
    /// The ISO is removed.
    RemovingSeed(Vmid),
    /// The VM is being stopped.
    Stopping(Vmid),
    /// The VM is being destroyed.
    Destroying(Vmid),
    /// A task runs.
    TaskRuns(Upid),
    /// Proxmox VE could not be read.
    Unread(String),
    /// The VM's node is offline: nobody knows whether it still runs.
    NodeLost {
        /// The VM.
        vmid: Vmid,
        /// Its node.
        node: NodeName,
    },
    /// The VM carries another mark.
    NotOurs {
        /// The VM.
        vmid: Vmid,
        /// What it says of itself.
        says: String,
    },
    /// The VM was there and is gone.
    Lost(Vmid),
    /// Something else holds the VM.
    Locked {
        /// The VM.
        vmid: Vmid,
        /// By what.
        lock: String,
    },
    /// A step failed, and is tried again later.
    Failed {
        /// What we were doing.
        doing: MachineReason,
        /// What came back.
        why: String,
    },
}

impl Note {
    /// The reason for conditions and events.
    pub fn reason(&self) -> MachineReason {
        use MachineReason as R;
        match self {
            Self::Settled { .. } | Self::AwaitsNode { .. } => R::Provisioned,
            Self::Gone | Self::Stopping(_) | Self::Destroying(_) => R::Deleting,
            Self::ClusterNotReady => R::WaitingForClusterInfrastructureReady,
            Self::NoBootstrapData | Self::BootstrapUnread(_) => R::WaitingForBootstrapData,
            Self::InvalidSpec(_) => R::InvalidSpec,
            Self::NoTemplate(_) => R::TemplateNotFound,
            Self::NoRoom(placement::NoRoom::Memory { .. }) => R::InsufficientMemory,
            Self::NoRoom(_) | Self::NoIsoStorage(_) => R::PlacementFailed,
            Self::NoAddress { .. } => R::WaitingForStaticIPAllocation,
            Self::NoVmid => R::VMIDExhausted,
            Self::Reserving(_)
            | Self::VmidTaken(_)
            | Self::NotVisibleYet(_)
            | Self::Cloning { .. }
            | Self::Recording(_)
            | Self::TaskRuns(_) => R::Cloning,
            Self::HandingOver(_) | Self::RemovingSeed(_) => R::WaitingForBootstrapDataReconciliation,
            Self::Configuring(_) => R::WaitingForDiskReconciliation,
            Self::Starting(_) => R::WaitingForVMPowerUp,
            Self::AgentAwaited(_) | Self::AddressAwaited(_) => R::WaitingForClusterAPIMachineAddresses,
            Self::CloudInitAwaited(_) | Self::CloudInitFailed { .. } => R::WaitingForCloudInit,
            Self::Unread(_) => R::ProxmoxUnreachable,
            Self::NodeLost { .. } => R::ProxmoxNodeLost,
            Self::NotOurs { .. } => R::NotOurs,
            Self::Lost(_) => R::VirtualMachineNotFound,
            Self::Locked { .. } => R::VirtualMachineLocked,
            Self::Failed { doing, .. } => *doing,
        }
    }

    /// What the condition `Ready` says; `None`: as it is.
    ///
    /// Only a VM that is proven gone makes it false. A MachineHealthCheck replaces machines on that, and must not on a
    /// VM that is being made, or that could not be looked at, is locked, or is being started.
    pub fn truth(&self, provisioned: bool) -> Option<Truth> {
        match self {
            Self::Settled { .. } | Self::AwaitsNode { .. } => Some(Truth::True),
            Self::Lost(_) | Self::Gone | Self::Stopping(_) | Self::Destroying(_) => Some(Truth::False),
            Self::TaskRuns(_) => None,
            Self::RemovingSeed(_) if provisioned => None,
            _ => Some(Truth::Unknown),
        }
    }

    /// How much this matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidSpec(_)
            | Self::NoTemplate(_)
            | Self::NoRoom(_)
            | Self::NoIsoStorage(_)
            | Self::NoAddress { .. }
            | Self::NoVmid
            | Self::Unread(_)
            | Self::BootstrapUnread(_)
            | Self::CloudInitFailed { .. }
            | Self::NodeLost { .. }
            | Self::NotOurs { .. }
            | Self::Lost(_)
            | Self::Failed { .. } => Severity::Warning,
            Self::Settled { .. }
            | Self::AwaitsNode { .. }
            | Self::Gone
            | Self::ClusterNotReady
            | Self::NoBootstrapData
            | Self::Reserving(_)
            | Self::VmidTaken(_)
            | Self::NotVisibleYet(_)
            | Self::Cloning { .. }
            | Self::Recording(_)
            | Self::HandingOver(_)
            | Self::Configuring(_)
            | Self::Starting(_)
            | Self::AgentAwaited(_)
            | Self::AddressAwaited(_)
            | Self::CloudInitAwaited(_)
            | Self::RemovingSeed(_)
            | Self::Stopping(_)
            | Self::Destroying(_)
            | Self::TaskRuns(_)
            | Self::Locked { .. } => Severity::Info,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled { vmid } => write!(f, "VM {vmid} is as wanted"),
            Self::AwaitsNode { vmid } => {
                write!(f, "VM {vmid} is as wanted; its bootstrap ISO is removed once the Node has joined")
            }
            Self::Gone => write!(f, "nothing is left on Proxmox VE"),
            Self::ClusterNotReady => write!(f, "waiting for the ProxmoxCluster to be ready"),
            Self::NoBootstrapData => write!(f, "waiting for the bootstrap provider to make the bootstrap data"),
            Self::BootstrapUnread(why) => write!(f, "cannot read the bootstrap data: {why}"),
            Self::InvalidSpec(all) => {
                let all: Vec<_> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join("; "))
            }
            Self::NoTemplate(why) => why.fmt(f),
            Self::NoRoom(why) => why.fmt(f),
            Self::NoIsoStorage(node) => write!(
                f,
                "no storage on `{node}` takes ISO images; add the content type `iso` to one that our credentials see"
            ),
            Self::NoAddress { field, size } => {
                write!(f, "all {size} addresses of `{field}` are taken; extend the range of the ProxmoxCluster")
            }
            Self::NoVmid => write!(f, "all VMIDs of `spec.vmIDRange` are taken; widen it"),
            Self::Reserving(vmid) => write!(f, "VMID {vmid} is reserved for it"),
            Self::VmidTaken(vmid) => write!(f, "VMID {vmid} was taken by another VM meanwhile; choosing another"),
            Self::NotVisibleYet(vmid) => write!(f, "VM {vmid} is there, but does not show its name and mark yet"),
            Self::Cloning { from, to, node } => write!(f, "cloning template {from} to VM {to} on `{node}`"),
            Self::Recording(vmid) => write!(f, "VM {vmid} is cloned"),
            Self::HandingOver(vmid) => write!(f, "handing the bootstrap data to VM {vmid}"),
            Self::Configuring(vmid) => write!(f, "configuring VM {vmid}"),
            Self::Starting(vmid) => write!(f, "starting VM {vmid}"),
            Self::AgentAwaited(vmid) => write!(
                f,
                "waiting for the QEMU guest agent of VM {vmid} (a guest without one: set spec.checks.skipQemuGuestAgent)"
            ),
            Self::AddressAwaited(vmid) => write!(f, "waiting for VM {vmid} to get an address"),
            Self::CloudInitAwaited(vmid) => write!(f, "waiting for cloud-init in VM {vmid} to end"),
            Self::CloudInitFailed { vmid, why } => {
                write!(f, "cloud-init in VM {vmid} failed: {why}; see /var/log/cloud-init-output.log in it")
            }
            Self::RemovingSeed(vmid) => write!(f, "removing the bootstrap ISO of VM {vmid}"),
            Self::Stopping(vmid) => write!(f, "stopping VM {vmid}"),
            Self::Destroying(vmid) => write!(f, "destroying VM {vmid}"),
            Self::TaskRuns(upid) => write!(f, "waiting for task {upid}"),
            Self::Unread(why) => write!(f, "cannot read Proxmox VE: {why}"),
            Self::NodeLost { vmid, node } => write!(
                f,
                "Proxmox VE's node `{node}` is lost; nobody knows whether VM {vmid} still runs, so nothing is done until \
                 the node is back or its HA manager has moved the VM"
            ),
            Self::NotOurs { vmid, says } => write!(
                f,
                "VM {vmid} is recorded for this machine but is not ours ({says}); nothing is done to it: \
                 restore its notes and name, or delete this machine"
            ),
            Self::Lost(vmid) => {
                write!(f, "VM {vmid} was there and is gone; a MachineHealthCheck can replace the machine")
            }
            Self::Locked { vmid, lock } => write!(
                f,
                "VM {vmid} is locked ({lock}); a lock that stays is cleared with `qm unlock {vmid}` on its node"
            ),
            Self::Failed { why, .. } => f.write_str(why),
        }
    }
}
