//! What the HA manager knows: its master, the nodes and the services as it sees them.
//!
//! The rounds themselves are in [`crate::ha`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The manager's status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Manager {
    /// The node whose CRM decides; none before there was anything to do.
    #[serde(default)]
    pub(crate) master: Option<String>,
    /// When it last made a round.
    #[serde(default)]
    pub(crate) timestamp: i64,
    /// `online`, `maintenance`, `unknown`, `fence` or `gone`.
    #[serde(default)]
    pub(crate) nodes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) services: BTreeMap<String, Service>,
    /// When nodes that are not online were last heard of.
    #[serde(default)]
    pub(crate) unheard: BTreeMap<String, f64>,
    /// What was asked for since the last round.
    #[serde(default)]
    pub(crate) requests: Vec<Request>,
    #[serde(default)]
    pub(crate) next_round: f64,
    /// Disarmed: `freeze` or `ignore`.
    #[serde(default)]
    pub(crate) disarmed: Option<String>,
}

/// A guest as the manager sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Service {
    /// `request_stop`, `stopped`, `request_start`, `started`, `fence`, `recovery`, `migrate`, `relocate`, `freeze` or
    /// `error`.
    pub(crate) state: String,
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) target: Option<String>,
    /// The node's LRM has said that it runs.
    #[serde(default)]
    pub(crate) running: bool,
    /// What the node's LRM does at the moment.
    #[serde(default)]
    pub(crate) task: Option<String>,
    #[serde(default)]
    pub(crate) restarts: u32,
    #[serde(default)]
    pub(crate) relocations: u32,
    /// Nodes on which it could not be started.
    #[serde(default)]
    pub(crate) failed: Vec<String>,
    /// Where it was before maintenance.
    #[serde(default)]
    pub(crate) maintenance_node: Option<String>,
}

/// A command to the manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// `migrate` or `relocate`.
    pub(crate) what: String,
    pub(crate) sid: String,
    pub(crate) node: String,
}
