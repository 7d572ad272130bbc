//! The HA manager: the rounds of its CRM, and what the LRMs of the nodes do for it.
//!
//! ```text
//! (new) ──▶ request_start ──▶ started ──▶ migrate/relocate ──▶ started
//!    │                          │  │ node is lost
//!    │                          │  └──▶ fence ──▶ recovery ──▶ started (elsewhere)
//!    └──▶ request_stop ──▶ stopped     └──▶ error (it cannot be started anywhere)
//! ```
//!
//! Promises Proxmox VE's states and delays: a round every ten seconds; a node that is silent for a minute is fenced if
//! it has active services; its lock is free a minute later, then the services are recovered. All of it by the world's
//! clock. Assumes that somebody calls [`round`] whenever [`next_due`] says so.

mod local;
pub(crate) mod placement;
mod services;

use crate::state::World;
use crate::state::ha::{Request, Service};
use crate::state::node::Node;

/// Seconds between two rounds.
const ROUND: f64 = 10.0;
/// Seconds of silence until a node is fenced.
const FENCE_DELAY: f64 = 60.0;
/// Seconds of silence until a node has certainly been stopped by its watchdog and its lock is free.
const LOCK_TIMEOUT: f64 = 120.0;

/// The id of a guest as an HA resource.
pub(crate) fn sid_of(world: &World, vmid: u32) -> String {
    let kind = world.guests.get(&vmid).map_or("vm", |g| g.kind.ha());
    format!("{kind}:{vmid}")
}

/// The guest behind a resource.
pub(crate) fn vmid_of(sid: &str) -> Option<u32> {
    sid.split_once(':').and_then(|(_, id)| id.parse().ok())
}

/// Whether a node's `pve-ha-crm` or `pve-ha-lrm` runs.
fn runs(node: &Node, daemon: &str) -> bool {
    node.setting(&format!("service-pve-ha-{daemon}"), "running") == "running"
}

/// Whether there is anything to look after.
fn awake(world: &World) -> bool {
    !world.cluster.ha.is_empty() || world.cluster.manager.master.is_some() || world.nodes.iter().any(|n| n.maintenance)
}

/// When the next round is; never, if there is nothing to look after.
pub(crate) fn next_due(world: &World) -> f64 {
    if awake(world) { world.cluster.manager.next_round } else { f64::INFINITY }
}

/// Asks the manager to `migrate` or `relocate` a service.
pub(crate) fn ask(world: &mut World, what: &str, sid: &str, node: &str) {
    let request = Request { what: what.to_owned(), sid: sid.to_owned(), node: node.to_owned() };
    world.cluster.manager.requests.push(request);
    hurry(world);
}

/// Something was asked for: the next round comes soon.
pub(crate) fn hurry(world: &mut World) {
    let soon = world.now + world.pace.scaled(ROUND);
    let next = world.cluster.manager.next_round;
    if next <= 0.0 || next > soon {
        world.cluster.manager.next_round = soon;
    }
    world.changes += 1;
}

/// Makes a round.
pub(crate) fn round(world: &mut World) {
    let at = world.now;
    world.cluster.manager.next_round = at + world.pace.scaled(ROUND);
    if !world.quorate() {
        return;
    }
    let able = |node: &&Node| node.online && runs(node, "crm");
    let master = world.cluster.manager.master.clone().filter(|m| world.node(m).as_ref().is_some_and(able));
    let Some(master) = master.or_else(|| world.nodes.iter().find(able).map(|n| n.name.clone())) else {
        // Nobody decides: all stays as it is.
        return;
    };
    world.cluster.manager.master = Some(master);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch fit")]
    {
        world.cluster.manager.timestamp = at as i64;
    }
    if world.cluster.manager.disarmed.is_some() {
        return;
    }
    nodes(world, at);
    enlist(world);
    services::requests(world);
    for sid in world.cluster.manager.services.keys().cloned().collect::<Vec<_>>() {
        services::step(world, &sid);
        local::step(world, &sid);
    }
    world.changes += 1;
}

/// A node is about to be switched off by somebody: unless the policy says otherwise, a reboot freezes its services and a
/// shutdown gives them up.
pub(crate) fn before_power(world: &mut World, node: &str, reboot: bool) {
    let policy = world.cluster.options.get("ha").and_then(|h| crate::state::drive::option_of(h, "shutdown_policy"));
    let freeze = match policy.unwrap_or("conditional") {
        "freeze" => true,
        "failover" | "migrate" => false,
        _ => reboot,
    };
    for service in world.cluster.manager.services.values_mut().filter(|s| s.node == node && is_active(s)) {
        let state = if freeze { "freeze" } else { "recovery" };
        state.clone_into(&mut service.state);
        service.running = false;
        service.task = None;
    }
    hurry(world);
}

/// Looks at the nodes: who is there, who is silent, who has been silent for too long.
fn nodes(world: &mut World, at: f64) {
    let seen: Vec<(String, bool, bool, f64)> =
        world.nodes.iter().map(|n| (n.name.clone(), n.online, n.maintenance, n.lost)).collect();
    for (name, online, maintenance, lost) in seen {
        let before = world.cluster.manager.nodes.get(&name).cloned().unwrap_or_default();
        let state = if online {
            world.cluster.manager.unheard.remove(&name);
            if maintenance { "maintenance" } else { "online" }
        } else {
            let since = *world.cluster.manager.unheard.entry(name.clone()).or_insert(lost.max(1.0));
            let silent = at - since;
            let active = world.cluster.manager.services.values().any(|s| s.node == name && is_active(s));
            if active && silent >= world.pace.scaled(LOCK_TIMEOUT) {
                recover(world, &name);
                "unknown"
            } else if active && (before == "fence" || silent >= world.pace.scaled(FENCE_DELAY)) {
                fence(world, &name);
                "fence"
            } else {
                "unknown"
            }
        };
        if before != state {
            let (time, master) = (world.seconds(), world.cluster.manager.master.clone().unwrap_or_default());
            let was = if before.is_empty() { "unknown" } else { &before };
            let text = format!("node '{name}': state changed from '{was}' => '{state}'");
            world.cluster.note(time, &master, "root@pam", text);
        }
        world.cluster.manager.nodes.insert(name, state.to_owned());
    }
}

/// Whether a service keeps its node's LRM busy.
fn is_active(service: &Service) -> bool {
    !["stopped", "freeze", "error", "recovery", ""].contains(&service.state.as_str())
}

fn fence(world: &mut World, node: &str) {
    for service in world.cluster.manager.services.values_mut().filter(|s| s.node == node && is_active(s)) {
        "fence".clone_into(&mut service.state);
        service.task = None;
    }
}

/// The node is certainly off: its services may be taken from it.
fn recover(world: &mut World, node: &str) {
    for service in world.cluster.manager.services.values_mut().filter(|s| s.node == node && is_active(s)) {
        "recovery".clone_into(&mut service.state);
        service.running = false;
        service.task = None;
    }
}

/// New resources become services; those that are gone or ignored stop being some.
fn enlist(world: &mut World) {
    let ignored = |state: &str| state == "ignored";
    let keep: Vec<String> = world
        .cluster
        .ha
        .iter()
        .filter(|(sid, r)| !ignored(&r.state) && vmid_of(sid).is_some_and(|v| world.guests.contains_key(&v)))
        .map(|(sid, _)| sid.clone())
        .collect();
    world.cluster.manager.services.retain(|sid, _| keep.contains(sid));
    for sid in keep {
        let Some(guest) = vmid_of(&sid).and_then(|v| world.guests.get(&v)) else { continue };
        let (node, running) = (guest.node.clone(), guest.running());
        let started = world.cluster.ha.get(&sid).is_some_and(|r| wants_start(&r.state));
        world.cluster.manager.services.entry(sid).or_insert_with(|| Service {
            state: if started { "request_start" } else { "request_stop" }.to_owned(),
            node,
            running,
            ..Service::default()
        });
    }
}

/// Whether a requested state means that the guest shall run.
fn wants_start(state: &str) -> bool {
    state == "started" || state == "enabled"
}

#[cfg(test)]
mod test;
