//! Powering VMs on and off.
//!
//! With a program at the guest hook, `stop` and `shutdown` wait until it says that the guest has ended.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::suspend;
use super::{Job, Next};
use crate::calls::qemu::{agent, config_change};
use crate::state::World;
use crate::state::drive::{file_of, is_net_key, option_of};
use crate::state::guest::{Guest, System};

/// A hard stop under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    /// The guest was told; after this moment it is off anyway.
    pub(crate) until: Option<f64>,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// An orderly shutdown under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) timeout: f64,
    pub(crate) force: bool,
    /// A reboot: start again when it is off.
    pub(crate) again: bool,
    pub(crate) until: Option<f64>,
    /// When a paper guest has ended.
    pub(crate) paper_done: Option<f64>,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// A reset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reset {
    pub(crate) vmid: u32,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// A pause, or its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) vmid: u32,
    pub(crate) paused: bool,
    #[serde(default)]
    pub(crate) skiplock: bool,
}

/// How often a waiting job looks.
const LOOK: f64 = 0.05;
/// How long a guest that is powered off may take to say so.
const OFF_LIMIT: f64 = 10.0;

/// Whether the lock of the configuration may be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locks {
    Heed,
    /// Root asked for `skiplock`.
    Skip,
}

impl From<bool> for Locks {
    fn from(skiplock: bool) -> Self {
        if skiplock { Self::Skip } else { Self::Heed }
    }
}

fn unlocked(guest: &Guest, locks: Locks) -> Result<(), String> {
    match guest.get("lock") {
        Some(lock) if locks == Locks::Heed => Err(format!("VM is locked ({lock})")),
        _ => Ok(()),
    }
}

pub(crate) fn start(world: &mut World, upid: &str, vmid: u32, locks: Locks) -> Result<(), String> {
    let node = world.tasks.get(upid).map(|t| t.node.clone()).unwrap_or_default();
    let guest = world.guest(&node, vmid).map_err(|f| f.line())?;
    if guest.is_template() {
        return Err("you can't start a vm if it's a template".to_owned());
    }
    let lock = guest.get("lock").map(str::to_owned);
    if lock.as_deref() == Some("backup") && guest.running() {
        return pause(world, &Pause { vmid, paused: false, skiplock: true });
    }
    let suspended = lock.as_deref() == Some("suspended");
    if !suspended {
        unlocked(guest, locks)?;
    }
    if guest.running() {
        return Err(format!("VM {vmid} already running"));
    }
    if guest.stopped_at > 0.0 && world.now - guest.stopped_at < world.pace.scaled(1.0) {
        // The clean-up of the stop waits for a process that is by now the new one.
        let until = world.now + world.pace.scaled(30.0);
        if let Some(g) = world.guests.get_mut(&vmid) {
            g.locked_until = until;
        }
    }
    config_change::apply_pending(world, vmid);
    can_start(world, upid, &node, vmid)?;
    if suspended {
        suspend::wake(world, upid, vmid);
    }
    world.power_on(vmid);
    Ok(())
}

/// What the node has to have for a VM to start.
pub(super) fn can_start(world: &mut World, upid: &str, node: &str, vmid: u32) -> Result<(), String> {
    let guest = world.guest(node, vmid).map_err(|f| f.line())?;
    for (_, drive) in guest.drives() {
        let volid = file_of(drive);
        let Some((storage, _)) = volid.split_once(':') else { continue };
        world.storage_on(storage, node).map_err(|f| f.line())?;
        if world.volumes.find(volid, node).is_none() {
            return Err(format!("volume '{volid}' does not exist"));
        }
    }
    let cores = world.node(node).map_or(0, |n| n.cores);
    if guest.cpus() > cores {
        return Err(format!("MAX {cores} vcpus allowed per VM on this node"));
    }
    let bridges = world.node(node).map(|n| n.bridges.clone()).unwrap_or_default();
    let missing = guest
        .config
        .iter()
        .filter(|(k, _)| is_net_key(k))
        .filter_map(|(_, v)| option_of(v, "bridge"))
        .find(|b| !bridges.iter().any(|known| known == b));
    if let Some(bridge) = missing {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    if world.node(node).is_some_and(|n| guest.memory() > n.memory) {
        world.log(upid, "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory");
        return Err("start failed: QEMU exited with code 1".to_owned());
    }
    Ok(())
}

fn told(world: &World, vmid: u32, event: &str) -> bool {
    if !world.hook.attached() {
        return false;
    }
    let Some(run) = world.guests.get(&vmid).and_then(|g| g.run.as_ref()) else { return false };
    world.hook.send(&json!({"event": event, "vmid": vmid, "run": run.id}));
    true
}

/// The process ends now; a guest that is attached is told, and not waited for.
pub(crate) fn cut(world: &mut World, vmid: u32) {
    told(world, vmid, "power-off");
    world.powered_off(vmid);
}

pub(crate) fn stop(world: &mut World, _upid: &str, mut stop: Stop) -> Next {
    let vmid = stop.vmid;
    let Some(guest) = world.guests.get(&vmid).filter(|g| g.node == stop.node) else {
        return Next::Failed(format!("unable to find configuration file for VM {vmid} on node '{}'", stop.node));
    };
    if !guest.running() {
        return Next::Done;
    }
    match stop.until {
        None => {
            if let Err(text) = unlocked(guest, stop.skiplock.into()) {
                return Next::Failed(text);
            }
            if told(world, vmid, "power-off") {
                stop.until = Some(world.now + OFF_LIMIT);
                return Next::Again(Box::new(Job::Stop(stop)), LOOK);
            }
        }
        Some(until) if world.now < until => return Next::Again(Box::new(Job::Stop(stop)), LOOK),
        Some(_) => {}
    }
    world.powered_off(vmid);
    Next::Done
}

pub(crate) fn shutdown(world: &mut World, upid: &str, mut down: Shutdown) -> Next {
    let vmid = down.vmid;
    let Some(guest) = world.guests.get(&vmid).filter(|g| g.node == down.node) else {
        return Next::Failed(format!("unable to find configuration file for VM {vmid} on node '{}'", down.node));
    };
    if !guest.running() {
        if down.again && down.until.is_some() {
            world.power_on(vmid);
        }
        return Next::Done;
    }
    let Some(until) = down.until else {
        if let Err(text) = unlocked(guest, down.skiplock.into()) {
            return Next::Failed(text);
        }
        let system = world.system_of(guest);
        down.until = Some(world.now + down.timeout);
        if guest.agent_enabled() && !agent::is_up(world, guest) {
            let text = format!("VM {vmid} qga command 'guest-ping' failed - got timeout");
            world.log(upid, format!("QEMU Guest Agent is not running - {text}"));
        }
        if !told(world, vmid, "shutdown") && system != System::Empty {
            let what = if down.again { "reboot" } else { "shutdown" };
            down.paper_done = Some(world.now + world.pace.of(what));
        }
        return Next::Again(Box::new(Job::Shutdown(down)), LOOK);
    };
    if down.paper_done.is_some_and(|at| world.now >= at) {
        world.powered_off(vmid);
        if down.again {
            world.power_on(vmid);
        }
        return Next::Done;
    }
    if world.now < until {
        return Next::Again(Box::new(Job::Shutdown(down)), LOOK);
    }
    if down.force {
        world.log(upid, "VM still running - terminating now with SIGTERM");
        let stop = Stop { vmid, node: down.node, until: None, skiplock: true };
        return Next::Again(Box::new(Job::Stop(stop)), LOOK);
    }
    Next::Failed("VM quit/powerdown failed - got timeout".to_owned())
}

pub(crate) fn reset(world: &mut World, reset: &Reset) -> Result<(), String> {
    let vmid = reset.vmid;
    let Some(guest) = world.guests.get(&vmid).filter(|g| g.running()) else {
        return Err(format!("VM {vmid} not running"));
    };
    unlocked(guest, reset.skiplock.into())?;
    // The process stays, but what runs inside begins anew: for the hook it is another run.
    told(world, vmid, "power-off");
    let kept = world.guests.get(&vmid).and_then(|g| g.run.clone());
    world.power_on(vmid);
    if let (Some(kept), Some(run)) = (kept, world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut())) {
        run.since = kept.since;
        run.pid = kept.pid;
        run.devices = kept.devices;
        run.poisoned = kept.poisoned;
    }
    Ok(())
}

pub(crate) fn pause(world: &mut World, pause: &Pause) -> Result<(), String> {
    let Pause { vmid, paused, skiplock } = *pause;
    let Some(guest) = world.guests.get_mut(&vmid) else {
        return Err(format!("VM {vmid} not running"));
    };
    if guest.get("lock") != Some("backup") {
        unlocked(guest, skiplock.into())?;
    }
    match guest.run.as_mut() {
        Some(run) => {
            run.paused = paused;
            run.asleep &= paused;
            Ok(())
        }
        None => Err(format!("VM {vmid} not running")),
    }
}

/// The HA manager is asked to move what it looks after.
pub(crate) fn ha_migrate(world: &mut World, vmid: u32, target: &str) {
    let sid = crate::ha::sid_of(world, vmid);
    let request = crate::state::ha::Request { what: "migrate".to_owned(), sid, node: target.to_owned() };
    world.cluster.manager.requests.push(request);
    crate::ha::hurry(world);
}

/// The HA manager is told; it gets to work in its next round.
pub(crate) fn ha(world: &mut World, vmid: u32, state: &str) {
    let sid = crate::ha::sid_of(world, vmid);
    if let Some(resource) = world.cluster.ha.get_mut(&sid) {
        state.clone_into(&mut resource.state);
        resource.unsaid = false;
    }
    crate::ha::hurry(world);
}
