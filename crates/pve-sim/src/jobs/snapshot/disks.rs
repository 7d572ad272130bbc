//! The disks of a snapshot: which there are, what their storages can do with them, and what is said of it.

use crate::calls::lxc::mountpoint::{self, is_mountpoint_key};
use crate::calls::qemu::feature;
use crate::jobs::lxc::disk;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key};
use crate::state::guest::{Config, Guest, GuestKind, Snapshot};
use crate::state::storage::{Layout, Storage, name};

/// Keys and volumes of the disks of a configuration.
pub(super) fn of(kind: GuestKind, config: &Config) -> Vec<(&str, &str)> {
    let is_disk = |key: &str, text: &str| match kind {
        GuestKind::Qemu => is_drive_key(key) && !is_cdrom(text),
        GuestKind::Lxc => {
            is_mountpoint_key(key) && mountpoint::kind(mountpoint::volume(text)) == mountpoint::Kind::Volume
        }
    };
    config.iter().filter(|(key, text)| is_disk(key, text)).map(|(key, text)| (key.as_str(), file_of(text))).collect()
}

/// Whether every disk can have snapshots.
pub(super) fn all_can(world: &World, guest: &Guest) -> bool {
    match guest.kind {
        GuestKind::Qemu => feature::all_have(world, &guest.node, &guest.config, "snapshot", false),
        GuestKind::Lxc => {
            let mut mounts = guest.config.iter().filter(|(key, _)| is_mountpoint_key(key));
            mounts.all(|(_, text)| disk::able(world, "snapshot", text, false))
        }
    }
}

/// Whether only the newest snapshot of a volume can be gone back to: the others would have to go first.
fn newest_only(storage: &Storage, volid: &str) -> bool {
    let name = volid.split_once(':').map_or("", |(_, name)| name);
    let chain = storage.option("snapshot-as-volume-chain") == "1"
        && name::parse(storage.kind().layout, name).is_ok_and(|n| n.format == "qcow2");
    storage.kind().layout == Layout::Zfs || chain
}

/// Whether `one` was made after `other`.
fn later(guest: &Guest, one: &str, other: &str) -> bool {
    let Some((first, second)) = guest.snapshots.get(other).zip(guest.snapshots.get(one)) else { return false };
    if first.snaptime != second.snaptime {
        return first.snaptime < second.snaptime;
    }
    // Within a second, those that come from another are later.
    let mut at = second.parent.as_deref();
    for _ in 0..guest.snapshots.len() {
        match at {
            Some(name) if name == other => return true,
            Some(name) => at = guest.snapshots.get(name).and_then(|s| s.parent.as_deref()),
            None => return false,
        }
    }
    false
}

/// Why a snapshot can't be gone back to.
pub(super) fn blocks(world: &World, guest: &Guest, name: &str, kept: &Snapshot) -> Option<String> {
    let has = |other: &Snapshot, volid: &str| of(guest.kind, &other.config).iter().any(|(_, v)| *v == volid);
    let volid = of(guest.kind, &kept.config).into_iter().map(|(_, volid)| volid).find(|volid| {
        let storage = volid.split_once(':').and_then(|(id, _)| world.storages.get(id));
        storage.is_some_and(|s| newest_only(s, volid))
            && guest.snapshots.iter().any(|(n, s)| has(s, volid) && later(guest, n, name))
    })?;
    Some(format!("can't rollback, '{name}' is not most recent snapshot on '{volid}'"))
}

/// What the log is told when a disk of a VM has got its snapshot.
pub(super) fn told(world: &World, guest: &Guest, name: &str, key: &str, volid: &str) -> Vec<String> {
    if guest.kind == GuestKind::Lxc {
        return Vec::new();
    }
    let mut lines = vec![format!("snapshotting 'drive-{key}' ({volid})")];
    let (id, volume) = volid.split_once(':').unwrap_or_default();
    let Some(storage) = world.storages.get(id) else { return lines };
    match storage.kind().layout {
        Layout::Files if guest.running() && !newest_only(storage, volid) => {
            lines.push("internal qemu snapshot".to_owned());
        }
        Layout::LvmThin => lines.push(format!("  Logical volume \"snap_{volume}_{name}\" created.")),
        Layout::Rbd => lines.push("Creating snap: 100% complete...done.".to_owned()),
        _ => {}
    }
    lines
}
