//! Volumes come and go: allocated, cloned from a base, turned into a base, freed.
//!
//! Promises the names, the sizes and the refusals of each type of storage. What is refused changes nothing.

use super::kind::{Layout, Space};
use super::name::{self, Name};
use super::{Storage, Volume};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::contents::Contents;

/// A guest has so many volumes on one storage at most.
const MOST: u32 = 1024;

/// An image that somebody wants.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) storage: &'a str,
    pub(crate) vmid: u32,
    /// None for the storage's default.
    pub(crate) format: Option<&'a str>,
    /// None for the first free number.
    pub(crate) name: Option<&'a str>,
    pub(crate) bytes: u64,
}

/// What happens to the contents of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Keep,
    BringBack,
    Forget,
}

impl World {
    /// A storage that a node can use now.
    pub(crate) fn activate(&self, id: &str, node: &str) -> Result<&Storage, Fail> {
        let storage = self.storage_on(id, node)?;
        if storage.reachable(node) {
            return Ok(storage);
        }
        let mounted = ["dir", "btrfs", "cephfs"].contains(&storage.kind.as_str());
        Err(Fail::die(if mounted {
            let path = &storage.path;
            format!("unable to activate storage '{id}' - directory '{path}' does not exist or is unreachable")
        } else {
            format!("storage '{id}' is not online")
        }))
    }

    /// The name of a volume of a guest, in its folder if the storage has folders.
    pub(crate) fn volume_name(&self, storage: &str, vmid: u32, stem: &str, format: &str) -> String {
        match self.storages.get(storage).map(|s| s.kind().layout) {
            None | Some(Layout::Files) => format!("{vmid}/{stem}.{format}"),
            Some(Layout::Lvm) if format == "qcow2" => format!("{stem}.{format}"),
            Some(_) => stem.to_owned(),
        }
    }

    /// The first free name `vm-VMID-disk-N` of a guest on a storage.
    pub(crate) fn free_name(&self, storage: &str, node: &str, vmid: u32, format: &str) -> Result<String, String> {
        let kind = self.storages.get(storage).map_or_else(|| super::Kind::of("dir"), Storage::kind);
        let prefix = if format == "subvol" { "subvol" } else { "vm" };
        let suffix = if kind.files() || format == "qcow2" { format!(".{format}") } else { String::new() };
        let (prefixes, ending): (&[&str], &str) = if kind.formats.contains(&"subvol") {
            (&["vm-", "base-", "subvol-", "basevol-"], "")
        } else {
            (&["vm-", "base-"], &suffix)
        };
        let taken: std::collections::BTreeSet<u32> = self
            .volumes
            .of(vmid)
            .filter(|v| v.storage == storage && v.node.as_deref().is_none_or(|n| n == node))
            .filter_map(|v| disk_number(v.name.rsplit('/').next()?, prefixes, vmid, ending))
            .collect();
        let Some(number) = (0..MOST).find(|n| !taken.contains(n)) else {
            return Err(format!("unable to allocate an image name for VM {vmid} in storage '{storage}'"));
        };
        let stem = format!("{prefix}-{vmid}-disk-{number}");
        Ok(if kind.files() { format!("{vmid}/{stem}{suffix}") } else { format!("{stem}{suffix}") })
    }

    /// Makes an image.
    pub(crate) fn allocate(&mut self, node: &str, ask: &Ask<'_>) -> Result<Volume, String> {
        let storage = self.activate(ask.storage, node).map_err(|f| f.line())?;
        let format = ask.format.unwrap_or_else(|| storage.formats()[0]).to_owned();
        let name = self.image_name(storage, node, ask, &format)?;
        let bytes = image_size(storage, ask.bytes, &format);
        let volid = format!("{}:{name}", ask.storage);
        if self.volumes.find(&volid, node).is_some() {
            return Err(exists(storage, &name));
        }
        room(storage, &name, &format, bytes, storage.fill(&self.volumes, node).avail)?;
        let volume = self.image(ask.storage, node, &name, &format, bytes, ask.vmid);
        self.volumes.insert(volume.clone());
        Ok(volume)
    }

    fn image_name(&self, storage: &Storage, node: &str, ask: &Ask<'_>, format: &str) -> Result<String, String> {
        let (vmid, layout) = (ask.vmid, storage.kind().layout);
        let unsupported = || format!("unsupported format '{format}'");
        match layout {
            Layout::Iscsi | Layout::IscsiDirect => return Err("can't allocate space in iscsi storage".to_owned()),
            Layout::BackupServer => return Err("can't allocate space in pbs storage".to_owned()),
            Layout::Esxi => return Err("can't allocate space in esxi storage".to_owned()),
            Layout::Lvm if format != "raw" && format != "qcow2" => return Err(unsupported()),
            Layout::LvmThin | Layout::Rbd if format != "raw" => return Err(unsupported()),
            Layout::Zfs if format != "raw" && format != "subvol" => return Err(unsupported()),
            Layout::Files | Layout::Lvm | Layout::LvmThin | Layout::Rbd | Layout::Zfs => {}
        }
        let Some(given) = ask.name else { return self.free_name(ask.storage, node, vmid, format) };
        let prefix = if format == "subvol" { "subvol" } else { "vm" };
        match layout {
            Layout::Files => {
                let (of_name, _) = name::image_file(given)?;
                if of_name != format {
                    return Err(format!(
                        "illegal name '{given}' - wrong extension for format ('{of_name} != '{format}')"
                    ));
                }
                Ok(format!("{vmid}/{given}"))
            }
            Layout::Lvm => {
                let read = name::parse(layout, given)?;
                if read.format != format {
                    let hint = if format == "qcow2" { format!("{given}.qcow2") } else { given.replace(".qcow2", "") };
                    return Err(format!(
                        "volume name '{given}' does not match requested format '{format}' (did you mean '{hint}'?)"
                    ));
                }
                Ok(given.to_owned())
            }
            _ if !given.starts_with(&format!("{prefix}-{vmid}-")) => {
                Err(format!("illegal name '{given}' - should be '{prefix}-{vmid}-*'"))
            }
            _ => name::parse(layout, given).map(|_| given.to_owned()),
        }
    }

    /// An image as it would be; it is nowhere yet.
    pub(crate) fn image(&self, storage: &str, node: &str, name: &str, format: &str, size: u64, vmid: u32) -> Volume {
        let shared = self.storages.get(storage).is_some_and(|s| s.shared);
        Volume {
            storage: storage.to_owned(),
            node: (!shared).then(|| node.to_owned()),
            name: name.to_owned(),
            content: "images".to_owned(),
            format: format.to_owned(),
            size,
            ctime: self.seconds(),
            vmid: Some(vmid),
            ..Volume::default()
        }
    }

    /// Bytes are kept there from now on, those of volumes too.
    pub(crate) fn keep_in(&mut self, contents: Contents) {
        self.volumes.keep_in(contents.clone());
        self.contents = contents;
    }

    /// What is in a guest's disks is kept under the name of a snapshot, brought back from it, or forgotten with it.
    pub(crate) fn snapshot_contents(&self, vmid: u32, snapshot: &str, what: Keeping) {
        for volume in self.volumes.of(vmid).filter(|v| v.is_disk()) {
            match what {
                Keeping::Keep => self.contents.keep(volume, snapshot),
                Keeping::BringBack => self.contents.bring_back(volume, snapshot),
                Keeping::Forget => self.contents.drop_kept(volume, snapshot),
            }
        }
    }

    /// Frees a volume; what the log of the task is told.
    pub(crate) fn free(&mut self, volid: &str, node: &str) -> Result<Vec<String>, String> {
        let (id, name) = volid.split_once(':').ok_or_else(|| format!("unable to parse volume ID '{volid}'"))?;
        let storage = self.activate(id, node).map_err(|f| f.line())?;
        let layout = storage.kind().layout;
        let read = name::parse(layout, name)?;
        let file = storage.file(name);
        let Some(volume) = self.volumes.find(volid, node) else { return missing(storage, &read, &file) };
        if self.volumes.is_base_in_use(volume) {
            return Err(format!("base volume '{name}' is still in use by linked clones"));
        }
        if volume.protected {
            return Err(format!("cannot remove protected volume '{name}' on '{id}'"));
        }
        let opened =
            volume.vmid.and_then(|vmid| self.guests.get(&vmid)).is_some_and(|g| g.running() && g.has_volume(volid));
        let last = read.file;
        match layout {
            Layout::Lvm | Layout::LvmThin if opened => {
                let lv = format!("{}/{name}", storage.option("vgname"));
                return Err(format!("lvremove '{lv}' error:   Logical volume {lv} in use."));
            }
            Layout::Zfs if opened => {
                return Err(format!("zfs error: cannot destroy '{}/{last}': dataset is busy", storage.option("pool")));
            }
            Layout::Rbd if opened => {
                return Err(format!("rbd rm '{last}' error: rbd: error: image still has watchers"));
            }
            Layout::Iscsi | Layout::IscsiDirect => return Err("can't free space in iscsi storage".to_owned()),
            _ => {}
        }
        let log = match layout {
            Layout::Lvm | Layout::LvmThin => vec![format!("  Logical volume \"{name}\" successfully removed.")],
            Layout::Rbd => vec!["Removing image: 100% complete...done.".to_owned()],
            _ => Vec::new(),
        };
        self.drop_volume(volid, node);
        Ok(log)
    }

    /// Takes a volume away, whatever hangs on it.
    pub(crate) fn drop_volume(&mut self, volid: &str, node: &str) -> Option<Volume> {
        self.volumes.remove(volid, node)
    }

    /// A linked clone of a base, or of a snapshot where that can be.
    pub(crate) fn clone_volume(
        &mut self,
        volid: &str,
        node: &str,
        vmid: u32,
        snapshot: bool,
    ) -> Result<Volume, String> {
        let Some(base) = self.volumes.find(volid, node).cloned() else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        let storage = self.activate(&base.storage, node).map_err(|f| f.line())?;
        let kind = storage.kind();
        if kind.layout == Layout::Lvm {
            return Err("can't clone images in lvm storage".to_owned());
        }
        let is_base = name::parse(kind.layout, &base.name)?.is_base;
        if !super::feature(storage, "clone", &base.name, snapshot) {
            return Err("clone_image only works on base images".to_owned());
        }
        let files = kind.files();
        let format = if files && kind.name != "btrfs" { "qcow2" } else { base.format.as_str() };
        let own = self.free_name(&base.storage, node, vmid, format)?;
        let last = base.name.rsplit('/').next().unwrap_or_default();
        let name = match kind.layout {
            Layout::Files if kind.name != "btrfs" => format!("{}/{last}/{own}", base.vmid.unwrap_or_default()),
            Layout::Zfs | Layout::Rbd if is_base => format!("{last}/{own}"),
            _ => own,
        };
        let parent = name.contains(last).then(|| base.name.clone());
        let volume = Volume { parent, ..self.image(&base.storage, node, &name, format, base.size, vmid) };
        self.volumes.insert(volume.clone());
        self.contents.copy(&base, &volume);
        Ok(volume)
    }

    /// Turns an image into a base; its new volume id.
    pub(crate) fn make_base(&mut self, volid: &str, node: &str) -> Result<String, String> {
        let Some(volume) = self.volumes.find(volid, node).cloned() else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        let layout = self.storage(&volume.storage).map_err(|f| f.line())?.kind().layout;
        if layout == Layout::Lvm {
            return Err("can't create base images in lvm storage".to_owned());
        }
        let read = name::parse(layout, &volume.name)?;
        if read.is_base {
            return Err("create_base not possible with base image".to_owned());
        }
        let file = match read.file.strip_prefix("subvol-") {
            Some(rest) => format!("basevol-{rest}"),
            None => read.file.strip_prefix("vm-").map_or_else(|| read.file.to_owned(), |rest| format!("base-{rest}")),
        };
        let front = &volume.name[..volume.name.len() - read.file.len()];
        self.rename(volid, node, &format!("{front}{file}"), volume.vmid)
    }

    fn rename(&mut self, volid: &str, node: &str, name: &str, vmid: Option<u32>) -> Result<String, String> {
        let Some(before) = self.volumes.find(volid, node).cloned() else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        let after = Volume { name: name.to_owned(), vmid, ..before.clone() };
        if self.volumes.find(&after.volid(), node).is_some() {
            return Err(format!("target volume '{name}' already exists"));
        }
        if let Some(mut volume) = self.volumes.find_mut(volid, node) {
            *volume = after.clone();
        }
        Ok(after.volid())
    }
}

/// The N in `PREFIXVMID-disk-N`.
fn disk_number(file: &str, prefixes: &[&str], vmid: u32, ending: &str) -> Option<u32> {
    let rest = prefixes.iter().find_map(|p| file.strip_prefix(p)?.strip_prefix(&format!("{vmid}-disk-")))?;
    let digits: &str = &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()];
    rest[digits.len()..].starts_with(ending).then(|| digits.parse().ok())?
}

/// The size that the storage makes of a wish.
fn image_size(storage: &Storage, bytes: u64, format: &str) -> u64 {
    let up = |to: u64| bytes.div_ceil(to) * to;
    match storage.kind().layout {
        Layout::Lvm | Layout::LvmThin => up(4 << 20),
        Layout::Zfs if format == "raw" => up(1 << 20),
        Layout::Rbd => up(1 << 20),
        _ => up(512),
    }
}

fn exists(storage: &Storage, name: &str) -> String {
    let (vg, pool) = (storage.option("vgname"), storage.option("pool"));
    match storage.kind().layout {
        Layout::Lvm | Layout::LvmThin => {
            format!("lvcreate '{vg}/{name}' error:   Logical Volume \"{name}\" already exists in volume group \"{vg}\"")
        }
        Layout::Zfs => format!("zfs error: cannot create '{pool}/{name}': dataset already exists"),
        Layout::Rbd => format!("rbd create '{name}' error: rbd: create error: (17) File exists"),
        _ => format!("disk image '{}' already exists", storage.file(name)),
    }
}

/// Whether an image of this size can be made where so much is available.
fn room(storage: &Storage, name: &str, format: &str, bytes: u64, avail: u64) -> Result<(), String> {
    let (vg, file) = (storage.option("vgname"), storage.file(name));
    match storage.kind().layout {
        Layout::Lvm | Layout::LvmThin if bytes == 0 => {
            Err(format!("lvcreate '{vg}/{name}' error:   Unable to create new logical volume with no extents."))
        }
        // Free bytes are compared with wanted KiB; the volume manager has the last word.
        Layout::Lvm if avail < bytes >> 10 => Err(format!("not enough free space ({avail} < {})", bytes >> 10)),
        Layout::Lvm if avail < bytes => Err(format!(
            "lvcreate '{vg}/{name}' error:   Volume group \"{vg}\" has insufficient free space ({} extents): {} required.",
            avail >> 22,
            bytes >> 22
        )),
        Layout::LvmThin if avail == 0 => Err(format!(
            "lvcreate '{vg}/{name}' error:   Cannot create new thin volume, free space in thin pool {vg}/{} reached \
             threshold.",
            storage.option("thinpool")
        )),
        Layout::Zfs if avail < bytes && storage.option("sparse") != "1" => {
            Err(format!("zfs error: cannot create '{}/{name}': out of space", storage.option("pool")))
        }
        Layout::Files if format == "subvol" && bytes != 0 && storage.kind != "btrfs" => {
            Err("storage does not support subvol quotas".to_owned())
        }
        Layout::Files if name.rsplit('/').next().is_some_and(|f| f.len() > 255) => {
            Err(format!("unable to create image: qemu-img: {file}: Could not create '{file}': File name too long"))
        }
        Layout::Files if avail == 0 || (preallocated(storage) && avail < bytes) => {
            Err(format!("unable to create image: qemu-img: {file}: Could not resize file: No space left on device"))
        }
        _ => Ok(()),
    }
}

fn preallocated(storage: &Storage) -> bool {
    storage.kind().space == Space::Thin && ["falloc", "full"].contains(&storage.option("preallocation"))
}

/// What freeing a volume that isn't there says.
fn missing(storage: &Storage, name: &Name<'_>, file: &str) -> Result<Vec<String>, String> {
    let (vg, last) = (storage.option("vgname"), name.file);
    match storage.kind().layout {
        Layout::Files if name.format == "subvol" => Ok(Vec::new()),
        Layout::Files => Ok(vec![format!("disk image '{file}' does not exist")]),
        Layout::Lvm => Err(format!("lvremove '{vg}/{last}' error:   Failed to find logical volume \"{vg}/{last}\"")),
        Layout::Rbd => Err(format!("rbd error: rbd: error opening image {last}: (2) No such file or directory")),
        Layout::Iscsi | Layout::IscsiDirect => Err("can't free space in iscsi storage".to_owned()),
        Layout::LvmThin | Layout::Zfs | Layout::BackupServer | Layout::Esxi => Ok(Vec::new()),
    }
}
