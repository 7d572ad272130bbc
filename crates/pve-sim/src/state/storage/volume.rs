//! A volume: a disk image, or a file of another kind.

use serde::{Deserialize, Serialize};

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Bytes written to it; none for what an untouched volume takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<u64>,
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

    /// Whether it is a disk of a guest.
    pub(crate) fn is_disk(&self) -> bool {
        self.content == "images" || self.content == "rootdir"
    }

    /// Bytes that an image tool sees: files that are no images in whole sectors.
    pub(crate) fn image_size(&self) -> u64 {
        if self.is_disk() { self.size } else { self.size.div_ceil(512) * 512 }
    }

    /// Bytes that it takes where only what is written counts.
    pub(crate) fn used(&self) -> u64 {
        self.used.unwrap_or_else(|| match self.format.as_str() {
            // An empty image has its header and, of a large one, the tables that point at its data.
            "qcow2" if self.is_disk() => (260 << 10) + (self.size >> 29 << 16),
            "vmdk" if self.is_disk() => 64 << 10,
            _ if self.is_disk() => 4 << 10,
            _ => self.size.div_ceil(4096) * 4096,
        })
    }

    /// Bytes that it takes where all of it is taken, in extents of 4 MiB.
    pub(crate) fn extents(&self) -> u64 {
        if self.is_disk() { self.size.div_ceil(4 << 20) * (4 << 20) } else { self.size }
    }
}
