//! Subnets: the addresses of a vnet.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::object::{Kind, changed, fits, locked, row, rows, said, unchanged};
use super::vnets::need;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::addresses::network;
use crate::state::World;
use crate::state::sdn::{Lease, Object};

const OPTIONS: &str = "vnet! gateway snat dnszoneprefix dhcp-range dhcp-dns-server";

/// `zone-10.0.0.0-24` taken apart: zone, network, length.
pub(super) fn parts(id: &str) -> (&str, &str, &str) {
    let (zone, rest) = id.split_once('-').unwrap_or(("", id));
    let (address, length) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (zone, address, length)
}

/// The network of a subnet.
pub(super) fn cidr(id: &str) -> String {
    let (_, address, length) = parts(id);
    format!("{address}/{length}")
}

/// Whether an address is of a network.
pub(super) fn contains(cidr: &str, address: &str) -> bool {
    let Some((_, base, length)) = network(cidr) else { return false };
    let bits = |text: &str| match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => Some((u128::from(u32::from(v4)), 32u8)),
        Ok(IpAddr::V6(v6)) => Some((u128::from(v6), 128u8)),
        Err(_) => None,
    };
    let (Some((base, width)), Some((address, other))) = (bits(base), bits(address)) else { return false };
    let shift = u32::from(width - length.min(width));
    width == other && base.checked_shr(shift).unwrap_or(0) == address.checked_shr(shift).unwrap_or(0)
}

/// The ranges of a subnet: start and end.
fn ranges(subnet: &Object) -> Vec<(String, String)> {
    let text = subnet.get("dhcp-range").map_or("", String::as_str);
    let list: Vec<String> = serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()]);
    let key = |range: &str, key: &str| {
        let pair = range.split(',').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == key);
        pair.map(|(_, v)| v.to_owned())
    };
    list.iter().filter_map(|r| Some((key(r, "start-address")?, key(r, "end-address")?))).collect()
}

fn shown(id: &str, mut row: Map<String, Value>, subnet: Option<&Object>) -> Value {
    let (zone, address, length) = parts(id);
    let list = subnet.map(ranges).unwrap_or_default();
    let list = list.iter().map(|(start, end)| json!({"start-address": start, "end-address": end})).collect::<Value>();
    for (key, value) in [
        ("id", json!(id)),
        ("cidr", json!(cidr(id))),
        ("zone", json!(zone)),
        ("network", json!(address)),
        ("mask", json!(length)),
        ("dhcp-range", list),
    ] {
        row.insert(key.to_owned(), value);
    }
    Value::Object(row)
}

fn of<'a>(world: &'a World, call: &Call<'_>, id: &str) -> Option<&'a Object> {
    let config = if call.flag("running") { &world.sdn.running } else { &world.sdn.config };
    config.subnets.get(id)
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let vnet = call.str("vnet");
    need(world, call, vnet, &["SDN.Audit", "SDN.Allocate"])?;
    let here = |row: &Map<String, Value>| row.get("vnet").is_some_and(|v| v == vnet);
    let rows = rows(world, call, Kind::Subnet).into_iter().filter(|(_, row)| here(row));
    now(rows.map(|(id, row)| shown(&id, row, of(world, call, &id))).collect())
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (vnet, id) = (call.str("vnet"), call.str("subnet"));
    need(world, call, vnet, &["SDN.Audit", "SDN.Allocate"])?;
    let row = row(world, call, Kind::Subnet, id)?;
    if row.get("vnet").is_some_and(|v| v != vnet) {
        return Err(Fail::param("vnet", "wrong vnet").into());
    }
    now(shown(id, row, of(world, call, id)))
}

fn check(world: &World, id: &str, subnet: &Object) -> Result<(), Fail> {
    let vnet = subnet.get("vnet").map_or("", String::as_str);
    let cidr = cidr(id);
    match world.sdn.config.vnets.get(vnet) {
        None => return Err(Fail::param("vnet", format!("{vnet} don't exist"))),
        Some(object) if object.get("vlanaware").is_some_and(|v| v == "1") => {
            return Err(Fail::param("vnet", "you can't add a subnet on a vlanaware vnet"));
        }
        Some(_) => {}
    }
    if let Some(gateway) = subnet.get("gateway")
        && !contains(&cidr, gateway)
        && !(gateway.contains('.') && cidr.ends_with("/32"))
    {
        return Err(Fail::param("gateway", format!("{gateway} is not in subnet {cidr}")));
    }
    let mut before: Vec<(IpAddr, IpAddr)> = Vec::new();
    for (start, end) in ranges(subnet) {
        let wrong = |text: String| Err(Fail::param("dhcp-range", text));
        let Ok(from) = start.parse::<IpAddr>() else {
            return wrong(format!("start-address is not a valid IP {start}"));
        };
        let Ok(to) = end.parse::<IpAddr>() else { return wrong(format!("end-address is not a valid IP {end}")) };
        if from > to {
            return wrong(format!("start-address {start} must be smaller than end-address {end}"));
        }
        for (name, address) in [("start-address", &start), ("end-address", &end)] {
            if !contains(&cidr, address) {
                return wrong(format!("{name} {address} is not in subnet {cidr}"));
            }
        }
        if before.iter().any(|(a, b)| from <= *b && to >= *a) {
            return wrong("dhcp ranges must not overlap".to_owned());
        }
        before.push((from, to));
    }
    Ok(())
}

/// Keeps the books of the built-in address management: the network, and its gateway.
fn book(world: &mut World, id: &str, subnet: &Object, old_gateway: Option<&String>) -> Result<(), Fail> {
    let (zone, _, length) = parts(id);
    if world.sdn.config.zones.get(zone).and_then(|z| z.get("ipam")).is_none_or(|ipam| ipam != "pve") {
        return Ok(());
    }
    let leases = world.sdn.leases.entry(zone.to_owned()).or_default().entry(cidr(id)).or_default();
    let gateway = subnet.get("gateway");
    if gateway.is_some_and(|g| g.contains('.')) && length == "32" || gateway == old_gateway {
        return Ok(());
    }
    if let Some(gateway) = gateway {
        if leases.get(gateway).is_some_and(|lease| !lease.gateway) {
            return Err(Fail::die(format!("IP '{gateway}' already exist")));
        }
        leases.insert(gateway.clone(), Lease { gateway: true, ..Lease::default() });
    }
    if let Some(old) = old_gateway {
        leases.remove(old);
    }
    Ok(())
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let zone = need(world, call, call.str("vnet"), &["SDN.Allocate"])?;
    let id = format!("{zone}-{}", call.str("subnet").replacen('/', "-", 1));
    locked(world, call, "create sdn subnet object failed", |world| {
        let mut object = said(call, Kind::Subnet);
        fits(&object, OPTIONS, true)?;
        if world.sdn.config.subnets.contains_key(&id) {
            return Err(Fail::die(format!("sdn subnet object ID '{id}' already defined")));
        }
        object.insert("type".to_owned(), "subnet".to_owned());
        check(world, &id, &object)?;
        book(world, &id, &object, None)?;
        world.sdn.config.subnets.insert(id, object);
        Ok(Value::Null)
    })
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("subnet");
    need(world, call, call.str("vnet"), &["SDN.Allocate"])?;
    locked(world, call, "update sdn subnet object failed", |world| {
        let Some(old) = world.sdn.config.subnets.get(id).cloned() else { return Err(Kind::Subnet.missing(id)) };
        unchanged(world, call, Kind::Subnet)?;
        fits(&said(call, Kind::Subnet), OPTIONS, false)?;
        let object = changed(call, Kind::Subnet, &old, OPTIONS)?;
        check(world, id, &object)?;
        book(world, id, &object, old.get("gateway"))?;
        world.sdn.config.subnets.insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("subnet");
    need(world, call, call.str("vnet"), &["SDN.Allocate"])?;
    locked(world, call, "delete sdn subnet object failed", |world| {
        let (zone, cidr) = (parts(id).0, cidr(id));
        if let Some(networks) = world.sdn.leases.get_mut(zone) {
            if networks.get(&cidr).is_some_and(|leases| leases.values().any(|l| !l.gateway)) {
                return Err(Fail::die(format!("cannot delete subnet '{cidr}', not empty")));
            }
            networks.remove(&cidr);
        }
        world.sdn.config.subnets.remove(id);
        Ok(Value::Null)
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_address_is_of_a_network_or_not() {
        assert!(contains("10.4.0.0/14", "10.7.255.1") && !contains("10.4.0.0/14", "10.8.0.1"));
        assert!(contains("fd00:1::/32", "fd00:1:ffff::1") && !contains("fd00:1::/32", "10.0.0.1"));
        assert_eq!(cidr("blue-fd00:1::-64"), "fd00:1::/64");
        assert_eq!(parts("blue-10.0.0.0-24"), ("blue", "10.0.0.0", "24"));
    }
}
