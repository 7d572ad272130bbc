//! Restoring a VM from a backup.

use serde::{Deserialize, Serialize};

use super::dates;
use crate::calls::qemu::drives::new_volume;
use crate::jobs::{Job, Next};
use crate::state::World;
use crate::state::backup::{Archive, Disk};
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, print_size};
use crate::state::guest::{Config, Guest, GuestKind};
use crate::state::storage::owner;

/// A VM that comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Restore {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) archive: String,
    pub(crate) storage: Option<String>,
    pub(crate) unique: bool,
    pub(crate) pool: Option<String>,
    pub(crate) start: bool,
    /// What the call sets beside what the backup says.
    pub(crate) set: Config,
    /// The VM that is restored over.
    pub(crate) before: Option<Box<Guest>>,
    pub(crate) begun: bool,
}

pub(crate) fn step(world: &mut World, upid: &str, mut work: Restore, doom: Option<String>) -> Next {
    if !work.begun {
        work.begun = true;
        let time = world.pace.of("restore");
        return Next::Again(Box::new(Job::Backup(Box::new(super::Backup::Restore(work)))), time);
    }
    let vmid = work.vmid;
    let mut made = Vec::new();
    let result = build(world, upid, &work, &mut made).and_then(|config| doom.map_or(Ok(config), Err));
    let config = match result {
        Ok(config) => config,
        Err(text) => {
            for volid in made {
                world.volumes.remove(&volid, &work.node);
            }
            match work.before {
                Some(before) => {
                    world.guests.insert(vmid, *before);
                }
                None => world.forget(vmid),
            }
            return Next::Failed(format!("unable to restore VM {vmid} - {text}"));
        }
    };
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = config;
        guest.pending.clear();
        guest.snapshots.clear();
        guest.parent = None;
    }
    if let Some(pool) = work.pool.as_ref().and_then(|p| world.pools.get_mut(p)) {
        pool.vms.insert(vmid);
    }
    if work.start {
        return Next::Again(Box::new(Job::Start { vmid }), world.pace.of("start"));
    }
    Next::Done
}

/// The volumes of the VM that was there go before those of the backup come.
fn clear(world: &mut World, work: &Restore) {
    let Some(before) = &work.before else { return };
    let all = before.config.iter().chain(before.snapshots.values().flat_map(|s| s.config.iter()));
    for (_, text) in all.filter(|(k, v)| is_drive_key(k) && !is_cdrom(v)) {
        let volid = file_of(text);
        if owner(volid.split_once(':').map_or("", |(_, n)| n)) == Some(work.vmid) {
            world.volumes.remove(volid, &work.node);
        }
    }
}

fn build(world: &mut World, upid: &str, work: &Restore, made: &mut Vec<String>) -> Result<Config, String> {
    let archive = world.archive(&work.archive, &work.node)?;
    if archive.kind != GuestKind::Qemu {
        return Err(format!("'{}' is not a backup of a VM", work.archive));
    }
    announce(world, upid, work, &archive);
    clear(world, work);
    let mut config = Config::new();
    for (key, value) in &archive.config {
        if is_drive_key(key) && !is_cdrom(value) {
            if let Some(disk) = archive.disks.iter().find(|d| d.key == *key) {
                let volid = allocate(world, upid, work, disk)?;
                made.push(volid.clone());
                let rest: Vec<&str> = value.split(',').skip(1).filter(|p| !p.starts_with("size=")).collect();
                let mut parts = vec![volid];
                parts.extend(rest.into_iter().map(str::to_owned));
                parts.push(format!("size={}", print_size(disk.size)));
                parts[1..].sort();
                config.insert(key.clone(), parts.join(","));
            }
            continue;
        }
        config.insert(key.clone(), changed(world, work, key, value));
    }
    progress(world, upid, &archive);
    config.extend(work.set.clone());
    Ok(config)
}

fn announce(world: &mut World, upid: &str, work: &Restore, archive: &Archive) {
    let Some(volume) = world.volumes.find(&work.archive, &work.node).cloned() else { return };
    let file = world.storages.get(&volume.storage).map_or_else(String::new, |s| s.file(&volume.name));
    let pid = world.tasks.get(upid).map_or(0, |t| t.pid);
    let reader = match file.rsplit_once('.').map(|(_, e)| e) {
        Some("zst") => Some("zstd -q -d -c"),
        Some("gz") => Some("zcat"),
        Some("lzo") => Some("lzop -d -c"),
        _ => None,
    };
    let temporary = format!("/var/tmp/vzdumptmp{pid}");
    world.log(
        upid,
        match reader {
            Some(reader) => {
                format!("restore vma archive: {reader} {file} | vma extract -v -r {temporary}.fifo - {temporary}")
            }
            None => format!("restore vma archive: vma extract -v -r {temporary}.fifo {file} {temporary}"),
        },
    );
    let size: usize = archive.config.iter().map(|(k, v)| k.len() + v.len() + 3).sum();
    world.log(upid, format!("CFG: size: {size} name: qemu-server.conf"));
    for (at, disk) in archive.disks.iter().enumerate() {
        world.log(upid, format!("DEV: dev_id={} size: {} devname: drive-{}", at + 1, disk.size, disk.key));
    }
    world.log(upid, format!("CTIME: {}", dates::long(archive.ctime)));
}

fn allocate(world: &mut World, upid: &str, work: &Restore, disk: &Disk) -> Result<String, String> {
    let hinted = || {
        let usable = |id: &&str| world.storage_on(id, &work.node).is_ok_and(|s| s.content.contains("images"));
        Some(disk.storage.as_str()).filter(usable).unwrap_or("local").to_owned()
    };
    let storage = work.storage.clone().unwrap_or_else(hinted);
    let there = world.storage_on(&storage, &work.node).map_err(|f| f.line())?;
    if !there.content.contains("images") {
        return Err(format!("storage '{storage}' does not support vm images"));
    }
    let name = world.free_name(&storage, &work.node, work.vmid, &disk.format)?;
    let volume = new_volume(world, &storage, &work.node, &name, &disk.format, disk.size, work.vmid);
    let line = crate::jobs::image::formatting(world, &volume);
    world.log(upid, line);
    world.log(upid, format!("new volume ID is '{}'", volume.volid()));
    let file = world.storages.get(&storage).map_or_else(String::new, |s| s.file(&volume.name));
    world.log(upid, format!("map 'drive-{}' to '{file}' (write zeros = 0)", disk.key));
    let volid = volume.volid();
    world.volumes.insert(volume);
    Ok(volid)
}

/// A line of the backup's configuration as the restored VM has it.
fn changed(world: &mut World, work: &Restore, key: &str, value: &str) -> String {
    if key == "vmgenid" {
        return world.chance.uuid();
    }
    if work.unique && key == "smbios1" {
        let fresh = format!("uuid={}", world.chance.uuid());
        let rest = value.split(',').filter(|p| !p.starts_with("uuid="));
        return std::iter::once(fresh.as_str()).chain(rest).collect::<Vec<_>>().join(",");
    }
    if work.unique && is_net_key(key) {
        let (first, rest) = value.split_once(',').map_or((value, None), |(f, r)| (f, Some(r)));
        let model = first.split('=').next().unwrap_or("virtio");
        let fresh = format!("{model}={}", world.mac());
        return rest.map_or_else(|| fresh.clone(), |r| format!("{fresh},{r}"));
    }
    value.to_owned()
}

fn progress(world: &mut World, upid: &str, archive: &Archive) {
    let total: u64 = archive.disks.iter().map(|d| d.size).sum();
    for percent in 1..=100 {
        world.log(upid, format!("progress {percent}% (read {} bytes, duration 0 sec)", total / 100 * percent));
    }
    world.log(upid, format!("total bytes read {total}, sparse bytes {total} (100%)"));
    world.log(upid, "space reduction due to 4K zero blocks 0%");
    world.log(upid, "rescan volumes...");
}
