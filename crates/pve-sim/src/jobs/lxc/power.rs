//! Starting and ending containers.

use serde::{Deserialize, Serialize};

use super::Lxc;
use crate::calls::lxc::mountpoint::{self, Kind, is_mountpoint_key};
use crate::calls::lxc::{change, unlocked};
use crate::jobs::{Job, Next};
use crate::state::World;
use crate::state::drive::{is_net_key, option_of};
use crate::state::guest::{Guest, GuestKind};

/// An orderly shutdown, or a reboot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Down {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) timeout: f64,
    pub(crate) force: bool,
    /// Start again when it is off.
    pub(crate) again: bool,
    pub(crate) begun: bool,
}

fn allowed(guest: &Guest, skiplock: bool) -> Result<(), String> {
    if skiplock || guest.get("lock") == Some("mounted") {
        return Ok(());
    }
    unlocked(guest).map_err(|f| f.line())
}

pub(crate) fn start(world: &mut World, node: &str, vmid: u32, skiplock: bool) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    if guest.is_template() {
        return Err("you can't start a CT if it's a template".to_owned());
    }
    allowed(guest, skiplock)?;
    if guest.running() {
        return Err(format!("CT {vmid} already running"));
    }
    change::apply_pending(world, vmid);
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    for (_, text) in guest.config.iter().filter(|(k, _)| is_mountpoint_key(k)) {
        let volid = mountpoint::volume(text);
        if mountpoint::kind(volid) == Kind::Volume && world.volumes.find(volid, node).is_none() {
            return Err(format!("volume '{volid}' does not exist"));
        }
    }
    let bridges = world.node(node).map(|n| n.bridges.clone()).unwrap_or_default();
    let nets = guest.config.iter().filter(|(k, _)| is_net_key(k));
    let missing = nets.filter_map(|(_, v)| option_of(v, "bridge")).find(|b| !bridges.iter().any(|known| known == b));
    if let Some(bridge) = missing {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    world.power_on(vmid);
    Ok(())
}

pub(crate) fn stop(world: &mut World, node: &str, vmid: u32, skiplock: bool) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    allowed(guest, skiplock)?;
    if guest.running() {
        world.powered_off(vmid);
    }
    Ok(())
}

pub(crate) fn down(world: &mut World, mut down: Down) -> Next {
    let vmid = down.vmid;
    let guest = match world.guest_of(GuestKind::Lxc, &down.node, vmid) {
        Ok(guest) => guest,
        Err(fail) => return Next::Failed(fail.line()),
    };
    if let Err(text) = allowed(guest, false) {
        return Next::Failed(text);
    }
    if !down.begun {
        down.begun = true;
        let needs = world.pace.of(if down.again { "reboot" } else { "shutdown" });
        let after = needs.min(world.pace.scaled(down.timeout.max(0.1)));
        return Next::Again(Box::new(Job::Lxc(Box::new(Lxc::Down(down)))), after);
    }
    // A frozen container hears nothing.
    if guest.run.as_ref().is_some_and(|r| r.paused) && !down.force {
        return Next::Failed("container did not stop".to_owned());
    }
    world.powered_off(vmid);
    if down.again {
        world.power_on(vmid);
    }
    Next::Done
}

pub(crate) fn freeze(world: &mut World, node: &str, vmid: u32, frozen: bool) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, node, vmid).map_err(|f| f.line())?;
    unlocked(guest).map_err(|f| f.line())?;
    match world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut()) {
        Some(run) => {
            run.paused = frozen;
            Ok(())
        }
        None => Err(format!("CT {vmid} not running")),
    }
}

/// The HA manager is told; it gets to work in its next round.
pub(crate) fn ha(world: &mut World, vmid: u32, state: &str) {
    crate::jobs::power::ha(world, vmid, state);
}
