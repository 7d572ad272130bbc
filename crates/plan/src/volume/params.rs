//! The parameters of a StorageClass: keys and values of the driver that people use now.
//!
//! Promises: a key that nobody knows is refused by its name, and so is a value that cannot be; what a class says is
//! kept in the volume's context under the same keys, so that it is read again at each attach.

use std::collections::BTreeMap;

use pve_types::{DiskSpec, StorageId, VolumeId};

use super::identity::Identity;
use super::name::Format;
use super::refusal::{Kind, Refusal};

/// What file system a volume gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FsType {
    /// ext4.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
}

impl FsType {
    /// Reads a name; empty is ext4.
    pub fn read(field: &str, text: &str) -> Result<Self, Refusal> {
        match text {
            "" | "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            other => Err(wrong(field, other, "`ext4` or `xfs`")),
        }
    }

    /// As `mount` and `mkfs` know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// What a StorageClass says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `storage`: where volumes go.
    pub storage: Option<StorageId>,
    /// `storageFormat`: of images on storages that keep files.
    pub format: Format,
    /// `csi.storage.k8s.io/fstype`.
    pub fs_type: FsType,
    /// `cache`.
    pub cache: Option<String>,
    /// `aio`.
    pub aio: Option<String>,
    /// `ssd`: tell the guest that it is one, pass on what it discards, and do not note reads.
    pub ssd: bool,
    /// `iothread`: a thread of its own in QEMU.
    pub iothread: bool,
    /// `backup`: with the backups of the VM it is attached to.
    pub backup: bool,
    /// `diskIOPS`.
    pub iops: Option<u32>,
    /// `diskMBps`.
    pub mbps: Option<u32>,
    /// `blockSize` of the file system, in bytes.
    pub block_size: Option<u32>,
    /// `inodeSize` of the file system, in bytes.
    pub inode_size: Option<u32>,
}

/// Keys that the sidecars add, and those that only steer them.
const SIDECARS: [&str; 9] = [
    "csi.storage.k8s.io/pvc/name",
    "csi.storage.k8s.io/pvc/namespace",
    "csi.storage.k8s.io/pv/name",
    "csi.storage.k8s.io/pod.name",
    "csi.storage.k8s.io/pod.namespace",
    "csi.storage.k8s.io/pod.uid",
    "csi.storage.k8s.io/serviceAccount.name",
    "csi.storage.k8s.io/ephemeral",
    "storage.kubernetes.io/csiProvisionerIdentity",
];

const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
const KEYS: &str = "storage, storageFormat, csi.storage.k8s.io/fstype, cache, aio, ssd, iothread, backup, diskIOPS, \
                    diskMBps, blockSize, inodeSize";

fn wrong(field: &str, value: &str, should: &str) -> Refusal {
    Refusal::new(Kind::InvalidArgument, format!("{field}: `{value}` is not {should}"))
}

fn yes(field: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(wrong(field, value, "`true` or `false`")),
    }
}

fn number(field: &str, value: &str) -> Result<u32, Refusal> {
    value.parse().ok().filter(|n| *n > 0).ok_or_else(|| wrong(field, value, "a whole number above 0"))
}

fn one_of(field: &str, value: &str, all: &[&str]) -> Result<String, Refusal> {
    if all.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(wrong(field, value, &format!("one of {}", all.join(", "))))
    }
}

impl Parameters {
    /// Reads them. `field` says where they stand: `parameters`, `volume_context`.
    pub fn read<'a>(field: &str, map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Self, Refusal> {
        let mut out = Self { iothread: true, ..Self::default() };
        for (key, value) in map {
            let at = format!("{field}.{key}");
            match key.as_str() {
                "storage" => {
                    out.storage =
                        Some(value.parse().map_err(|why| Refusal::new(Kind::InvalidArgument, format!("{at}: {why}")))?);
                }
                "storageFormat" => {
                    out.format = match value.as_str() {
                        "raw" => Format::Raw,
                        "qcow2" => Format::Qcow2,
                        other => return Err(wrong(&at, other, "`raw` or `qcow2`")),
                    };
                }
                FS_TYPE => out.fs_type = FsType::read(&at, value)?,
                "cache" => {
                    let all = ["none", "directsync", "writethrough", "writeback", "unsafe"];
                    out.cache = Some(one_of(&at, value, &all)?);
                }
                "aio" => out.aio = Some(one_of(&at, value, &["native", "threads", "io_uring"])?),
                "ssd" => out.ssd = yes(&at, value)?,
                "iothread" => out.iothread = yes(&at, value)?,
                "backup" => out.backup = yes(&at, value)?,
                "diskIOPS" => out.iops = Some(number(&at, value)?),
                "diskMBps" => out.mbps = Some(number(&at, value)?),
                "blockSize" => out.block_size = Some(number(&at, value)?),
                "inodeSize" => out.inode_size = Some(number(&at, value)?),
                "replicate" | "replicateSchedule" | "replicateZones" => {
                    if key != "replicate" || yes(&at, value)? {
                        let why = format!("{at}: replication of ZFS volumes is not supported; leave it out");
                        return Err(Refusal::new(Kind::InvalidArgument, why));
                    }
                }
                // Written by the driver that people use now into volumes that it restored.
                "resizeRequired" | "resizeSizeBytes" if field != "parameters" => {}
                _ if SIDECARS.contains(&key.as_str()) => {}
                _ => {
                    let why = format!("{at}: no such parameter; there are {KEYS}");
                    return Err(Refusal::new(Kind::InvalidArgument, why));
                }
            }
        }
        Ok(out)
    }

    /// The storage, or what is missing.
    pub fn storage(&self) -> Result<&StorageId, Refusal> {
        self.storage.as_ref().ok_or_else(|| {
            Refusal::new(
                Kind::InvalidArgument,
                "parameters.storage: missing; name a storage of Proxmox VE that holds images",
            )
        })
    }

    /// What of these a volume remembers.
    pub fn context<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> BTreeMap<String, String> {
        let kept = |key: &String| !SIDECARS.contains(&key.as_str());
        map.into_iter().filter(|(key, _)| kept(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The drive as it is to be plugged in.
    pub fn drive(&self, volume: &VolumeId, identity: &Identity, read_only: bool) -> DiskSpec {
        let mut disk = DiskSpec::of(volume.clone());
        let flag = |yes: bool| if yes { "1" } else { "0" }.to_owned();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                disk.options.insert(key.to_owned(), value);
            }
        };
        put("wwn", Some(identity.wwn.to_string()));
        put("serial", Some(identity.serial.clone()));
        put("backup", Some(flag(self.backup)));
        put("replicate", Some("0".to_owned()));
        put("iothread", self.iothread.then(|| flag(true)));
        put("ssd", self.ssd.then(|| flag(true)));
        put("discard", self.ssd.then(|| "on".to_owned()));
        put("ro", read_only.then(|| flag(true)));
        put("cache", self.cache.clone());
        put("aio", self.aio.clone());
        for key in ["iops_rd", "iops_wr"] {
            put(key, self.iops.map(|n| n.to_string()));
        }
        for key in ["mbps_rd", "mbps_wr"] {
            put(key, self.mbps.map(|n| n.to_string()));
        }
        disk
    }

    /// What `mkfs` is told.
    pub fn mkfs_options(&self) -> Vec<String> {
        let (block, inode) = match self.fs_type {
            FsType::Ext4 => (vec!["-b"], vec!["-I"]),
            FsType::Xfs => (vec!["-b", "size="], vec!["-i", "size="]),
        };
        let option = |words: Vec<&str>, value: u32| -> Vec<String> {
            match words[..] {
                [flag, prefix] => vec![flag.to_owned(), format!("{prefix}{value}")],
                _ => words.into_iter().map(str::to_owned).chain([value.to_string()]).collect(),
            }
        };
        let block = self.block_size.map(|n| option(block, n)).unwrap_or_default();
        let inode = self.inode_size.map(|n| option(inode, n)).unwrap_or_default();
        block.into_iter().chain(inode).collect()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_class_of_the_driver_that_people_use_now_reads() {
        let class = map(&[
            ("storage", "data"),
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("cache", "writethrough"),
            ("ssd", "true"),
            ("diskIOPS", "4000"),
            ("diskMBps", "1000"),
            ("blockSize", "4096"),
            ("inodeSize", "512"),
            ("csi.storage.k8s.io/pvc/name", "data-0"),
        ]);
        let read = Parameters::read("parameters", &class).unwrap();
        let volume = "data:9100/vm-9100-pvc-1.raw".parse().unwrap();
        let identity = Identity { wwn: "0x5000c500a1b2c301".parse().unwrap(), serial: "s".to_owned() };
        assert_eq!(
            read.drive(&volume, &identity, false).to_string(),
            "data:9100/vm-9100-pvc-1.raw,backup=0,cache=writethrough,discard=on,iops_rd=4000,iops_wr=4000,iothread=1,\
             mbps_rd=1000,mbps_wr=1000,replicate=0,serial=s,ssd=1,wwn=0x5000c500a1b2c301"
        );
        assert_eq!(read.mkfs_options(), ["-b", "size=4096", "-i", "size=512"]);
        let context = Parameters::context(&class);
        assert!(!context.contains_key("csi.storage.k8s.io/pvc/name"));
        assert_eq!(Parameters::read("volume_context", &context).unwrap(), read);
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused_by_name_and_so_is_a_value_that_cannot_be() {
        for (key, value) in [
            ("Storage", "data"),
            ("storageClass", "x"),
            ("storage", "a b"),
            ("ssd", "maybe"),
            ("cache", "on"),
            ("aio", "posix"),
            ("diskIOPS", "-1"),
            ("blockSize", "4k"),
            ("csi.storage.k8s.io/fstype", "btrfs"),
            ("storageFormat", "vmdk"),
            ("replicate", "true"),
        ] {
            let refusal = Parameters::read("parameters", &map(&[(key, value)])).unwrap_err();
            assert_eq!(refusal.kind, Kind::InvalidArgument);
            assert!(refusal.why.contains(&format!("parameters.{key}")), "{refusal}");
        }
        assert!(Parameters::read("parameters", &map(&[("replicate", "false")])).is_ok());
    }
}
