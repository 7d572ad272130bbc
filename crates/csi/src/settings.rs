//! What controller and node need to know before they start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pve::{ClientConfig, PollerOptions};
use pve_types::PoolId;

/// The driver's name: that of the driver people use now, so that their classes and volumes stay theirs.
pub const DRIVER: &str = "csi.proxmox.sinextra.dev";

/// A cluster of Proxmox VE.
#[derive(Debug, Clone)]
pub struct RegionSettings {
    /// What handles and topology call it.
    pub name: String,
    /// Where it is, and who we are to it.
    pub client: ClientConfig,
}

/// Settings of the controller.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// The Unix socket to serve on.
    pub socket: PathBuf,
    /// The driver's name.
    pub driver: String,
    /// The clusters, each with a name of its own.
    pub regions: Vec<RegionSettings>,
    /// Whose volumes these are: holders carry it in their notes.
    pub tenant: String,
    /// The pool that holders are made in.
    pub pool: Option<PoolId>,
    /// Whether holders are made where none has room.
    pub make_holders: bool,
    /// How often Proxmox VE is read.
    pub pace: PollerOptions,
    /// How old what is known of other VMs' drives may be when a volume is attached, grown or freed. What this process
    /// writes itself it knows at once.
    pub recheck: Duration,
    /// Where health and metrics are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
}

/// Settings of the node plugin.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The Unix socket to serve on.
    pub socket: PathBuf,
    /// The driver's name.
    pub driver: String,
    /// The node as Kubernetes calls it.
    pub node: String,
    /// The cluster of Proxmox VE that it is on, and the node there.
    pub place: Place,
    /// How many volumes it takes.
    pub max_volumes: u8,
    /// Where the kubelet looks for plugins' sockets, and the socket's path as the kubelet sees it; `None` where
    /// node-driver-registrar does that.
    pub registration: Option<Registration>,
    /// Where devices, `/sys`, `/proc` are.
    pub roots: Roots,
    /// Where health and metrics are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
}

/// Where a node is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The region.
    pub region: String,
    /// The zone: the node of Proxmox VE.
    pub zone: String,
}

/// How the kubelet gets to know us.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The directory that the kubelet watches: `/var/lib/kubelet/plugins_registry`.
    pub directory: PathBuf,
    /// Our socket's path as the kubelet sees it.
    pub endpoint: String,
}

/// Where the machine's things are. Tests have their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/dev`.
    pub dev: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into(), proc: "/proc".into() }
    }
}
