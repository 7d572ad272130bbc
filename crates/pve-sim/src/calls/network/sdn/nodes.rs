//! What a node has brought up of the virtual networks.

use serde_json::{Value, json};

use crate::calls::network::interfaces::may_see_bridge;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::interfaces::is;
use crate::state::sdn::is_on;

/// `available`, or what a node lacks.
fn state(world: &World, node: &str) -> (&'static str, Option<&'static str>) {
    match world.sdn.nodes.get(node) {
        None => ("pending", Some("local sdn network configuration is not yet generated, please reload")),
        Some(version) if *version < world.sdn.version => {
            ("pending", Some("local sdn network configuration is too old, please reload"))
        }
        Some(_) => ("available", None),
    }
}

pub(super) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["fabrics", "vnets", "zones"]))
}

pub(super) fn zones(world: &mut World, call: &Call<'_>) -> Outcome {
    let (status, _) = state(world, call.node());
    let may =
        |zone: &str| world.need_any(call.who, &format!("/sdn/zones/{zone}"), &["SDN.Audit", "SDN.Allocate"]).is_ok();
    let mut rows = Vec::new();
    if may("localnetwork") {
        rows.push(json!({"zone": "localnetwork", "status": "available"}));
    }
    let running = world.sdn.running.zones.iter().filter(|(id, zone)| may(id) && is_on(zone, call.node()));
    rows.extend(running.map(|(id, _)| json!({"zone": id, "status": status})));
    now(Value::Array(rows))
}

pub(super) fn zone(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["content", "bridges", "ip-vrf"]))
}

/// The bridges of a zone, as far as the caller may see them.
fn bridges_of(world: &World, call: &Call<'_>, zone: &str) -> Vec<String> {
    let node = call.node();
    let all: Vec<String> = if zone == "localnetwork" {
        let network = world.node(node).map(crate::state::node::Node::network).unwrap_or_default();
        let bridges = network.applied.iter().filter(|(_, i)| is(i, "bridge") || is(i, "OVSBridge"));
        bridges.map(|(name, _)| name.clone()).collect()
    } else {
        let vnets = world.sdn.running.vnets.iter();
        vnets.filter(|(_, v)| v.get("zone").is_some_and(|z| z == zone)).map(|(name, _)| name.clone()).collect()
    };
    all.into_iter().filter(|bridge| may_see_bridge(world, call.who, zone, bridge)).collect()
}

pub(super) fn content(world: &mut World, call: &Call<'_>) -> Outcome {
    let zone = call.str("zone");
    let (status, message) = if zone == "localnetwork" { ("available", None) } else { state(world, call.node()) };
    let rows = bridges_of(world, call, zone).into_iter().map(|vnet| {
        let mut row = json!({"vnet": vnet, "status": status});
        if let Some(message) = message {
            row["statusmsg"] = json!(message);
        }
        row
    });
    now(rows.collect())
}

pub(super) fn bridges(world: &mut World, call: &Call<'_>) -> Outcome {
    let zone = call.str("zone");
    if zone != "localnetwork" && !world.sdn.running.zones.contains_key(zone) {
        return Err(Fail::die(format!("sdn '{zone}' does not exist")).into());
    }
    let node = call.node();
    let ports_of = |bridge: &str| -> Vec<Value> {
        let guests = world.guests.values().filter(|g| g.node == node && g.running());
        let mut ports = Vec::new();
        for guest in guests {
            for (key, value) in guest.config.iter().filter(|(key, _)| key.starts_with("net")) {
                if crate::state::drive::option_of(value, "bridge").is_some_and(|b| b == bridge) {
                    let number = key.trim_start_matches("net");
                    ports
                        .push(json!({"name": format!("tap{}i{number}", guest.vmid), "index": key, "vmid": guest.vmid}));
                }
            }
        }
        ports
    };
    let rows = bridges_of(world, call, zone);
    now(rows.iter().map(|name| json!({"name": name, "vlan_filtering": "0", "ports": ports_of(name)})).collect())
}
