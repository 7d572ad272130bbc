//! A node of the cluster.

use serde::{Deserialize, Serialize};

use super::interfaces::Network;

/// A node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) ip: String,
    pub(crate) online: bool,
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    /// Seconds since the epoch.
    pub(crate) booted: f64,
    pub(crate) next_pid: u32,
    pub(crate) fingerprint: String,
    /// Those that are up.
    pub(crate) bridges: Vec<String>,
    /// None until somebody changes something.
    #[serde(default, rename = "network")]
    changed_network: Option<Network>,
}
