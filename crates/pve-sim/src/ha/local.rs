//! What the LRM of a node does for each of its services: tasks in the name of root.

use super::services::limit;
use super::{placement, vmid_of, wants_start};
use crate::jobs::bulk::{self, Action};
use crate::perm::Who;
use crate::state::World;

/// Starts what shall run, stops what shall not, moves what shall move, and hears how it went.
pub(super) fn step(world: &mut World, sid: &str) {
    let Some(vmid) = vmid_of(sid) else { return };
    let Some(service) = world.cluster.manager.services.get(sid).cloned() else { return };
    if !world.node(&service.node).is_some_and(|n| n.online && super::runs(n, "lrm")) {
        return;
    }
    if let Some(upid) = &service.task {
        let Some(task) = world.tasks.get(upid) else { return forget_task(world, sid) };
        if task.running() {
            return;
        }
        let (kind, ok) = (task.kind.clone(), task.exitstatus() == "OK" || task.exitstatus().starts_with("WARNINGS"));
        ended(world, sid, vmid, &kind, ok);
    }
    let Some(service) = world.cluster.manager.services.get(sid).cloned() else { return };
    let Some(guest) = world.guests.get(&vmid) else { return };
    let runs = guest.running();
    let upid = match service.state.as_str() {
        "started" if !runs => launch(world, vmid, &Action::Start),
        "started" => {
            set(world, sid, |s| {
                s.running = true;
                s.restarts = 0;
            });
            None
        }
        "request_stop" if runs => launch(world, vmid, &Action::Shutdown { force: true, timeout: 180.0 }),
        "migrate" | "relocate" => {
            let Some(target) = service.target.clone() else { return };
            launch(world, vmid, &Action::Migrate { target })
        }
        _ => None,
    };
    if upid.is_some() {
        set(world, sid, |s| s.task = upid);
    }
}

fn launch(world: &mut World, vmid: u32, action: &Action) -> Option<String> {
    bulk::launch(world, vmid, &Who("root@pam".to_owned()), action)
}

fn set(world: &mut World, sid: &str, change: impl FnOnce(&mut crate::state::ha::Service)) {
    if let Some(service) = world.cluster.manager.services.get_mut(sid) {
        change(service);
    }
}

fn forget_task(world: &mut World, sid: &str) {
    set(world, sid, |s| s.task = None);
}

/// A task of the LRM has ended.
fn ended(world: &mut World, sid: &str, vmid: u32, kind: &str, ok: bool) {
    forget_task(world, sid);
    let moved = kind.ends_with("migrate");
    if moved {
        let node = world.guests.get(&vmid).map(|g| g.node.clone()).unwrap_or_default();
        set(world, sid, |s| {
            s.node = node;
            s.target = None;
            "started".clone_into(&mut s.state);
        });
        return;
    }
    if ok || !kind.ends_with("start") {
        return;
    }
    // It did not start: once more here, then elsewhere, then it is an error.
    let (restarts, relocations) = (limit(world, sid, "max_restart"), limit(world, sid, "max_relocate"));
    let Some(service) = world.cluster.manager.services.get(sid).cloned() else { return };
    if service.restarts < restarts {
        set(world, sid, |s| s.restarts += 1);
        return;
    }
    let mut failed = service.failed.clone();
    failed.push(service.node.clone());
    let elsewhere = placement::usable(world, sid).into_iter().find(|n| !failed.contains(n));
    if let Some(node) = elsewhere.filter(|_| service.relocations < relocations) {
        if let Some(guest) = world.guests.get_mut(&vmid) {
            guest.node.clone_from(&node);
        }
        set(world, sid, |s| {
            s.relocations += 1;
            s.restarts = 0;
            s.failed = failed;
            s.node = node;
        });
    } else {
        let wanted = world.cluster.ha.get(sid).is_some_and(|r| wants_start(&r.state));
        set(world, sid, |s| {
            s.failed = failed;
            if wanted { "error" } else { "stopped" }.clone_into(&mut s.state);
        });
    }
}
