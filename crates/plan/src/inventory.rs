//! What a Proxmox VE cluster holds, as one call (`GET /cluster/resources`) tells it to us.
//!
//! The view is that of our credentials: a guest that is not in it may still exist. For about ten seconds a new guest
//! has neither name nor status in it.

use std::collections::BTreeSet;

use pve_types::{NodeName, StorageId, Tags, Vmid};

/// What a Proxmox VE cluster holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// VMs and containers.
    pub guests: Vec<GuestRow>,
    /// Nodes.
    pub nodes: Vec<NodeRow>,
    /// Storages, a row for each node that has one.
    pub storages: Vec<StorageRow>,
    /// Counts up with each reading.
    pub sequence: u64,
}

/// One VM or container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestRow {
    /// Its VMID.
    pub vmid: Vmid,
    /// The node it is on.
    pub node: NodeName,
    /// Its name, once broadcast.
    pub name: Option<String>,
    /// Whether it runs, once broadcast.
    pub running: Option<bool>,
    /// Whether it is a template.
    pub template: bool,
    /// Its tags.
    pub tags: Tags,
    /// What holds it.
    pub lock: Option<String>,
    /// Configured memory in bytes; 0 until broadcast.
    pub maxmem: u64,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub node: NodeName,
    /// Whether it is online.
    pub online: bool,
    /// Its memory in bytes; `None` where our credentials may not know.
    pub maxmem: Option<u64>,
}

/// One storage on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRow {
    /// Its id.
    pub storage: StorageId,
    /// The node.
    pub node: NodeName,
    /// The same content on all its nodes.
    pub shared: bool,
    /// Content types: `images`, `iso`, …
    pub content: BTreeSet<String>,
    /// Whether it can be used now.
    pub available: bool,
}

impl Inventory {
    /// The guest with this VMID.
    pub fn guest(&self, vmid: Vmid) -> Option<&GuestRow> {
        self.guests.iter().find(|row| row.vmid == vmid)
    }

    /// The node with this name.
    pub fn node(&self, name: &NodeName) -> Option<&NodeRow> {
        self.nodes.iter().find(|row| row.node == *name)
    }

    /// The storage that an ISO for a VM on `node` goes to: a shared one if there is any (a VM may move), the first by
    /// name among equals.
    pub fn iso_storage(&self, node: &NodeName) -> Option<&StorageRow> {
        self.storages
            .iter()
            .filter(|row| row.node == *node && row.available && row.content.contains("iso"))
            .min_by(|a, b| b.shared.cmp(&a.shared).then(a.storage.cmp(&b.storage)))
    }

    /// Whether the storage is shared; `None` if we see no such storage.
    pub fn is_shared(&self, storage: &StorageId) -> Option<bool> {
        self.storages.iter().find(|row| row.storage == *storage).map(|row| row.shared)
    }
}
