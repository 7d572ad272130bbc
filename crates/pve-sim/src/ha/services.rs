//! What the CRM decides for each service.

use super::{placement, vmid_of, wants_start};
use crate::state::World;
use crate::state::ha::{Request, Service};

/// How a resource is wanted.
fn wanted(world: &World, sid: &str) -> String {
    world.cluster.ha.get(sid).map_or_else(|| "ignored".to_owned(), |r| r.state.clone())
}

/// How often it may be tried (`max_restart`, `max_relocate`).
pub(super) fn limit(world: &World, sid: &str, key: &str) -> u32 {
    world.cluster.ha.get(sid).and_then(|r| r.more.get(key)).and_then(|v| v.parse().ok()).unwrap_or(1)
}

/// Takes up what was asked for by `migrate` and `relocate`.
pub(super) fn requests(world: &mut World) {
    for Request { what, sid, node } in std::mem::take(&mut world.cluster.manager.requests) {
        let usable = placement::usable(world, &sid).contains(&node);
        let Some(service) = world.cluster.manager.services.get_mut(&sid) else { continue };
        if !usable || service.node == node {
            continue;
        }
        match service.state.as_str() {
            "started" if service.task.is_none() => {
                service.state = what;
                service.target = Some(node);
            }
            "stopped" | "request_stop" => {
                if let Some(guest) = vmid_of(&sid).and_then(|v| world.guests.get_mut(&v)) {
                    guest.node.clone_from(&node);
                }
                service.node = node;
            }
            _ => {}
        }
    }
}

/// The next state of one service.
pub(super) fn step(world: &mut World, sid: &str) {
    let Some(service) = world.cluster.manager.services.get(sid).cloned() else { return };
    let wanted = wanted(world, sid);
    let there = world.node(&service.node).is_some_and(|n| n.online);
    let mut next = service.clone();
    match service.state.as_str() {
        "request_start" => {
            "started".clone_into(&mut next.state);
            next.restarts = 0;
        }
        "request_stop" => {
            let runs = vmid_of(sid).and_then(|v| world.guests.get(&v)).is_some_and(crate::state::guest::Guest::running);
            if service.task.is_none() && there && !runs {
                "stopped".clone_into(&mut next.state);
                next.running = false;
            }
        }
        "stopped" if wants_start(&wanted) => {
            // A stopped service is started where it is best now.
            if let Some(best) = placement::best(world, sid, Some(&service.node)) {
                move_to(world, sid, &mut next, &best);
            }
            "request_start".clone_into(&mut next.state);
            next.failed.clear();
            next.relocations = 0;
        }
        "started" if !wants_start(&wanted) && service.task.is_some() => {}
        "started" if there && !wants_start(&wanted) => "request_stop".clone_into(&mut next.state),
        "started" if there => started(world, sid, &service, &mut next),
        "recovery" => {
            if let Some(best) = placement::best(world, sid, None) {
                move_to(world, sid, &mut next, &best);
                let state = if wants_start(&wanted) { "started" } else { "request_stop" };
                state.clone_into(&mut next.state);
                next.restarts = 0;
            }
        }
        "error" if wanted == "disabled" => {
            "stopped".clone_into(&mut next.state);
            next.failed.clear();
            next.relocations = 0;
        }
        // A node that came back before it was fenced goes on with what it had.
        "fence" | "freeze" if there => "started".clone_into(&mut next.state),
        _ => {}
    }
    if let Some(kept) = world.cluster.manager.services.get_mut(sid) {
        *kept = next;
    }
}

/// A service that runs is moved for the sake of maintenance, of a rule, or of going back.
fn started(world: &World, sid: &str, service: &Service, next: &mut Service) {
    if service.task.is_some() || !service.running {
        return;
    }
    let maintenance = world.node(&service.node).is_some_and(|n| n.maintenance);
    let back = service.maintenance_node.as_ref().filter(|n| world.node(n).is_some_and(|n| n.online && !n.maintenance));
    let target = if maintenance {
        placement::best(world, sid, None)
    } else if let Some(back) = back {
        Some(back.clone())
    } else {
        let failback = world.cluster.ha.get(sid).and_then(|r| r.more.get("failback")).is_none_or(|f| f != "0");
        placement::best(world, sid, Some(&service.node)).filter(|_| failback)
    };
    let Some(target) = target.filter(|t| *t != service.node) else { return };
    if maintenance {
        next.maintenance_node.get_or_insert_with(|| service.node.clone());
    } else if back.is_some() {
        next.maintenance_node = None;
    }
    "migrate".clone_into(&mut next.state);
    next.target = Some(target);
}

/// The configuration goes to another node; what runs is not touched.
fn move_to(world: &mut World, sid: &str, service: &mut Service, node: &str) {
    if let Some(guest) = vmid_of(sid).and_then(|v| world.guests.get_mut(&v)).filter(|g| !g.running()) {
        node.clone_into(&mut guest.node);
        node.clone_into(&mut service.node);
    }
}
