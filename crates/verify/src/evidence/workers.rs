//! What was seen of Nodes as members of their cluster: who they are, what they say of themselves, what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use pve_types::{SmbiosUuid, Vmid};
use serde::{Deserialize, Serialize};

use super::{Proxmox, Read};

/// Nodes, their heartbeats, and certificates that kubelets ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkersSeen {
    /// All Nodes.
    pub nodes: Vec<WorkerSeen>,
    /// The Nodes' leases, by Node.
    pub leases: Read<BTreeMap<String, LeaseSeen>>,
    /// What kubelets ask signers for.
    pub requests: Read<Vec<SigningRequest>>,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSeen {
    /// Its name.
    pub name: String,
    /// When it registered, by the API server's clock.
    pub created: Option<Timestamp>,
    /// Its provider ID.
    pub provider_id: Option<String>,
    /// Whether it is ready; `None`: it has never said.
    pub ready: Option<bool>,
    /// The `Ready` condition's message.
    pub message: String,
    /// Conditions that are bad and true: `MemoryPressure` and the like.
    pub pressure: Vec<String>,
    /// Whether it takes no new pods by order.
    pub cordoned: bool,
    /// Whether it waits for a cloud controller manager.
    pub uninitialized: bool,
    /// The kubelet's version.
    pub kubelet: String,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The zone label that always follows its VM.
    pub own_zone: Option<String>,
    /// Its addresses of type `InternalIP`.
    pub internal_ips: Vec<String>,
}

/// The lease that a kubelet renews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSeen {
    /// What the kubelet wrote as the time of renewal, by its own clock.
    pub renewed: Timestamp,
    /// When the API server took that, by its clock, in whole seconds.
    pub taken: Timestamp,
}

/// A certificate that a kubelet asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRequest {
    /// Its name.
    pub name: String,
    /// Who is to sign: `kubernetes.io/kubelet-serving`.
    pub signer: String,
    /// Who asks.
    pub user: String,
    /// Since when.
    pub created: Option<Timestamp>,
    /// Approved.
    pub approved: bool,
    /// Denied or failed, and why.
    pub refused: Option<String>,
    /// The certificate is there.
    pub issued: bool,
}

/// Which VM a provider ID names. (An own reading of the two forms: a verifier shares no code with what it judges.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedVm {
    /// `proxmox://UUID`.
    Uuid(SmbiosUuid),
    /// `proxmox://REGION/VMID`.
    Number(Vmid),
}

impl NamedVm {
    /// Reads it; `None`: it names no VM of a Proxmox VE.
    pub(crate) fn read(id: &str) -> Option<Self> {
        let rest = id.strip_prefix("proxmox://")?;
        match rest.split_once('/') {
            None => rest.parse().ok().map(Self::Uuid),
            Some((_, number)) => number.parse().ok().map(Self::Number),
        }
    }

    /// The VM that the storage driver's own name for a node names: `NAME/VMID`, `NAME/UUID`.
    pub(crate) fn of_plugin(id: &str) -> Option<Self> {
        let (_, proof) = id.split_once('/')?;
        proof.parse().map(Self::Number).ok().or_else(|| proof.parse().map(Self::Uuid).ok())
    }
}

/// What is known of a VM that a provider ID names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Its numbers: one, if all is well.
    Are(Vec<Vmid>),
    /// None of them was found, and not all could be looked at.
    Unread(String),
}

impl Proxmox {
    /// The VMs that a provider ID names.
    pub(crate) fn named(&self, vm: NamedVm) -> Named {
        let guests = match &self.guests {
            Read::Known(guests) => guests,
            Read::Unread { why, .. } => return Named::Unread(why.clone()),
        };
        let uuid = match vm {
            NamedVm::Number(vmid) => return Named::Are(guests.keys().filter(|one| **one == vmid).copied().collect()),
            NamedVm::Uuid(uuid) => uuid,
        };
        let all = guests.keys().filter(|vmid| {
            let settings = self.settings.get(vmid).and_then(Read::known);
            settings.is_some_and(|settings| settings.uuid == Some(uuid) && !settings.template)
        });
        let all: Vec<Vmid> = all.copied().collect();
        let unread = guests.keys().find_map(|vmid| match self.settings.get(vmid) {
            Some(Read::Known(_)) => None,
            Some(Read::Unread { why, .. }) => Some(format!("settings of VM {vmid} could not be read: {why}")),
            None => Some(format!("settings of VM {vmid} were not read")),
        });
        match (all.is_empty(), unread) {
            (true, Some(why)) => Named::Unread(why),
            (true, None) | (false, _) => Named::Are(all),
        }
    }
}

/// The addresses in these texts, without their prefixes.
pub(crate) fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeSet<IpAddr> {
    texts.into_iter().filter_map(|text| text.split('/').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn both_forms_of_a_provider_id_name_a_vm_and_others_none() {
        let uuid = "46ff6553-ec42-4180-b651-d71617da3e0b".parse().unwrap();
        let read = |id: &str| NamedVm::read(id);
        assert_eq!(read("proxmox://46FF6553-ec42-4180-b651-d71617da3e0b"), Some(NamedVm::Uuid(uuid)));
        assert_eq!(read("proxmox://dc1/101"), Some(NamedVm::Number("101".parse().unwrap())));
        for other in ["aws:///eu/i-1", "proxmox://", "proxmox://dc1/web", "k3s://w-0"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
