//! Migration over the API: what stands in its way, and its start.

use serde_json::{Map, Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::migrate::{Migrate, local_volumes};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key, option_of};
use crate::state::guest::Guest;

/// Devices of the node that the VM uses.
fn local_resources(guest: &Guest) -> (Vec<String>, Map<String, Value>) {
    let (mut local, mut mapped) = (Vec::new(), Map::new());
    for (key, text) in &guest.config {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        match stem {
            "usb" | "hostpci" if option_of(text, "mapping").is_some() => {
                mapped.insert(key.clone(), json!({"name": option_of(text, "mapping"), "live-migration": 0}));
            }
            "usb" if text.contains("spice") => {}
            "serial" if text == "socket" => {}
            "usb" | "hostpci" | "serial" | "parallel" | "ivshmem" => local.push(key.clone()),
            _ => {}
        }
    }
    (local, mapped)
}

/// Storages of a VM that a node doesn't have.
fn unavailable(world: &World, guest: &Guest, node: &str) -> Vec<String> {
    let drives = guest.config.iter().filter(|(k, _)| is_drive_key(k) || is_unused_key(k));
    let mut stores: Vec<String> =
        drives.filter_map(|(_, v)| file_of(v).split_once(':').map(|(store, _)| store.to_owned())).collect();
    stores.sort();
    stores.dedup();
    stores.retain(|id| world.storage_on(id, node).is_err());
    stores
}

pub(crate) fn precondition(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    if let Some(target) = call.get("target")
        && world.node(target).is_none()
    {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    let rows: Value = local_volumes(world, guest).iter().map(|(volid, key)| disk(world, guest, volid, key)).collect();
    let (mut allowed, mut refused) = (Vec::new(), Map::new());
    for node in world.nodes.iter().filter(|n| n.name != guest.node) {
        let missing = unavailable(world, guest, &node.name);
        if missing.is_empty() {
            allowed.push(node.name.clone());
        } else {
            refused.insert(node.name.clone(), json!({"unavailable_storages": missing}));
        }
    }
    let (local, mapped) = local_resources(guest);
    let names: Vec<&String> = mapped.keys().collect();
    now(json!({
        "running": i32::from(guest.running()), "allowed_nodes": allowed, "not_allowed_nodes": refused,
        "local_disks": rows, "local_resources": local, "mapped-resources": names, "mapped-resource-info": mapped,
        "has-dbus-vmstate": 1,
    }))
}

fn disk(world: &World, guest: &Guest, volid: &str, key: &str) -> Value {
    let text = guest.get(key).unwrap_or_default();
    let volume = world.volumes.find(volid, &guest.node);
    let kept = |s: &crate::state::guest::Snapshot| s.config.values().any(|v| file_of(v) == volid);
    let mut row = json!({
        "volid": volid, "cdrom": i32::from(is_cdrom(text)), "is_unused": i32::from(is_unused_key(key)),
        "is_attached": i32::from(!is_unused_key(key)), "is_vmstate": 0,
        "is_cloudinit": i32::from(volid.contains("-cloudinit")), "is_tpmstate": i32::from(key.starts_with("tpmstate")),
        "replicate": i32::from(option_of(text, "replicate") != Some("0")), "shared": 0,
        "size": volume.map_or(0, |v| v.size),
    });
    if is_drive_key(key) {
        row["drivename"] = json!(key);
    }
    if guest.snapshots.values().any(kept) {
        row["referenced_in_snapshot"] = guest
            .snapshots
            .iter()
            .filter(|(_, s)| kept(s))
            .map(|(name, _)| (name.clone(), json!(1)))
            .collect::<Map<_, _>>()
            .into();
    }
    row
}

/// `1` for each storage to its namesake, `a` for all to one, `a:b,c:d`.
fn storage_map(text: &str) -> Result<Vec<(String, String)>, Fail> {
    let mut out = Vec::new();
    let mut rest = None;
    for word in text.split([',', ';', ' ']).filter(|w| !w.is_empty()) {
        match word.split_once(':') {
            Some((from, to)) => {
                if out.iter().any(|(known, _)| known == from) {
                    let text = format!("failed to parse storage map: duplicate mapping for source '{from}'");
                    return Err(Fail::param("targetstorage", text));
                }
                out.push((from.to_owned(), to.to_owned()));
            }
            None if word == "1" => {}
            None => rest = Some(word.to_owned()),
        }
    }
    out.extend(rest.map(|to| ("*".to_owned(), to)));
    Ok(out)
}

pub(crate) fn migrate(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid, target) = (call.node(), call.vmid(), call.str("target"));
    if target == node {
        return Err(Fail::param("target", "target is local node.").into());
    }
    if world.node(target).is_none() {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    for name in ["force", "migration_type", "migration_network"] {
        if call.get(name).is_some_and(|v| v != "0") && !call.who.is_root() {
            return Err(Fail::param(name, "Only root may use this option.").into());
        }
    }
    super::config::lock(world, vmid)?;
    let guest = world.guest(node, vmid)?;
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    if guest.running() && !call.flag("online") {
        return Err(Fail::die("can't migrate running VM without --online").into());
    }
    let online = guest.running();
    let storages = call.get("targetstorage").map_or(Ok(Vec::new()), storage_map)?;
    for (_, to) in &storages {
        world.storage_on(to, target)?;
        world.need(call.who, &format!("/storage/{to}"), &["Datastore.AllocateSpace"])?;
    }
    if storages.is_empty()
        && let Some(missing) = unavailable(world, guest, target).first()
    {
        world.storage_on(missing, target)?;
    }
    if world.cluster.ha.get(&format!("vm:{vmid}")).is_some_and(|r| r.state != "ignored") {
        let job = Job::HaMigrate { vmid, target: target.to_owned() };
        let after = world.pace.of("ha");
        let upid = world.spawn(node, "hamigrate", &vmid.to_string(), call.who, job, after);
        world.log(&upid, format!("Requesting HA migration for VM {vmid} to node {target}"));
        return now(json!(upid));
    }
    let job = Job::Migrate(Migrate {
        with_local_disks: call.flag("with-local-disks"),
        storages,
        ..Migrate::new(vmid, node, target, online)
    });
    now(json!(world.spawn(node, "qmigrate", &vmid.to_string(), call.who, job, 0.01)))
}

/// Another cluster is a connection, which a simulator doesn't open: nobody answers there.
pub(crate) fn remote(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    if guest.running() && !call.flag("online") {
        return Err(Fail::die("can't migrate running VM without --online").into());
    }
    let endpoint = call.str("target-endpoint");
    let host = option_of(endpoint, "host").unwrap_or("localhost");
    let port = option_of(endpoint, "port").unwrap_or("8006");
    Err(Fail::die(format!("500 Can't connect to {host}:{port} (Connection refused)")).into())
}

pub(crate) fn dbus(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    if !guest.running() {
        return Err(Fail::die(format!("VM {} not running", guest.vmid)).into());
    }
    now(Value::Null)
}
