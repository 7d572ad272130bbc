//! What Kubernetes calls a volume: `REGION/ZONE/STORAGE/DISK`, the grammar of the driver that people use now.
//!
//! * The zone is the PVE node where the storage is local, and empty where all nodes see it: `REGION//STORAGE/DISK`.
//! * The disk is what Proxmox VE calls the volume after the colon, slashes included: `vm-9100-pvc-…`, or
//!   `9100/vm-9100-pvc-….raw` on file storages. The guest whose number is in it owns the volume.

use std::fmt;
use std::str::FromStr;

use pve_types::{NodeName, StorageId, VolumeId};

/// A volume as Kubernetes names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    /// The cluster of Proxmox VE, by the name that the settings give it.
    pub region: String,
    /// The node, for storages that only it sees.
    pub zone: Option<NodeName>,
    /// The volume.
    pub volume: VolumeId,
}

/// A text that is no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a volume of ours: {why}")]
pub struct BadHandle {
    /// The text.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

impl Handle {
    /// The handle of a volume, with a zone where only one node sees it.
    pub fn new(region: &str, zone: Option<NodeName>, volume: VolumeId) -> Self {
        Self { region: region.to_owned(), zone, volume }
    }
}

impl FromStr for Handle {
    type Err = BadHandle;

    fn from_str(text: &str) -> Result<Self, BadHandle> {
        let bad = |why: String| BadHandle { given: text.to_owned(), why };
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let [region, zone, storage, disk] = parts[..] else {
            return Err(bad("it should read `region/zone/storage/disk`".to_owned()));
        };
        if region.is_empty() {
            return Err(bad("the region is empty".to_owned()));
        }
        let zone: Option<NodeName> =
            if zone.is_empty() { None } else { Some(zone.parse().map_err(|why| bad(format!("its zone: {why}")))?) };
        let storage: StorageId = storage.parse().map_err(|why| bad(format!("its storage: {why}")))?;
        let volume = format!("{storage}:{disk}").parse().map_err(|why| bad(format!("its disk: {why}")))?;
        if disk.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad("a part of its disk is empty or walks about".to_owned()));
        }
        Ok(Self { region: region.to_owned(), zone, volume })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, zone, volume } = self;
        let zone = zone.as_ref().map(NodeName::as_str).unwrap_or_default();
        write!(f, "{region}/{zone}/{}/{}", volume.storage, volume.name)
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handles_of_the_driver_that_people_use_now_read() {
        for text in [
            "eu/pve1/data/9999/vm-9999-pvc-0b7e.raw",
            "eu//ceph/vm-9999-pvc-0b7e",
            "eu/pve1/lvm/vm-100-disk-1",
            "Region 1/pve-2/zfs.a/vm-9100-pvc-x",
        ] {
            assert_eq!(text.parse::<Handle>().unwrap().to_string(), text);
        }
        let file: Handle = "eu/pve1/data/9999/vm-9999-pvc-0b7e.raw".parse().unwrap();
        assert_eq!(file.volume.to_string(), "data:9999/vm-9999-pvc-0b7e.raw");
        assert_eq!(file.volume.owner().unwrap().get(), 9999);
        assert_eq!("eu//ceph/vm-7001-pvc-0".parse::<Handle>().unwrap().zone, None);
    }

    #[test]
    fn what_is_no_handle_is_told_why() {
        for (text, why) in [
            ("fake-vol-id", "region/zone/storage/disk"),
            ("/pve1/data/vm-100-x", "region is empty"),
            ("eu/pve1/d/vm-100-x", "storage"),
            ("eu/pve1/data/", "disk"),
            ("eu/pve1/data/../vm-100-x", "walks"),
            ("eu/pve 1/data/vm-100-x", "zone"),
        ] {
            let error = text.parse::<Handle>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(zone in prop::option::of("[a-z][a-z0-9]{0,8}"), storage in "[a-z][a-z0-9]{1,8}",
                                      vmid in 100u32..999_999_999, name in "[a-z0-9-]{1,40}", file in any::<bool>()) {
            let disk = if file { format!("{vmid}/vm-{vmid}-{name}.raw") } else { format!("vm-{vmid}-{name}") };
            let handle = Handle::new("eu", zone.map(|z| z.parse().unwrap()), format!("{storage}:{disk}").parse().unwrap());
            prop_assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        }
    }
}
