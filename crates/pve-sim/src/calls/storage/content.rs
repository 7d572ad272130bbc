//! What lies on storages: list, look, allocate, delete, copy.

use serde_json::{Value, json};

use super::access::{self, volid};
use crate::calls::{Call, Done, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{Job, volume::Copy};
use crate::perm::Who;
use crate::state::World;
use crate::state::guest::GuestKind;
use crate::state::storage::alloc::Ask;
use crate::state::storage::name::{backup_ending, backup_of};
use crate::state::storage::{Layout, Storage, Volume};

/// The content that lists show a volume under: disks of containers are `rootdir`.
fn shown_as<'a>(world: &World, volume: &'a Volume) -> &'a str {
    if !volume.is_disk() {
        return &volume.content;
    }
    let container = volume.vmid.and_then(|v| world.guests.get(&v)).is_some_and(|g| g.kind == GuestKind::Lxc);
    if container { "rootdir" } else { "images" }
}

fn row(world: &World, storage: &Storage, volume: &Volume) -> Value {
    let content = shown_as(world, volume);
    let mut row = json!({"volid": volume.volid(), "content": content, "size": volume.size, "ctime": volume.ctime});
    let file = volume.name.rsplit('/').next().unwrap_or_default();
    row["format"] = match content {
        "iso" => json!("iso"),
        "vztmpl" => json!(match file.rsplit('.').next().unwrap_or_default() {
            "tar" => "tar".to_owned(),
            ending => format!("t{ending}"),
        }),
        "snippets" => json!("snippet"),
        "backup" if storage.kind().files() => json!(backup_ending(file).unwrap_or(&volume.format)),
        _ => json!(volume.format),
    };
    if content == "backup" {
        backup(&mut row, storage, volume, file);
        return row;
    }
    if !volume.is_disk() {
        return row;
    }
    row["vmid"] = json!(volume.vmid);
    match storage.kind().layout {
        Layout::Files => {
            row["used"] = json!(volume.used());
            row["parent"] = match &volume.parent {
                Some(parent) => json!(format!("../{parent}")),
                None => Value::Null,
            };
        }
        Layout::Zfs | Layout::Rbd => {
            row["name"] = json!(file);
            row["parent"] = match &volume.parent {
                Some(parent) => json!(format!("{parent}@__base__")),
                None => Value::Null,
            };
            if let Some(map) = row.as_object_mut() {
                map.remove("ctime");
            }
        }
        _ => {}
    }
    row
}

fn backup(row: &mut Value, storage: &Storage, volume: &Volume, file: &str) {
    if storage.kind().files() {
        row["subtype"] = json!(backup_of(file).map_or("unknown", |(kind, _)| kind));
    } else {
        row["subtype"] = json!(if volume.name.starts_with("backup/vm/") { "qemu" } else { "lxc" });
    }
    if volume.vmid.is_some() {
        row["vmid"] = json!(volume.vmid);
    }
    if let Some(notes) = volume.notes.as_deref().filter(|n| !n.is_empty()) {
        row["notes"] = json!(notes.lines().next().unwrap_or_default());
    }
    if volume.protected {
        row["protected"] = json!(1);
    }
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id) = (call.node(), call.str("storage"));
    let storage = world.activate(id, node)?;
    let vmid = call.number("vmid").and_then(|v| u32::try_from(v).ok());
    let wanted = |v: &Volume| {
        let content = shown_as(world, v);
        let of_guest = match (vmid, content) {
            (None, _) | (_, "snippets" | "import") => true,
            (Some(vmid), "images" | "rootdir" | "backup") => v.vmid == Some(vmid),
            (Some(_), _) => false,
        };
        of_guest && storage.content.contains(content) && call.get("content").is_none_or(|c| c == content)
    };
    // Whoever asks for one guest's volumes only looks at those, as far as nothing else would be listed.
    let disks = call.get("content").is_some_and(|c| c == "images" || c == "rootdir");
    let mut volumes: Vec<&Volume> = match vmid {
        Some(vmid) if disks || !storage.kind().files() => {
            let here = |v: &&Volume| v.storage == id && v.node.as_deref().is_none_or(|n| n == node);
            world.volumes.of(vmid).filter(here).filter(|v| wanted(v)).collect()
        }
        _ => world.volumes.on(id, node).filter(|v| wanted(v)).collect(),
    };
    volumes.retain(|v| access::check(world, call.who, &v.volid()).is_ok());
    volumes.sort_by_cached_key(|v| v.volid().to_lowercase());
    now(volumes.into_iter().map(|v| row(world, storage, v)).collect())
}

/// What asking for the size of a volume that isn't there says.
fn unknown(storage: &Storage, volid: &str, name: &str) -> Fail {
    let (vg, pool) = (storage.option("vgname"), storage.option("pool"));
    let last = name.rsplit('/').next().unwrap_or(name);
    Fail::die(match storage.kind().layout {
        Layout::Lvm | Layout::LvmThin => {
            format!("can't get size of '/dev/{vg}/{name}':   Failed to find logical volume \"{vg}/{name}\"")
        }
        Layout::Zfs => format!("zfs error: cannot open '{pool}/{last}': dataset does not exist"),
        Layout::Rbd => format!("rbd error: rbd: error opening image {last}: (2) No such file or directory"),
        _ => format!("volume_size_info on '{volid}' failed - no format"),
    })
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), volid(call, "volume")?);
    access::check(world, call.who, &volid)?;
    let read = access::read(world, &volid)?;
    let (id, name) = volid.split_once(':').unwrap_or_default();
    let storage = world.storage(id)?;
    let Some(volume) = world.volumes.find(&volid, node) else { return Err(unknown(storage, &volid, name).into()) };
    let format = read.format;
    let size = volume.image_size();
    if size == 0 && format != "subvol" {
        return Err(Fail::die(format!("volume '{volid}' has size zero")).into());
    }
    let used = match storage.kind().layout {
        Layout::Lvm | Layout::LvmThin | Layout::Rbd => 0,
        _ => volume.used(),
    };
    let mut row = json!({"path": storage.file(name), "size": size, "used": used, "format": format});
    if read.content == "backup" {
        row["notes"] = json!(volume.notes.as_deref().unwrap_or_default());
        row["protected"] = json!(i32::from(volume.protected));
    }
    now(row)
}

pub(crate) fn allocate(world: &mut World, call: &Call<'_>) -> Outcome {
    let filename = call.str("filename");
    let text = call.str("size");
    let number = |t: &str| t.parse::<u64>().unwrap_or(u64::MAX >> 40);
    let bytes = match (text.strip_suffix('M'), text.strip_suffix('G')) {
        (Some(mib), _) => number(mib).saturating_mul(1 << 20),
        (_, Some(gib)) => number(gib).saturating_mul(1 << 30),
        _ => number(text).saturating_mul(1 << 10),
    };
    let ending = filename.rsplit_once('.').map(|(_, e)| e).filter(|e| ["raw", "qcow2", "vmdk"].contains(e));
    if let (Some(ending), Some(format)) = (ending, call.get("format"))
        && ending != format
    {
        return Err(Fail::param("format", format!("different storage formats ({format} != {ending})")).into());
    }
    let ask = Ask {
        storage: call.str("storage"),
        vmid: call.vmid(),
        format: ending.or_else(|| call.get("format")),
        name: Some(filename),
        bytes,
    };
    let volume = world.allocate(call.node(), &ask).map_err(Fail::die)?;
    Ok(Done::After(world.pace.of("allocate"), Box::new(Ok(json!(volume.volid())))))
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), volid(call, "volume")?);
    let read = access::read(world, &volid)?;
    let id = volid.split(':').next().unwrap_or_default();
    let path = format!("/storage/{id}");
    match (read.content, read.vmid) {
        ("backup", Some(vmid)) => {
            world.need(call.who, &path, &["Datastore.AllocateSpace"])?;
            world.need(call.who, &format!("/vms/{vmid}"), &["VM.Backup"])?;
        }
        _ => world.need(call.who, &path, &["Datastore.Allocate"])?,
    }
    let task = read.vmid.map_or_else(|| id.to_owned(), |vmid| format!("{vmid}@{id}"));
    let job = Job::DeleteVolume { node: node.to_owned(), volid: volid.clone() };
    let after = world.pace.of("delete-volume");
    let upid = world.spawn(node, "imgdel", &task, call.who, job, after);
    let Some(delay) = call.number("delay") else { return now(json!(upid)) };
    #[expect(clippy::cast_precision_loss, reason = "at most 30")]
    if after > world.pace.scaled(delay as f64) {
        return now(json!(upid));
    }
    // The caller waits for the task, which is done at once here; seconds pass before the answer.
    let now = world.now;
    world.schedule(&upid, now);
    world.advance(now);
    let exit = world.tasks.get(&upid).and_then(|t| t.exit.clone()).unwrap_or_default();
    let result = if exit == "OK" { Ok(Value::Null) } else { Err(Fail::die(exit)) };
    Ok(Done::After(world.pace.scaled(1.0), Box::new(result)))
}

pub(crate) fn copy(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, source, target) = (call.node(), volid(call, "volume")?, volid(call, "target")?);
    let job = Job::CopyVolume(Copy { node: node.to_owned(), source, target });
    let after = world.pace.of("clone-full");
    now(json!(world.spawn(node, "imgcopy", "", call.who, job, after)))
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), volid(call, "volume")?);
    access::check(world, call.who, &volid)?;
    let content = access::read(world, &volid)?.content;
    let storage = world.storage(volid.split(':').next().unwrap_or_default())?;
    let (kind, layout) = (storage.kind.clone(), storage.kind().layout);
    for attribute in ["notes", "protected"].into_iter().filter(|a| call.get(a).is_some()) {
        match layout {
            Layout::Files | Layout::BackupServer if content == "backup" => {}
            Layout::Files if attribute == "notes" => return Err(Fail::die("only backups can have notes").into()),
            Layout::Files => {
                return Err(Fail::die(format!("only backups support attribute '{attribute}'")).into());
            }
            _ => {
                let text = format!("attribute '{attribute}' is not supported for storage type '{kind}'");
                return Err(Fail::die(text).into());
            }
        }
        if attribute == "protected" && call.flag("protected") {
            protectable(world, call.who, node, &volid)?;
        }
        if let Some(mut volume) = world.volumes.find_mut(&volid, node) {
            match attribute {
                "notes" => volume.notes = call.get("notes").map(str::to_owned),
                _ => volume.protected = call.flag("protected"),
            }
        }
    }
    now(Value::Null)
}

/// Whether one more backup of the guest may be protected.
fn protectable(world: &World, who: &Who, node: &str, volid: &str) -> Result<(), Fail> {
    let Some(volume) = world.volumes.find(volid, node).filter(|v| !v.protected) else { return Ok(()) };
    let Some(vmid) = volume.vmid else { return Ok(()) };
    let storage = world.storage(&volume.storage)?;
    let free = world.may(who, &format!("/storage/{}", storage.id), "Datastore.Allocate");
    let limit = storage.option("max-protected-backups").parse::<i64>().unwrap_or(if free { -1 } else { 5 });
    let kin = |v: &&Volume| v.storage == volume.storage && v.node == volume.node && v.protected;
    let count = world.volumes.of(vmid).filter(kin).count();
    if limit < 0 || usize::try_from(limit).is_ok_and(|limit| count < limit) {
        return Ok(());
    }
    let text = format!("The number of protected backups per guest is limited to {limit} on storage '{}'", storage.id);
    Err(Fail::die(text))
}
