//! `/cluster/resources`: everything at a glance, as old as the last round of the statistics daemon.

use serde_json::{Value, json};

use crate::calls::node::load::{self, Load};
use crate::calls::node::nodes;
use crate::calls::object::{self, Object};
use crate::calls::sight::Sight;
use crate::calls::{Call, Outcome};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;
use crate::state::guest::Guest;
use crate::state::node::Node;
use crate::state::sdn::is_on;

/// The counters of guests, which stand still here.
const COUNTERS: [&str; 8] = ["cpu", "mem", "memhost", "disk", "netin", "netout", "diskread", "diskwrite"];

/// What a guest looks like here; without a published state only its bare bones.
fn fill(row: &mut Object, world: &World, guest: &Guest, pool: Option<&str>) {
    let kind = guest.kind.word();
    let published = world.published.get(&guest.vmid).filter(|p| p.node == guest.node);
    row.put("id", format_args!("{kind}/{}", guest.vmid)).put("type", kind).put("vmid", guest.vmid);
    row.put("node", &guest.node).put("status", published.map_or("unknown", |p| &p.status));
    row.maybe("lock", guest.get("lock")).maybe("tags", guest.get("tags")).maybe("pool", pool);
    if !world.cluster.ha.is_empty() || !world.cluster.manager.services.is_empty() {
        let sid = format!("{}:{}", guest.kind.ha(), guest.vmid);
        let service = world.cluster.manager.services.get(&sid).map(|s| s.state.as_str());
        let asked = || world.cluster.ha.get(&sid).filter(|r| !r.unsaid).map(|r| r.state.as_str());
        row.maybe("hastate", service.or_else(asked));
    }
    if let Some(seen) = published {
        row.put("name", &seen.name).put("template", u8::from(seen.template)).put("uptime", seen.uptime);
        row.put("maxcpu", seen.cpus).put("maxmem", seen.memory).put("maxdisk", seen.disk).all(&COUNTERS, 0);
    }
}

/// The row of one guest.
pub(crate) fn guest_row(world: &World, guest: &Guest) -> Value {
    let pool = world.pools.iter().find(|(_, pool)| pool.vms.contains(&guest.vmid)).map(|(id, _)| id.as_str());
    let mut row = Object::new();
    fill(&mut row, world, guest, pool);
    serde_json::from_str(&row.text()).unwrap_or_default()
}

/// The guests that a caller sees.
fn guests(world: &World, who: &Who) -> String {
    let sight = Sight::new(world, who, "VM.Audit");
    let seen = world.guests.values().filter(|guest| sight.sees(guest.vmid));
    object::list(seen, |row, guest| fill(row, world, guest, sight.pool(guest.vmid)))
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
    let guests = if any("vm") { guests(world, call.who) } else { "[]".to_owned() };
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
    let rows = serde_json::to_string(&rows).map_err(|error| Fail::die(error.to_string()))?;
    object::written(joined(guests, &rows))
}

/// Two lists as one.
fn joined(mut first: String, second: &str) -> String {
    if second.len() > 2 {
        first.pop();
        if first.len() > 1 {
            first.push(',');
        }
        first.push_str(&second[1..]);
    }
    first
}

/// A node; in maintenance its HA state says so.
fn node_row(world: &World, who: &Who, node: &Node, load: Option<&Load>) -> Value {
    let mut row = nodes::resource(world, who, node, load);
    if let Some(state) = world.cluster.manager.nodes.get(&node.name).filter(|_| world.at_least(9, 0)) {
        row["hastate"] = json!(state);
    }
    row
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn two_lists_are_one_whichever_is_empty() {
        let join = |a: &str, b: &str| joined(a.to_owned(), b);
        assert_eq!(join("[]", "[]"), "[]");
        assert_eq!(join("[1]", "[]"), "[1]");
        assert_eq!(join("[]", "[2,3]"), "[2,3]");
        assert_eq!(join("[1]", "[2,3]"), "[1,2,3]");
    }
}
