//! The name of a volume: `storage:name`.

use std::fmt;
use std::str::FromStr;

use crate::invalid::serde_as_text;
use crate::{Invalid, StorageId, Vmid};

/// A volume by storage and name, e.g. `data:9001/vm-9001-disk-0.qcow2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// The storage it lies on.
    pub storage: StorageId,
    /// Its name there; the shape depends on the storage's type.
    pub name: String,
}

impl VolumeId {
    /// The guest that owns the volume. Proxmox decides that by the name alone: the guest need not exist.
    ///
    /// Only guests' disks have an owner; ISO images, templates, snippets and backups have none.
    pub fn owner(&self) -> Option<Vmid> {
        let mut parts = self.name.rsplit('/');
        let file = parts.next()?;
        if let Some(directory) = parts.next() {
            // On file storages the directory says whose it is; elsewhere it is the linked clone's base.
            if let Ok(vmid) = directory.parse() {
                return Some(vmid);
            }
            if matches!(directory, "iso" | "vztmpl" | "backup" | "snippets" | "import") {
                return None;
            }
        }
        ["vm-", "base-", "subvol-", "basevol-"]
            .iter()
            .find_map(|prefix| file.strip_prefix(prefix))?
            .split_once('-')
            .and_then(|(number, _)| number.parse().ok())
    }

    /// The volume that a linked clone is based on, when the name tells (file, ZFS and RBD storages).
    pub fn base(&self) -> Option<VolumeId> {
        let parts: Vec<&str> = self.name.split('/').collect();
        let name = match parts[..] {
            [directory, base, _, _] if base.starts_with("base-") => format!("{directory}/{base}"),
            [base, _] if base.starts_with("base-") => base.to_owned(),
            _ => return None,
        };
        Some(Self { storage: self.storage.clone(), name })
    }
}

impl FromStr for VolumeId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why| Invalid::new("a volume id", text, why);
        let (storage, name) = text.split_once(':').ok_or_else(|| bad("it should read `storage:name`"))?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ',') {
            return Err(bad("the name after the colon is empty or holds a space or comma"));
        }
        Ok(Self {
            storage: storage.parse().map_err(|_| bad("the part before the colon is no storage name"))?,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.storage, self.name)
    }
}

serde_as_text!(VolumeId);
