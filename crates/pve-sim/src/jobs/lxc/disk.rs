//! Volumes of containers: names, what a storage can do with them, the file system's chatter.

use crate::calls::lxc::mountpoint::{self, Kind, is_mountpoint_key};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::guest::{Config, GuestKind};
use crate::state::storage::{Layout, Volume};

/// The format and name of the first free volume of a container on a storage.
pub(crate) fn free_name(world: &World, storage: &str, node: &str, vmid: u32) -> Result<(String, &'static str), String> {
    let zfs = world.storages.get(storage).is_some_and(|s| s.kind().layout == Layout::Zfs);
    let format = if zfs { "subvol" } else { "raw" };
    Ok((world.free_name(storage, node, vmid, format)?, format))
}

/// Makes a volume for a container.
pub(crate) fn allocate(world: &mut World, storage: &str, node: &str, vmid: u32, bytes: u64) -> Result<Volume, Fail> {
    world.storage_on(storage, node)?;
    let (name, format) = free_name(world, storage, node, vmid).map_err(Fail::die)?;
    let volume = crate::calls::qemu::drives::new_volume(world, storage, node, &name, format, bytes, vmid);
    world.volumes.insert(volume.clone());
    Ok(volume)
}

/// The lines that making a file system prints.
pub(crate) fn chatter(world: &mut World, upid: &str, volume: &Volume) {
    if volume.format != "raw" {
        return;
    }
    if volume.name.contains('/') {
        let line = crate::jobs::image::formatting(world, volume);
        world.log(upid, line);
    }
    let blocks = volume.size / 4096;
    world.log(upid, format!("Creating filesystem with {blocks} 4k blocks and {} inodes", blocks / 4));
    let id = world.chance.uuid();
    world.log(upid, format!("Filesystem UUID: {id}"));
    world.log(upid, "Superblock backups stored on blocks: ");
    let groups = blocks / 32768;
    let powers = |base: u64| std::iter::successors(Some(1), move |n: &u64| n.checked_mul(base));
    let mut backups: Vec<u64> = [3, 5, 7].into_iter().flat_map(|b| powers(b).take_while(|g| *g < groups)).collect();
    backups.sort_unstable();
    backups.dedup();
    let words: Vec<String> = backups.iter().map(|g| (g * 32768).to_string()).collect();
    world.log(upid, format!("\t{}", words.join(", ")));
}

/// Whether the storage of a mount point can do something with it: `snapshot`, `clone`, `copy`, `rename`.
pub(crate) fn able(world: &World, feature: &str, text: &str, snapshot: bool) -> bool {
    let volid = mountpoint::volume(text);
    if mountpoint::kind(volid) != Kind::Volume {
        return false;
    }
    let Some((storage, name)) = volid.split_once(':') else { return false };
    let kind = world.storages.get(storage).map_or("dir", |s| s.kind.as_str());
    let base = name.rsplit('/').next().is_some_and(|f| f.starts_with("base"));
    match (feature, kind) {
        ("snapshot", "zfspool" | "lvmthin" | "rbd" | "btrfs") => !base,
        ("clone", "zfspool") => base && !snapshot,
        ("clone", "lvmthin" | "rbd") => base || snapshot,
        ("copy" | "rename", _) => true,
        _ => false,
    }
}

/// Turns a container into a template: its volumes become bases.
pub(crate) fn template(world: &mut World, node: &str, vmid: u32) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    let mut config: Config = guest.config.clone();
    config.insert("template".to_owned(), "1".to_owned());
    for (key, text) in guest.config.clone().iter().filter(|(k, _)| is_mountpoint_key(k)) {
        let volid = mountpoint::volume(text).to_owned();
        if world.volumes.find(&volid, node).is_some() {
            let renamed = world.make_base(&volid, node)?;
            config.insert(key.clone(), text.replacen(&volid, &renamed, 1));
        }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = config;
    }
    Ok(())
}
