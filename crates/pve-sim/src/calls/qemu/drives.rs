//! Drives of a VM: who may use which volume, allocating new ones.

use crate::http::fail::Fail;
use crate::jobs::image;
use crate::perm::Who;
use crate::schema::{Errors, Parsed, Schema, parse_property_string, print_property_string};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, parse_size, print_size};
use crate::state::storage::alloc::Ask;
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

/// The key without its number.
fn stem(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// What a drive can't be, whoever asks.
pub(crate) fn check_shape(schema: &Schema, key: &str, text: &str) -> Result<(), Fail> {
    let drive = parse(schema, key, text);
    let both = |one: &str, other: &str| drive.contains_key(one) && drive.contains_key(other);
    for limit in ["mbps", "iops"] {
        if both(limit, &format!("{limit}_rd")) || both(limit, &format!("{limit}_wr")) {
            return Err(Fail::param(key, "unable to parse drive options"));
        }
    }
    if !drive.contains_key("import-from") {
        return Ok(());
    }
    let file = file(drive.get("file").map_or("", String::as_str));
    if !matches!(file, File::Allocate { bytes: 0, .. }) {
        let text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
        return Err(Fail::param(key, text));
    }
    let needed: &[&str] = match stem(key) {
        "efidisk" => &["efitype", "pre-enrolled-keys"],
        "tpmstate" => &["version"],
        _ => &[],
    };
    match needed.iter().find(|name| !drive.contains_key(**name)) {
        Some(name) => Err(Fail::param(key, format!("need to specify '{name}' when using 'import-from'"))),
        None => Ok(()),
    }
}

/// A VM has one cloud-init drive.
pub(crate) fn check_cloudinit(world: &World, node: &str, vmid: u32, key: &str, drive: &Parsed) -> Result<(), Fail> {
    let text = drive.get("file").map_or("", String::as_str);
    if !matches!(file(text), File::CloudInit { .. }) {
        return Ok(());
    }
    let guest = world.guest(node, vmid)?;
    let other = guest.drives().find(|(k, v)| *k != key && v.contains("-cloudinit"));
    match other {
        Some((other, _)) => Err(Fail::die(format!("{key} - cloud-init drive is already attached at '{other}'"))),
        None => Ok(()),
    }
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
        File::Nothing if text == "cdrom" => world.need(who, "/", &["Sys.Console"]),
        File::Nothing => Ok(()),
        File::Path(path) => {
            if who.is_root() {
                return Err(Fail::die(format!("volume {path} does not exist")));
            }
            Err(Fail::die("Only root can pass arbitrary filesystem paths."))
        }
        File::Allocate { storage, .. } => {
            let Some(storage) = storage.as_deref().or(default_storage) else {
                return Err(Fail::die("no storage ID specified (and no default storage)"));
            };
            world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
            images_on(world, storage, node)?;
            drive.get("import-from").map_or(Ok(()), |source| check_source(world, who, node, source))
        }
        File::CloudInit { storage } => {
            world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
            images_on(world, &storage, node)
        }
        File::Volume { storage, volid } => {
            let name = volid.split_once(':').map_or("", |(_, n)| n);
            let cdrom = drive.get("media").is_some_and(|m| m == "cdrom");
            let (folder, _) = name.split_once('/').unwrap_or_default();
            if !cdrom && folder == "iso" && is_drive_key(key) {
                return Err(Fail::param(key, "explicit 'media=cdrom' is required for iso images"));
            }
            if !cdrom && ["iso", "vztmpl", "backup", "snippets", "import"].contains(&folder) {
                let text = format!("unable to use volume {volid} - content type needs to be 'images'");
                return Err(Fail::die(text));
            }
            world.storage(&storage)?;
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

/// The right to copy what a drive is imported from.
fn check_source(world: &World, who: &Who, node: &str, source: &str) -> Result<(), Fail> {
    if source.starts_with('/') {
        if who.is_root() {
            return Ok(());
        }
        return Err(Fail::die("Only root can pass arbitrary filesystem paths."));
    }
    let (storage, name) = source.split_once(':').unwrap_or_default();
    if name.starts_with("import/") {
        return world.need_any(who, &format!("/storage/{storage}"), &["Datastore.Audit", "Datastore.AllocateSpace"]);
    }
    let Some(owner) = owner(name) else {
        let text = format!("unable to use volume {source} - content type needs to be 'images' or 'import'");
        return Err(Fail::die(text));
    };
    world.storage_on(storage, node)?;
    world.need(who, &format!("/vms/{owner}"), &["VM.Clone"])
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

/// A drive that is real.
#[derive(Debug)]
pub(crate) struct Realised {
    /// The text to store.
    pub(crate) text: String,
    /// The volume made for it.
    pub(crate) made: Option<Volume>,
    /// What a task says about it.
    pub(crate) log: Vec<String>,
}

/// Makes the drive real: allocates, imports, looks up, puts its size in.
pub(crate) fn realise(
    world: &mut World,
    vmid: u32,
    node: &str,
    key: &str,
    mut drive: Parsed,
    default_storage: Option<&str>,
) -> Result<Realised, Fail> {
    let text = drive.get("file").cloned().unwrap_or_default();
    let (mut made, mut log) = (None, Vec::new());
    match file(&text) {
        File::Path(_) => {}
        File::Nothing => {
            drive.insert("media".to_owned(), "cdrom".to_owned());
        }
        File::Allocate { storage, bytes } => {
            let storage = storage.as_deref().or(default_storage).unwrap_or_default().to_owned();
            let format = drive.remove("format");
            let source = drive.remove("import-from");
            drive.remove("import-working-storage");
            let (volume, lines) = if let Some(source) = source {
                import(world, vmid, node, &storage, format, &source)?
            } else {
                let bytes = match stem(key) {
                    "efidisk" => 528 << 10,
                    "tpmstate" => 4 << 20,
                    _ => bytes.max(1024),
                };
                let format = if stem(key) == "tpmstate" { Some("raw".to_owned()) } else { format };
                let ask = Ask { storage: &storage, vmid, format: format.as_deref(), name: None, bytes };
                let volume = world.allocate(node, &ask).map_err(Fail::die)?;
                let lines = vec![image::formatting(world, &volume)];
                (volume, lines)
            };
            log = lines;
            drive.insert("file".to_owned(), volume.volid());
            drive.insert("size".to_owned(), print_size(volume.size));
            made = Some(volume);
        }
        File::CloudInit { storage } => {
            let format = drive.remove("format");
            let files = world.storages.get(&storage).is_some_and(|s| s.kind().files());
            let format = format.unwrap_or_else(|| if files { "qcow2" } else { "raw" }.to_owned());
            let name = world.volume_name(&storage, vmid, &format!("vm-{vmid}-cloudinit"), &format);
            let volume = world.image(&storage, node, &name, &format, 4 << 20, vmid);
            drive.insert("file".to_owned(), volume.volid());
            drive.insert("media".to_owned(), "cdrom".to_owned());
            world.volumes.insert(volume.clone());
            log.push(image::formatting(world, &volume));
            made = Some(volume);
        }
        File::Volume { storage, volid } => {
            world.activate(&storage, node)?;
            let Some(volume) = world.volumes.find(&volid, node) else {
                return Err(Fail::die(format!("volume '{volid}' does not exist")));
            };
            drive.remove("format");
            drive.insert("size".to_owned(), print_size(volume.image_size()));
        }
    }
    let text = print_property_string(&drive, "file");
    if made.is_some() {
        log.push(format!("{key}: successfully created disk '{text}'"));
    }
    Ok(Realised { text, made, log })
}

/// A full copy of another volume.
fn import(
    world: &mut World,
    vmid: u32,
    node: &str,
    storage: &str,
    format: Option<String>,
    source: &str,
) -> Result<(Volume, Vec<String>), Fail> {
    let missing = || Fail::die(format!("volume '{source}' does not exist"));
    let from = world.volumes.find(source, node).cloned().ok_or_else(missing)?;
    let formats: Vec<String> = world.storage(storage)?.formats().into_iter().map(str::to_owned).collect();
    let format = format.or_else(|| formats.contains(&from.format).then(|| from.format.clone()));
    let ask = Ask { storage, vmid, format: format.as_deref(), name: None, bytes: from.image_size() };
    let volume = world.allocate(node, &ask).map_err(Fail::die)?;
    world.contents.copy(&from, &volume);
    let key = from.vmid.and_then(|owner| world.guests.get(&owner)).and_then(|guest| {
        guest.drives().find(|(_, text)| !is_cdrom(text) && file_of(text) == source).map(|(key, _)| format!("{key} "))
    });
    let mut log = vec![format!("create full clone of drive {}({source})", key.unwrap_or_default())];
    log.extend(image::copied(world, &volume));
    Ok((volume, log))
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
