//! Powering VMs on and off.
//!
//! With a program at the guest hook, `stop` and `shutdown` wait until it says that the guest has ended.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Job, Next};
use crate::state::World;
use crate::state::drive::{file_of, is_net_key, option_of};

/// A hard stop under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    /// The guest was told; after this moment it is off anyway.
    pub(crate) until: Option<f64>,
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
}

/// How often a waiting job looks.
const LOOK: f64 = 0.05;
/// How long a guest that is powered off may take to say so.
const OFF_LIMIT: f64 = 10.0;

pub(crate) fn start(world: &mut World, upid: &str, vmid: u32) -> Result<(), String> {
    let node = world.tasks.get(upid).map(|t| t.node.clone()).unwrap_or_default();
    let guest = world.guest(&node, vmid).map_err(|f| f.line())?;
    if guest.running() {
        return Err(format!("VM {vmid} already running"));
    }
    if guest.is_template() {
        return Err("you can't start a vm if it's a template".to_owned());
    }
    if let Some(lock) = guest.get("lock") {
        return Err(format!("VM is locked ({lock})"));
    }
    if guest.stopped_at > 0.0 && world.now - guest.stopped_at < world.pace.scaled(1.0) {
        // The clean-up of the stop waits for a process that is by now the new one.
        let until = world.now + world.pace.scaled(30.0);
        if let Some(g) = world.guests.get_mut(&vmid) {
            g.locked_until = until;
        }
    }
    crate::calls::qemu::config_change::apply_pending(world, vmid);
    let guest = world.guest(&node, vmid).map_err(|f| f.line())?;
    for (_, drive) in guest.drives() {
        let volid = file_of(drive);
        if volid.contains(':') && world.volumes.find(volid, &node).is_none() {
            return Err(format!("volume '{volid}' does not exist"));
        }
    }
    let bridges = world.node(&node).map(|n| n.bridges.clone()).unwrap_or_default();
    let missing = guest
        .config
        .iter()
        .filter(|(k, _)| is_net_key(k))
        .filter_map(|(_, v)| option_of(v, "bridge"))
        .find(|b| !bridges.iter().any(|known| known == b));
    if let Some(bridge) = missing {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    let cores = world.node(&node).map_or(0, |n| n.cores);
    if guest.cpus() > cores {
        return Err(format!("MAX {cores} vcpus allowed per VM on this node"));
    }
    world.power_on(vmid);
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
        down.until = Some(world.now + down.timeout);
        let silent =
            world.guests.get(&vmid).is_some_and(|g| g.agent_enabled() && !crate::calls::qemu::agent::is_up(world, g));
        if silent {
            let text = format!("VM {vmid} qga command 'guest-ping' failed - got timeout");
            world.log(upid, format!("QEMU Guest Agent is not running - {text}"));
        }
        if !told(world, vmid, "shutdown") {
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
        return Next::Again(Box::new(Job::Stop(Stop { vmid, node: down.node, until: None })), LOOK);
    }
    Next::Failed("VM quit/powerdown failed - got timeout".to_owned())
}

pub(crate) fn reset(world: &mut World, vmid: u32) -> Result<(), String> {
    if !world.guests.get(&vmid).is_some_and(crate::state::guest::Guest::running) {
        return Err(format!("VM {vmid} not running"));
    }
    // The process stays, but what runs inside begins anew: for the hook it is another run.
    told(world, vmid, "power-off");
    world.power_on(vmid);
    Ok(())
}

pub(crate) fn pause(world: &mut World, vmid: u32, paused: bool) -> Result<(), String> {
    let run = world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut());
    match run {
        Some(run) => {
            run.paused = paused;
            Ok(())
        }
        None => Err(format!("VM {vmid} not running")),
    }
}

pub(crate) fn migrate(world: &mut World, upid: &str, vmid: u32, target: &str) -> Result<(), String> {
    world.log(upid, format!("migration of VM {vmid} to node '{target}'"));
    let guest = world.guests.get_mut(&vmid).ok_or_else(|| "migration aborted".to_owned())?;
    guest.config.remove("lock");
    target.clone_into(&mut guest.node);
    Ok(())
}

/// The HA manager gets to work.
pub(crate) fn ha(world: &mut World, vmid: u32, state: &str) {
    if let Some(resource) = world.cluster.ha.get_mut(&format!("vm:{vmid}")) {
        state.clone_into(&mut resource.state);
    }
    let Some(guest) = world.guests.get(&vmid) else { return };
    let (node, running) = (guest.node.clone(), guest.running());
    let who = crate::perm::Who("root@pam".to_owned());
    let id = vmid.to_string();
    if state == "started" && !running {
        let after = world.pace.of("start");
        world.spawn(&node, "qmstart", &id, &who, Job::Start { vmid }, after);
    } else if state != "started" && running {
        let after = world.pace.of("stop");
        world.spawn(&node, "qmstop", &id, &who, Job::Stop(Stop { vmid, node: node.clone(), until: None }), after);
    }
}
