//! `/cluster/resources`: everything at a glance, as old as the last round of the statistics daemon.

use serde_json::{Value, json};

use crate::calls::node::nodes;
use crate::calls::{Call, Outcome, now};
use crate::perm::{Pools as _, Who};
use crate::state::World;
use crate::state::guest::Guest;

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
    if let Some(resource) = world.cluster.ha.get(&format!("{}:{}", guest.kind.ha(), guest.vmid)) {
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
    world
        .pools
        .keys()
        .filter(|id| world.may(who, &format!("/pool/{id}"), "Pool.Audit"))
        .map(|id| json!({"id": format!("/pool/{id}"), "type": "pool", "pool": id}))
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let wanted = call.get("type");
    let mut rows: Vec<Value> = Vec::new();
    if wanted.is_none() {
        rows.extend(pools(world, call.who));
    }
    if wanted.is_none_or(|t| t == "vm") {
        let seen = world.guests.values().filter(|g| world.may(call.who, &format!("/vms/{}", g.vmid), "VM.Audit"));
        rows.extend(seen.map(|g| guest_row(world, g)));
    }
    if wanted.is_none_or(|t| t == "node") {
        for node in &world.nodes {
            rows.push(nodes::resource(world, call.who, node));
        }
    }
    if wanted.is_none_or(|t| t == "storage") {
        for node in &world.nodes {
            for id in world.storages.keys() {
                if world.may(call.who, &format!("/storage/{id}"), "Datastore.Audit") {
                    rows.extend(storage_row(world, &node.name, id));
                }
            }
        }
    }
    if wanted.is_none_or(|t| t == "sdn") && world.may(call.who, "/sdn/zones/localnetwork", "SDN.Audit") {
        for node in &world.nodes {
            let status = if node.online { "ok" } else { "unknown" };
            rows.push(json!({
                "id": format!("sdn/{}/localnetwork", node.name), "type": "sdn", "sdn": "localnetwork",
                "node": node.name, "status": status,
            }));
        }
    }
    now(Value::Array(rows))
}
