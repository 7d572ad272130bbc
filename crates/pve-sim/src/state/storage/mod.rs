//! Storages and the volumes on them.
//!
//! A storage's type is a row of [`kind`]; names are read by [`name`]; [`volumes`] finds volumes;
//! [`alloc`] makes, clones and frees them; [`space`] counts.

pub(crate) mod alloc;
pub(crate) mod kind;
pub(crate) mod name;
pub(crate) mod space;
pub(crate) mod stock;
mod volume;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use kind::{Kind, Layout};
pub(crate) use name::owner;
pub(crate) use volume::Volume;
pub(crate) use volumes::Volumes;

/// A storage as `storage.cfg` has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) id: String,
    /// Its type: a row of [`kind::KINDS`].
    pub(crate) kind: String,
    pub(crate) content: BTreeSet<String>,
    pub(crate) shared: bool,
    /// Where its files are; empty where there are none.
    pub(crate) path: String,
    pub(crate) disabled: bool,
    pub(crate) nodes: Option<BTreeSet<String>>,
    pub(crate) total: u64,
    /// All other options.
    pub(crate) more: BTreeMap<String, String>,
    /// Bytes that others than its volumes take; none for what the type begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) foreign: Option<u64>,
    /// Nodes that can't reach it now, `*` for none can.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) offline: BTreeSet<String>,
}

impl Storage {
    pub(crate) fn kind(&self) -> &'static Kind {
        Kind::of(&self.kind)
    }

    pub(crate) fn on(&self, node: &str) -> bool {
        self.nodes.as_ref().is_none_or(|n| n.contains(node))
    }

    /// Whether a node reaches it.
    pub(crate) fn reachable(&self, node: &str) -> bool {
        !self.offline.contains("*") && !self.offline.contains(node)
    }

    pub(crate) fn content_text(&self) -> String {
        self.content.iter().cloned().collect::<Vec<_>>().join(",")
    }

    pub(crate) fn option(&self, name: &str) -> &str {
        self.more.get(name).map_or("", String::as_str)
    }

    /// Formats of its images, the default first.
    pub(crate) fn formats(&self) -> Vec<&str> {
        let mut formats: Vec<&str> = self.kind().formats.to_vec();
        if self.kind().layout == Layout::Lvm && self.option("snapshot-as-volume-chain") == "1" {
            formats = vec!["qcow2", "raw"];
        }
        if let Some(at) = formats.iter().position(|f| *f == self.option("format")) {
            formats.swap(0, at);
        }
        formats
    }

    /// The directory of one kind of content, as far as the storage has files.
    pub(crate) fn directory(&self, content: &str) -> String {
        let default = match content {
            "iso" => "template/iso",
            "vztmpl" => "template/cache",
            "backup" => "dump",
            "snippets" => "snippets",
            "import" => "import",
            "rootdir" => "private",
            _ => "images",
        };
        let chosen = self.option("content-dirs").split(',').filter_map(|d| d.split_once('='));
        let chosen = chosen.filter(|(of, _)| *of == content).map(|(_, dir)| dir).next();
        format!("{}/{}", self.path, chosen.unwrap_or(default))
    }

    /// The file or device behind a volume's name.
    pub(crate) fn file(&self, name: &str) -> String {
        let file = name.rsplit('/').next().unwrap_or(name);
        match self.kind().layout {
            Layout::Files => self.path_of(name),
            Layout::Lvm | Layout::LvmThin => format!("/dev/{}/{name}", self.option("vgname")),
            Layout::Zfs if file.starts_with("subvol-") || file.starts_with("basevol-") => {
                let root = format!("/{}", self.option("pool"));
                let root = self.more.get("mountpoint").unwrap_or(&root);
                format!("{root}/{file}")
            }
            Layout::Zfs => format!("/dev/zvol/{}/{file}", self.option("pool")),
            Layout::Rbd => self.rbd(file),
            Layout::Iscsi => format!("/dev/disk/by-id/{}", name.splitn(4, '.').last().unwrap_or(name)),
            Layout::IscsiDirect => {
                let lun = name.trim_start_matches("lun");
                format!("iscsi://{}/{}/{lun}", self.option("portal"), self.option("target"))
            }
            Layout::BackupServer => {
                let user = self.more.get("username").map_or("root@pam", String::as_str);
                format!("{user}@{}:{}:{name}", self.option("server"), self.option("datastore"))
            }
            Layout::Esxi => format!("/run/pve/import/esxi/{}/mnt/{name}", self.id),
        }
    }

    fn path_of(&self, name: &str) -> String {
        if let Some((content @ ("iso" | "vztmpl" | "backup" | "snippets" | "import" | "rootdir"), rest)) =
            name.split_once('/')
        {
            return format!("{}/{rest}", self.directory(content));
        }
        // A linked clone is `BASEVMID/base/VMID/clone`: the file is the last pair.
        let parts: Vec<&str> = name.rsplitn(3, '/').collect();
        let images = self.directory("images");
        match parts.as_slice() {
            [file, vmid, ..] => format!("{images}/{vmid}/{file}"),
            _ => format!("{images}/{name}"),
        }
    }

    fn rbd(&self, file: &str) -> String {
        let pool = self.more.get("pool").map_or("rbd", String::as_str);
        if self.option("krbd") == "1" {
            return format!("/dev/rbd-pve/00000000-0000-0000-0000-000000000000/{pool}/{file}");
        }
        let access = match self.more.get("monhost") {
            Some(hosts) => format!("mon_host={}", hosts.replace([',', ' '], ";").replace(':', "\\:")),
            None => "conf=/etc/pve/ceph.conf".to_owned(),
        };
        let user = self.more.get("username").map_or("admin", String::as_str);
        format!("rbd:{pool}/{file}:{access}:id={user}:keyring=/etc/pve/priv/ceph/{}.keyring", self.id)
    }
}

/// Whether the storage can do something with a volume of this name: `snapshot`, `clone`, `template`, `copy`,
/// `rename`, `replicate`, `sparseinit`; of a snapshot of it if one is named.
pub(crate) fn feature(storage: &Storage, feature: &str, name: &str, snapshot: bool) -> bool {
    let kind = storage.kind();
    let Ok(read) = name::parse(kind.layout, name) else { return false };
    let (base, format) = (read.is_base, read.format);
    let image = ["raw", "qcow2", "vmdk"].contains(&format);
    let plain = !base && !snapshot;
    match (kind.layout, feature) {
        (Layout::Files, "snapshot") if kind.name == "btrfs" => ["raw", "subvol"].contains(&format) && !base,
        (Layout::Files, "clone") if kind.name == "btrfs" => format == "raw",
        (Layout::Files, "snapshot") => format == "qcow2" && !base,
        (Layout::Files, "clone") => base && image && !snapshot,
        (Layout::Files, "copy") if snapshot => format == "qcow2" && !base,
        (Layout::Files, "copy") => image,
        (Layout::Files, "rename") => image && plain,
        (Layout::Files, "sparseinit") => image && !snapshot,
        (Layout::Lvm, "snapshot") => format == "qcow2",
        (Layout::LvmThin | Layout::Rbd, "clone") => base || snapshot,
        (Layout::Zfs, "clone") => base && !snapshot,
        (Layout::LvmThin | Layout::Rbd | Layout::Zfs, "snapshot") => !base,
        (Layout::Files | Layout::LvmThin | Layout::Rbd | Layout::Zfs, "template")
        | (Layout::LvmThin | Layout::Rbd | Layout::Zfs, "rename") => plain,
        (Layout::LvmThin | Layout::Rbd, "copy") => true,
        (Layout::Zfs, "copy") => !snapshot || format == "raw",
        (Layout::Zfs, "replicate") => kind.name == "zfspool",
        (Layout::Lvm, "copy" | "rename")
        | (Layout::LvmThin | Layout::Rbd | Layout::Zfs, "sparseinit")
        | (Layout::Iscsi | Layout::IscsiDirect, "copy") => !snapshot,
        _ => false,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    pub(crate) fn storage(id: &str, kind: &str, options: &[(&str, &str)]) -> Storage {
        Storage {
            id: id.to_owned(),
            kind: kind.to_owned(),
            path: if Kind::of(kind).files() { format!("/mnt/pve/{id}") } else { String::new() },
            total: 100 << 30,
            more: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Storage::default()
        }
    }

    #[test]
    fn a_linked_clone_is_where_its_own_guest_is() {
        let nas = storage("nas", "nfs", &[]);
        let clone = "9000/base-9000-disk-0.qcow2/204/vm-204-disk-0.qcow2";
        assert_eq!(nas.file(clone), "/mnt/pve/nas/images/204/vm-204-disk-0.qcow2");
        let tank = storage("tank", "zfspool", &[("pool", "rpool/vm")]);
        assert_eq!(tank.file("base-9000-disk-0/vm-204-disk-0"), "/dev/zvol/rpool/vm/vm-204-disk-0");
        assert_eq!(tank.file("subvol-204-disk-0"), "/rpool/vm/subvol-204-disk-0");
        let thin = storage("thin", "lvmthin", &[("vgname", "pve"), ("thinpool", "data")]);
        assert_eq!(thin.file("vm-204-disk-0"), "/dev/pve/vm-204-disk-0");
    }

    #[test]
    fn directories_of_content_can_be_chosen() {
        let nas = storage("nas", "nfs", &[("content-dirs", "iso=isos/linux,backup=b")]);
        assert_eq!(nas.file("iso/a.iso"), "/mnt/pve/nas/isos/linux/a.iso");
        assert_eq!(nas.file("import/a.ova"), "/mnt/pve/nas/import/a.ova");
    }

    #[test]
    fn what_a_storage_can_do_with_a_volume_depends_on_type_format_and_base() {
        let nas = storage("nas", "nfs", &[]);
        assert!(feature(&nas, "snapshot", "100/vm-100-disk-0.qcow2", false));
        assert!(!feature(&nas, "snapshot", "100/vm-100-disk-0.raw", false));
        assert!(feature(&nas, "clone", "100/base-100-disk-0.raw", false));
        let lvm = storage("lvm", "lvm", &[]);
        assert!(
            !feature(&lvm, "snapshot", "vm-100-disk-0", false) && !feature(&lvm, "template", "vm-100-disk-0", false)
        );
        let thin = storage("thin", "lvmthin", &[]);
        assert!(feature(&thin, "clone", "vm-100-disk-0", true) && !feature(&thin, "clone", "vm-100-disk-0", false));
        let tank = storage("tank", "zfspool", &[]);
        assert!(!feature(&tank, "clone", "vm-100-disk-0", true) && feature(&tank, "replicate", "vm-100-disk-0", false));
    }
}
