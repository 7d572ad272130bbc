//! Disks: resized, moved to another storage, given to another VM, turned into bases.

use serde::{Deserialize, Serialize};

use super::clone::with_volume;
use super::{Job, Next, image};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_unused_key, parse_size, print_size};
use crate::state::guest::Guest;
use crate::state::storage::Volume;
use crate::state::storage::alloc::Ask;

/// A resize.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resize {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) disk: String,
    pub(crate) size: String,
    pub(crate) digest: Option<String>,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// A move to another storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) disk: String,
    pub(crate) storage: String,
    pub(crate) format: Option<String>,
    pub(crate) delete: bool,
    /// The volume that is being copied to.
    pub(crate) target: Option<String>,
}

/// A disk that another VM gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reassign {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) disk: String,
    pub(crate) target: u32,
    pub(crate) target_disk: String,
}

fn unlocked(guest: &Guest) -> Result<(), String> {
    guest.get("lock").map_or(Ok(()), |lock| Err(format!("VM is locked ({lock})")))
}

pub(crate) fn resize(world: &mut World, upid: &str, resize: &Resize) -> Result<(), String> {
    let guest = world.guest(&resize.node, resize.vmid).map_err(|f| f.line())?;
    if resize.digest.as_ref().is_some_and(|d| *d != guest.digest()) {
        return Err("checksum mismatch (file change by other user?)".to_owned());
    }
    if !resize.skiplock {
        unlocked(guest)?;
    }
    let running = guest.running();
    let Some(text) = guest.get(&resize.disk).map(str::to_owned) else {
        return Err(format!("disk '{}' does not exist", resize.disk));
    };
    let volid = file_of(&text).to_owned();
    if volid == "none" {
        return Err(format!("disk '{}' has no associated volume", resize.disk));
    }
    if is_cdrom(&text) {
        return Err("you can't resize a cdrom".to_owned());
    }
    if resize.disk.starts_with("efidisk") || resize.disk.starts_with("tpmstate") {
        return Err(format!("disk '{}' can't be resized", resize.disk));
    }
    let Some(mut volume) = world.volumes.find_mut(&volid, &resize.node) else {
        return Err(format!("volume '{volid}' does not exist"));
    };
    let asked = resize.size.strip_prefix('+');
    let number = parse_size(asked.unwrap_or(&resize.size)).unwrap_or_default();
    let size = if asked.is_some() { volume.size + number } else { number };
    if size < volume.size {
        return Err("shrinking disks is not supported".to_owned());
    }
    if size == volume.size {
        return Ok(());
    }
    volume.size = size;
    drop(volume);
    if running {
        world.header_written(resize.vmid, &volid);
    } else {
        world.log(upid, "Image resized.");
    }
    let mut parts: Vec<String> = text.split(',').filter(|p| !p.starts_with("size=")).map(str::to_owned).collect();
    let first = parts.remove(0);
    parts.push(format!("size={}", print_size(size)));
    if running {
        crate::hook::changed(world, resize.vmid, &resize.disk);
    }
    parts.sort();
    parts.insert(0, first);
    if let Ok(guest) = world.guest_mut(&resize.node, resize.vmid) {
        guest.config.insert(resize.disk.clone(), parts.join(","));
    }
    Ok(())
}

/// Copies the disk, puts the copy in its place, and keeps or frees what was there.
pub(crate) fn relocate(world: &mut World, upid: &str, mut job: Move) -> Next {
    match copied(world, upid, &mut job) {
        Ok(Some(seconds)) => Next::Again(Box::new(Job::Move(job)), seconds),
        Ok(None) => Next::Done,
        Err(text) => {
            if let Some(target) = &job.target {
                world.drop_volume(target, &job.node);
            }
            Next::Failed(text)
        }
    }
}

fn copied(world: &mut World, upid: &str, job: &mut Move) -> Result<Option<f64>, String> {
    let guest = world.guest(&job.node, job.vmid).map_err(|f| f.line())?;
    unlocked(guest)?;
    let Some(text) = guest.get(&job.disk).map(str::to_owned) else {
        return Err(format!("disk '{}' does not exist", job.disk));
    };
    let volid = file_of(&text).to_owned();
    let Some(source) = world.volumes.find(&volid, &job.node).cloned() else {
        return Err(format!("storage migration failed: volume '{volid}' does not exist"));
    };
    let Some(target) = &job.target else {
        let formats = world.storage(&job.storage).map_err(|f| f.line())?.formats();
        let kept = formats.contains(&source.format.as_str()).then(|| source.format.clone());
        let format = job.format.clone().or(kept);
        world.log(upid, format!("create full clone of drive {} ({volid})", job.disk));
        let ask = Ask {
            storage: &job.storage,
            vmid: job.vmid,
            format: format.as_deref(),
            name: None,
            bytes: source.image_size(),
        };
        let volume = world.allocate(&job.node, &ask).map_err(|t| format!("storage migration failed: {t}"))?;
        for line in image::copied(world, &volume) {
            world.log(upid, line);
        }
        job.target = Some(volume.volid());
        return Ok(Some(world.pace.of("clone-full")));
    };
    let Some(volume) = world.volumes.find(target, &job.node).cloned() else {
        return Err(format!("storage migration failed: volume '{target}' does not exist"));
    };
    world.contents.copy(&source, &volume);
    let moved = with_volume(&text, &volume);
    let in_snapshot = guest_mut(world, job)?.snapshots.values().any(|s| s.config.values().any(|v| file_of(v) == volid));
    let guest = guest_mut(world, job)?;
    guest.config.insert(job.disk.clone(), moved.clone());
    if let Some(devices) = guest.devices_mut().filter(|d| d.contains_key(&job.disk)) {
        devices.insert(job.disk.clone(), moved);
    }
    let owned = source.vmid == Some(job.vmid);
    if job.delete && owned && !in_snapshot {
        world.drop_volume(&volid, &job.node);
    } else if owned {
        let guest = guest_mut(world, job)?;
        let free = (0..256).map(|n| format!("unused{n}")).find(|k| !guest.config.contains_key(k));
        guest.config.insert(free.unwrap_or_else(|| "unused0".to_owned()), volid);
    }
    Ok(None)
}

fn guest_mut<'w>(world: &'w mut World, job: &Move) -> Result<&'w mut Guest, String> {
    world.guest_mut(&job.node, job.vmid).map_err(|f| f.line())
}

/// Renames the volume for its new owner, and moves its line over.
pub(crate) fn reassign(world: &mut World, upid: &str, job: &Reassign) -> Result<(), String> {
    let source = world.guest(&job.node, job.vmid).map_err(|f| f.line())?;
    unlocked(source)?;
    let text = source.get(&job.disk).map(str::to_owned);
    let text = text.ok_or_else(|| format!("Disk '{}' for VM '{}' does not exist", job.disk, job.vmid))?;
    unlocked(world.guest(&job.node, job.target).map_err(|f| f.line())?)?;
    let (vmid, disk) = (job.vmid, &job.disk);
    world.log(upid, format!("moving disk '{disk}' from VM '{vmid}' to '{}'", job.target));
    let volid = file_of(&text).to_owned();
    let renamed = given_to(world, &volid, &job.node, job.target)?;
    world.log(upid, format!("removing disk '{disk}' from VM '{vmid}' config"));
    let volume = world.volumes.find(&renamed, &job.node).cloned().unwrap_or_default();
    if let Ok(guest) = world.guest_mut(&job.node, vmid) {
        guest.config.remove(disk);
        drop_from_boot(guest, disk);
    }
    let value = if is_unused_key(&job.target_disk) { renamed } else { with_volume(&text, &volume) };
    if let Ok(guest) = world.guest_mut(&job.node, job.target) {
        guest.config.insert(job.target_disk.clone(), value);
    }
    Ok(())
}

/// The volume gets a name of its new owner.
fn given_to(world: &mut World, volid: &str, node: &str, vmid: u32) -> Result<String, String> {
    let Some(volume) = world.volumes.find(volid, node).cloned() else {
        return Err(format!("volume '{volid}' does not exist"));
    };
    let name = world.free_name(&volume.storage, node, vmid, &volume.format)?;
    if let Some(mut changing) = world.volumes.find_mut(volid, node) {
        changing.name.clone_from(&name);
        changing.vmid = Some(vmid);
    }
    Ok(format!("{}:{name}", volume.storage))
}

fn drop_from_boot(guest: &mut Guest, disk: &str) {
    let Some(order) = guest.get("boot").and_then(|b| b.strip_prefix("order=")) else { return };
    let rest: Vec<&str> = order.split(';').filter(|d| *d != disk).collect();
    let text = if rest.is_empty() { " ".to_owned() } else { format!("order={}", rest.join(";")) };
    guest.config.insert("boot".to_owned(), text);
}

/// The VM, or one disk of it, becomes what linked clones hang on.
pub(crate) fn template(world: &mut World, vmid: u32) -> Result<(), String> {
    let Some(guest) = world.guests.get(&vmid) else {
        return Err(format!("VM {vmid} vanished"));
    };
    unlocked(guest)?;
    let node = guest.node.clone();
    let drives: Vec<(String, String)> = guest.drives().map(|(k, v)| (k.clone(), v.clone())).collect();
    for (key, text) in drives.into_iter().filter(|(_, t)| !is_cdrom(t)) {
        let volid = file_of(&text).to_owned();
        let can = |v: &Volume| {
            let storage = world.storages.get(&v.storage);
            storage.is_some_and(|s| crate::state::storage::feature(s, "template", &v.name, false))
        };
        if world.volumes.find(&volid, &node).is_some_and(can) {
            let renamed = world.make_base(&volid, &node)?;
            if let Some(guest) = world.guests.get_mut(&vmid) {
                guest.config.insert(key, text.replacen(&volid, &renamed, 1));
            }
        }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.insert("template".to_owned(), "1".to_owned());
    }
    Ok(())
}
