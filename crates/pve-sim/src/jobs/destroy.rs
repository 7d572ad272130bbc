//! Destroying a VM.

use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key};
use crate::state::storage::owner;

pub(crate) fn destroy(world: &mut World, upid: &str, vmid: u32, purge: bool) -> Result<(), String> {
    let Some(guest) = world.guests.get(&vmid) else {
        return Ok(());
    };
    let node = guest.node.clone();
    if let Some(lock) = guest.get("lock").filter(|l| *l != "suspended") {
        return Err(format!("VM is locked ({lock})"));
    }
    if guest.running() {
        return Err(format!("VM {vmid} is running - destroy failed"));
    }
    let mut volumes: Vec<String> = guest
        .config
        .iter()
        .chain(guest.snapshots.values().flat_map(|s| s.config.iter()))
        .filter(|(k, _)| is_drive_key(k) || is_unused_key(k))
        .filter(|(_, v)| !is_cdrom(v) || v.contains("-cloudinit"))
        .map(|(_, v)| file_of(v).to_owned())
        .filter(|v| owner(v.split_once(':').map_or("", |(_, n)| n)) == Some(vmid))
        .collect();
    volumes.sort();
    volumes.dedup();
    for volid in &volumes {
        if world.volumes.find(volid, &node).is_some_and(|v| world.volumes.is_base_in_use(v)) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
    }
    for volid in &volumes {
        world.volumes.remove(volid, &node);
    }
    if purge {
        world.log(upid, format!("purging VM {vmid} from related configurations.."));
        world.backup.purge(vmid);
        world.cluster.unmanage(&format!("vm:{vmid}"));
    }
    world.forget(vmid);
    Ok(())
}
