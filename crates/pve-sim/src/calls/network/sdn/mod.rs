//! Software-defined networks: `/cluster/sdn`, and what nodes say of them.
//!
//! Everything is written first, and runs after `PUT /cluster/sdn` has reloaded the nodes. No packet is moved: a vnet is a
//! bridge that guests can be plugged to.

mod fabrics;
mod leases;
mod nodes;
mod object;
mod service;
mod subnets;
mod vnets;
mod zones;

use serde_json::{Value, json};

use super::interfaces::may_see_bridge;
use crate::calls::{Call, Handler, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::state::World;

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    if let Some(rest) = path.strip_prefix("/nodes/{node}/sdn") {
        return Some(match (verb, rest) {
            ("GET", "") => nodes::index,
            ("GET", "/zones") => nodes::zones,
            ("GET", "/zones/{zone}") => nodes::zone,
            ("GET", "/zones/{zone}/content") => nodes::content,
            ("GET", "/zones/{zone}/bridges") => nodes::bridges,
            _ => return None,
        });
    }
    Some(match (verb, path.strip_prefix("/cluster/sdn")?) {
        ("GET", "") => index,
        ("PUT", "") => apply,
        ("POST", "/lock") => lock,
        ("DELETE", "/lock") => unlock,
        ("POST", "/rollback") => rollback,
        ("GET", "/zones") => zones::list,
        ("POST", "/zones") => zones::create,
        ("GET", "/zones/{zone}") => zones::get,
        ("PUT", "/zones/{zone}") => zones::update,
        ("DELETE", "/zones/{zone}") => zones::delete,
        ("GET", "/vnets") => vnets::list,
        ("POST", "/vnets") => vnets::create,
        ("GET", "/vnets/{vnet}") => vnets::get,
        ("PUT", "/vnets/{vnet}") => vnets::update,
        ("DELETE", "/vnets/{vnet}") => vnets::delete,
        ("GET", "/vnets/{vnet}/subnets") => subnets::list,
        ("POST", "/vnets/{vnet}/subnets") => subnets::create,
        ("GET", "/vnets/{vnet}/subnets/{subnet}") => subnets::get,
        ("PUT", "/vnets/{vnet}/subnets/{subnet}") => subnets::update,
        ("DELETE", "/vnets/{vnet}/subnets/{subnet}") => subnets::delete,
        ("POST", "/vnets/{vnet}/ips") => leases::create,
        ("PUT", "/vnets/{vnet}/ips") => leases::update,
        ("DELETE", "/vnets/{vnet}/ips") => leases::delete,
        ("GET", "/ipams/{ipam}/status") => leases::status,
        ("GET", "/controllers" | "/ipams" | "/dns") => service::list,
        ("POST", "/controllers" | "/ipams" | "/dns") => service::create,
        ("GET", "/controllers/{controller}" | "/ipams/{ipam}" | "/dns/{dns}") => service::get,
        ("PUT", "/controllers/{controller}" | "/ipams/{ipam}" | "/dns/{dns}") => service::update,
        ("DELETE", "/controllers/{controller}" | "/ipams/{ipam}" | "/dns/{dns}") => service::delete,
        ("GET", "/fabrics") => fabrics::index,
        ("GET", "/fabrics/all") => fabrics::all,
        ("GET", "/fabrics/fabric") => fabrics::list,
        ("POST", "/fabrics/fabric") => fabrics::create,
        ("GET", "/fabrics/fabric/{id}") => fabrics::get,
        ("PUT", "/fabrics/fabric/{id}") => fabrics::update,
        ("DELETE", "/fabrics/fabric/{id}") => fabrics::delete,
        ("GET", "/fabrics/node" | "/fabrics/node/{fabric_id}") => fabrics::list_nodes,
        ("POST", "/fabrics/node/{fabric_id}") => fabrics::create_node,
        ("GET", "/fabrics/node/{fabric_id}/{node_id}") => fabrics::get_node,
        ("PUT", "/fabrics/node/{fabric_id}/{node_id}") => fabrics::update_node,
        ("DELETE", "/fabrics/node/{fabric_id}/{node_id}") => fabrics::delete_node,
        _ => return None,
    })
}

fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("id", &["vnets", "zones", "controllers", "ipams", "dns", "fabrics"]))
}

/// The lock goes if the caller has it and doesn't want it back.
fn release(world: &mut World, call: &Call<'_>) {
    if call.get("lock-token").is_some() && call.get("release-lock") != Some("0") {
        world.sdn.lock = None;
    }
}

fn apply(world: &mut World, call: &Call<'_>) -> Outcome {
    object::locked(world, call, "could not commit SDN config", |world| {
        world.sdn.commit();
        release(world, call);
        let node = world.nodes.first().map_or_else(String::new, |n| n.name.clone());
        let after = world.pace.of("network");
        Ok(json!(world.spawn(&node, "reloadnetworkall", "", call.who, Job::ReloadAllNetworks, after)))
    })
}

fn lock(world: &mut World, call: &Call<'_>) -> Outcome {
    object::locked(world, call, "could not acquire lock on SDN config", |world| {
        if !call.flag("allow-pending") && world.sdn.config != world.sdn.running {
            return Err(Fail::die("configuration has pending changes"));
        }
        let token = world.chance.uuid();
        world.sdn.lock = Some(token.clone());
        Ok(json!(token))
    })
}

fn unlock(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.flag("force") {
        world.sdn.lock = None;
        return now(Value::Null);
    }
    object::locked(world, call, "could not release lock on SDN config", |world| {
        world.sdn.lock = None;
        Ok(Value::Null)
    })
}

fn rollback(world: &mut World, call: &Call<'_>) -> Outcome {
    object::locked(world, call, "could not rollback SDN configuration", |world| {
        world.sdn.config = world.sdn.running.clone();
        release(world, call);
        Ok(Value::Null)
    })
}

/// The vnets that run on a node, as its interfaces.
pub(super) fn local_vnets(world: &World, call: &Call<'_>) -> Vec<Value> {
    let mut rows = Vec::new();
    for name in world.sdn.vnets_on(call.node()) {
        let Some(vnet) = world.sdn.running.vnets.get(&name) else { continue };
        let zone = vnet.get("zone").map_or("", String::as_str);
        if !may_see_bridge(world, call.who, zone, &name) {
            continue;
        }
        let ipam = world.sdn.running.zones.get(zone).is_some_and(|z| z.contains_key("ipam"));
        let aware = vnet.get("vlanaware").is_some_and(|v| v == "1");
        rows.push(json!({
            "iface": name, "type": "vnet", "active": "1", "ipam": i32::from(ipam), "vlanaware": i32::from(aware),
            "comments": vnet.get("alias"),
        }));
    }
    rows
}
