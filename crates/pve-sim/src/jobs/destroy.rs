//! Destroying a VM.

use serde::{Deserialize, Serialize};

use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key};
use crate::state::guest::Guest;
use crate::state::storage::owner;

/// A VM that goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Destroy {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) purge: bool,
    /// Volumes of its number that its configuration doesn't name go too.
    #[serde(default)]
    pub(crate) unreferenced: bool,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// The volumes that go with a VM: those that it names and owns.
fn named(guest: &Guest) -> Vec<String> {
    let states = guest.snapshots.values().filter_map(|s| s.config.get("vmstate"));
    let mut volumes: Vec<String> = guest
        .config
        .iter()
        .chain(guest.snapshots.values().flat_map(|s| s.config.iter()))
        .filter(|(k, _)| is_drive_key(k) || is_unused_key(k) || *k == "vmstate")
        .filter(|(_, v)| !is_cdrom(v) || v.contains("-cloudinit"))
        .map(|(_, v)| file_of(v).to_owned())
        .chain(states.cloned())
        .filter(|v| owner(v.split_once(':').map_or("", |(_, name)| name)) == Some(guest.vmid))
        .collect();
    volumes.sort();
    volumes.dedup();
    volumes
}

pub(crate) fn destroy(world: &mut World, upid: &str, destroy: &Destroy) -> Result<(), String> {
    let (vmid, node) = (destroy.vmid, destroy.node.as_str());
    let guest = world.guest(node, vmid).map_err(|fail| fail.line())?;
    if let Some(lock) = guest.get("lock").filter(|lock| *lock != "suspended" && !destroy.skiplock) {
        return Err(format!("VM is locked ({lock})"));
    }
    if guest.get("protection") == Some("1") {
        return Err(format!("can't remove VM {vmid} - protection mode enabled"));
    }
    if guest.running() {
        return Err(format!("VM {vmid} is running - destroy failed"));
    }
    let volumes = named(guest);
    for volid in &volumes {
        if world.volumes.find(volid, node).is_some_and(|v| world.volumes.is_base_in_use(v)) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
    }
    for volid in &volumes {
        if let Err(text) = world.free(volid, node) {
            world.log(upid, format!("Could not remove disk '{volid}', check manually: {text}"));
        }
    }
    if destroy.unreferenced {
        let left: Vec<String> = world
            .volumes
            .of(vmid)
            .filter(|v| v.content == "images" && v.node.as_deref().is_none_or(|n| n == node))
            .map(crate::state::storage::Volume::volid)
            .collect();
        for volid in left {
            world.drop_volume(&volid, node);
        }
    }
    if destroy.purge {
        world.log(upid, format!("purging VM {vmid} from related configurations.."));
        world.backup.purge(vmid);
        if world.cluster.ha.contains_key(&format!("vm:{vmid}")) {
            world.cluster.unmanage(&format!("vm:{vmid}"));
            world.log(upid, format!("NOTE: removed VM {vmid} from HA resource configuration."));
        }
    }
    world.forget(vmid);
    Ok(())
}
