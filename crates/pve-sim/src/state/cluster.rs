//! What belongs to the cluster as a whole: its name, its options, HA resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// `datacenter.cfg`.
    pub(crate) options: BTreeMap<String, String>,
    /// HA resources by their id (`vm:100`).
    pub(crate) ha: BTreeMap<String, HaResource>,
    /// Signs tickets.
    pub(crate) secret: String,
}

/// A guest that the HA manager looks after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HaResource {
    pub(crate) state: String,
    pub(crate) more: BTreeMap<String, String>,
}
