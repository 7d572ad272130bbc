//! Cloning a container, and turning one into a template.

use serde_json::{Value, json};

use super::mountpoint::{self, Kind, is_mountpoint_key};
use super::{change, create, the, unlocked};
use crate::calls::qemu::rights::check_bridge;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::{Lxc, clone as job, disk};
use crate::state::World;
use crate::state::drive::{is_net_key, is_unused_key};
use crate::state::guest::{Config, Guest, GuestKind};

pub(crate) fn clone(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let newid: u32 = call.str("newid").parse().unwrap_or_default();
    if let Some(pool) = call.get("pool")
        && !world.pools.contains_key(pool)
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")).into());
    }
    let target = call.get("target").filter(|t| *t != node && *t != "localhost");
    if let Some(target) = target
        && world.node(target).is_none()
    {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    let storage = call.get("storage");
    if let Some(storage) = storage {
        world.storage_on(storage, node)?;
        if let Some(target) = target
            && !world.storage_on(storage, target)?.shared
        {
            return Err(Fail::die(format!("can't clone to non-shared storage '{storage}'")).into());
        }
    }
    let source = the(world, call)?;
    unlocked(source)?;
    create::unused(world, newid)?;
    let full = call.get("full").map_or(!source.is_template(), |f| f == "1");
    if storage.is_some() && !full {
        return Err(Fail::die("parameter 'storage' not allowed for linked clones").into());
    }
    let base = match call.get("snapname") {
        Some(name) => {
            let kept = source.snapshots.get(name);
            &kept.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?.config
        }
        None => &source.config,
    };
    let base = base.clone();
    let running = source.running();
    let (mut config, mut disks, mut shared) = (Config::new(), Config::new(), true);
    for (key, value) in base.iter().filter(|(k, _)| !is_unused_key(k)) {
        if is_mountpoint_key(key) {
            shared &= clone_mountpoint(world, call, key, value, full, running)?;
            disks.insert(key.clone(), value.clone());
        } else if is_net_key(key) {
            check_bridge(world, call.who, value)?;
            config.insert(key.clone(), fresh_net(world, call, value));
        } else if !["template", "lock", "parent", "snaptime"].contains(&key.as_str()) {
            config.insert(key.clone(), value.clone());
        }
    }
    if let Some(target) = target.filter(|_| !shared) {
        return Err(Fail::die(format!("can't clone CT to node '{target}' (CT uses local storage)")).into());
    }
    for key in ["hostname", "description"] {
        if let Some(value) = call.get(key).filter(|v| !v.is_empty()) {
            config.insert(key.to_owned(), value.trim_end().to_owned());
        }
    }
    config.insert("lock".to_owned(), "create".to_owned());
    let mut guest = Guest::new(newid, node, config);
    guest.kind = GuestKind::Lxc;
    world.guests.insert(newid, guest);
    world.copy_firewall(vmid, newid);
    if let Some(source) = world.guests.get_mut(&vmid) {
        source.config.insert("lock".to_owned(), "disk".to_owned());
    }
    let job = job::Clone {
        source: vmid,
        newid,
        node: node.to_owned(),
        full,
        disks,
        storage: storage.map(str::to_owned),
        target: target.map(str::to_owned),
        pool: call.get("pool").map(str::to_owned),
        made: Vec::new(),
        copied: false,
    };
    let after = world.pace.of(if full { "clone-full" } else { "clone" }) * 0.6;
    let upid = world.spawn(node, "vzclone", &vmid.to_string(), call.who, Job::Lxc(Box::new(Lxc::Clone(job))), after);
    world.log(&upid, format!("creating a clone of container {vmid} with ID {newid}"));
    now(json!(upid))
}

/// Whether one mount point can be cloned; whether it is on a shared storage.
fn clone_mountpoint(
    world: &World,
    call: &Call<'_>,
    key: &str,
    text: &str,
    full: bool,
    running: bool,
) -> Result<bool, Fail> {
    let volid = mountpoint::volume(text);
    let kind = mountpoint::kind(volid);
    if kind != Kind::Volume {
        return Err(Fail::die(format!("unable to clone mountpoint '{key}' (type {})", kind.word())));
    }
    let id = call.get("storage").unwrap_or(mountpoint::storage(volid)?);
    let shared = world.storage(id)?.shared;
    world.need(call.who, &format!("/storage/{id}"), &["Datastore.AllocateSpace"])?;
    if full {
        if running && call.get("snapname").is_none() {
            return Err(Fail::die("Full clone of a running container is only possible from a snapshot"));
        }
    } else if !disk::able(world, "clone", text, call.get("snapname").is_some()) {
        return Err(Fail::die(format!("Linked clone feature for '{volid}' is not available")));
    }
    Ok(shared)
}

/// A network card with another address.
fn fresh_net(world: &mut World, call: &Call<'_>, text: &str) -> String {
    let rest: Vec<&str> = text.split(',').filter(|p| !p.starts_with("hwaddr=")).collect();
    change::net(world, call.schema, &rest.join(","))
}

pub(crate) fn template(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    unlocked(guest)?;
    if !guest.snapshots.is_empty() {
        return Err(Fail::die("unable to create template, because CT contains snapshots").into());
    }
    if guest.is_template() {
        return Err(Fail::die("you can't convert a template to a template").into());
    }
    if guest.running() {
        return Err(Fail::die("you can't convert a CT to template if the CT is running").into());
    }
    let (vmid, after) = (call.vmid(), world.pace.of("template"));
    let job = Lxc::Template { vmid, node: call.node().to_owned() };
    world.spawn(call.node(), "vztemplate", &vmid.to_string(), call.who, Job::Lxc(Box::new(job)), after);
    now(Value::Null)
}
