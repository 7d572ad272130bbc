//! Resizing and moving volumes of a container.

use serde_json::json;

use super::mountpoint::{self, Kind, is_mountpoint_key};
use super::{the, unlocked, unmodified};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::{Lxc, disk, volume as job};
use crate::state::World;
use crate::state::drive::{is_unused_key, parse_size};
use crate::state::guest::{Guest, GuestKind};
use crate::state::storage::owner;

pub(crate) fn resize(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    let guest = the(world, call)?;
    unlocked(guest)?;
    unmodified(guest, call.get("digest"))?;
    let key = call.str("disk");
    let Some(text) = guest.get(key) else {
        return Err(Fail::die(format!("mount point '{key}' does not exist")).into());
    };
    let volid = mountpoint::volume(text).to_owned();
    let (storage, name) = volid.split_once(':').unwrap_or_default();
    match owner(name) {
        Some(owner) if owner == vmid => {}
        other => {
            let owner = other.map(|o| o.to_string()).unwrap_or_default();
            return Err(Fail::die(format!("can't resize mount point owned by another container ({owner})")).into());
        }
    }
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let Some(size) = world.volumes.find(&volid, call.node()).map(|v| v.size) else {
        return Err(Fail::die(format!("Could not determine current size of volume '{volid}'")).into());
    };
    let asked = call.str("size");
    let more = asked.strip_prefix('+');
    let number = parse_size(more.unwrap_or(asked)).unwrap_or_default();
    let wanted = if more.is_some() { size.saturating_add(number) } else { number };
    if wanted < size {
        return Err(Fail::die("unable to shrink disk size").into());
    }
    if wanted == size {
        return Err(Fail::die("disk is already at specified size").into());
    }
    let job = Lxc::Resize(job::Resize { vmid, node: call.node().to_owned(), key: key.to_owned(), volid, size: wanted });
    let after = world.pace.of("resize");
    now(json!(world.spawn(call.node(), "resize", &vmid.to_string(), call.who, Job::Lxc(Box::new(job)), after)))
}

pub(crate) fn move_volume(world: &mut World, call: &Call<'_>) -> Outcome {
    match (call.get("storage"), call.get("target-vmid")) {
        (Some(_), Some(_)) => Err(Fail::die("either set storage or target-vmid, but not both").into()),
        (Some(storage), None) => to_storage(world, call, storage),
        (None, Some(target)) => to_container(world, call, target.parse().unwrap_or_default()),
        (None, None) => Err(Fail::die(
            "Provide either a 'storage' to move the mount point to a different storage or 'target-vmid' and \
             'target-mp' to move the mount point to another container",
        )
        .into()),
    }
}

fn snapshots_have(guest: &Guest, volid: &str) -> bool {
    let all = guest.snapshots.values().flat_map(|s| s.config.iter());
    all.filter(|(k, _)| is_mountpoint_key(k)).any(|(_, v)| mountpoint::volume(v) == volid)
}

fn to_storage(world: &mut World, call: &Call<'_>, storage: &str) -> Outcome {
    let (node, vmid, key) = (call.node(), call.vmid(), call.str("volume"));
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let guest = the(world, call)?;
    unlocked(guest)?;
    if guest.running() {
        return Err(Fail::die("cannot move volumes of a running container").into());
    }
    if is_unused_key(key) {
        let text = format!("cannot move volume '{key}', only configured volumes can be moved to another storage");
        return Err(Fail::die(text).into());
    }
    let Some(text) = guest.get(key) else {
        return Err(Fail::die(format!("volume '{key}' does not exist")).into());
    };
    let volid = mountpoint::volume(text).to_owned();
    if mountpoint::kind(&volid) != Kind::Volume {
        return Err(Fail::die("you can't move a device or bind mount").into());
    }
    if call.flag("delete") && snapshots_have(guest, &volid) {
        return Err(Fail::die("you can't move a volume with snapshots and delete the source").into());
    }
    unmodified(guest, call.get("digest"))?;
    if !world.storage_on(storage, node)?.content.contains("rootdir") {
        let text = format!("storage '{storage}' does not allow content type 'rootdir' (Container)");
        return Err(Fail::die(text).into());
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.insert("lock".to_owned(), "disk".to_owned());
    }
    let job = Lxc::Move(job::Move {
        vmid,
        node: node.to_owned(),
        key: key.to_owned(),
        volid,
        storage: storage.to_owned(),
        delete: call.flag("delete"),
    });
    let after = world.pace.of("clone-full");
    now(json!(world.spawn(node, "move_volume", &vmid.to_string(), call.who, Job::Lxc(Box::new(job)), after)))
}

fn to_container(world: &mut World, call: &Call<'_>, target: u32) -> Outcome {
    let (node, vmid, key) = (call.node(), call.vmid(), call.str("volume"));
    let to = call.get("target-volume").unwrap_or(key);
    world.need(call.who, &format!("/vms/{target}"), &["VM.Config.Disk"])?;
    let source = the(world, call)?;
    let Some(other) = world.guests.get(&target) else {
        return Err(Fail::die(format!("Configuration file 'nodes/{node}/lxc/{target}.conf' does not exist")).into());
    };
    if other.node != node {
        let text =
            format!("Both containers need to be on the same node ({node}) but target continer is on {}.", other.node);
        return Err(Fail::die(text).into());
    }
    let other = world.guest_of(GuestKind::Lxc, node, target)?;
    unlocked(source)?;
    unlocked(other)?;
    if source.is_template() || other.is_template() {
        return Err(Fail::die("Moving volumes from or to template CT is not supported.").into());
    }
    for (guest, digest) in [(source, "digest"), (other, "target-digest")] {
        unmodified(guest, call.get(digest))
            .map_err(|fail| Fail::die(format!("Container {}: {}", guest.vmid, fail.line())))?;
    }
    let Some(text) = source.get(key) else {
        return Err(Fail::die(format!("volume '{key}' for container '{vmid}' does not exist")).into());
    };
    if other.config.contains_key(to) {
        let text = format!("Target volume key '{to}' is already in use for container '{target}'");
        return Err(Fail::die(text).into());
    }
    let volid = mountpoint::volume(text).to_owned();
    if mountpoint::kind(&volid) != Kind::Volume {
        return Err(Fail::die("Cannot move a bindmount or device mount to another container").into());
    }
    if snapshots_have(source, &volid) {
        return Err(Fail::die("Cannot move volume used by a snapshot to another container").into());
    }
    if !disk::able(world, "rename", text, false) {
        return Err(Fail::die("Storage does not support moving of this disk to another container").into());
    }
    if !is_unused_key(key) && source.running() {
        let text = "Cannot move in-use volume while the source CT is running - detach or shutdown first";
        return Err(Fail::die(text).into());
    }
    if key == "rootfs" {
        return Err(Fail::die("Cannot move rootfs to another container").into());
    }
    let job = Lxc::Reassign(job::Reassign {
        vmid,
        node: node.to_owned(),
        key: key.to_owned(),
        volid,
        target,
        to: to.to_owned(),
    });
    let id = format!("{vmid}-{key}>{target}-{to}");
    let after = world.pace.of("config");
    now(json!(world.spawn(node, "move_volume", &id, call.who, Job::Lxc(Box::new(job)), after)))
}
