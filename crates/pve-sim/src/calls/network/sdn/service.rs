//! What zones lean on: controllers, address management, name servers.
//!
//! Nothing is asked of servers outside: those that are named are taken to be there.

use serde_json::Value;

use super::object::{Kind, changed, fits, list as list_of, locked, row, said, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;

fn kind(call: &Call<'_>) -> Kind {
    let path = call.method.path.as_str();
    if path.starts_with("/cluster/sdn/controllers") {
        Kind::Controller
    } else if path.starts_with("/cluster/sdn/ipams") {
        Kind::Ipam
    } else {
        Kind::Dns
    }
}

/// The properties of a type; those with a mark must be there.
fn options(of: &str) -> &'static str {
    match of {
        "evpn" => "asn! peers fabric",
        "bgp" => "node! asn! peers! bgp-multipath-as-path-relax ebgp ebgp-multihop loopback",
        "isis" => "isis-domain! isis-net! isis-ifaces! node! loopback",
        "netbox" => "url! token! fingerprint",
        "phpipam" => "url! token! section! fingerprint",
        "powerdns" => "url! key! reversemaskv6 reversev6mask ttl fingerprint",
        _ => "",
    }
}

/// Those that there are always: the built-in address management.
fn built_in(world: &mut World, kind: Kind) {
    if kind == Kind::Ipam {
        let pve = || [("type".to_owned(), "pve".to_owned())].into();
        world.sdn.ipams.entry("pve".to_owned()).or_insert_with(pve);
    }
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    built_in(world, kind);
    let path = match kind {
        Kind::Controller => "/sdn/controllers",
        Kind::Ipam => "/sdn/ipams",
        Kind::Dns | Kind::Zone | Kind::Vnet | Kind::Subnet | Kind::Fabric => "/sdn/dns",
    };
    list_of(world, call, kind, path)
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    built_in(world, kind);
    now(Value::Object(row(world, call, kind, call.str(kind.word()))?))
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    let (word, of) = (kind.word(), call.str("type"));
    let id = call.str(word);
    let mut object = said(call, kind);
    fits(&object, options(of), true)?;
    built_in(world, kind);
    locked(world, call, &format!("create sdn {word} object failed"), |world| {
        if kind.written(&world.sdn).contains_key(id) {
            return Err(Fail::die(format!("sdn {word} object ID '{id}' already defined")));
        }
        let is_evpn = |c: &std::collections::BTreeMap<String, String>| c.get("type").is_some_and(|t| t == "evpn");
        if of == "evpn" && world.sdn.config.controllers.values().any(is_evpn) {
            let at = "/usr/share/perl5/PVE/Network/SDN/Controllers/EvpnPlugin.pm line 396.";
            return Err(Fail::die(format!("only 1 global evpn controller can be defined at {at}")));
        }
        object.insert("type".to_owned(), of.to_owned());
        kind.written_mut(&mut world.sdn).insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    let id = call.str(kind.word());
    built_in(world, kind);
    locked(world, call, &format!("update sdn {} object failed", kind.word()), |world| {
        unchanged(world, call, kind)?;
        let Some(old) = kind.written(&world.sdn).get(id).cloned() else { return Err(kind.missing(id)) };
        let options = options(old.get("type").map_or("", String::as_str));
        fits(&said(call, kind), options, false)?;
        let object = changed(call, kind, &old, options)?;
        kind.written_mut(&mut world.sdn).insert(id.to_owned(), object);
        Ok(Value::Null)
    })
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let kind = kind(call);
    let id = call.str(kind.word());
    built_in(world, kind);
    let what = if kind == Kind::Controller { "controller" } else { "zone" };
    locked(world, call, &format!("delete sdn {what} object failed"), |world| {
        if !kind.written(&world.sdn).contains_key(id) {
            return Err(kind.missing(id));
        }
        let user = world.sdn.config.zones.iter().find(|(_, z)| z.get("controller").is_some_and(|c| c == id));
        if let (Kind::Controller, Some((zone, _))) = (kind, user) {
            let at = "/usr/share/perl5/PVE/Network/SDN/Controllers/EvpnPlugin.pm line 377.";
            return Err(Fail::die(format!("controller {id} is used by {zone} at {at}")));
        }
        kind.written_mut(&mut world.sdn).remove(id);
        Ok(Value::Null)
    })
}
