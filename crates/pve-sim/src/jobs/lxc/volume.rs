//! Resizing and moving volumes of containers.

use serde::{Deserialize, Serialize};

use super::disk;
use crate::calls::lxc::{change, mountpoint};
use crate::schema::Schema;
use crate::state::World;
use crate::state::drive::{is_unused_key, print_size};
use crate::state::guest::GuestKind;

/// A resize whose new size is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resize {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) key: String,
    pub(crate) volid: String,
    pub(crate) size: u64,
}

/// A volume that goes to another storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) key: String,
    pub(crate) volid: String,
    pub(crate) storage: String,
    pub(crate) delete: bool,
}

/// A volume that goes to another container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reassign {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) key: String,
    pub(crate) volid: String,
    pub(crate) target: u32,
    pub(crate) to: String,
}

pub(crate) fn resize(world: &mut World, upid: &str, work: &Resize) -> Result<(), String> {
    let Some(mut changing) = world.volumes.find_mut(&work.volid, &work.node) else {
        return Err(format!("volume '{}' does not exist", work.volid));
    };
    let before = changing.size;
    changing.size = work.size;
    let volume = changing.clone();
    drop(changing);
    let running = world.guests.get(&work.vmid).is_some_and(crate::state::guest::Guest::running);
    if volume.format == "raw" && !running {
        let file = world.storages.get(&volume.storage).map_or_else(String::new, |s| s.file(&volume.name));
        let (old, new) = (before / 4096, work.size / 4096);
        for line in [
            "Image resized.".to_owned(),
            "e2fsck 1.47.2 (1-Jan-2025)".to_owned(),
            "Pass 1: Checking inodes, blocks, and sizes".to_owned(),
            "Pass 2: Checking directory structure".to_owned(),
            "Pass 3: Checking directory connectivity".to_owned(),
            "Pass 4: Checking reference counts".to_owned(),
            "Pass 5: Checking group summary information".to_owned(),
            format!("{file}: 37/{} files (0.0% non-contiguous), {}/{old} blocks", old / 4, old / 20),
            "resize2fs 1.47.2 (1-Jan-2025)".to_owned(),
            format!("Resizing the filesystem on {file} to {new} (4k) blocks."),
            format!("The filesystem on {file} is now {new} (4k) blocks long."),
            String::new(),
        ] {
            world.log(upid, line);
        }
    }
    let guest = world.guest_of_mut(GuestKind::Lxc, &work.node, work.vmid).map_err(|f| f.line())?;
    if let Some(text) = guest.config.get(&work.key) {
        let mut parsed = mountpoint::parse(Schema::get(), &work.key, text);
        parsed.insert("size".to_owned(), print_size(work.size));
        guest.config.insert(work.key.clone(), mountpoint::print(&parsed));
    }
    Ok(())
}

pub(crate) fn move_volume(world: &mut World, upid: &str, work: &Move, doom: Option<String>) -> Result<(), String> {
    let result = copy(world, upid, work, doom);
    if let Some(guest) = world.guests.get_mut(&work.vmid).filter(|g| g.get("lock") == Some("disk")) {
        guest.config.remove("lock");
    }
    result
}

fn copy(world: &mut World, upid: &str, work: &Move, doom: Option<String>) -> Result<(), String> {
    let Some(source) = world.volumes.find(&work.volid, &work.node).cloned() else {
        return Err(format!("volume '{}' does not exist", work.volid));
    };
    let made = disk::allocate(world, &work.storage, &work.node, work.vmid, source.size).map_err(|f| f.line())?;
    disk::chatter(world, upid, &made);
    for line in super::clone::COPIED {
        world.log(upid, *line);
    }
    if let Some(text) = doom {
        world.volumes.remove(&made.volid(), &work.node);
        return Err(text);
    }
    let guest = world.guest_of_mut(GuestKind::Lxc, &work.node, work.vmid).map_err(|f| f.line())?;
    let text = guest.config.get(&work.key).cloned().unwrap_or_default();
    let mut parsed = mountpoint::parse(Schema::get(), &work.key, &text);
    parsed.insert("volume".to_owned(), made.volid());
    guest.config.insert(work.key.clone(), mountpoint::print(&parsed));
    if work.delete {
        world.volumes.remove(&work.volid, &work.node);
    } else {
        change::remember(guest, &work.volid);
    }
    Ok(())
}

pub(crate) fn reassign(world: &mut World, upid: &str, work: &Reassign) -> Result<(), String> {
    let storage = work.volid.split_once(':').map_or("", |(s, _)| s).to_owned();
    let Some(text) = world.guests.get(&work.vmid).and_then(|g| g.get(&work.key)).map(str::to_owned) else {
        return Err(format!("volume '{}' for container '{}' does not exist", work.key, work.vmid));
    };
    world.log(upid, format!("moving volume '{}' from container '{}' to '{}'", work.key, work.vmid, work.target));
    let name = disk::free_name(world, &storage, &work.node, work.target)?.0;
    let Some(mut volume) = world.volumes.find_mut(&work.volid, &work.node) else {
        return Err(format!("volume '{}' does not exist", work.volid));
    };
    volume.name = name;
    volume.vmid = Some(work.target);
    let fresh = volume.volid();
    drop(volume);
    if let Some(guest) = world.guests.get_mut(&work.vmid) {
        guest.config.remove(&work.key);
    }
    let stored = if is_unused_key(&work.to) {
        fresh.clone()
    } else {
        let key = if is_unused_key(&work.key) { &work.to } else { &work.key };
        let mut parsed = mountpoint::parse(Schema::get(), key, &text);
        parsed.insert("volume".to_owned(), fresh.clone());
        parsed.entry("mp".to_owned()).or_insert_with(|| "/".to_owned() + &work.to);
        mountpoint::print(&parsed)
    };
    if let Some(guest) = world.guests.get_mut(&work.target) {
        guest.config.insert(work.to.clone(), stored);
    }
    world.log(upid, format!("removing volume '{}' from container '{}' config", work.key, work.vmid));
    world.log(upid, format!("target container '{}' updated with '{}'", work.target, work.to));
    Ok(())
}
