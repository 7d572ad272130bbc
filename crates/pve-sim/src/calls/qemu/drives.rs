//! Drives of a VM: who may use which volume, allocating new ones.

use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::{Errors, Parsed, Schema, parse_property_string, print_property_string};
use crate::state::World;
use crate::state::drive::{parse_size, print_size};
use crate::state::storage::{Volume, owner};

/// What a drive's `file` asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum File {
    /// No medium, or the host's own drive.
    Nothing,
    /// `STORAGE:GIB`.
    Allocate {
        storage: Option<String>,
        bytes: u64,
    },
    CloudInit {
        storage: String,
    },
    Volume {
        storage: String,
        volid: String,
    },
    Path(String),
}

pub(crate) fn file(text: &str) -> File {
    if text == "none" || text == "cdrom" {
        return File::Nothing;
    }
    if text.starts_with('/') {
        return File::Path(text.to_owned());
    }
    let (storage, rest) = match text.split_once(':') {
        Some((storage, rest)) => (Some(storage), rest),
        None => (None, text),
    };
    if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && let Some(bytes) = parse_size(&format!("{rest}G"))
    {
        return File::Allocate { storage: storage.map(str::to_owned), bytes };
    }
    let storage = storage.unwrap_or_default().to_owned();
    if rest == "cloudinit" {
        return File::CloudInit { storage };
    }
    File::Volume { storage, volid: text.to_owned() }
}

/// Reads a drive; verification has made sure that it reads.
pub(crate) fn parse(schema: &Schema, key: &str, text: &str) -> Parsed {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let format = match stem {
        "efidisk" | "tpmstate" => stem.to_owned(),
        _ => format!("{stem}n"),
    };
    schema.formats.get(&format).and_then(|keys| parse_property_string(text, keys).ok()).unwrap_or_default()
}

/// Whether `who` may use what the drive asks for.
pub(crate) fn check_access(
    world: &World,
    who: &Who,
    vmid: u32,
    node: &str,
    key: &str,
    drive: &Parsed,
    default_storage: Option<&str>,
) -> Result<(), Fail> {
    let text = drive.get("file").map_or("", String::as_str);
    match file(text) {
        File::Nothing => Ok(()),
        File::Path(path) => {
            if who.is_root() {
                return Err(Fail::die(format!("volume {path} does not exist")));
            }
            Err(Fail::die(format!("Only root can pass arbitrary filesystem paths. at {key}")))
        }
        File::Allocate { storage, .. } => {
            let Some(storage) = storage.as_deref().or(default_storage) else {
                return Err(Fail::die("no storage ID specified (and no default storage)"));
            };
            world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
            images_on(world, storage, node)
        }
        File::CloudInit { storage } => {
            world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
            images_on(world, &storage, node)
        }
        File::Volume { storage, volid } => {
            let name = volid.split_once(':').map_or("", |(_, n)| n);
            let cdrom = drive.get("media").is_some_and(|m| m == "cdrom");
            if name.starts_with("iso/") && !cdrom {
                return Err(Fail::param(key, "explicit 'media=cdrom' is required for iso images"));
            }
            let path = format!("/storage/{storage}");
            if world.may(who, &path, "Datastore.Allocate") {
                return Ok(());
            }
            match owner(name) {
                Some(owner) if owner == vmid => Ok(()),
                Some(owner) => {
                    world.need(who, &path, &["Datastore.Audit"])?;
                    world.need(who, &format!("/vms/{owner}"), &["VM.Config.Disk"])
                }
                None => world.need_any(who, &path, &["Datastore.Audit", "Datastore.AllocateSpace"]),
            }
        }
    }
}

fn images_on(world: &World, storage: &str, node: &str) -> Result<(), Fail> {
    let storage = world.storage_on(storage, node)?;
    if storage.content.contains("images") {
        return Ok(());
    }
    Err(Fail::params(Errors::from([(
        "storage".to_owned(),
        format!("storage '{}' does not support vm images", storage.id),
    )])))
}

/// Makes the drive real: allocates, looks up, puts its size in. The text to store, and the volumes made.
pub(crate) fn realise(
    world: &mut World,
    vmid: u32,
    node: &str,
    key: &str,
    mut drive: Parsed,
    default_storage: Option<&str>,
) -> Result<(String, Option<Volume>), Fail> {
    let text = drive.get("file").cloned().unwrap_or_default();
    let mut made = None;
    match file(&text) {
        File::Nothing | File::Path(_) => {}
        File::Allocate { storage, bytes } => {
            let storage = storage.as_deref().or(default_storage).unwrap_or_default().to_owned();
            let format = drive.remove("format").unwrap_or_else(|| "raw".to_owned());
            let bytes = if let Some(source) = drive.remove("import-from") {
                let found = world.volumes.find(&source, node).map(|v| v.size);
                found.ok_or_else(|| Fail::die(format!("volume '{source}' does not exist")))?
            } else {
                bytes
            };
            let bytes = match key.trim_end_matches(|c: char| c.is_ascii_digit()) {
                "efidisk" => 528 << 10,
                "tpmstate" => 4 << 20,
                _ => bytes.max(1024),
            };
            let name = world.free_name(&storage, node, vmid, &format).map_err(Fail::die)?;
            let volume = world.image(&storage, node, &name, &format, bytes, vmid);
            drive.insert("file".to_owned(), volume.volid());
            drive.insert("size".to_owned(), print_size(bytes));
            world.volumes.insert(volume.clone());
            made = Some(volume);
        }
        File::CloudInit { storage } => {
            let name = world.volume_name(&storage, vmid, &format!("vm-{vmid}-cloudinit"), "qcow2");
            let volume = world.image(&storage, node, &name, "qcow2", 4 << 20, vmid);
            drive.insert("file".to_owned(), volume.volid());
            drive.insert("media".to_owned(), "cdrom".to_owned());
            drive.remove("format");
            world.volumes.insert(volume.clone());
            made = Some(volume);
        }
        File::Volume { volid, .. } => {
            let Some(volume) = world.volumes.find(&volid, node) else {
                return Err(Fail::die(format!("volume '{volid}' does not exist")));
            };
            drive.insert("size".to_owned(), print_size(volume.image_size()));
        }
    }
    Ok((print_property_string(&drive, "file"), made))
}

pub(crate) fn new_volume(
    world: &World,
    storage: &str,
    node: &str,
    name: &str,
    format: &str,
    size: u64,
    vmid: u32,
) -> Volume {
    world.image(storage, node, name, format, size, vmid)
}
