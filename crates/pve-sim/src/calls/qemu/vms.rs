//! VMs come and go: create, destroy.

use serde_json::json;

use super::config_change;
use super::rights::{self, Wish};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::{self, Job};
use crate::state::World;
use crate::state::flock::Hold;
use crate::state::guest::{Config, Guest};

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
    config_change::shape(call.schema, call.who, &call.params).or_else(|fail| {
        // A VM needs no configuration of its own.
        if fail.message.starts_with("no options") { Ok(()) } else { Err(fail) }
    })?;
    rights::check(world, call.schema, Wish { who: call.who, node, vmid, params: &call.params, pool })?;
    late(world, call, pool)?;
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
    let upid = world.spawn(node, "qmcreate", &vmid.to_string(), call.who, job, after);
    world.hold(vmid, &upid, Hold::Exclusive);
    now(json!(upid))
}

/// Ports and devices, which a change looks at only when it is made.
fn late(world: &World, call: &Call<'_>, pool: Option<&str>) -> Result<(), Fail> {
    let wish = Wish { who: call.who, node: call.node(), vmid: call.vmid(), params: &call.params, pool };
    for (key, text) in &call.params {
        if ["serial", "usb", "hostpci"].contains(&key.trim_end_matches(|c: char| c.is_ascii_digit())) {
            rights::check_late(world, wish, key, None, Some(text))?;
        }
    }
    Ok(())
}

pub(crate) fn destroy(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    if call.flag("skiplock") && !call.who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option.").into());
    }
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
    let after = world.pace.of("destroy");
    let job = jobs::destroy::Destroy {
        vmid,
        node: node.to_owned(),
        purge: call.flag("purge"),
        unreferenced: call.flag("destroy-unreferenced-disks"),
        skiplock: call.flag("skiplock"),
    };
    now(json!(world.spawn(node, "qmdestroy", &vmid.to_string(), call.who, Job::Destroy(job), after)))
}
