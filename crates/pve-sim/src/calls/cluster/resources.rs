//! `/cluster/resources`: everything at a glance, as old as the last round of the statistics daemon.

use serde_json::{Value, json};

use crate::calls::node::load::{self, Load};
use crate::calls::node::nodes;
use crate::calls::{Call, Outcome, now};
use crate::perm::{Pools as _, Who};
use crate::state::World;
use crate::state::guest::Guest;
use crate::state::node::Node;
use crate::state::sdn::is_on;

/// What a guest looks like here; without a published state only its bare bones.
pub(crate) fn guest_row(world: &World, guest: &Guest) -> Value {
    let mut row = json!({
        "id": format!("{}/{}", guest.kind.word(), guest.vmid), "type": guest.kind.word(), "vmid": guest.vmid, "node": guest.node,
        "status": "unknown",
    });
    if let Some(lock) = guest.get("lock") {
        row["lock"] = json!(lock);
    }
    if let Some(tags) = guest.get("tags") {
        row["tags"] = json!(tags);
    }
    if let Some(pool) = world.pool_of_vm(&guest.vmid.to_string()) {
        row["pool"] = json!(pool);
    }
    let sid = format!("{}:{}", guest.kind.ha(), guest.vmid);
    if let Some(service) = world.cluster.manager.services.get(&sid) {
        row["hastate"] = json!(service.state);
    } else if let Some(resource) = world.cluster.ha.get(&sid).filter(|r| !r.unsaid) {
        row["hastate"] = json!(resource.state);
    }
    if let Some(seen) = world.published.get(&guest.vmid).filter(|p| p.node == guest.node) {
        row["name"] = json!(seen.name);
        row["status"] = json!(seen.status);
        row["template"] = json!(i32::from(seen.template));
        row["uptime"] = json!(seen.uptime);
        row["maxcpu"] = json!(seen.cpus);
        row["maxmem"] = json!(seen.memory);
        row["maxdisk"] = json!(seen.disk);
        for key in ["cpu", "mem", "memhost", "disk", "netin", "netout", "diskread", "diskwrite"] {
            row[key] = json!(0);
        }
    }
    row
}

/// A storage as one node has it.
pub(crate) fn storage_row(world: &World, node: &str, id: &str) -> Option<Value> {
    let storage = world.storages.get(id).filter(|s| s.on(node) && !s.disabled)?;
    let online = world.node(node).is_some_and(|n| n.online);
    let mut row = json!({
        "id": format!("storage/{node}/{id}"), "type": "storage", "storage": id, "node": node,
        "plugintype": storage.kind, "content": storage.content_text(), "shared": i32::from(storage.shared),
        "status": if online { "available" } else { "unknown" },
    });
    if online {
        row["disk"] = json!(world.used(storage, node));
        row["maxdisk"] = json!(storage.total);
    }
    Some(row)
}

fn pools(world: &World, who: &Who) -> impl Iterator<Item = Value> {
    world.pools.iter().filter(|(id, _)| world.may(who, &format!("/pool/{id}"), "Pool.Audit")).map(|(id, pool)| {
        let mut row = json!({"id": format!("/pool/{id}"), "type": "pool", "pool": id});
        // What its running members take together.
        let running: Vec<_> = pool.vms.iter().filter_map(|v| world.published.get(v)).filter(|p| p.uptime > 0).collect();
        if !running.is_empty() {
            row["uptime"] = json!(running.iter().map(|p| p.uptime).max());
            row["maxmem"] = json!(running.iter().map(|p| p.memory).sum::<u64>());
            row["maxcpu"] = json!(running.iter().map(|p| p.cpus).sum::<u32>());
            row["mem"] = json!(0);
            row["cpu"] = json!(0);
        }
        row
    })
}

/// The zones as each node has them; since 9.1 they are networks.
fn zones(world: &World, who: &Who) -> Vec<Value> {
    let local = "localnetwork".to_owned();
    let zones =
        std::iter::once((&local, None)).chain(world.sdn.running.zones.iter().map(|(id, zone)| (id, Some(zone))));
    let mut rows = Vec::new();
    for (zone, object) in zones.filter(|(z, _)| world.may(who, &format!("/sdn/zones/{z}"), "SDN.Audit")) {
        for node in world.nodes.iter().filter(|n| object.is_none_or(|z| is_on(z, &n.name))) {
            let status = if node.online { "ok" } else { "unknown" };
            let name = &node.name;
            rows.push(if world.at_least(9, 1) {
                json!({
                    "id": format!("network/{name}/zone/{zone}"), "type": "network", "network": zone, "node": name,
                    "network-type": "zone", "status": status,
                })
            } else {
                json!({
                    "id": format!("sdn/{name}/{zone}"), "type": "sdn", "sdn": zone, "node": name, "status": status,
                })
            });
        }
    }
    rows
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let wanted = call.get("type");
    let any = |kind: &str| wanted.is_none_or(|t| t == kind);
    let mut rows: Vec<Value> = Vec::new();
    if wanted.is_none() {
        rows.extend(pools(world, call.who));
    }
    if any("vm") {
        let seen = world.guests.values().filter(|g| world.may(call.who, &format!("/vms/{}", g.vmid), "VM.Audit"));
        rows.extend(seen.map(|g| guest_row(world, g)));
    }
    if any("node") {
        let loads = load::all(world);
        for node in &world.nodes {
            rows.push(node_row(world, call.who, node, loads.get(node.name.as_str())));
        }
    }
    if any("storage") {
        let seen = |id: &&String| world.may(call.who, &format!("/storage/{id}"), "Datastore.Audit");
        for id in world.storages.keys().filter(seen) {
            rows.extend(world.nodes.iter().filter_map(|node| storage_row(world, &node.name, id)));
        }
    }
    // Since 9.1 zones have a type of their own, which this filter does not know.
    if wanted.is_none() || (any("sdn") && !world.at_least(9, 1)) {
        rows.extend(zones(world, call.who));
    }
    now(Value::Array(rows))
}

/// A node; in maintenance its HA state says so.
fn node_row(world: &World, who: &Who, node: &Node, load: Option<&Load>) -> Value {
    let mut row = nodes::resource(world, who, node, load);
    if let Some(state) = world.cluster.manager.nodes.get(&node.name).filter(|_| world.at_least(9, 0)) {
        row["hastate"] = json!(state);
    }
    row
}
