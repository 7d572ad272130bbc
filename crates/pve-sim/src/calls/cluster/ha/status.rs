//! What the HA manager says of itself, of the nodes and of its services.

use serde_json::{Map, Value, json};

use crate::calendar::clock_text;
use crate::calls::{Call, Outcome, now};
use crate::ha::vmid_of;
use crate::state::World;
use crate::state::ha::Service;

/// The state of a service in words that follow what was asked for at once.
fn verbose(service: Option<&Service>, wanted: &str) -> String {
    if wanted == "ignored" {
        return "ignored".to_owned();
    }
    let Some(service) = service else { return "queued".to_owned() };
    let word = match (service.state.as_str(), wanted) {
        ("stopped", "started" | "enabled") => "starting",
        ("stopped", "disabled") => "disabled",
        ("started", _) if !service.running => "starting",
        ("started", "stopped" | "disabled") => "stopping",
        ("error", "disabled") => "clearing error flag",
        (state, _) => state,
    };
    word.to_owned()
}

fn quorum(world: &World) -> Value {
    let node = world.local_node();
    let quorate = world.quorate();
    let status = if quorate { "OK".to_owned() } else { format!("No quorum on node '{node}'!") };
    json!({"id": "quorum", "type": "quorum", "node": node, "quorate": i32::from(quorate), "status": status})
}

fn active(world: &World, node: &str) -> bool {
    let services = world.cluster.manager.services.values();
    services.filter(|s| s.node == node).any(|s| !["stopped", "freeze"].contains(&s.state.as_str()))
}

/// When a node's LRM last said something.
fn heard(world: &World, node: &str) -> i64 {
    let known = world.node(node);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch fit")]
    let lost = known.map_or(0, |n| n.lost as i64);
    if known.is_some_and(|n| n.online) { world.seconds() } else { lost }
}

fn lrm(world: &World, node: &str) -> Value {
    let at = heard(world, node);
    let id = format!("lrm:{node}");
    if at == 0 {
        return json!({"id": id, "type": "lrm", "node": node, "status": format!("{node} (unable to read lrm status)")});
    }
    let maintenance = world.node(node).is_some_and(|n| n.maintenance);
    let word = if maintenance {
        "maintenance mode"
    } else if world.seconds() - at > 30 {
        "old timestamp - dead?"
    } else if active(world, node) {
        "active"
    } else {
        "idle"
    };
    json!({
        "id": id, "type": "lrm", "node": node, "timestamp": at,
        "status": format!("{node} ({word}, {})", clock_text(at)),
    })
}

fn service_row(world: &World, sid: &str) -> Value {
    let service = world.cluster.manager.services.get(sid);
    let Some(resource) = world.cluster.ha.get(sid) else { return Value::Null };
    let there = vmid_of(sid).and_then(|v| world.guests.get(&v)).map(|g| g.node.clone());
    let node = service.map(|s| s.node.clone()).or(there).unwrap_or_else(|| "---".to_owned());
    let wanted = if resource.state == "enabled" { "started" } else { &resource.state };
    let state = verbose(service, wanted);
    let number =
        |key: &str, otherwise: i64| resource.more.get(key).and_then(|v| v.parse::<i64>().ok()).unwrap_or(otherwise);
    let mut row = json!({
        "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": node, "state": state,
        "status": format!("{sid} ({node}, {state})"), "request_state": wanted,
        "max_restart": number("max_restart", 1), "max_relocate": number("max_relocate", 1),
    });
    if world.at_least(9, 0) {
        row["failback"] = json!(number("failback", 1));
    }
    for key in ["group", "comment"] {
        if let Some(value) = resource.more.get(key) {
            row[key] = json!(value);
        }
    }
    if let Some(service) = service {
        row["crm_state"] = json!(service.state);
    }
    row
}

pub(crate) fn current(world: &mut World, _: &Call<'_>) -> Outcome {
    let mut rows = vec![quorum(world)];
    let manager = &world.cluster.manager;
    if let Some(master) = &manager.master {
        let age = world.seconds() - manager.timestamp;
        let word = match age {
            _ if age <= 30 => "active",
            _ if world.cluster.ha.is_empty() && world.quorate() => "idle",
            _ => "old timestamp - dead?",
        };
        let scheduler = world.cluster.options.get("crs").and_then(|c| crate::state::drive::option_of(c, "ha"));
        let extra = scheduler.filter(|s| *s != "basic").map(|s| format!(" - {s} load CRS")).unwrap_or_default();
        rows.push(json!({
            "id": "master", "type": "master", "node": master, "timestamp": manager.timestamp,
            "status": format!("{master} ({word}, {}){extra}", clock_text(manager.timestamp)),
        }));
    }
    if world.at_least(9, 2) {
        rows.push(fencing(world));
    }
    rows.extend(manager.nodes.keys().map(|node| lrm(world, node)));
    rows.extend(world.cluster.ha.keys().map(|sid| service_row(world, sid)).filter(|row| !row.is_null()));
    now(Value::Array(rows))
}

fn fencing(world: &World) -> Value {
    let manager = &world.cluster.manager;
    let node = manager.master.clone().unwrap_or_else(|| world.local_node());
    let (state, text) = match &manager.disarmed {
        Some(_) => ("disarmed", "disarmed (watchdogs released)"),
        None if manager.master.is_some() && !manager.services.is_empty() => ("armed", "armed (CRM watchdog active)"),
        None => ("standby", "standby (CRM watchdog standby)"),
    };
    let mut row = json!({"id": "fencing", "type": "fencing", "node": node, "armed-state": state, "status": text});
    if let Some(mode) = &manager.disarmed {
        row["resource_mode"] = json!(mode);
    }
    row
}

/// The manager's own file, and those of the LRMs.
pub(crate) fn manager(world: &mut World, _: &Call<'_>) -> Outcome {
    let manager = &world.cluster.manager;
    let mut status = Map::new();
    if let Some(master) = &manager.master {
        let services: Map<String, Value> = manager
            .services
            .iter()
            .map(|(sid, s)| {
                let mut row = json!({"node": s.node, "state": s.state, "uid": sid});
                if s.running {
                    row["running"] = json!(1);
                }
                if let Some(target) = &s.target {
                    row["target"] = json!(target);
                }
                if !s.failed.is_empty() {
                    row["failed_nodes"] = json!(s.failed);
                }
                if let Some(node) = &s.maintenance_node {
                    row["maintenance_node"] = json!(node);
                }
                (sid.clone(), row)
            })
            .collect();
        status.insert("master_node".to_owned(), json!(master));
        status.insert("timestamp".to_owned(), json!(manager.timestamp));
        status.insert("node_status".to_owned(), json!(manager.nodes));
        status.insert("service_status".to_owned(), Value::Object(services));
    }
    let lrms: Map<String, Value> = manager
        .nodes
        .keys()
        .map(|node| {
            let mode = if world.node(node).is_some_and(|n| n.maintenance) { "maintenance" } else { "active" };
            let state = if active(world, node) { "active" } else { "wait_for_agent_lock" };
            (node.clone(), json!({"mode": mode, "state": state, "results": {}, "timestamp": heard(world, node)}))
        })
        .collect();
    let mut data = json!({
        "manager_status": status, "quorum": {"node": world.local_node(), "quorate": i32::from(world.quorate())},
    });
    if !lrms.is_empty() {
        data["lrm_status"] = Value::Object(lrms);
    }
    now(data)
}
