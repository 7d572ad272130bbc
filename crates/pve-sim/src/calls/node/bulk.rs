//! All guests of a node at once, and the node itself: start, stop, suspend, move; reboot, shut down, wake.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::bulk::{self, Action, Bulk};
use crate::state::World;
use crate::state::trouble::Planned;

fn listed(call: &Call<'_>) -> Option<Vec<u32>> {
    let text = call.get("vms")?;
    let words = text.split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty());
    Some(words.filter_map(|w| w.parse().ok()).collect())
}

/// The right to do this with all that is named, or with everything.
fn may(world: &World, call: &Call<'_>, vmids: Option<&[u32]>, privilege: &str) -> Result<(), Fail> {
    match vmids {
        Some(vmids) if !vmids.is_empty() => {
            vmids.iter().try_for_each(|v| world.need(call.who, &format!("/vms/{v}"), &[privilege]))
        }
        _ => world.need(call.who, "/", &[privilege]),
    }
}

fn workers(world: &World, call: &Call<'_>, otherwise: usize) -> usize {
    let set = call.get("max-workers").or_else(|| call.get("maxworkers"));
    let configured = world.cluster.options.get("max_workers").map(String::as_str);
    set.or(configured).and_then(|w| w.parse().ok()).unwrap_or(otherwise)
}

struct Order<'a> {
    kind: &'a str,
    action: Action,
    vmids: Vec<u32>,
    workers: usize,
    complains: bool,
}

fn run(world: &mut World, call: &Call<'_>, node: &str, order: Order<'_>) -> Outcome {
    let Order { kind, action, vmids, workers, complains } = order;
    let mut todo = bulk::in_order(world, vmids);
    // Started from the front, stopped from the back.
    if matches!(action, Action::Start | Action::Migrate { .. }) {
        todo.reverse();
    }
    let job = Bulk { action, todo, workers, active: Vec::new(), failed: Vec::new(), complains };
    now(json!(world.spawn(node, kind, "", call.who, Job::Bulk(job), 0.01)))
}

/// The guests of the call's node, of those that are named.
fn here(
    world: &World,
    call: &Call<'_>,
    named: Option<&[u32]>,
    keep: impl Fn(&crate::state::guest::Guest) -> bool,
) -> Vec<u32> {
    let guests = world.guests.values().filter(|g| g.node == call.node() && !g.is_template());
    guests.filter(|g| named.is_none_or(|n| n.contains(&g.vmid)) && keep(g)).map(|g| g.vmid).collect()
}

pub(crate) fn start_all(world: &mut World, call: &Call<'_>) -> Outcome {
    let named = listed(call);
    may(world, call, named.as_deref(), "VM.PowerMgmt")?;
    let any = call.flag("force") || named.is_some();
    let vmids = here(world, call, named.as_deref(), |g| any || g.get("onboot") == Some("1"));
    let workers = workers(world, call, 1);
    let order = Order { kind: "startall", action: Action::Start, vmids, workers, complains: false };
    run(world, call, call.node(), order)
}

fn shutdown(call: &Call<'_>) -> Action {
    let seconds = i32::try_from(call.number("timeout").unwrap_or(180)).unwrap_or(180);
    Action::Shutdown { force: call.get("force-stop") != Some("0"), timeout: f64::from(seconds) }
}

pub(crate) fn stop_all(world: &mut World, call: &Call<'_>) -> Outcome {
    let named = listed(call);
    may(world, call, named.as_deref(), "VM.PowerMgmt")?;
    let vmids = here(world, call, named.as_deref(), crate::state::guest::Guest::running);
    let workers = workers(world, call, 4);
    let order = Order { kind: "stopall", action: shutdown(call), vmids, workers, complains: false };
    run(world, call, call.node(), order)
}

pub(crate) fn suspend_all(world: &mut World, call: &Call<'_>) -> Outcome {
    let named = listed(call);
    may(world, call, named.as_deref(), "VM.PowerMgmt")?;
    let vmids = here(world, call, named.as_deref(), crate::state::guest::Guest::running);
    let workers = workers(world, call, 4);
    let order = Order { kind: "suspendall", action: Action::Suspend, vmids, workers, complains: false };
    run(world, call, call.node(), order)
}

pub(crate) fn migrate_all(world: &mut World, call: &Call<'_>) -> Outcome {
    let named = listed(call);
    may(world, call, named.as_deref(), "VM.Migrate")?;
    let target = call.str("target").to_owned();
    if target == call.node() {
        return Err(Fail::param("target", "target is local node.").into());
    }
    if world.node(&target).is_none() {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    let vmids = here(world, call, named.as_deref(), |_| true);
    let workers = workers(world, call, 1);
    let order = Order { kind: "migrateall", action: Action::Migrate { target }, vmids, workers, complains: true };
    run(world, call, call.node(), order)
}

/// `/cluster/bulk-action/guest`: the same over all nodes.
pub(crate) fn cluster(world: &mut World, call: &Call<'_>, kind: &str) -> Outcome {
    let named: Option<Vec<u32>> = call.get("vms").map(|text| {
        text.split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty()).filter_map(|w| w.parse().ok()).collect()
    });
    let privilege = if kind == "migrate" { "VM.Migrate" } else { "VM.PowerMgmt" };
    may(world, call, named.as_deref(), privilege)?;
    let action = match kind {
        "start" => Action::Start,
        "shutdown" => shutdown(call),
        "suspend" => Action::Suspend,
        _ => {
            let target = call.str("target").to_owned();
            if world.node(&target).is_none() {
                return Err(Fail::die(format!("no such cluster node '{target}'")).into());
            }
            Action::Migrate { target }
        }
    };
    let guests = world.guests.values().filter(|g| !g.is_template());
    let vmids = guests.filter(|g| named.as_ref().is_none_or(|n| n.contains(&g.vmid))).map(|g| g.vmid).collect();
    let workers = workers(world, call, if kind == "migrate" { 1 } else { 4 });
    let node = world.local_node();
    let kind = format!("bulk-{kind}");
    run(world, call, &node, Order { kind: &kind, action, vmids, workers, complains: true })
}

/// Reboot or shutdown: the node goes, and comes back if it was a reboot.
pub(crate) fn power(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node().to_owned();
    let back = (call.str("command") == "reboot").then(|| world.now + world.pace.scaled(60.0));
    crate::ha::before_power(world, &node, back.is_some());
    world.node_down(&node);
    if let Some(at) = back {
        world.trouble.plan(at, Planned::NodeUp(node));
    }
    now(Value::Null)
}

/// A magic packet: the node's own configuration knows the address.
pub(crate) fn wake(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.node().to_owned();
    let Some(node) = world.node(&name) else {
        return Err(Fail::die(format!("no such cluster node '{name}'")).into());
    };
    if name == world.local_node() {
        return Err(Fail::param("node", format!("'{name}' is local node, cannot wake my self!")).into());
    }
    let Some(config) = node.config.get("wakeonlan") else {
        return Err(Fail::param("node", format!("No wake on LAN MAC address defined for '{name}'!")).into());
    };
    let first = config.split(',').next().unwrap_or_default();
    let mac = first.strip_prefix("mac=").unwrap_or(first).to_owned();
    if !node.online {
        let at = world.now + world.pace.scaled(60.0);
        world.trouble.plan(at, Planned::NodeUp(name));
    }
    now(json!(mac))
}
