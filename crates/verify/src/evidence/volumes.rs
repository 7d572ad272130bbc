//! What was seen of volumes for pods: what Kubernetes says of them, and what Proxmox VE has of them.
//!
//! Names, handles and parameters are read as docs/reference/csi.md has them: a verifier shares no code with what it judges.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pve_types::{NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use super::Read;

/// The driver's name.
pub(crate) const DRIVER: &str = "csi.proxmox.sinextra.dev";
/// The topology key of regions.
pub(crate) const REGION: &str = "topology.kubernetes.io/region";
/// The topology key of zones: nodes of Proxmox VE.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// What Kubernetes says of the driver's volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesSeen {
    /// The CSIDriver object, if there is one.
    pub driver: Read<Option<DriverSeen>>,
    /// Nodes, with what their CSINode says of the driver.
    pub nodes: Read<Vec<NodePlugin>>,
    /// StorageClasses of the driver.
    pub classes: Read<Vec<ClassSeen>>,
    /// Claims of these classes.
    pub claims: Read<Vec<ClaimSeen>>,
    /// PersistentVolumes of the driver.
    pub volumes: Read<Vec<PersistentSeen>>,
    /// VolumeAttachments of the driver.
    pub attachments: Read<Vec<AttachmentSeen>>,
    /// Handles of the driver's snapshots; none where the cluster knows no snapshots.
    pub snapshots: Read<Vec<String>>,
    /// What a volume of our own went through.
    pub probe: Read<VolumeProbe>,
}

/// A CSIDriver object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverSeen {
    /// Whether volumes are attached before they are used.
    pub attach_required: bool,
}

/// A Node, and what its CSINode says of the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlugin {
    /// Its name.
    pub name: String,
    /// When it registered.
    pub created: Option<Timestamp>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is one of the control plane.
    pub control_plane: bool,
    /// Its provider ID.
    pub provider_id: Option<String>,
    /// `topology.kubernetes.io/region`.
    pub region: Option<String>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The driver as it registered there, if it did.
    pub plugin: Option<Plugin>,
}

/// The driver as it registered on a Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// What the Node calls itself: `NAME`, `NAME/VMID`, `NAME/UUID`.
    pub node_id: String,
    /// The labels of the Node that say where it is.
    pub topology_keys: Vec<String>,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSeen {
    /// Its name.
    pub name: String,
    /// Whether claims without a class get it.
    pub default: bool,
    /// Whether volumes wait for a pod.
    pub waits: bool,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Topology that it allows: values by key, one map a term.
    pub allowed: Vec<BTreeMap<String, Vec<String>>>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimSeen {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Its UID: the name of a volume that is made for it ends in it.
    pub uid: String,
    /// Its class.
    pub class: String,
    /// `Pending`, `Bound`, `Lost`.
    pub phase: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether a Node was chosen for it.
    pub node_chosen: bool,
    /// Of one that is pending: the pods that use it, and the last event.
    pub pending: Option<Pending>,
}

/// Why a claim may be pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Pods that use it, with the time at which they were made.
    pub pods: Read<BTreeMap<String, Option<Timestamp>>>,
    /// Its last event.
    pub event: Read<Option<EventSeen>>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSeen {
    /// Whether it warns.
    pub warns: bool,
    /// Its message.
    pub message: String,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentSeen {
    /// Its name.
    pub name: String,
    /// Its handle as it stands.
    pub handle: String,
    /// Bytes that it promises, where that reads.
    pub capacity: Option<u64>,
    /// `Bound`, `Released`, …
    pub phase: String,
    /// Since when it is in that phase.
    pub since: Option<Timestamp>,
    /// Whether the volume goes when the claim does.
    pub reclaimed: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A VolumeAttachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentSeen {
    /// Its name.
    pub name: String,
    /// The PersistentVolume.
    pub volume: String,
    /// The Node.
    pub node: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether the volume is said to be attached, before and after VMs were looked at.
    pub attached: bool,
    /// Since when it is being deleted.
    pub deleting: Option<Timestamp>,
    /// Why it could not be attached.
    pub attach_error: Option<String>,
    /// Why it could not be detached.
    pub detach_error: Option<String>,
}

/// What a volume of our own went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeProbe {
    /// The class that it was made of.
    pub class: String,
    /// The Node of the pod that wrote.
    pub writer: Option<String>,
    /// The Node of the pod that read; the writer's where no other takes the volume.
    pub reader: Option<String>,
    /// The volume's handle, once it was bound.
    pub handle: Option<String>,
    /// The checksum of what was written.
    pub written: Option<String>,
    /// The checksum of what was read.
    pub read: Option<String>,
    /// What did not come about in its time.
    pub trouble: Option<String>,
    /// What is still there of it, at Kubernetes or at Proxmox VE.
    pub left: Read<Vec<String>>,
}

/// What a storage has of one owner, as a node lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The node that was asked.
    pub node: NodeName,
    /// The storage.
    pub storage: StorageId,
    /// Whether all nodes see the same.
    pub shared: bool,
    /// The VM that owns the volumes, by their names.
    pub owner: Vmid,
    /// Its volumes there.
    pub volumes: Read<Vec<StoredVolume>>,
}

/// A volume at Proxmox VE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVolume {
    /// Its name.
    pub volume: VolumeId,
    /// Bytes.
    pub size: Option<u64>,
    /// When it was made, in Unix seconds, where the storage knows that.
    pub made: Option<i64>,
}

/// A drive of a VM, now and once what waits in its configuration is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// The volume that is in it.
    pub now: Option<VolumeId>,
    /// The volume that waits to be plugged in.
    pub coming: Option<VolumeId>,
    /// Whether it waits to be unplugged.
    pub leaving: bool,
}

/// A volume as Kubernetes names it: `REGION/ZONE/STORAGE/DISK`, with an empty zone where all nodes see the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) region: String,
    pub(crate) zone: Option<NodeName>,
    pub(crate) volume: VolumeId,
}

impl Handle {
    /// Reads it; the error says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let [region, zone, storage, disk] = parts[..] else {
            return Err("it should read REGION/ZONE/STORAGE/DISK".to_owned());
        };
        if region.is_empty() {
            return Err("its region is empty".to_owned());
        }
        let zone = if zone.is_empty() {
            None
        } else {
            Some(zone.parse().map_err(|_| format!("its zone `{zone}` is no name of a node"))?)
        };
        let volume = format!("{storage}:{disk}").parse().map_err(|why| format!("its volume: {why}"))?;
        Ok(Self { region: region.to_owned(), zone, volume })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_handle_names_region_zone_and_volume_and_what_is_none_is_told_why() {
        let local = Handle::read("eu/pve1/data/9999/vm-9999-pvc-0b7e.raw").unwrap();
        assert_eq!((local.region.as_str(), local.zone.unwrap().as_str()), ("eu", "pve1"));
        assert_eq!(local.volume.to_string(), "data:9999/vm-9999-pvc-0b7e.raw");
        assert_eq!(local.volume.owner().unwrap().get(), 9999);
        let shared = Handle::read("eu//ceph/vm-100-disk-1").unwrap();
        assert_eq!((shared.zone, shared.volume.to_string()), (None, "ceph:vm-100-disk-1".to_owned()));
        for (text, why) in [
            ("pvc-1", "should read"),
            ("/pve1/data/vm-100-x", "region is empty"),
            ("eu/pve 1/data/vm-100-x", "zone"),
            ("eu//data/", "volume"),
        ] {
            let error = Handle::read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
