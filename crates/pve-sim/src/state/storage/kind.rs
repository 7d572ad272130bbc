//! What the types of storages can do: a row a type.
//!
//! Promises one row for every type that `/storage` takes, so that no rule asks for a type's name.

/// How volumes are named and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Files under a directory, images in `images/VMID`.
    Files,
    Lvm,
    LvmThin,
    Zfs,
    Rbd,
    Iscsi,
    IscsiDirect,
    BackupServer,
    Esxi,
}

/// Who sees the same volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Always,
    /// By the option `shared`.
    Optional,
    Never,
}

/// What of a volume's size is taken from the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// What was written.
    Thin,
    /// All of it, in extents.
    Thick,
    /// All of it, unless the option `sparse` is set.
    Reserved,
    /// Nothing: it is somebody else's.
    Foreign,
}

/// A type of storage.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
    pub(crate) sharing: Sharing,
    pub(crate) space: Space,
    /// What it can hold.
    pub(crate) content: &'static [&'static str],
    /// What it holds if nothing is said.
    pub(crate) default_content: &'static str,
    /// Formats of its images, the default first.
    pub(crate) formats: &'static [&'static str],
    /// Its options: `!` behind a required one, `=` behind one that can't be changed later.
    pub(crate) options: &'static str,
    /// Volumes are made elsewhere and only chosen.
    pub(crate) select_existing: bool,
}

const ALL: &[&str] = &["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"];
const SHARES: &[&str] = &["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import"];
const CEPHFS: &[&str] = &["vztmpl", "iso", "backup", "snippets", "import"];
const DISKS: &[&str] = &["images", "rootdir"];

const fn files(name: &'static str, sharing: Sharing, options: &'static str) -> Kind {
    Kind {
        name,
        layout: Layout::Files,
        sharing,
        space: Space::Thin,
        content: SHARES,
        default_content: "images",
        formats: &["raw", "qcow2", "vmdk"],
        options,
        select_existing: false,
    }
}

const fn blocks(name: &'static str, layout: Layout, sharing: Sharing, space: Space, options: &'static str) -> Kind {
    Kind {
        name,
        layout,
        sharing,
        space,
        content: DISKS,
        default_content: "images,rootdir",
        formats: &["raw"],
        options,
        select_existing: false,
    }
}

/// All types, in the order of their names.
pub(crate) const KINDS: [Kind; 14] = [
    Kind {
        content: ALL,
        default_content: "images,rootdir",
        formats: &["raw", "subvol"],
        ..files(
            "btrfs",
            Sharing::Optional,
            "path!= nodes shared disable prune-backups max-protected-backups content format is_mountpoint nocow mkdir \
             create-base-path create-subdirs bwlimit preallocation content-dirs",
        )
    },
    Kind {
        content: CEPHFS,
        default_content: "backup",
        ..files(
            "cephfs",
            Sharing::Always,
            "path= content-dirs monhost nodes subdir disable options username keyring fuse bwlimit \
             prune-backups max-protected-backups content format fs-name mkdir create-base-path create-subdirs",
        )
    },
    files(
        "cifs",
        Sharing::Always,
        "path= content-dirs server!= share!= subdir nodes disable prune-backups max-protected-backups content format \
         username password domain smbversion mkdir create-base-path create-subdirs bwlimit preallocation options \
         snapshot-as-volume-chain=",
    ),
    Kind {
        content: ALL,
        default_content: "images,rootdir",
        formats: &["raw", "qcow2", "vmdk", "subvol"],
        ..files(
            "dir",
            Sharing::Optional,
            "path!= content-dirs nodes shared disable prune-backups max-protected-backups content format mkdir \
             create-base-path create-subdirs is_mountpoint bwlimit preallocation snapshot-as-volume-chain=",
        )
    },
    Kind {
        content: &["import"],
        default_content: "import",
        formats: &["raw", "qcow2", "vmdk"],
        select_existing: true,
        ..blocks(
            "esxi",
            Layout::Esxi,
            Sharing::Never,
            Space::Foreign,
            "nodes shared disable content server! username! password skip-cert-verification port",
        )
    },
    Kind {
        content: &["images", "none"],
        default_content: "images",
        select_existing: true,
        ..blocks(
            "iscsi",
            Layout::Iscsi,
            Sharing::Always,
            Space::Foreign,
            "portal!= target!= nodes disable content bwlimit",
        )
    },
    Kind {
        content: &["images", "none"],
        default_content: "images",
        select_existing: true,
        ..blocks(
            "iscsidirect",
            Layout::IscsiDirect,
            Sharing::Always,
            Space::Foreign,
            "portal!= target!= nodes disable content bwlimit",
        )
    },
    Kind {
        default_content: "images",
        ..blocks(
            "lvm",
            Layout::Lvm,
            Sharing::Optional,
            Space::Thick,
            "vgname!= nodes shared disable saferemove saferemove-stepsize saferemove_throughput content base= \
             tagged_only bwlimit snapshot-as-volume-chain",
        )
    },
    blocks(
        "lvmthin",
        Layout::LvmThin,
        Sharing::Never,
        Space::Thin,
        "thinpool!= vgname!= nodes disable content bwlimit",
    ),
    files(
        "nfs",
        Sharing::Always,
        "path= content-dirs server!= export!= nodes disable options prune-backups max-protected-backups content format \
         mkdir create-base-path create-subdirs bwlimit preallocation snapshot-as-volume-chain=",
    ),
    Kind {
        content: &["backup", "none"],
        default_content: "backup",
        formats: &["raw"],
        ..blocks(
            "pbs",
            Layout::BackupServer,
            Sharing::Always,
            Space::Thin,
            "server!= datastore!= namespace port nodes disable content username password encryption-key master-pubkey \
             prune-backups max-protected-backups fingerprint",
        )
    },
    Kind {
        default_content: "images",
        ..blocks(
            "rbd",
            Layout::Rbd,
            Sharing::Always,
            Space::Thin,
            "nodes disable monhost pool data-pool namespace username content krbd keyring bwlimit",
        )
    },
    Kind {
        content: &["images"],
        default_content: "images",
        ..blocks(
            "zfs",
            Layout::Zfs,
            Sharing::Always,
            Space::Reserved,
            "nodes disable portal!= target!= pool!= blocksize!= iscsiprovider!= nowritecache sparse comstar_hg \
             comstar_tg lio_tpg content bwlimit zfs-base-path",
        )
    },
    Kind {
        formats: &["raw", "subvol"],
        ..blocks(
            "zfspool",
            Layout::Zfs,
            Sharing::Never,
            Space::Reserved,
            "pool!= blocksize sparse nodes disable content bwlimit mountpoint",
        )
    },
];

/// How an option of `storage.cfg` may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) required: bool,
    pub(crate) fixed: bool,
}

impl Kind {
    /// The row of a type; unknown ones are directories.
    pub(crate) fn of(name: &str) -> &'static Self {
        KINDS.iter().find(|k| k.name == name).unwrap_or(&KINDS[3])
    }

    /// Whether volumes are files under a path.
    pub(crate) fn files(&self) -> bool {
        self.layout == Layout::Files
    }

    /// All options with their use.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&'static str, Usage)> {
        self.options.split_whitespace().map(|word| {
            let usage = Usage { required: word.contains('!'), fixed: word.contains('=') };
            (word.trim_end_matches(['!', '=']), usage)
        })
    }

    pub(crate) fn option(&self, name: &str) -> Option<Usage> {
        self.options().find(|(key, _)| *key == name).map(|(_, usage)| usage)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_type_holds_what_it_holds_by_default() {
        for kind in &KINDS {
            for content in kind.default_content.split(',') {
                assert!(kind.content.contains(&content), "{} {content}", kind.name);
            }
        }
        assert_eq!(Kind::of("dir").name, "dir");
        assert_eq!(Kind::of("nothing").name, "dir");
    }

    #[test]
    fn what_names_the_backend_is_required_and_fixed() {
        assert_eq!(Kind::of("lvmthin").option("thinpool"), Some(Usage { required: true, fixed: true }));
        assert_eq!(Kind::of("nfs").option("path"), Some(Usage { required: false, fixed: true }));
        assert_eq!(Kind::of("rbd").option("pool"), Some(Usage { required: false, fixed: false }));
        assert_eq!(Kind::of("rbd").option("path"), None);
    }
}
