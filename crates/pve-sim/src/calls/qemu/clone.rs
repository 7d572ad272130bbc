//! Cloning a VM over the API; the work is in [`crate::jobs::clone`].

use serde_json::json;

use super::rights;
use crate::calls::{Call, Outcome, Stop, now};
use crate::http::fail::Fail;
use crate::jobs::{self, Job};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key};
use crate::state::flock::Hold;
use crate::state::guest::{Config, Guest, GuestKind};
use crate::state::storage::feature;

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
    // A copy of a VM that is off leaves room for others, one of a running VM doesn't.
    let hold = if source.running() { Hold::Exclusive } else { Hold::Shared };
    if world.is_flocked(vmid, None, hold) {
        return Err(Stop::Retry(1.0, world.lock_failure(vmid)));
    }
    let discards = !source.pending.is_empty();
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
    check_drives(world, call, source, base, full)?;
    for (_, net) in base.iter().filter(|(k, _)| is_net_key(k)) {
        rights::check_bridge(world, call.who, net)?;
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
        snapshot: call.get("snapname").is_some(),
        stage: jobs::clone::Stage::Copying,
        made: Vec::new(),
    };
    world.guests.entry(newid).or_insert_with(|| Guest::new(newid, node, jobs::clone::placeholder()));
    let after = world.pace.of(if full { "clone-full" } else { "clone" }) * jobs::clone::FIRST_PART;
    let upid = world.spawn(node, "qmclone", &vmid.to_string(), call.who, Job::Clone(job), after);
    world.hold(vmid, &upid, hold);
    world.hold(newid, &upid, Hold::Exclusive);
    world.log(&upid, format!("creating a clone of VM {vmid} with ID {newid}"));
    if discards {
        world.log(&upid, format!("found pending changes for '{vmid}', discarding for clone"));
    }
    now(json!(upid))
}

/// Whether each drive can be copied to where it shall be.
fn check_drives(world: &World, call: &Call<'_>, source: &Guest, base: &Config, full: bool) -> Result<(), Fail> {
    let (node, target, storage) = (call.node(), call.get("target"), call.get("storage"));
    for (key, drive) in base.iter().filter(|(k, _)| is_drive_key(k)) {
        let volid = file_of(drive);
        let Some((store, name)) = volid.split_once(':') else { continue };
        if target.is_some_and(|t| t != node) && !world.storages.get(store).is_some_and(|s| s.shared) {
            let text = format!("can't clone VM to node '{}' (VM uses local storage)", target.unwrap_or_default());
            return Err(Fail::die(text));
        }
        if is_cdrom(drive) {
            continue;
        }
        world.need(call.who, &format!("/storage/{}", storage.unwrap_or(store)), &["Datastore.AllocateSpace"])?;
        let snapshot = call.get("snapname").is_some();
        let wanted = if full { "copy" } else { "clone" };
        if !world.storages.get(store).is_some_and(|s| feature(s, wanted, name, snapshot)) {
            let what = if full { "Full" } else { "Linked" };
            let of = if snapshot { "a snapshot of " } else { "" };
            let text = format!("{what} clone feature is not supported for {of}'{volid}' ({key})");
            return Err(Fail::die(text));
        }
        if full && key.starts_with("tpmstate") && source.running() {
            return Err(Fail::die("cannot clone TPM state while VM is running"));
        }
    }
    Ok(())
}
