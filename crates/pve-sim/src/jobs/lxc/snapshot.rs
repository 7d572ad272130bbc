//! Snapshots of containers.

use serde::{Deserialize, Serialize};

use super::disk;
use crate::calls::lxc::mountpoint::{self, is_mountpoint_key};
use crate::calls::lxc::unlocked;
use crate::state::World;
use crate::state::guest::{self, GuestKind};

/// Work on a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Snapshot {
    Create { vmid: u32, node: String, name: String, description: String },
    Delete { vmid: u32, node: String, name: String, force: bool },
    Rollback { vmid: u32, node: String, name: String, start: bool },
}

impl Snapshot {
    pub(crate) fn vmid(&self) -> u32 {
        match self {
            Self::Create { vmid, .. } | Self::Delete { vmid, .. } | Self::Rollback { vmid, .. } => *vmid,
        }
    }
}

pub(crate) fn step(world: &mut World, work: &Snapshot) -> Result<(), String> {
    match work {
        Snapshot::Create { vmid, node, name, description } => create(world, node, *vmid, name, description),
        Snapshot::Delete { vmid, node, name, .. } => delete(world, node, *vmid, name),
        Snapshot::Rollback { vmid, node, name, start } => rollback(world, node, *vmid, name, *start),
    }
}

fn create(world: &mut World, node: &str, vmid: u32, name: &str, description: &str) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    if guest.is_template() {
        return Err("you can't take a snapshot if it's a template".to_owned());
    }
    unlocked(guest).map_err(|f| f.line())?;
    if guest.snapshots.contains_key(name) {
        return Err(format!("snapshot name '{name}' already used"));
    }
    let mut mounts = guest.config.iter().filter(|(k, _)| is_mountpoint_key(k));
    if !mounts.all(|(_, v)| disk::able(world, "snapshot", v, false)) {
        return Err("snapshot feature is not available".to_owned());
    }
    let snaptime = world.seconds();
    if let Some(guest) = world.guests.get_mut(&vmid) {
        let kept = guest::Snapshot {
            config: guest.config.clone(),
            snaptime,
            description: description.to_owned(),
            vmstate: false,
            parent: guest.parent.clone(),
        };
        guest.snapshots.insert(name.to_owned(), kept);
        guest.parent = Some(name.to_owned());
    }
    Ok(())
}

fn delete(world: &mut World, node: &str, vmid: u32, name: &str) -> Result<(), String> {
    let guest = world.guest_of_mut(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    unlocked(guest).map_err(|f| f.line())?;
    let Some(gone) = guest.snapshots.remove(name) else {
        return Err(format!("snapshot '{name}' does not exist"));
    };
    for other in guest.snapshots.values_mut().filter(|s| s.parent.as_deref() == Some(name)) {
        other.parent.clone_from(&gone.parent);
    }
    if guest.parent.as_deref() == Some(name) {
        guest.parent = gone.parent;
    }
    Ok(())
}

/// On ZFS only the newest snapshot can be gone back to.
fn newer(world: &World, node: &str, vmid: u32, name: &str) -> Option<String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).ok()?;
    let kept = guest.snapshots.get(name)?;
    let newest = guest.snapshots.iter().all(|(n, s)| n == name || s.parent.as_deref() != Some(name));
    let volumes = kept.config.iter().filter(|(k, _)| is_mountpoint_key(k)).map(|(_, v)| mountpoint::volume(v));
    let zfs = |volid: &&str| {
        volid.split_once(':').and_then(|(s, _)| world.storages.get(s)).is_some_and(|s| s.kind == "zfspool")
    };
    let volid = volumes.into_iter().find(zfs).filter(|_| !newest)?;
    Some(format!("can't rollback, '{name}' is not most recent snapshot on '{volid}'"))
}

fn rollback(world: &mut World, node: &str, vmid: u32, name: &str, start: bool) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    unlocked(guest).map_err(|f| f.line())?;
    if guest.is_template() {
        return Err("you can't rollback if it's a template".to_owned());
    }
    let Some(kept) = guest.snapshots.get(name).cloned() else {
        return Err(format!("snapshot '{name}' does not exist"));
    };
    if let Some(text) = newer(world, node, vmid, name) {
        return Err(text);
    }
    if world.guests.get(&vmid).is_some_and(guest::Guest::running) {
        world.powered_off(vmid);
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = kept.config;
        guest.pending.clear();
        guest.parent = Some(name.to_owned());
    }
    if start {
        world.power_on(vmid);
    }
    Ok(())
}
