//! Vnets: the bridges of a zone.

use serde_json::Value;

use super::object::{Kind, changed, fits, locked, row, rows, said, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::sdn::{Config, Object};

const OPTIONS: &str = "zone! tag alias vlanaware isolate-ports";

/// The zone of a vnet that the caller may do this to.
pub(super) fn need(world: &World, call: &Call<'_>, vnet: &str, privileges: &[&str]) -> Result<String, Fail> {
    let Some(object) = world.sdn.config.vnets.get(vnet) else { return Err(Kind::Vnet.missing(vnet)) };
    let zone = object.get("zone").cloned().unwrap_or_default();
    world.need_any(call.who, &format!("/sdn/zones/{zone}/{vnet}"), privileges)?;
    Ok(zone)
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let seen = rows(world, call, Kind::Vnet).into_iter().filter(|(id, row)| {
        let zone = row.get("zone").or_else(|| row.get("pending").and_then(|p| p.get("zone")));
        let zone = zone.and_then(Value::as_str).unwrap_or_default();
        world.need_any(call.who, &format!("/sdn/zones/{zone}/{id}"), &["SDN.Audit", "SDN.Allocate"]).is_ok()
    });
    now(seen.map(|(_, row)| Value::Object(row)).collect())
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("vnet");
    need(world, call, id, &["SDN.Audit", "SDN.Allocate"])?;
    now(Value::Object(row(world, call, Kind::Vnet, id)?))
}

fn zone_type<'a>(config: &'a Config, vnet: &Object) -> Option<&'a str> {
    config.zones.get(vnet.get("zone")?)?.get("type").map(String::as_str)
}

/// What the type of its zone asks of a vnet beside the others.
fn suits(config: &Config, id: &str, vnet: &Object) -> Result<(), Fail> {
    let Some(kind) = zone_type(config, vnet) else {
        let at = "/usr/share/perl5/PVE/API2/Network/SDN/Vnets.pm line 294.";
        return Err(Fail::die(format!("cannot lookup undefined type! at {at}")));
    };
    let wrong = |text: String| Err(Fail::param("tag", text));
    let tag = vnet.get("tag").and_then(|t| t.parse::<u32>().ok());
    let others = || config.vnets.iter().filter(|(other, _)| *other != id);
    let same_tag = |(_, other): &(&String, &Object)| other.get("tag") == vnet.get("tag");
    match (kind, tag) {
        ("simple", Some(_)) => return wrong("vlan tag is not allowed on simple zone".to_owned()),
        ("vlan" | "qinq", None) => return wrong("missing vlan tag".to_owned()),
        ("vlan" | "qinq", Some(tag)) => {
            if tag > 4096 {
                return wrong("vlan tag max value is 4096".to_owned());
            }
            let taken = others().filter(|(_, other)| other.get("zone") == vnet.get("zone")).find(same_tag);
            if let Some((other, _)) = taken {
                return wrong(format!("tag {tag} already exist in vnet {other}"));
            }
        }
        ("vxlan" | "evpn", None) => return wrong("missing vxlan tag".to_owned()),
        ("vxlan" | "evpn", Some(tag)) => {
            if kind == "evpn" && vnet.get("vlanaware").is_some_and(|v| v == "1") {
                return Err(Fail::param("vlan-aware", "vlan-aware option can't be enabled with evpn"));
            }
            let tunnelled =
                |(_, other): &(&String, &Object)| matches!(zone_type(config, other), Some("vxlan" | "evpn"));
            if let Some((other, object)) = others().filter(tunnelled).find(same_tag) {
                let zone = object.get("zone").map_or("", String::as_str);
                return wrong(format!("vxlan tag {tag} already exist in vnet {other} in zone {zone} "));
            }
        }
        (_, _) => {}
    }
    if vnet.get("vlanaware").is_some_and(|v| v == "1") && has_subnets(config, id) {
        return Err(Fail::param("vlanaware", "vlanaware vnet is not compatible with subnets"));
    }
    Ok(())
}

fn has_subnets(config: &Config, vnet: &str) -> bool {
    config.subnets.values().any(|s| s.get("vnet").is_some_and(|v| v == vnet))
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("vnet");
    locked(world, call, "create sdn vnet object failed", |world| {
        let mut object = said(call, Kind::Vnet);
        fits(&object, OPTIONS, true)?;
        if world.sdn.config.vnets.contains_key(id) {
            return Err(Fail::die(format!("sdn vnet object ID '{id}' already defined")));
        }
        object.insert("type".to_owned(), "vnet".to_owned());
        suits(&world.sdn.config, id, &object)?;
        world.sdn.config.vnets.insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("vnet");
    need(world, call, id, &["SDN.Allocate"])?;
    locked(world, call, "update sdn vnet object failed", |world| {
        unchanged(world, call, Kind::Vnet)?;
        let Some(old) = world.sdn.config.vnets.get(id).cloned() else { return Err(Kind::Vnet.missing(id)) };
        fits(&said(call, Kind::Vnet), OPTIONS, false)?;
        let object = changed(call, Kind::Vnet, &old, OPTIONS)?;
        if old.get("zone") != object.get("zone") && has_subnets(&world.sdn.config, id) {
            return Err(Fail::param("zone", "can't change zone if subnets exist"));
        }
        suits(&world.sdn.config, id, &object)?;
        world.sdn.config.vnets.insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("vnet");
    need(world, call, id, &["SDN.Allocate"])?;
    locked(world, call, "delete sdn vnet object failed", |world| {
        if has_subnets(&world.sdn.config, id) {
            return Err(Fail::param("vnet", "Can't delete vnet if subnets exists"));
        }
        world.sdn.config.vnets.remove(id);
        world.firewalls.remove(&format!("vnet/{id}"));
        Ok(Value::Null)
    })
}
