//! Calls about the cluster and its nodes.

use pve_types::{NodeName, PoolId, StorageId, Vmid, lenient};
use serde::Deserialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::resources::{GuestKind, Resources};

/// What Proxmox says of its version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `9.1.4`.
    pub version: String,
    /// `9.1`.
    #[serde(default)]
    pub release: String,
}

impl Version {
    /// The first number; 0 when it does not read.
    pub fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

/// A node in the list of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeEntry {
    /// Its name.
    pub node: NodeName,
    /// `online`, `offline` or `unknown`.
    #[serde(default)]
    pub status: String,
    /// The fingerprint of its certificate.
    #[serde(default)]
    pub ssl_fingerprint: Option<String>,
}

/// A resource under high availability.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HaResource {
    /// `vm:100`.
    pub sid: String,
    /// What is asked of it: `started`, `stopped`, `ignored`, …
    #[serde(default)]
    pub state: Option<String>,
    /// The group (Proxmox 8).
    #[serde(default)]
    pub group: Option<String>,
}

impl HaResource {
    /// The guest's number.
    pub fn vmid(&self) -> Option<Vmid> {
        let (_, number) = self.sid.split_once(':')?;
        number.parse().ok()
    }
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pool {
    /// What people say of it.
    #[serde(default)]
    pub comment: Option<String>,
    /// What is in it, as far as we may see.
    #[serde(default)]
    pub members: Vec<PoolMember>,
}

/// Something in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolMember {
    /// `qemu/100`, `storage/node/name`.
    pub id: String,
    /// `qemu`, `lxc` or `storage`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The node it is on.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The guest's number.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// The storage.
    #[serde(default)]
    pub storage: Option<StorageId>,
}

/// A network interface of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NetworkInterface {
    /// `vmbr0`, `eno1`, …
    pub iface: String,
    /// `bridge`, `OVSBridge`, `bond`, `eth`, `vlan`, `vnet`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether it is up.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    /// Whether the bridge passes VLANs on.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub bridge_vlan_aware: bool,
    /// Its IPv4 address with prefix.
    #[serde(default)]
    pub cidr: Option<String>,
}

impl NetworkInterface {
    /// Whether guests can be plugged into it.
    pub fn is_bridge(&self) -> bool {
        matches!(self.kind.as_str(), "bridge" | "OVSBridge" | "vnet")
    }
}

impl Client {
    /// The version; also the cheapest way to see whether Proxmox knows us.
    pub async fn version(&self) -> Result<Version, Error> {
        self.fetch(Call::get("/version", &[])?).await
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeEntry>, Error> {
        self.fetch(Call::get("/nodes", &[])?).await
    }

    /// Everything in the cluster that we may see, in one cheap call.
    pub async fn resources(&self) -> Result<Resources, Error> {
        let call = Call::get("/cluster/resources", &[])?;
        let words = call.to_string();
        let rows = self.fetch(call).await?;
        Resources::read(rows).map_err(|why| Error::garbled(words, why))
    }

    /// The lowest free number. Nothing is reserved by asking.
    pub async fn next_vmid(&self) -> Result<Vmid, Error> {
        self.fetch(Call::get("/cluster/nextid", &[])?).await
    }

    /// Whether no guest has the number, in the whole cluster and whether we may see it or not.
    pub async fn vmid_is_free(&self, vmid: Vmid) -> Result<bool, Error> {
        let call = Call::get("/cluster/nextid", &[])?.with("vmid", vmid)?;
        match self.run(call).await {
            Ok(()) => Ok(true),
            Err(error) if error.refusal() == Some(&Refusal::VmidTaken) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The resources under high availability.
    pub async fn ha_resources(&self) -> Result<Vec<HaResource>, Error> {
        self.fetch(Call::get("/cluster/ha/resources", &[])?).await
    }

    /// Takes a guest out of high availability.
    pub async fn remove_ha_resource(&self, vmid: Vmid, kind: GuestKind) -> Result<(), Error> {
        let prefix = match kind {
            GuestKind::Qemu => "vm",
            GuestKind::Lxc => "ct",
        };
        let sid = format!("{prefix}:{vmid}");
        self.run(Call::delete("/cluster/ha/resources/{sid}", &[&sid])?).await
    }

    /// A pool and what is in it.
    pub async fn pool(&self, id: &PoolId) -> Result<Pool, Error> {
        if !id.as_str().contains('/') {
            return self.fetch(Call::get("/pools/{pool}", &[id.as_str()])?).await;
        }
        // A nested pool's name does not fit in a path; Proxmox 8.1 and later take it as a parameter.
        let call = Call::get("/pools", &[])?.with("poolid", id)?;
        let words = call.to_string();
        let pools: Vec<Pool> = self.fetch(call).await?;
        pools.into_iter().next().ok_or_else(|| Error::garbled(words, "the list of pools is empty"))
    }

    /// A node's network interfaces, the guests' bridges among them.
    pub async fn node_network(&self, node: &NodeName) -> Result<Vec<NetworkInterface>, Error> {
        self.fetch(Call::get("/nodes/{node}/network", &[node.as_str()])?).await
    }
}
