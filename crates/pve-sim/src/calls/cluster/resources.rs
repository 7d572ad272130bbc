//! `/cluster/resources`: everything at a glance, as old as the last round of the statistics daemon.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::calls::node::load::{self, Load};
use crate::calls::node::nodes;
use crate::calls::{Call, Done, Outcome};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;
use crate::state::guest::Guest;
use crate::state::node::Node;
use crate::state::sdn::is_on;

/// A guest's row; what isn't known is left out.
#[derive(Debug, Default, Serialize)]
struct GuestRow<'w> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    vmid: u32,
    node: &'w str,
    status: &'w str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hastate: Option<&'w str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen<'w>>,
}

/// What the statistics daemon said.
#[derive(Debug, Default, Serialize)]
struct Seen<'w> {
    name: &'w str,
    template: u8,
    uptime: i64,
    maxcpu: u32,
    maxmem: u64,
    maxdisk: u64,
    cpu: u64,
    mem: u64,
    memhost: u64,
    disk: u64,
    netin: u64,
    netout: u64,
    diskread: u64,
    diskwrite: u64,
}

/// The pool of every guest that has one.
fn pools_of_vms(world: &World) -> HashMap<u32, &str> {
    world.pools.iter().flat_map(|(id, pool)| pool.vms.iter().map(move |vmid| (*vmid, id.as_str()))).collect()
}

/// What a guest looks like here; without a published state only its bare bones.
fn row<'w>(world: &'w World, guest: &'w Guest, pool: Option<&'w str>) -> GuestRow<'w> {
    let kind = guest.kind.word();
    let hastate = if world.cluster.ha.is_empty() && world.cluster.manager.services.is_empty() {
        None
    } else {
        let sid = format!("{}:{}", guest.kind.ha(), guest.vmid);
        let service = world.cluster.manager.services.get(&sid).map(|s| s.state.as_str());
        service.or_else(|| world.cluster.ha.get(&sid).filter(|r| !r.unsaid).map(|r| r.state.as_str()))
    };
    let published = world.published.get(&guest.vmid).filter(|p| p.node == guest.node);
    let seen = published.map(|seen| Seen {
        name: &seen.name,
        template: u8::from(seen.template),
        uptime: seen.uptime,
        maxcpu: seen.cpus,
        maxmem: seen.memory,
        maxdisk: seen.disk,
        ..Seen::default()
    });
    GuestRow {
        id: format!("{kind}/{}", guest.vmid),
        kind,
        vmid: guest.vmid,
        node: &guest.node,
        status: published.map_or("unknown", |p| &p.status),
        lock: guest.get("lock"),
        tags: guest.get("tags"),
        pool,
        hastate,
        seen,
    }
}

/// The row of one guest.
pub(crate) fn guest_row(world: &World, guest: &Guest) -> Value {
    let pool = world.pools.iter().find(|(_, pool)| pool.vms.contains(&guest.vmid)).map(|(id, _)| id.as_str());
    serde_json::to_value(row(world, guest, pool)).unwrap_or_default()
}

/// The guests that a caller sees.
fn guests<'w>(world: &'w World, who: &'w Who) -> impl Iterator<Item = GuestRow<'w>> {
    let (named, pools) = (world.access.named_vms(), pools_of_vms(world));
    // Whom nothing names is seen as any other is.
    let others = world.may(who, "/vms/0", "VM.Audit");
    world.guests.values().filter_map(move |guest| {
        let pool = pools.get(&guest.vmid).copied();
        let special = pool.is_some() || named.contains(&guest.vmid);
        let seen = if special { world.may(who, &format!("/vms/{}", guest.vmid), "VM.Audit") } else { others };
        seen.then(|| row(world, guest, pool))
    })
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
    let guests: Vec<GuestRow<'_>> = if any("vm") { guests(world, call.who).collect() } else { Vec::new() };
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
    written(&guests, &rows)
}

/// A list of guests and other rows.
fn written(guests: &[GuestRow<'_>], rows: &[Value]) -> Outcome {
    let mut text = String::with_capacity(512 * guests.len() + 256 * rows.len());
    let write = |of: serde_json::Result<String>| of.map_err(|error| Fail::die(error.to_string()));
    text.push_str(&write(serde_json::to_string(guests))?);
    let others = write(serde_json::to_string(rows))?;
    text.pop();
    if !guests.is_empty() && !rows.is_empty() {
        text.push(',');
    }
    text.push_str(&others[1..]);
    Ok(Done::Written(text))
}

/// A node; in maintenance its HA state says so.
fn node_row(world: &World, who: &Who, node: &Node, load: Option<&Load>) -> Value {
    let mut row = nodes::resource(world, who, node, load);
    if let Some(state) = world.cluster.manager.nodes.get(&node.name).filter(|_| world.at_least(9, 0)) {
        row["hastate"] = json!(state);
    }
    row
}
