//! What the controller needs to know before it starts.

use std::net::SocketAddr;
use std::time::Duration;

use pve::ClientConfig;

/// Settings of the controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Proxmox VE clusters; regions differ.
    pub clusters: Vec<Cluster>,
    /// What is wanted of all Nodes.
    pub nodes: plan::node::Settings,
    /// Nodes that are worked on at the same time.
    pub concurrency: u16,
    /// Elect a leader by a Lease; without, one process alone must run.
    pub leader_elect: bool,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Where health and metrics are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// How often each Proxmox VE cluster is read.
    pub poll: Duration,
}

/// One Proxmox VE cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its region, as labels and provider IDs name it.
    pub region: String,
    /// Where it is, and who we are to it.
    pub client: ClientConfig,
}
