//! Zones: kinds of virtual networks, and where they are.

use serde_json::Value;

use super::object::{Kind, changed, fits, list as list_of, locked, row, said, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::sdn::{Object, Sdn};

/// The properties of a type; those with a mark must be there.
fn options(kind: &str) -> &'static str {
    match kind {
        "vlan" => "bridge! bridge-disable-mac-learning nodes mtu dns reversedns dnszone ipam",
        "qinq" => "tag! bridge! vlan-protocol bridge-disable-mac-learning nodes mtu dns reversedns dnszone ipam",
        "vxlan" => "peers fabric vxlan-port nodes mtu dns reversedns dnszone ipam",
        "evpn" => {
            "vrf-vxlan! controller! exitnodes exitnodes-local-routing exitnodes-primary advertise-subnets \
             disable-arp-nd-suppression bridge-disable-mac-learning rt-import vxlan-port mac nodes mtu dns reversedns \
             dnszone ipam"
        }
        "faucet" => "dp-id! controller nodes mtu dns reversedns dnszone ipam",
        _ => "nodes mtu dns reversedns dnszone dhcp ipam",
    }
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    list_of(world, call, Kind::Zone, "/sdn/zones")
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    now(Value::Object(row(world, call, Kind::Zone, call.str("zone"))?))
}

/// What a zone refers to must be there.
fn refers(sdn: &Sdn, said: &Object) -> Result<(), Fail> {
    for key in ["dns", "reversedns"] {
        if let Some(server) = said.get(key).filter(|server| !sdn.dns.contains_key(*server)) {
            return Err(Fail::param(key, format!("{server} don't exist")));
        }
    }
    if said.contains_key("dnszone") && !said.contains_key("dns") {
        return Err(Fail::param("dnszone", "missing dns server"));
    }
    match said.get("ipam").filter(|ipam| *ipam != "pve" && !sdn.ipams.contains_key(*ipam)) {
        Some(ipam) => Err(Fail::param("ipam", format!("{ipam} not existing"))),
        None => Ok(()),
    }
}

/// What its type asks of a zone beside the others.
fn suits(world: &mut World, id: &str, object: &mut Object) -> Result<(), Fail> {
    if object.get("type").is_none_or(|t| t != "evpn") {
        return Ok(());
    }
    let at = "/usr/share/perl5/PVE/Network/SDN/Zones/EvpnPlugin.pm";
    let controller = object.get("controller").cloned().unwrap_or_default();
    match world.sdn.config.controllers.get(&controller).and_then(|c| c.get("type")) {
        None => return Err(Fail::die(format!("controller {controller} don't exist at {at} line 311."))),
        Some(kind) if kind != "evpn" => {
            return Err(Fail::die(format!("{controller} is not a evpn controller type at {at} line 314.")));
        }
        Some(_) => {}
    }
    let number = object.get("vrf-vxlan").cloned();
    let taken = |(other, zone): &(&String, &Object)| *other != id && zone.get("vrf-vxlan") == number.as_ref();
    if let (Some(number), Some((other, _))) = (&number, world.sdn.config.zones.iter().find(taken)) {
        return Err(Fail::die(format!("vrf-vxlan {number} is already declared in {other} at {at} line 323.")));
    }
    if !object.contains_key("mac") {
        object.insert("mac".to_owned(), world.mac());
    }
    Ok(())
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (id, kind) = (call.str("zone"), call.str("type"));
    let mut object = said(call, Kind::Zone);
    fits(&object, options(kind), true)?;
    locked(world, call, "create sdn zone object failed", |world| {
        if world.sdn.config.zones.contains_key(id) {
            return Err(Fail::die(format!("sdn zone object ID '{id}' already defined")));
        }
        refers(&world.sdn, &object)?;
        object.insert("type".to_owned(), kind.to_owned());
        suits(world, id, &mut object)?;
        world.sdn.config.zones.insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("zone");
    locked(world, call, "update sdn zone object failed", |world| {
        unchanged(world, call, Kind::Zone)?;
        let Some(old) = world.sdn.config.zones.get(id).cloned() else { return Err(Kind::Zone.missing(id)) };
        let options = options(old.get("type").map_or("", String::as_str));
        let said = said(call, Kind::Zone);
        fits(&said, options, false)?;
        let mut object = changed(call, Kind::Zone, &old, options)?;
        if old.get("ipam") != object.get("ipam") && has_subnets(&world.sdn, id) {
            return Err(Fail::param("ipam", "can't change ipam if a subnet is already defined in this zone"));
        }
        refers(&world.sdn, &said)?;
        suits(world, id, &mut object)?;
        world.sdn.config.zones.insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

fn has_subnets(sdn: &Sdn, zone: &str) -> bool {
    sdn.config.subnets.keys().any(|id| id.split('-').next() == Some(zone))
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("zone");
    locked(world, call, "delete sdn zone object failed", |world| {
        if !world.sdn.config.zones.contains_key(id) {
            return Err(Kind::Zone.missing(id));
        }
        let user = world.sdn.config.vnets.iter().find(|(_, v)| v.get("zone").is_some_and(|z| z == id));
        if let Some((vnet, _)) = user {
            let at = "/usr/share/perl5/PVE/Network/SDN/Zones/Plugin.pm line 147.";
            return Err(Fail::die(format!("zone {id} is used by vnet {vnet} at {at}")));
        }
        world.sdn.config.zones.remove(id);
        Ok(Value::Null)
    })
}
