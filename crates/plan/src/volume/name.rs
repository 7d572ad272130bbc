//! How volumes are called on a storage.

use pve_types::Vmid;
use sha2::{Digest as _, Sha256};

use super::refusal::{Kind, Refusal};

/// LVM takes 127 characters for a name; `vm-999999999-` and `.qcow2` cost 19 of them.
const LONGEST: usize = 100;

/// Kinds of storages that keep images as files, and so want an ending.
const FILES: [&str; 6] = ["dir", "nfs", "cifs", "cephfs", "btrfs", "glusterfs"];

/// Formats of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Bytes as they are.
    #[default]
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    /// As Proxmox VE writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Whether a storage of this kind (`dir`, `lvmthin`, …) keeps images as files.
pub fn keeps_files(kind: &str) -> bool {
    FILES.contains(&kind)
}

/// A name as it stands on a storage: the CO's own where a storage takes it, else a hash of it.
pub fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() <= LONGEST
        && name.chars().all(fits)
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        // A name that could be one of Proxmox VE's own, or a hash of ours.
        && !name.starts_with("disk-")
        && !name.starts_with("cloudinit")
        && !name.starts_with("state-")
        && !name.starts_with("h-")
    {
        return name.to_owned();
    }
    let hash = Sha256::digest(name.as_bytes());
    format!("h-{}", hex::encode(&hash[..16]))
}

/// The file name to ask for: `vm-HOLDER-NAME`, with an ending on storages of files.
pub fn file_name(holder: Vmid, name: &str, kind: &str, format: Format) -> Result<String, Refusal> {
    let stem = format!("vm-{holder}-{}", plain(name));
    match (keeps_files(kind), format) {
        (true, format) => Ok(format!("{stem}.{}", format.as_str())),
        (false, Format::Raw) => Ok(stem),
        (false, Format::Qcow2) => Err(Refusal::new(
            Kind::InvalidArgument,
            format!("storageFormat: a storage of type `{kind}` keeps no qcow2 images; leave it out or choose `raw`"),
        )),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn holder() -> Vmid {
        "9100".parse().unwrap()
    }

    #[test]
    fn a_name_of_kubernetes_stands_as_it_is() {
        let name = "pvc-0b7e1c52-1d5e-4f4e-8a55-0f0e5c7f3c11";
        assert_eq!(file_name(holder(), name, "lvmthin", Format::Raw).unwrap(), format!("vm-9100-{name}"));
        assert_eq!(file_name(holder(), name, "nfs", Format::Qcow2).unwrap(), format!("vm-9100-{name}.qcow2"));
        assert_eq!(file_name(holder(), name, "zfspool", Format::Qcow2).unwrap_err().kind, Kind::InvalidArgument);
    }

    #[test]
    fn long_and_odd_names_become_hashes_that_differ() {
        let long = "x".repeat(128);
        let longer = format!("{}y", "x".repeat(127));
        for name in [&long, &longer, "a b", "ü", "disk-0", "a/b", "-a", ""] {
            assert!(plain(name).starts_with("h-") && plain(name).len() == 34, "{name}");
        }
        assert_ne!(plain(&long), plain(&longer));
        assert_ne!(plain("h-00"), "h-00", "nobody may ask for a hash by its name");
    }
}
