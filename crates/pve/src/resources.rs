//! The cluster's resources: one answer that holds guests, nodes, storages and pools.
//!
//! A row of a guest or node that does not read spoils the answer: left out, it would look as if the
//! guest were gone. Rows of kinds we do not know are passed over.

use std::collections::{BTreeMap, BTreeSet};

use pve_types::{NodeName, PoolId, StorageId, Tags, Vmid, lenient};
use serde::Deserialize;
use serde_json::Value;

/// What the cluster holds, as far as we may see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Guests by number.
    pub guests: BTreeMap<Vmid, GuestRow>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, NodeRow>,
    /// Storages, one row for each node that has it, shared or not.
    pub storages: Vec<StorageRow>,
    /// Pools.
    pub pools: Vec<PoolRow>,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GuestRow {
    /// Its number.
    pub vmid: Vmid,
    /// The node it is on.
    pub node: NodeName,
    /// Its name; absent for some seconds after it was made.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it runs; `None` when Proxmox does not say.
    #[serde(default)]
    pub status: Option<GuestStatus>,
    /// Whether it is a template; also false for some seconds after it was made.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// What holds it.
    #[serde(default)]
    pub lock: Option<String>,
    /// Its pool.
    #[serde(default)]
    pub pool: Option<PoolId>,
    /// Memory in bytes.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxmem: Option<u64>,
    /// Cores.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxcpu: Option<f64>,
    /// Virtual machine or container.
    #[serde(rename = "type")]
    pub kind: GuestKind,
    /// Its state under high availability, if it is.
    #[serde(default)]
    pub hastate: Option<String>,
}

/// Virtual machine or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

/// What a guest does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum GuestStatus {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
    /// It is held.
    Paused,
    /// It is about to run.
    Prelaunch,
    /// It sleeps.
    Suspended,
    /// Proxmox cannot say: just made, or its node is away.
    Unknown,
    /// Something else.
    Other(String),
}

impl From<String> for GuestStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            "paused" => Self::Paused,
            "prelaunch" => Self::Prelaunch,
            "suspended" => Self::Suspended,
            "unknown" => Self::Unknown,
            _ => Self::Other(word),
        }
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Its name.
    pub node: NodeName,
    /// Whether it is online.
    pub online: bool,
    /// Memory in bytes; needs Sys.Audit.
    pub maxmem: Option<u64>,
    /// Memory in use.
    pub mem: Option<u64>,
    /// Threads.
    pub maxcpu: Option<f64>,
}

/// A storage on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRow {
    /// Its name.
    pub storage: StorageId,
    /// The node this row is about.
    pub node: NodeName,
    /// Whether all nodes see the same.
    pub shared: bool,
    /// What it may hold: `images`, `iso`, …
    pub content: BTreeSet<String>,
    /// `dir`, `lvmthin`, `rbd`, …
    pub plugintype: Option<String>,
    /// Whether it is available on that node.
    pub available: bool,
    /// Bytes in use.
    pub disk: Option<u64>,
    /// Bytes in all.
    pub maxdisk: Option<u64>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolRow {
    /// Its name.
    pub pool: PoolId,
}

#[derive(Deserialize)]
struct RawNode {
    node: NodeName,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    maxmem: Option<u64>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    mem: Option<u64>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    maxcpu: Option<f64>,
}

#[derive(Deserialize)]
struct RawStorage {
    storage: StorageId,
    node: NodeName,
    #[serde(default, deserialize_with = "lenient::flag")]
    shared: bool,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    plugintype: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    disk: Option<u64>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    maxdisk: Option<u64>,
}

/// `images,iso` as a set; Proxmox gives no order.
pub(crate) fn content_set(text: Option<&str>) -> BTreeSet<String> {
    text.unwrap_or("").split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Resources {
    pub(crate) fn read(rows: Vec<Value>) -> Result<Self, String> {
        let mut out = Self::default();
        for row in rows {
            let kind = row.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
            let id = row.get("id").and_then(Value::as_str).unwrap_or("a row").to_owned();
            out.take(&kind, row).map_err(|e| format!("`{id}`: {e}"))?;
        }
        Ok(out)
    }

    fn take(&mut self, kind: &str, row: Value) -> Result<(), serde_json::Error> {
        match kind {
            "qemu" | "lxc" => {
                let guest: GuestRow = serde_json::from_value(row)?;
                self.guests.insert(guest.vmid, guest);
            }
            "node" => {
                let RawNode { node, status, maxmem, mem, maxcpu } = serde_json::from_value(row)?;
                let row =
                    NodeRow { node: node.clone(), online: status.as_deref() == Some("online"), maxmem, mem, maxcpu };
                self.nodes.insert(node, row);
            }
            "storage" => {
                let RawStorage { storage, node, shared, content, plugintype, status, disk, maxdisk } =
                    serde_json::from_value(row)?;
                self.storages.push(StorageRow {
                    storage,
                    node,
                    shared,
                    content: content_set(content.as_deref()),
                    plugintype,
                    available: status.as_deref() == Some("available"),
                    disk,
                    maxdisk,
                });
            }
            "pool" => self.pools.push(serde_json::from_value(row)?),
            _ => {}
        }
        Ok(())
    }

    /// The storage as one node sees it.
    pub fn storage(&self, node: &NodeName, storage: &StorageId) -> Option<&StorageRow> {
        self.storages.iter().find(|row| row.node == *node && row.storage == *storage)
    }
}
