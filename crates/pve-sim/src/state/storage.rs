//! Storages and the volumes on them.
//!
//! Promises the naming of directory storages: `STORAGE:VMID/vm-VMID-disk-N.FORMAT`, bases, linked
//! clones as `BASE/CLONE`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A storage of the kind that keeps files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) id: String,
    /// `dir` or `nfs`.
    pub(crate) kind: String,
    pub(crate) content: BTreeSet<String>,
    pub(crate) shared: bool,
    pub(crate) path: String,
    pub(crate) disabled: bool,
    pub(crate) nodes: Option<BTreeSet<String>>,
    pub(crate) total: u64,
    pub(crate) more: BTreeMap<String, String>,
}

impl Storage {
    pub(crate) fn on(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|n| n.contains(node))
    }

    pub(crate) fn content_text(&self) -> String {
        self.content.iter().cloned().collect::<Vec<_>>().join(",")
    }

    /// The file behind a volume's name.
    pub(crate) fn file(&self, name: &str) -> String {
        let base = &self.path;
        match name.split_once('/') {
            Some(("iso", file)) => format!("{base}/template/iso/{file}"),
            Some(("vztmpl", file)) => format!("{base}/template/cache/{file}"),
            Some(("backup", file)) => format!("{base}/dump/{file}"),
            Some(("snippets", file)) => format!("{base}/snippets/{file}"),
            Some(("import", file)) => format!("{base}/import/{file}"),
            _ => {
                // A linked clone is `BASEVMID/base/VMID/clone`: the file is the last pair.
                let parts: Vec<&str> = name.rsplitn(3, '/').collect();
                match parts.as_slice() {
                    [file, vmid, ..] => format!("{base}/images/{vmid}/{file}"),
                    _ => format!("{base}/images/{name}"),
                }
            }
        }
    }
}

/// A volume.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) storage: String,
    /// The node that has it, none on shared storages.
    pub(crate) node: Option<String>,
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) format: String,
    pub(crate) size: u64,
    pub(crate) ctime: i64,
    /// The base of a linked clone, as a volume name.
    pub(crate) parent: Option<String>,
    pub(crate) vmid: Option<u32>,
    /// Of a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notes: Option<String>,
    /// Of a backup: it is not removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) protected: bool,
}

impl Volume {
    pub(crate) fn volid(&self) -> String {
        format!("{}:{}", self.storage, self.name)
    }
}

/// All volumes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Volumes(Vec<Volume>);

impl Volumes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Volume> {
        self.0.iter()
    }

    pub(crate) fn find(&self, volid: &str, node: &str) -> Option<&Volume> {
        self.0.iter().find(|v| v.volid() == volid && v.node.as_deref().is_none_or(|n| n == node))
    }

    pub(crate) fn find_mut(&mut self, volid: &str, node: &str) -> Option<&mut Volume> {
        self.0.iter_mut().find(|v| v.volid() == volid && v.node.as_deref().is_none_or(|n| n == node))
    }

    pub(crate) fn insert(&mut self, volume: Volume) {
        self.0.retain(|v| !(v.volid() == volume.volid() && v.node == volume.node));
        self.0.push(volume);
    }

    pub(crate) fn remove(&mut self, volid: &str, node: &str) -> Option<Volume> {
        let at = self.0.iter().position(|v| v.volid() == volid && v.node.as_deref().is_none_or(|n| n == node))?;
        Some(self.0.remove(at))
    }

    /// Whether a linked clone hangs on this base.
    pub(crate) fn is_base_in_use(&self, volume: &Volume) -> bool {
        self.0
            .iter()
            .any(|v| v.storage == volume.storage && v.node == volume.node && v.parent.as_deref() == Some(&volume.name))
    }

    /// The first free name `vm-VMID-disk-N.FORMAT` of a guest on a storage.
    pub(crate) fn free_name(&self, storage: &str, node: &str, vmid: u32, format: &str) -> String {
        let taken = |n: u32| {
            self.0.iter().any(|v| {
                v.storage == storage
                    && v.node.as_deref().is_none_or(|x| x == node)
                    && v.name.rsplit('/').next().is_some_and(|file| {
                        let stem = file.rsplit_once('.').map_or(file, |(s, _)| s);
                        stem == format!("vm-{vmid}-disk-{n}") || stem == format!("base-{vmid}-disk-{n}")
                    })
            })
        };
        let n = (0..u32::MAX).find(|n| !taken(*n)).unwrap_or_default();
        format!("{vmid}/vm-{vmid}-disk-{n}.{format}")
    }
}

/// The owner that a volume's name tells.
pub(crate) fn owner(name: &str) -> Option<u32> {
    let file = name.rsplit('/').next()?;
    let rest =
        file.strip_prefix("vm-").or_else(|| file.strip_prefix("base-")).or_else(|| file.strip_prefix("subvol-"))?;
    rest.split('-').next()?.parse().ok()
}
