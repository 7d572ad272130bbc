//! Destroying a container.

use crate::calls::lxc::destroy::check;
use crate::calls::lxc::mountpoint::{self, Kind, is_mountpoint_key};
use crate::state::World;
use crate::state::drive::is_unused_key;
use crate::state::guest::GuestKind;
use crate::state::storage::owner;

/// How a container is to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) purge: bool,
    pub(crate) force: bool,
    pub(crate) unreferenced: bool,
}

pub(crate) fn destroy(world: &mut World, upid: &str, node: &str, vmid: u32, how: How) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    check(world, guest, how.purge, how.force).map_err(|f| f.line())?;
    if guest.running() {
        world.log(upid, format!("forced to stop CT {vmid} before destroying!"));
        world.powered_off(vmid);
    }
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    let all = guest.config.iter().chain(guest.snapshots.values().flat_map(|s| s.config.iter()));
    let mut volumes: Vec<String> = all
        .filter(|(k, _)| is_mountpoint_key(k) || is_unused_key(k))
        .map(|(_, v)| mountpoint::volume(v).to_owned())
        .filter(|v| mountpoint::kind(v) == Kind::Volume)
        .collect();
    if how.unreferenced {
        let mine = world.volumes.iter().filter(|v| v.vmid == Some(vmid) && v.content == "images");
        volumes.extend(mine.map(crate::state::storage::Volume::volid));
    }
    volumes.retain(|v| owner(v.split_once(':').map_or("", |(_, n)| n)) == Some(vmid));
    volumes.sort();
    volumes.dedup();
    for volid in &volumes {
        if world.volumes.find(volid, node).is_some_and(|v| world.volumes.is_base_in_use(v)) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
    }
    for volid in &volumes {
        world.volumes.remove(volid, node);
    }
    if how.purge {
        world.log(upid, format!("purging CT {vmid} from related configurations.."));
        world.backup.purge(vmid);
        if world.cluster.unmanage(&format!("ct:{vmid}")) {
            world.log(upid, format!("NOTE: removed CT {vmid} from HA resource configuration."));
        }
    }
    world.forget(vmid);
    Ok(())
}
