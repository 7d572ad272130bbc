//! Restoring VMs (`POST /nodes/{node}/qemu` with `archive`), and looking into archives.

use std::fmt::Write as _;

use serde_json::json;

use crate::calls::lxc::rights::volume_access;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::backup::Backup;
use crate::jobs::backup::restore::Restore;
use crate::state::World;
use crate::state::drive::is_drive_key;
use crate::state::guest::{Config, Guest, GuestKind};

/// Parameters that are not configuration.
const META: &[&str] = &[
    "node",
    "vmid",
    "archive",
    "storage",
    "pool",
    "unique",
    "force",
    "start",
    "bwlimit",
    "live-restore",
    "ha-managed",
    "import-working-storage",
];

pub(crate) fn restore(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid, archive) = (call.node(), call.vmid(), call.str("archive"));
    let there = world.guests.get(&vmid).filter(|g| g.node == node && g.is(GuestKind::Qemu));
    let over = call.flag("force") && there.is_some();
    if let Some(pool) = call.get("pool")
        && !world.pools.contains_key(pool)
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")).into());
    }
    let vm = format!("/vms/{vmid}");
    let allowed = world.may(call.who, &vm, "VM.Allocate")
        || call.get("pool").is_some_and(|p| world.may(call.who, &format!("/pool/{p}"), "VM.Allocate"))
        || (over && world.may(call.who, &vm, "VM.Backup"));
    if !allowed {
        return Err(Fail::forbidden("").into());
    }
    if let Some(key) = call.params.keys().find(|k| is_drive_key(k)) {
        return Err(Fail::param(key, "option conflicts with option 'archive'").into());
    }
    if let Some(storage) = call.get("storage") {
        world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
        world.storage_on(storage, node)?;
    }
    if archive == "-" {
        return Err(Fail::die("pipe requires cli environment").into());
    }
    volume_access(world, call.who, Some(vmid), archive, "backup")?;
    if world.volumes.find(archive, node).is_none() {
        return Err(Fail::die(format!("volume '{archive}' does not exist")).into());
    }
    if call.flag("live-restore") && !archive.contains(":backup/vm/") {
        return Err(Fail::die("live-restore is only compatible with backup images from a Proxmox Backup Server").into());
    }
    let before = overwritten(world, vmid, over)?;
    let set: Config =
        call.params.iter().filter(|(k, _)| !META.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let locked = Config::from([("lock".to_owned(), "create".to_owned())]);
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.extend(locked);
    } else {
        world.guests.insert(vmid, Guest::new(vmid, node, locked));
    }
    let work = Restore {
        vmid,
        node: node.to_owned(),
        archive: archive.to_owned(),
        storage: call.get("storage").map(str::to_owned),
        unique: call.flag("unique"),
        pool: call.get("pool").map(str::to_owned),
        start: call.flag("start"),
        set,
        before: before.map(Box::new),
        begun: false,
    };
    let job = Job::Backup(Box::new(Backup::Restore(work)));
    now(json!(world.spawn(node, "qmrestore", &vmid.to_string(), call.who, job, 0.001)))
}

/// The VM that is restored over, if that may be.
fn overwritten(world: &World, vmid: u32, over: bool) -> Result<Option<Guest>, Fail> {
    let fail = |text: &str| Fail::die(format!("unable to restore VM {vmid} - {text}"));
    let Some(old) = world.guests.get(&vmid) else { return Ok(None) };
    if !over {
        return Err(fail(&format!("{} {vmid} already exists on node '{}'", old.kind.label(), old.node)));
    }
    if let Some(lock) = old.get("lock") {
        return Err(fail(&format!("VM is locked ({lock})")));
    }
    if old.get("protection") == Some("1") {
        return Err(fail("- protection mode enabled"));
    }
    if old.running() {
        return Err(fail("vm is running"));
    }
    Ok(Some(old.clone()))
}

/// The configuration in an archive, as text.
pub(crate) fn extract(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), call.str("volume"));
    volume_access(world, call.who, None, volid, "backup")?;
    let archive = world.archive(volid, node).map_err(Fail::die)?;
    let mut text = String::new();
    if let Some(description) = archive.config.get("description") {
        description.lines().for_each(|line| {
            let _ = writeln!(text, "#{line}");
        });
    }
    for (key, value) in archive.config.iter().filter(|(k, _)| *k != "description") {
        let _ = writeln!(text, "{key}: {value}");
    }
    if archive.kind == GuestKind::Qemu {
        for disk in &archive.disks {
            let _ = writeln!(text, "#qmdump#map:{}:drive-{}:{}:{}:", disk.key, disk.key, disk.storage, disk.format);
        }
    }
    now(json!(text))
}
