//! Disks: resizing, and the turn into a template.

use serde::{Deserialize, Serialize};

use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, parse_size, print_size};

/// A resize.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resize {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) disk: String,
    pub(crate) size: String,
    pub(crate) digest: Option<String>,
}

pub(crate) fn resize(world: &mut World, upid: &str, resize: &Resize) -> Result<(), String> {
    let guest = world.guest(&resize.node, resize.vmid).map_err(|f| f.line())?;
    if resize.digest.as_ref().is_some_and(|d| *d != guest.digest()) {
        return Err("checksum mismatch (file change by other user?)".to_owned());
    }
    if let Some(lock) = guest.get("lock") {
        return Err(format!("VM is locked ({lock})"));
    }
    let running = guest.running();
    let Some(text) = guest.get(&resize.disk).map(str::to_owned) else {
        return Err(format!("disk '{}' does not exist", resize.disk));
    };
    if is_cdrom(&text) {
        return Err("you can't resize a cdrom".to_owned());
    }
    let volid = file_of(&text).to_owned();
    let Some(mut volume) = world.volumes.find_mut(&volid, &resize.node) else {
        return Err(format!("volume '{volid}' does not exist"));
    };
    let asked = resize.size.strip_prefix('+');
    let number = parse_size(asked.unwrap_or(&resize.size)).unwrap_or_default();
    let size = if asked.is_some() { volume.size + number } else { number };
    if size < volume.size {
        return Err("shrinking disks is not supported".to_owned());
    }
    if size == volume.size {
        return Ok(());
    }
    volume.size = size;
    drop(volume);
    if !running {
        world.log(upid, "Image resized.");
    }
    let mut parts: Vec<String> = text.split(',').filter(|p| !p.starts_with("size=")).map(str::to_owned).collect();
    let first = parts.remove(0);
    parts.push(format!("size={}", print_size(size)));
    parts.sort();
    parts.insert(0, first);
    if let Ok(guest) = world.guest_mut(&resize.node, resize.vmid) {
        guest.config.insert(resize.disk.clone(), parts.join(","));
    }
    Ok(())
}

pub(crate) fn template(world: &mut World, vmid: u32) -> Result<(), String> {
    let Some(guest) = world.guests.get(&vmid) else {
        return Err(format!("VM {vmid} vanished"));
    };
    let node = guest.node.clone();
    let drives: Vec<(String, String)> = guest.drives().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut config = guest.config.clone();
    config.insert("template".to_owned(), "1".to_owned());
    for (key, text) in drives.into_iter().filter(|(_, t)| !is_cdrom(t)) {
        let volid = file_of(&text).to_owned();
        if world.volumes.find(&volid, &node).is_some() {
            let renamed = world.make_base(&volid, &node)?;
            config.insert(key, text.replacen(&volid, &renamed, 1));
        }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = config;
    }
    Ok(())
}
