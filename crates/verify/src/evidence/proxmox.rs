//! What was read of Proxmox VE.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use pve_types::{NodeName, PoolId, SmbiosUuid, StorageId, Tags, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use super::{Drive, Listing, Read};

/// Proxmox VE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proxmox {
    /// Whose certificate the client believes.
    pub trust: TrustSeen,
    /// Each URL as it looks to somebody without credentials.
    pub doors: Vec<Door>,
    /// The version.
    pub version: Read<VersionSeen>,
    /// Our privileges by path; true where one is handed down.
    pub permissions: Read<BTreeMap<String, BTreeMap<String, bool>>>,
    /// All nodes.
    pub nodes: Read<Vec<ProxmoxNode>>,
    /// Whether the cluster has a majority, by its own count of votes: for who has Sys.Audit on `/`.
    #[serde(default = "majority_of_before")]
    pub majority: Read<bool>,
    /// Virtual machines that we may see.
    pub guests: Read<BTreeMap<Vmid, Guest>>,
    /// Storages that we may see, one row for each node.
    pub storages: Read<Vec<Storage>>,
    /// Each node's own view of its storages.
    pub node_storages: BTreeMap<NodeName, Read<Vec<NodeStorage>>>,
    /// Each node's bridges.
    pub bridges: BTreeMap<NodeName, Read<Vec<Bridge>>>,
    /// Virtual machines' settings.
    pub settings: BTreeMap<Vmid, Read<GuestSettings>>,
    /// What each machine's VM does, as its node says: the list of all VMs is seconds old.
    #[serde(default)]
    pub states: BTreeMap<Vmid, Read<String>>,
    /// Bootstrap images by storage; for a local storage by `node/storage`.
    pub isos: BTreeMap<String, Read<Vec<Iso>>>,
    /// Whether the guest agent answered.
    pub agents: BTreeMap<Vmid, Read<()>>,
    /// Addresses that guest agents tell, of VMs whose Node has an address that no machine accounts for.
    #[serde(default)]
    pub agent_addresses: BTreeMap<Vmid, Read<BTreeSet<IpAddr>>>,
    /// Drives, now and as they will be, of VMs that have or should have a volume of a pod.
    #[serde(default)]
    pub drives: BTreeMap<Vmid, Read<BTreeMap<String, Drive>>>,
    /// What storages have of holders, and of others who own volumes of pods.
    #[serde(default)]
    pub listings: Vec<Listing>,
}

/// In evidence that was saved before votes were asked for.
fn majority_of_before() -> Read<bool> {
    Read::not_asked("an older oxmox did not ask for the cluster's votes")
}

/// Whose certificate the client believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustSeen {
    /// Whom the system believes.
    System,
    /// A CA that was given.
    Ca,
    /// One certificate, by fingerprint.
    Fingerprint,
    /// Anyone's.
    Anyone,
}

/// A URL of Proxmox VE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Door {
    /// The URL.
    pub url: String,
    /// The certificate that it shows.
    pub certificate: Read<Certificate>,
}

/// What a TLS server shows of itself before anybody trusts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 in Proxmox's notation, `AA:BB:…`.
    pub fingerprint: String,
    /// Its subject, if it reads.
    pub subject: Option<String>,
    /// Its issuer, if it reads.
    pub issuer: Option<String>,
    /// When it ends, if it reads.
    pub not_after: Option<Timestamp>,
    /// The server's clock minus ours in milliseconds, if it told its time. Its own time has whole seconds.
    pub clock_ahead_ms: Option<i64>,
}

/// Proxmox VE's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSeen {
    /// `9.1.4`.
    pub version: String,
    /// How long the answer took.
    pub took_ms: u64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxmoxNode {
    /// Its name.
    pub name: NodeName,
    /// `online`, `offline`, `unknown`.
    pub status: String,
}

/// A virtual machine as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The node it is on.
    pub node: NodeName,
    /// Its name.
    pub name: Option<String>,
    /// `running`, `stopped`, … some seconds ago.
    pub status: Option<String>,
    /// Whether it is a template.
    pub template: bool,
    /// Its pool.
    pub pool: Option<PoolId>,
    /// Its tags.
    pub tags: Tags,
    /// What holds it.
    pub lock: Option<String>,
}

/// A storage on one node, as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Its name.
    pub storage: StorageId,
    /// The node of this row.
    pub node: NodeName,
    /// Whether all nodes see the same.
    pub shared: bool,
    /// What it may hold.
    pub content: BTreeSet<String>,
    /// Whether it is available there.
    pub available: bool,
}

/// A storage as a node itself sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStorage {
    /// Its name.
    pub storage: StorageId,
    /// Whether all nodes see the same.
    pub shared: bool,
    /// What it may hold.
    pub content: BTreeSet<String>,
    /// Whether it works.
    pub active: bool,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Bytes in all.
    pub total: Option<u64>,
    /// Bytes free.
    pub free: Option<u64>,
}

/// A bridge, or something else that guests plug into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub active: bool,
    /// Whether it passes VLANs on.
    pub vlan_aware: bool,
}

/// What matters of a virtual machine's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSettings {
    /// Its name.
    pub name: Option<String>,
    /// The last line of its notes when that is our mark; other notes are not taken over.
    pub mark: Option<String>,
    /// Whose volumes it holds, when the last line of its notes says that it is a holder of volumes.
    #[serde(default)]
    pub holder: Option<String>,
    /// Names of the snapshots that a holder has, by the drive that they are in.
    #[serde(default)]
    pub copies: BTreeMap<String, String>,
    /// Its SMBIOS UUID.
    pub uuid: Option<SmbiosUuid>,
    /// Whether it is a template.
    pub template: bool,
    /// Whether the guest agent is switched on.
    pub agent: bool,
    /// What holds it.
    pub lock: Option<String>,
    /// Its drives by key.
    pub disks: BTreeMap<String, Disk>,
    /// The drive that it boots from.
    pub boot: Option<String>,
    /// The bridges of its NICs by key.
    pub bridges: BTreeMap<String, String>,
}

/// A drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What is in it, if it is a volume.
    pub volume: Option<VolumeId>,
    /// Whether it is a CD drive.
    pub cdrom: bool,
}

/// A bootstrap image on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iso {
    /// Its name.
    pub volume: VolumeId,
    /// When it was made, in Unix seconds.
    pub made: Option<i64>,
}
