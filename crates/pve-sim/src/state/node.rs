//! A node of the cluster.

use serde::{Deserialize, Serialize};

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
    pub(crate) bridges: Vec<String>,
}

impl Node {
    /// A process number that nobody had yet.
    pub(crate) fn pid(&mut self) -> u32 {
        self.next_pid += 13;
        self.next_pid
    }
}
