//! Interfaces that are made, changed and removed.

use serde_json::Value;

use super::sound;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::addresses::network;
use crate::schema::split_list;
use crate::state::World;
use crate::state::interfaces::{Interface, Interfaces, settle};

/// Parameters that are no options of an interface.
const OTHERS: [&str; 3] = ["node", "iface", "delete"];

fn current(world: &World, call: &Call<'_>) -> Interfaces {
    world.node(call.node()).map(|n| n.network().current().clone()).unwrap_or_default()
}

fn keep(world: &mut World, call: &Call<'_>, mut interfaces: Interfaces) -> Outcome {
    sound::check(&interfaces).map_err(Fail::die)?;
    settle(&mut interfaces);
    if let Some(node) = world.node_mut(call.node()) {
        node.network_mut().pending = Some(interfaces);
    }
    now(Value::Null)
}

/// A gateway is the node's, not the interface's.
fn one_gateway(interfaces: &Interfaces, call: &Call<'_>) -> Result<(), Fail> {
    for (key, text) in [("gateway", "Default gateway"), ("gateway6", "Default ipv6 gateway")] {
        let other = |(name, i): &(&String, &Interface)| *name != call.str("iface") && i.contains_key(key);
        if call.get(key).is_some()
            && let Some((name, _)) = interfaces.iter().find(other)
        {
            return Err(Fail::param(key, format!("{text} already exists on interface '{name}'.")));
        }
    }
    Ok(())
}

/// A port belongs to one interface.
fn free_ports(interfaces: &Interfaces, call: &Call<'_>) -> Result<(), Fail> {
    let keys = ["bridge_ports", "ovs_ports", "slaves", "ovs_bonds"];
    let Some(said) = keys.iter().find(|key| call.get(key).is_some_and(|v| !v.is_empty())) else { return Ok(()) };
    let wanted: Vec<&str> = keys.iter().flat_map(|key| split_list(call.str(key))).collect();
    for (name, interface) in interfaces.iter().filter(|(name, _)| *name != call.str("iface")) {
        let taken = keys.iter().filter_map(|key| interface.get(*key)).flat_map(|v| split_list(v));
        if let Some(port) = taken.into_iter().find(|port| wanted.contains(port)) {
            return Err(Fail::param(said, format!("{port} is already used on interface '{name}'.")));
        }
    }
    Ok(())
}

/// The options of the call, networks taken apart.
fn said(call: &Call<'_>) -> Result<Interface, Fail> {
    let mut options: Interface = call
        .params
        .iter()
        .filter(|(key, _)| !OTHERS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for suffix in ["", "6"] {
        let (cidr, address, mask) = (format!("cidr{suffix}"), format!("address{suffix}"), format!("netmask{suffix}"));
        let Some(value) = options.remove(&cidr) else { continue };
        for key in [&address, &mask] {
            if options.contains_key(key) {
                return Err(Fail::param(key, format!("{key} conflicts with {cidr}")));
            }
        }
        if let Some((_, host, length)) = network(&value) {
            options.insert(address, host.to_owned());
            options.insert(mask, length.to_string());
        }
    }
    if let Some(address) = options.get("address6").and_then(|a| a.parse::<std::net::Ipv6Addr>().ok())
        && (address.is_multicast() || address.is_loopback() || address.is_unspecified())
    {
        let kind = if address.is_multicast() {
            "MULTICAST"
        } else if address.is_loopback() {
            "LOOPBACK"
        } else {
            "UNSPECIFIED"
        };
        let text = format!("{address} with type '{kind}', cannot be used as host IPv6 address.");
        return Err(Fail::param("address", text));
    }
    let mut families = Vec::new();
    for (suffix, family) in [("", "inet"), ("6", "inet6")] {
        let has = options.get(&format!("address{suffix}")).is_some_and(|a| !a.is_empty());
        options.insert(format!("method{suffix}"), if has { "static" } else { "manual" }.to_owned());
        if has {
            families.push(family);
        }
    }
    options.insert("families".to_owned(), if families.is_empty() { "inet".to_owned() } else { families.join(" ") });
    if let Some(vids) = options.get_mut("bridge_vids") {
        let words: Vec<&str> = split_list(vids).collect();
        *vids = words.join(" ");
    }
    Ok(options)
}

/// Open vSwitch is a package that a fresh node doesn't have.
fn no_switch(call: &Call<'_>) -> Result<(), Fail> {
    if call.str("type").starts_with("OVS") {
        return Err(Fail::die("Open VSwitch is not installed (need package 'openvswitch-switch')"));
    }
    Ok(())
}

pub(in crate::calls::network) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut interfaces = current(world, call);
    let name = call.str("iface");
    if interfaces.contains_key(name) {
        return Err(Fail::param("iface", "interface already exists").into());
    }
    one_gateway(&interfaces, call)?;
    free_ports(&interfaces, call)?;
    let options = said(call)?;
    no_switch(call)?;
    interfaces.insert(name.to_owned(), options);
    keep(world, call, interfaces)
}

pub(in crate::calls::network) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut interfaces = current(world, call);
    let name = call.str("iface");
    let Some(interface) = interfaces.get_mut(name) else {
        return Err(Fail::param("iface", "interface does not exist").into());
    };
    for key in split_list(call.str("delete")) {
        interface.remove(key);
        if let Some(suffix) = key.strip_prefix("cidr") {
            interface.remove(&format!("address{suffix}"));
            interface.remove(&format!("netmask{suffix}"));
        }
    }
    let options = said(call)?;
    one_gateway(&interfaces, call)?;
    free_ports(&interfaces, call)?;
    // What is not said stays; but the method goes by what is said.
    interfaces.entry(name.to_owned()).or_default().extend(options);
    keep(world, call, interfaces)
}

pub(in crate::calls::network) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut interfaces = current(world, call);
    if interfaces.remove(call.str("iface")).is_none() {
        return Err(Fail::param("iface", "interface does not exist").into());
    }
    keep(world, call, interfaces)
}
