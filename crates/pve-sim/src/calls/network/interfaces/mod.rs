//! A node's interfaces: `/nodes/{node}/network`.
//!
//! Changes go to a file that waits; `PUT` on the list applies it in a task, `DELETE` on the list throws it away.

mod change;
mod sound;

use serde_json::{Map, Value, json};

use crate::calls::{Call, Done, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::perm::Who;
use crate::state::World;
use crate::state::interfaces::{Interface, Network, families, is};

pub(super) use change::{create, delete, update};

fn shown(network: &Network, name: &str, interface: &Interface) -> Map<String, Value> {
    let mut row = Map::new();
    for (key, value) in interface {
        let value = match key.as_str() {
            "priority" | "autostart" | "bridge_vlan_aware" => json!(value.parse::<i64>().unwrap_or_default()),
            "families" => continue,
            _ => json!(value),
        };
        row.insert(key.clone(), value);
    }
    row.insert("families".to_owned(), json!(families(interface)));
    if network.up.contains(name) {
        row.insert("active".to_owned(), json!(1));
    }
    if is(interface, "vlan") || is(interface, "alias") {
        // Whether the card is there, as far as it is known.
        let device = interface.get("vlan-raw-device").map(String::as_str);
        let device = device.or_else(|| name.split(':').next()).unwrap_or_default();
        let known = network.current().contains_key(device);
        row.insert("exists".to_owned(), if known { Value::Null } else { json!(0) });
    }
    row
}

/// Whether a bridge shows: by itself, or by one of its VLANs.
pub(in crate::calls::network) fn may_see_bridge(world: &World, who: &Who, zone: &str, bridge: &str) -> bool {
    let path = format!("/sdn/zones/{zone}/{bridge}");
    let may = |path: &str| ["SDN.Audit", "SDN.Use"].iter().any(|privilege| world.may(who, path, privilege));
    may(&path) || world.access.acl.iter().filter(|e| e.path.starts_with(&format!("{path}/"))).any(|e| may(&e.path))
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(json!([])) };
    let network = node.network();
    let wanted = call.get("type");
    let mut rows = Vec::new();
    for (name, interface) in network.current().iter().filter(|(name, _)| *name != "lo") {
        let is_bridge = is(interface, "bridge") || is(interface, "OVSBridge");
        let fits = match wanted {
            None | Some("include_sdn") => true,
            Some("any_bridge" | "any_local_bridge") => is_bridge,
            Some(kind) => is(interface, kind),
        };
        if fits && (!is_bridge || may_see_bridge(world, call.who, "localnetwork", name)) {
            let mut row = shown(&network, name, interface);
            row.insert("iface".to_owned(), json!(name));
            rows.push(Value::Object(row));
        }
    }
    if matches!(wanted, Some("any_bridge" | "include_sdn" | "vnet")) {
        rows.extend(super::sdn::local_vnets(world, call));
    }
    match network.changes() {
        Some(changes) => Ok(Done::Changes(Value::Array(rows), changes)),
        None => now(Value::Array(rows)),
    }
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let network = world.node(call.node()).map(crate::state::node::Node::network).unwrap_or_default();
    let name = call.str("iface");
    match network.current().get(name) {
        Some(interface) => now(Value::Object(shown(&network, name, interface))),
        None => Err(Fail::param("iface", "interface does not exist").into()),
    }
}

pub(super) fn revert(world: &mut World, call: &Call<'_>) -> Outcome {
    if let Some(node) = world.node_mut(call.node()) {
        node.network_mut().pending = None;
    }
    now(Value::Null)
}

pub(super) fn apply(world: &mut World, call: &Call<'_>) -> Outcome {
    now(json!(reload(world, call.node(), call.who)))
}

/// Starts the task that applies what waits on a node.
pub(crate) fn reload(world: &mut World, node: &str, who: &Who) -> String {
    if let Some(node) = world.node_mut(node) {
        node.network_mut().apply();
    }
    let after = world.pace.of("network");
    world.spawn(node, "srvreload", "networking", who, Job::ReloadNetwork { node: node.to_owned() }, after)
}
