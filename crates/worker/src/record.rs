//! What a join writes down of itself: how far it is, and what was here before. Our mark on this machine.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Where it lies, below the root of the machine.
pub(crate) const FILE: &str = "/var/lib/oxmox/worker.json";

/// How far a join is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Begun, and not known to have ended.
    Joining,
    /// kubeadm has ended well.
    Joined,
}

/// The record of a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// How far it is.
    pub phase: Phase,
    /// The API server.
    pub server: String,
    /// The Node's name.
    pub node: String,
    /// Files and directories (with a slash at the end) that were in Kubernetes' directories before.
    pub files: BTreeSet<String>,
    /// Network links that were there before.
    pub links: BTreeSet<String>,
    /// Packet filter tables, chains and sets that were there before.
    pub filters: BTreeSet<String>,
}
