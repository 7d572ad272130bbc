//! What lies on storages: list, look, allocate, delete, upload.

use serde_json::{Value, json};

use crate::calls::qemu::drives::new_volume;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{Job, volume::Upload};
use crate::state::World;
use crate::state::storage::{Volume, owner};

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id) = (call.node(), call.str("storage"));
    world.storage_on(id, node)?;
    let all = world.may(call.who, &format!("/storage/{id}"), "Datastore.Allocate");
    let audit = world.may(call.who, &format!("/storage/{id}"), "Datastore.Audit");
    let vmid = call.number("vmid");
    let mut volumes: Vec<&Volume> = world
        .volumes
        .iter()
        .filter(|v| v.storage == id && v.node.as_deref().is_none_or(|n| n == node))
        .filter(|v| call.get("content").is_none_or(|c| c == v.content))
        .filter(|v| vmid.is_none_or(|wanted| v.vmid.map(i64::from) == Some(wanted)))
        .filter(|v| {
            all || match v.vmid {
                Some(owner) => audit && world.may(call.who, &format!("/vms/{owner}"), "VM.Config.Disk"),
                None => true,
            }
        })
        .collect();
    volumes.sort_by_key(|v| v.volid().to_lowercase());
    let rows: Vec<Value> = volumes
        .into_iter()
        .map(|v| {
            let mut row = json!({
                "volid": v.volid(), "content": v.content, "format": v.format, "size": v.size, "ctime": v.ctime,
            });
            if v.content == "images" {
                row["vmid"] = json!(v.vmid);
                row["used"] = json!(v.size / 8);
                row["parent"] = match &v.parent {
                    Some(parent) => json!(format!("../{parent}")),
                    None => Value::Null,
                };
            }
            row
        })
        .collect();
    now(Value::Array(rows))
}

/// A volume id out of a path, which may leave the storage away.
fn volid(call: &Call<'_>) -> String {
    let volume = call.str("volume");
    if volume.contains(':') { volume.to_owned() } else { format!("{}:{volume}", call.str("storage")) }
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), volid(call));
    let id = volid.split(':').next().unwrap_or_default();
    let storage = world.storage_on(id, node)?;
    let path = format!("/storage/{id}");
    let name = volid.split_once(':').map_or("", |(_, n)| n);
    if !world.may(call.who, &path, "Datastore.Allocate") {
        world.need_any(call.who, &path, &["Datastore.Audit", "Datastore.AllocateSpace"])?;
        if let Some(owner) = owner(name) {
            world.need(call.who, &format!("/vms/{owner}"), &["VM.Config.Disk"])?;
        }
    }
    let Some(volume) = world.volumes.find(&volid, node) else {
        return Err(Fail::die(format!("volume_size_info on '{volid}' failed - no format")).into());
    };
    let format = if volume.format == "iso" { "raw" } else { &volume.format };
    let used = if volume.content == "images" { volume.size / 8 } else { volume.size.div_ceil(4096) * 4096 };
    now(json!({"path": storage.file(&volume.name), "size": volume.size, "used": used, "format": format}))
}

pub(crate) fn allocate(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, vmid) = (call.node(), call.str("storage"), call.vmid());
    let storage = world.storage_on(id, node)?;
    let filename = call.str("filename");
    let text = call.str("size");
    let kib: u64 = match text.strip_suffix(['M', 'G']) {
        Some(number) if text.ends_with('M') => number.parse::<u64>().unwrap_or_default() << 10,
        Some(number) => number.parse::<u64>().unwrap_or_default() << 20,
        None => text.parse().unwrap_or_default(),
    };
    let suffix = filename.rsplit_once('.').map(|(_, s)| s).filter(|s| ["raw", "qcow2", "vmdk"].contains(s));
    if let (Some(suffix), Some(format)) = (suffix, call.get("format"))
        && suffix != format
    {
        return Err(Fail::param("format", format!("different storage formats ({format} != {suffix})")).into());
    }
    let Some(suffix) = suffix else {
        return Err(Fail::die(format!("unable to parse volume filename '{filename}'")).into());
    };
    if !storage.content.contains("images") {
        return Err(Fail::param("storage", format!("storage '{id}' does not support vm images")).into());
    }
    let name = format!("{vmid}/{filename}");
    if world.volumes.find(&format!("{id}:{name}"), node).is_some() {
        return Err(Fail::die(format!("disk image '{}' already exists", storage.file(&name))).into());
    }
    let volume = new_volume(world, id, node, &name, suffix, kib << 10, vmid);
    let volid = volume.volid();
    world.volumes.insert(volume);
    now(json!(volid))
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, volid) = (call.node(), volid(call));
    let (id, name) = volid.split_once(':').unwrap_or_default();
    world.storage_on(id, node)?;
    let path = format!("/storage/{id}");
    if name.starts_with("backup/") && !world.may(call.who, &path, "Datastore.Allocate") {
        world.need(call.who, &path, &["Datastore.AllocateSpace"])?;
    } else {
        world.need(call.who, &path, &["Datastore.Allocate"])?;
    }
    let id = owner(name).map_or_else(|| id.to_owned(), |vmid| format!("{vmid}@{id}"));
    let after = world.pace.of("delete-volume");
    let job = Job::DeleteVolume { node: node.to_owned(), volid: volid.clone() };
    let upid = world.spawn(node, "imgdel", &id, call.who, job, after);
    now(if call.get("delay").is_some() { Value::Null } else { json!(upid) })
}

/// A file name as the server keeps it: without a path, odd bytes replaced.
fn normalised(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.bytes().map(|b| if keep(b) { char::from(b) } else { '_' }).collect()
}

pub(crate) fn upload(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id, content) = (call.node(), call.str("storage"), call.str("content"));
    let name = normalised(call.str("filename"));
    let endings: &[&str] = match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2", ".tar"],
        _ => &[".ova", ".qcow2", ".raw", ".vmdk"],
    };
    let Some(ending) = endings.iter().find(|e| name.len() > e.len() && name.ends_with(*e)) else {
        let text = if content == "import" { "invalid filename or wrong extension" } else { "wrong file extension" };
        return Err(Fail::param("filename", text).into());
    };
    let storage = world.storage_on(id, node)?;
    if !storage.content.contains(content) {
        return Err(Fail::die(format!("storage '{id}' does not support '{content}' content")).into());
    }
    let format = match content {
        "iso" => "iso",
        "vztmpl" => ending.rsplit('.').next().unwrap_or("tgz"),
        _ => &ending[1..],
    };
    let bytes = call.file.clone().unwrap_or_default();
    let volume = Volume {
        storage: id.to_owned(),
        node: (!storage.shared).then(|| node.to_owned()),
        name: format!("{content}/{name}"),
        content: content.to_owned(),
        format: format.to_owned(),
        size: bytes.len() as u64,
        ctime: world.seconds(),
        parent: None,
        vmid: None,
        ..Volume::default()
    };
    let upload = Upload {
        volume,
        node: node.to_owned(),
        algorithm: call.get("checksum-algorithm").map(str::to_owned),
        checksum: call.get("checksum").map(str::to_owned),
        bytes,
    };
    // The task belongs to the node that was called, not to the one that gets the file.
    let here = world.nodes.first().map_or_else(|| node.to_owned(), |n| n.name.clone());
    let after = world.pace.of("upload");
    now(json!(world.spawn(&here, "imgcopy", "", call.who, Job::Upload(upload), after)))
}
