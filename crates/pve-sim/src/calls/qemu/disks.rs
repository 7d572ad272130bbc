//! Disks over the API: resized, moved, given to another VM, turned into bases.

use serde_json::json;

use super::config;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::disk::{Move, Reassign, Resize};
use crate::schema::Errors;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key};
use crate::state::guest::Guest;
use crate::state::storage::feature;

fn locked(guest: &Guest) -> Result<(), Fail> {
    guest.get("lock").map_or(Ok(()), |lock| Err(Fail::die(format!("VM is locked ({lock})"))))
}

fn unmodified(guest: &Guest, digest: Option<&str>) -> Result<(), Fail> {
    match digest {
        Some(digest) if digest != guest.digest() => {
            Err(Fail::die("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}

pub(crate) fn template(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    locked(guest)?;
    if !guest.snapshots.is_empty() {
        return Err(Fail::die("unable to create template, because VM contains snapshots").into());
    }
    if guest.is_template() && call.get("disk").is_none() {
        return Err(Fail::die("you can't convert a template to a template").into());
    }
    if guest.running() {
        return Err(Fail::die("you can't convert a VM to template if VM is running").into());
    }
    let (vmid, after) = (call.vmid(), world.pace.of("template"));
    now(json!(world.spawn(call.node(), "qmtemplate", &vmid.to_string(), call.who, Job::Template { vmid }, after)))
}

pub(crate) fn resize(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    if call.flag("skiplock") && !call.who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option.").into());
    }
    let guest = world.guest(call.node(), vmid)?;
    if let Some(storage) = guest.get(call.str("disk")).and_then(|d| file_of(d).split_once(':')).map(|(s, _)| s) {
        world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    }
    let job = Job::Resize(Resize {
        vmid,
        node: call.node().to_owned(),
        disk: call.str("disk").to_owned(),
        size: call.str("size").to_owned(),
        digest: call.get("digest").map(str::to_owned),
        skiplock: call.flag("skiplock"),
    });
    let after = world.pace.of("resize");
    now(json!(world.spawn(call.node(), "resize", &vmid.to_string(), call.who, job, after)))
}

/// To another storage, or to another VM.
pub(crate) fn relocate(world: &mut World, call: &Call<'_>) -> Outcome {
    let both = |text: &str| {
        let errors = ["storage", "target-vmid"].map(|name| (name.to_owned(), text.to_owned()));
        Fail::params(Errors::from(errors))
    };
    match (call.get("storage"), call.get("target-vmid")) {
        (Some(_), Some(_)) => Err(both("either set 'storage' or 'target-vmid', but not both").into()),
        (None, None) => Err(both("both 'storage' and 'target-vmid' missing, either needs to be set").into()),
        (Some(storage), None) => to_storage(world, call, storage),
        (None, Some(_)) => to_vm(world, call),
    }
}

fn to_storage(world: &mut World, call: &Call<'_>, storage: &str) -> Outcome {
    let (node, vmid, disk) = (call.node(), call.vmid(), call.str("disk"));
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    config::lock(world, vmid)?;
    let guest = world.guest(node, vmid)?;
    locked(guest)?;
    unmodified(guest, call.get("digest"))?;
    let Some(text) = guest.get(disk) else {
        return Err(Fail::die(format!("disk '{disk}' does not exist")).into());
    };
    if is_unused_key(disk) {
        let text = format!("cannot move disk '{disk}', only configured disks can be moved to another storage");
        return Err(Fail::die(text).into());
    }
    let volid = file_of(text);
    if volid == "none" {
        return Err(Fail::die(format!("disk '{disk}' has no associated volume")).into());
    }
    if is_cdrom(text) && !volid.contains("-cloudinit") {
        return Err(Fail::die("you can't move a cdrom").into());
    }
    let (from, name) = volid.split_once(':').unwrap_or_default();
    let format = ["raw", "qcow2", "vmdk"].into_iter().find(|f| name.ends_with(&format!(".{f}")));
    let wanted = call.get("format");
    if from == storage && (wanted.is_none() || format.is_none() || wanted == format) {
        return Err(Fail::die("you can't move to the same storage with same format").into());
    }
    let kept = |s: &crate::state::guest::Snapshot| s.config.values().any(|v| file_of(v) == volid);
    if call.flag("delete") && guest.snapshots.values().any(kept) {
        return Err(Fail::die("you can't move a disk with snapshots and delete the source").into());
    }
    let target = world.storage_on(storage, node)?;
    if !target.content.contains("images") {
        return Err(Fail::die(format!("storage '{storage}' does not support vm images")).into());
    }
    let job = Job::Move(Move {
        vmid,
        node: node.to_owned(),
        disk: disk.to_owned(),
        storage: storage.to_owned(),
        format: wanted.map(str::to_owned),
        delete: call.flag("delete"),
        target: None,
    });
    now(json!(world.spawn(node, "qmmove", &vmid.to_string(), call.who, job, 0.01)))
}

fn to_vm(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid, disk) = (call.node(), call.vmid(), call.str("disk"));
    let target: u32 = call.str("target-vmid").parse().unwrap_or_default();
    let target_disk = call.get("target-disk").unwrap_or(disk);
    world.need(call.who, &format!("/vms/{target}"), &["VM.Config.Disk"])?;
    if target == vmid {
        return Err(Fail::param("target-vmid", "must be different than source VMID to reassign disk").into());
    }
    let storage = may_reassign(world, call, target, target_disk)?;
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let job = Job::Reassign(Reassign {
        vmid,
        node: node.to_owned(),
        disk: disk.to_owned(),
        target,
        target_disk: target_disk.to_owned(),
    });
    let after = world.pace.of("config");
    let id = format!("{vmid}-{disk}>{target}-{target_disk}");
    now(json!(world.spawn(node, "qmmove", &id, call.who, job, after)))
}

/// The storage of a disk that another VM may have.
fn may_reassign(world: &World, call: &Call<'_>, target: u32, target_disk: &str) -> Result<String, Fail> {
    let (node, vmid, disk) = (call.node(), call.vmid(), call.str("disk"));
    let die = |text: String| Err(Fail::die(text));
    let source = world.guest(node, vmid)?;
    let Some(other) = world.guests.get(&target) else {
        return die(format!("could not find target VM {target}"));
    };
    if other.node != node {
        return die(format!("Both VMs need to be on the same node ({node} != {})", other.node));
    }
    let other = world.guest(node, target)?;
    locked(source)?;
    locked(other)?;
    if source.is_template() || other.is_template() {
        return die("Can't move disks from or to template VMs".to_owned());
    }
    let named = |guest: &Guest, digest: &str| {
        unmodified(guest, call.get(digest))
            .map_err(|fail| Fail::die(format!("VM {}: {}", guest.vmid, fail.message.trim_end())))
    };
    named(source, "digest")?;
    named(other, "target-digest")?;
    let Some(text) = source.get(disk) else {
        return die(format!("Disk '{disk}' for VM '{vmid}' does not exist"));
    };
    if other.config.contains_key(target_disk) {
        return die(format!("Target disk key '{target_disk}' is already in use for VM '{target}'"));
    }
    if is_cdrom(text) {
        return die("You can't reassign a cdrom".to_owned());
    }
    let volid = file_of(text);
    let kept = |s: &crate::state::guest::Snapshot| s.config.iter().any(|(k, v)| is_drive_key(k) && file_of(v) == volid);
    if source.snapshots.values().any(kept) {
        return die("Can't move disk used by a snapshot to another VM".to_owned());
    }
    let (storage, name) = volid.split_once(':').unwrap_or_default();
    if !world.storages.get(storage).is_some_and(|s| feature(s, "rename", name, false)) {
        return die("Storage does not support moving of this disk to another VM".to_owned());
    }
    if source.running() && !is_unused_key(disk) {
        return die("Cannot move disk to another VM while the source VM is running - detach first".to_owned());
    }
    Ok(storage.to_owned())
}
