//! VMs come and go: create, clone, template, resize, migrate, destroy.

use serde_json::{Value, json};

use super::{config, config_change};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::{self, Job};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key};
use crate::state::guest::{Config, Guest, GuestKind};

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "config",
        "cloudinit",
        "pending",
        "status",
        "unlink",
        "vncproxy",
        "termproxy",
        "migrate",
        "resize",
        "move",
        "rrd",
        "rrddata",
        "monitor",
        "agent",
        "snapshot",
        "spiceproxy",
        "sendkey",
        "firewall",
        "mtunnel",
        "remote_migrate",
    ];
    now(names("subdir", &of))
}

/// The right to make a VM under this number or in this pool.
fn may_allocate(world: &World, call: &Call<'_>, vmid: u32, pool: Option<&str>) -> Result<(), Fail> {
    if let Some(pool) = pool {
        if !world.pools.contains_key(pool) {
            return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")));
        }
        if world.may(call.who, &format!("/pool/{pool}"), "VM.Allocate") {
            return Ok(());
        }
    }
    if world.may(call.who, &format!("/vms/{vmid}"), "VM.Allocate") { Ok(()) } else { Err(Fail::forbidden("")) }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.get("archive").is_some() {
        return crate::calls::backup::restore::restore(world, call);
    }
    let (node, vmid, pool) = (call.node(), call.vmid(), call.get("pool"));
    may_allocate(world, call, vmid, pool)?;
    let mut change = config_change::configuration(&call.params);
    config_change::check(world, call.schema, call.who, node, vmid, &call.params, pool)?;
    if call.flag("start") {
        let on = pool.map_or_else(|| format!("/vms/{vmid}"), |p| format!("/pool/{p}"));
        if !world.may(call.who, &on, "VM.PowerMgmt") {
            world.need(call.who, &format!("/vms/{vmid}"), &["VM.PowerMgmt"])?;
        }
    }
    if let Some(there) = world.guests.get(&vmid) {
        let (label, on) = (there.kind.label(), &there.node);
        let text = format!("unable to create VM {vmid} - {label} {vmid} already exists on node '{on}'");
        return Err(Fail::die(text).into());
    }
    if let Some(storage) = call.get("storage") {
        change.insert("storage".to_owned(), storage.to_owned());
    }
    let locked = Config::from([("lock".to_owned(), "create".to_owned())]);
    world.guests.insert(vmid, Guest::new(vmid, node, locked));
    let tags_allowed =
        !change.contains_key("tags") || world.may(call.who, &format!("/vms/{vmid}"), "VM.Config.Options");
    let job = Job::Create(jobs::create::Create {
        vmid,
        node: node.to_owned(),
        config: change,
        pool: pool.map(str::to_owned),
        start: call.flag("start"),
        tags_allowed,
    });
    let after = world.pace.of("create");
    now(json!(world.spawn(node, "qmcreate", &vmid.to_string(), call.who, job, after)))
}

pub(crate) fn clone(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let newid: u32 = call.str("newid").parse().unwrap_or_default();
    if let Some(pool) = call.get("pool")
        && !world.pools.contains_key(pool)
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")).into());
    }
    let target = call.get("target");
    if let Some(target) = target
        && world.node(target).is_none()
    {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    let storage = call.get("storage");
    if let Some(storage) = storage {
        world.storage_on(storage, node)?;
        let target_storage = world.storage(storage)?;
        if target.is_some_and(|t| t != node) && !target_storage.shared {
            return Err(Fail::die(format!("can't clone to non-shared storage '{storage}'")).into());
        }
    }
    let Some(source) = world.guests.get(&vmid).filter(|g| g.is(GuestKind::Qemu) && g.node == node) else {
        return Err(Fail::die(format!("unable to find configuration file for VM {vmid} on node '{node}'")).into());
    };
    if let Some(lock) = source.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    let full = call.get("full").map_or(!source.is_template(), |f| f == "1");
    let base: &Config = match call.get("snapname") {
        Some(name) => {
            let snapshot = source.snapshots.get(name);
            &snapshot.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?.config
        }
        None => &source.config,
    };
    if !full {
        for parameter in ["storage", "format"] {
            if call.get(parameter).is_some() {
                return Err(Fail::die(format!("parameter '{parameter}' not allowed for linked clones")).into());
            }
        }
    }
    for (key, drive) in base.iter().filter(|(k, _)| is_drive_key(k)) {
        let volid = file_of(drive);
        let Some((store, name)) = volid.split_once(':') else { continue };
        if target.is_some_and(|t| t != node) && !world.storages.get(store).is_some_and(|s| s.shared) {
            let text = format!("can't clone VM to node '{}' (VM uses local storage)", target.unwrap_or_default());
            return Err(Fail::die(text).into());
        }
        if is_cdrom(drive) {
            continue;
        }
        world.need(call.who, &format!("/storage/{}", storage.unwrap_or(store)), &["Datastore.AllocateSpace"])?;
        let is_base = name.rsplit('/').next().is_some_and(|f| f.starts_with("base-"));
        if !full && !is_base {
            let text = format!("Linked clone feature is not supported for '{volid}' ({key})");
            return Err(Fail::die(text).into());
        }
    }
    for (_, net) in base.iter().filter(|(k, _)| is_net_key(k)) {
        config_change::check_bridge(world, call.who, net)?;
    }
    if world.guests.get(&newid).is_some_and(|g| g.node == node) {
        return Err(Fail::die(format!("unable to create VM {newid}: config file already exists")).into());
    }
    let job = jobs::clone::Clone {
        source: vmid,
        newid,
        node: node.to_owned(),
        full,
        base: base.clone(),
        name: call.get("name").map(str::to_owned),
        description: call.get("description").map(str::to_owned),
        pool: call.get("pool").map(str::to_owned),
        target: target.map(str::to_owned),
        storage: storage.map(str::to_owned),
        format: call.get("format").map(str::to_owned),
        stage: jobs::clone::Stage::Copying,
        made: Vec::new(),
    };
    world.guests.entry(newid).or_insert_with(|| Guest::new(newid, node, jobs::clone::placeholder()));
    let after = world.pace.of(if full { "clone-full" } else { "clone" }) * jobs::clone::FIRST_PART;
    let upid = world.spawn(node, "qmclone", &vmid.to_string(), call.who, Job::Clone(job), after);
    world.log(&upid, format!("creating a clone of VM {vmid} with ID {newid}"));
    now(json!(upid))
}

pub(crate) fn template(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    if guest.is_template() {
        return Err(Fail::die("you can't convert a template to a template").into());
    }
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    if !guest.snapshots.is_empty() {
        return Err(Fail::die("unable to create template, because VM contains snapshots").into());
    }
    if guest.running() {
        return Err(Fail::die("you can't convert a VM to template if VM is running").into());
    }
    let (vmid, after) = (call.vmid(), world.pace.of("template"));
    now(json!(world.spawn(call.node(), "qmtemplate", &vmid.to_string(), call.who, Job::Template { vmid }, after)))
}

pub(crate) fn resize(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    if call.get("skiplock").is_some() && !call.who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option.").into());
    }
    let guest = world.guest(call.node(), vmid)?;
    if let Some(storage) = guest.get(call.str("disk")).and_then(|d| file_of(d).split_once(':')).map(|(s, _)| s) {
        world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    }
    let job = Job::Resize(jobs::disk::Resize {
        vmid,
        node: call.node().to_owned(),
        disk: call.str("disk").to_owned(),
        size: call.str("size").to_owned(),
        digest: call.get("digest").map(str::to_owned),
    });
    let after = world.pace.of("resize");
    now(json!(world.spawn(call.node(), "resize", &vmid.to_string(), call.who, job, after)))
}

pub(crate) fn destroy(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let guest = world.guest(node, vmid)?;
    if guest.get("protection") == Some("1") {
        return Err(Fail::die(format!("can't remove VM {vmid} - protection mode enabled")).into());
    }
    if world.cluster.ha.contains_key(&format!("vm:{vmid}")) && !call.flag("purge") {
        let text = format!("unable to remove VM {vmid} - used in HA resources and purge parameter not set.");
        return Err(Fail::die(text).into());
    }
    if let Some(job) = world.backup.replication_of(vmid).next().filter(|_| !call.flag("purge")) {
        let text = format!("There is a replication job '{job}' for guest '{vmid}' - Please remove that first.");
        return Err(Fail::die(text).into());
    }
    if guest.running() {
        return Err(Fail::die(format!("VM {vmid} is running - destroy failed")).into());
    }
    if guest.get("lock") == Some("clone") || guest.get("lock") == Some("create") {
        let file = format!("/var/lock/qemu-server/lock-{vmid}.conf");
        return Err(crate::calls::Stop::Retry(10.0, Fail::die(format!("can't lock file '{file}' - got timeout"))));
    }
    config::lock(world, vmid)?;
    let after = world.pace.of("destroy");
    let job = Job::Destroy { vmid, purge: call.flag("purge") };
    now(json!(world.spawn(node, "qmdestroy", &vmid.to_string(), call.who, job, after)))
}

pub(crate) fn migrate_check(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let mut local = Vec::new();
    for (_, drive) in guest.drives() {
        let volid = file_of(drive);
        if let Some(volume) = world.volumes.find(volid, &guest.node).filter(|v| v.node.is_some()) {
            local.push(json!({"volid": volid, "size": volume.size, "cdrom": i32::from(is_cdrom(drive))}));
        }
    }
    let others: Vec<&str> = world.nodes.iter().map(|n| n.name.as_str()).filter(|n| *n != guest.node).collect();
    let allowed: Vec<&str> = if local.is_empty() { others.clone() } else { Vec::new() };
    let refused: Value = if local.is_empty() {
        json!({})
    } else {
        others.iter().map(|n| ((*n).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    now(json!({
        "running": i32::from(guest.running()), "allowed_nodes": allowed, "not_allowed_nodes": refused,
        "local_disks": local, "local_resources": [], "mapped-resources": [], "mapped-resource-info": {},
        "has-dbus-vmstate": 1,
    }))
}

pub(crate) fn migrate(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid, target) = (call.node(), call.vmid(), call.str("target"));
    if world.node(target).is_none() {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    if target == node {
        return Err(Fail::param("target", "target is local node.").into());
    }
    let guest = world.guest_mut(node, vmid)?;
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    if guest.running() && !call.flag("online") {
        return Err(Fail::die("can't migrate running VM without --online").into());
    }
    guest.config.insert("lock".to_owned(), "migrate".to_owned());
    let after = world.pace.of("migrate");
    let job = Job::Migrate { vmid, target: target.to_owned() };
    now(json!(world.spawn(node, "qmigrate", &vmid.to_string(), call.who, job, after)))
}
