//! A reading of the cluster, and what differs from the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use pve_types::{NodeName, StorageId, Upid, Vmid};
use tokio::time::Instant;

use crate::error::Error;
use crate::resources::{NodeRow, Resources, StorageRow};

/// One reading of the cluster.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What was read, or why nothing was. An error says nothing about the guests.
    pub resources: Result<Resources, Arc<Error>>,
    /// When the question was sent: what was written before is in it.
    pub asked_at: Instant,
    /// When the answer came.
    pub taken_at: Timestamp,
    /// Readings are counted from 1; 0 is "none yet".
    pub sequence: u64,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The reading that showed it.
    pub sequence: u64,
    /// What differs.
    pub what: Changed,
    /// Watched tasks that have ended.
    pub tasks: BTreeSet<Upid>,
}

/// What differs between two readings. Figures that always move (memory in use, …) do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Perhaps everything: the first reading, one after a failure, or a failure.
    Everything,
    /// These: come, gone or different.
    These {
        /// Guests.
        guests: BTreeSet<Vmid>,
        /// Nodes.
        nodes: BTreeSet<NodeName>,
        /// Storages.
        storages: BTreeSet<StorageId>,
    },
}

impl Changed {
    /// Nothing of the cluster (a task ended).
    pub(super) fn nothing() -> Self {
        Self::These { guests: BTreeSet::new(), nodes: BTreeSet::new(), storages: BTreeSet::new() }
    }
}

impl Changes {
    /// Whether the guest may be concerned.
    pub fn concerns(&self, vmid: Vmid) -> bool {
        match &self.what {
            Changed::Everything => true,
            Changed::These { guests, .. } => guests.contains(&vmid),
        }
    }
}

/// What differs; `None` for nothing.
pub(super) fn compare(before: &Snapshot, after: &Snapshot) -> Option<Changed> {
    let (old, new) = match (&before.resources, &after.resources) {
        (Ok(old), Ok(new)) => (old, new),
        // Still failing: it was told the first time.
        (Err(_), Err(_)) if before.sequence > 0 => return None,
        (Err(_) | Ok(_), _) => return Some(Changed::Everything),
    };
    let guests = differing(&old.guests, &new.guests, PartialEq::eq);
    let nodes = differing(&old.nodes, &new.nodes, same_node);
    let storages = differing(&by_place(old), &by_place(new), |a, b| same_storage(a, b))
        .into_iter()
        .map(|(storage, _)| storage.clone())
        .collect::<BTreeSet<_>>();
    if guests.is_empty() && nodes.is_empty() && storages.is_empty() {
        return None;
    }
    Some(Changed::These { guests, nodes, storages })
}

fn differing<K: Ord + Clone, V>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> BTreeSet<K> {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    let changed = new.iter().filter(|(key, row)| !old.get(key).is_some_and(|was| same(was, row))).map(|(key, _)| key);
    gone.chain(changed).cloned().collect()
}

fn by_place(resources: &Resources) -> BTreeMap<(&StorageId, &NodeName), &StorageRow> {
    resources.storages.iter().map(|row| ((&row.storage, &row.node), row)).collect()
}

fn same_node(a: &NodeRow, b: &NodeRow) -> bool {
    a.online == b.online && a.maxmem == b.maxmem && a.maxcpu == b.maxcpu
}

fn same_storage(a: &StorageRow, b: &StorageRow) -> bool {
    a.available == b.available && a.content == b.content && a.shared == b.shared
}
