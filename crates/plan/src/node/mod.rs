//! What becomes of a Node: whose VM it is, where that is, whether it runs, and whether it is gone.
//!
//! ```text
//!  registers, tainted uninitialized ──(a VM has its UUID)──▶ initialised: providerID, labels, addresses; taint removed
//!        │ Ready ◀───────────────────────────────(VM runs: our taints go)──────────────────┐
//!        ▼                                                                                  │
//!    not Ready ──(VM proven stopped)──▶ taint shutdown ──(its node was lost)──▶ taint out-of-service
//!        └──(VM proven gone, see `gone.rs`)──▶ the Node is deleted
//! ```
//!
//! * Promises: a Node with somebody else's provider ID is not touched; a VM is known by its UUID and not by its name;
//!   of taints only those of [`Taint`] are set or removed; what could not be read changes nothing.
//! * Assumes: one shared reading of the VMs for all Nodes, at most some seconds old.

mod describe;
mod find;
mod gone;
mod observed;
mod power;
mod provider_id;
mod step;
#[cfg(test)]
mod test;

use std::time::Duration;

use ipnet::IpNet;

pub use gone::Gone;
pub use observed::{
    Address, AddressKind, Answers, Audit, Identity, Interface, Node, Number, Power, Region, Standing, Taint, View, Vm,
};
pub use provider_id::{Form, ProviderId};
pub use step::{Change, Fresh, Look, Note, Plan, Step};

use crate::Again;
use find::Found;

/// Kubernetes' label of the region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// Kubernetes' label of the zone: the Proxmox VE node.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The region, in the label of the controller that people use now.
pub const OUR_REGION: &str = "topology.proxmox.sinextra.dev/region";
/// The Proxmox VE node, in the label of the controller that people use now; always that of the moment.
pub const OUR_ZONE: &str = "topology.proxmox.sinextra.dev/zone";
/// Kubernetes' label of the instance type.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// The VM's number, in the annotation of the controller that people use now.
pub const INSTANCE_ID: &str = "proxmox.sinextra.dev/instance-id";
/// Addresses that the kubelet was started with.
pub const PROVIDED_IP: &str = "alpha.kubernetes.io/provided-node-ip";
/// The Proxmox VE node that was lost while this Node's VM was on it; there until the Node is Ready again.
pub const LOST_NODE: &str = "oxmox.io/lost-node";
/// There while the taint out-of-service is ours, and not an administrator's.
pub const OUT_OF_SERVICE: &str = "oxmox.io/out-of-service";

/// What is wanted of all Nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Form of provider IDs that we write.
    pub form: Form,
    /// Which labels follow a migration.
    pub follow: Follow,
    /// Where addresses come from.
    pub network: Network,
}

/// Which labels follow a VM to another Proxmox VE node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Kubernetes' own and the peer's.
    All,
    /// Only the peer's; Kubernetes' own stay as they were first written.
    OursAlone,
}

/// Where addresses come from, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// From whom.
    pub source: Source,
    /// Addresses in these are external.
    pub external: Vec<IpNet>,
    /// Addresses are sorted by the first of these that they are in.
    pub sort: Vec<IpNet>,
    /// Addresses in these are left out.
    pub ignore: Vec<IpNet>,
    /// Whether IPv6 is wanted.
    pub ipv6: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self { source: Source::Provided, external: Vec::new(), sort: Vec::new(), ignore: Vec::new(), ipv6: true }
    }
}

/// From whom addresses come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the kubelet's annotation.
    Provided,
    /// From the guest agent as well, once, when the Node is initialised.
    Agent,
}

/// Decides on one Node.
pub fn plan(settings: &Settings, node: &Node, regions: &[Region], answers: &Answers) -> Plan {
    if let Some(note) = apart(node, regions) {
        return Plan::rest(note, Again::OnChange);
    }
    match find::find(node, regions, answers) {
        Found::Look(look) => Plan::look(look, Note::NoVm),
        Found::Unclear(Note::NoUuid) => Plan::rest(Note::NoUuid, Again::OnChange),
        Found::Unclear(note) => Plan::rest(note, Again::After(Duration::from_secs(30))),
        Found::Nowhere if node.provider_id == ProviderId::None => {
            Plan::rest(Note::NoVm, Again::After(Duration::from_secs(30)))
        }
        Found::Nowhere => gone::plan(node, regions, answers, gone::hint(node, regions)),
        Found::Vm { region, vm, identity } => {
            let mut change = match describe::describe(settings, node, (region, vm, &identity), answers) {
                Ok(change) => change,
                Err(look) => return Plan::look(look, Note::NoVm),
            };
            power::plan(node, (region, vm), answers, &mut change)
        }
    }
}

/// Why a Node is none of our business.
fn apart(node: &Node, regions: &[Region]) -> Option<Note> {
    match &node.provider_id {
        ProviderId::Foreign(id) => Some(Note::Foreign(id.clone())),
        ProviderId::None if !node.taints.contains(&Taint::Uninitialized) => Some(Note::NotAsked),
        ProviderId::None => None,
        ProviderId::Uuid(uuid) => match node.uuid {
            Some(other) if other != *uuid => {
                Some(Note::Disagrees { provider_id: uuid.to_string(), uuid: other.to_string() })
            }
            _ => None,
        },
        ProviderId::Number { region, .. } => {
            regions.iter().all(|one| one.name != *region).then(|| Note::UnknownRegion(region.clone()))
        }
    }
}
