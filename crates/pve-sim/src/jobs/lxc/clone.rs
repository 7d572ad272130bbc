//! Cloning a container: the source is locked (`disk`), the clone (`create`) until all of it is copied.

use serde::{Deserialize, Serialize};

use super::disk;
use crate::calls::lxc::mountpoint;
use crate::jobs::{Job, Next};
use crate::schema::Schema;
use crate::state::World;
use crate::state::guest::{Config, GuestKind};

/// A clone in the making.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Clone {
    pub(crate) source: u32,
    pub(crate) newid: u32,
    pub(crate) node: String,
    pub(crate) full: bool,
    /// The source's mount points.
    pub(crate) disks: Config,
    pub(crate) storage: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) pool: Option<String>,
    /// Volumes made so far.
    pub(crate) made: Vec<String>,
    pub(crate) copied: bool,
}

fn unlock(world: &mut World, vmid: u32, lock: &str) {
    if let Some(guest) = world.guests.get_mut(&vmid).filter(|g| g.get("lock") == Some(lock)) {
        guest.config.remove("lock");
    }
}

/// Undoes what a clone has done so far.
pub(crate) fn abandon(world: &mut World, clone: &Clone) {
    unlock(world, clone.source, "disk");
    for volid in &clone.made {
        world.volumes.remove(volid, &clone.node);
    }
    if world.guests.get(&clone.newid).is_some_and(|g| g.is(GuestKind::Lxc) && g.get("lock") == Some("create")) {
        world.forget(clone.newid);
    }
}

pub(crate) fn step(world: &mut World, upid: &str, mut clone: Clone, doom: Option<String>) -> Next {
    if !clone.copied {
        if let Err(text) = copy(world, upid, &mut clone) {
            abandon(world, &clone);
            return Next::Failed(format!("clone failed: {text}"));
        }
        clone.copied = true;
        let time = world.pace.of(if clone.full { "clone-full" } else { "clone" });
        return Next::Again(Box::new(Job::Lxc(Box::new(super::Lxc::Clone(clone)))), time * 0.4);
    }
    if let Some(text) = doom {
        abandon(world, &clone);
        return Next::Failed(format!("clone failed: {text}"));
    }
    if let Some(pool) = clone.pool.as_ref().and_then(|p| world.pools.get_mut(p)) {
        pool.vms.insert(clone.newid);
    }
    unlock(world, clone.source, "disk");
    unlock(world, clone.newid, "create");
    if let (Some(target), Some(guest)) = (&clone.target, world.guests.get_mut(&clone.newid)) {
        guest.node.clone_from(target);
    }
    Next::Done
}

fn copy(world: &mut World, upid: &str, clone: &mut Clone) -> Result<(), String> {
    let schema = Schema::get();
    let (newid, node) = (clone.newid, clone.node.clone());
    for (key, text) in clone.disks.clone() {
        let volid = mountpoint::volume(&text).to_owned();
        let Some(source) = world.volumes.find(&volid, &node).cloned() else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        let storage = clone.storage.clone().unwrap_or_else(|| source.storage.clone());
        let made = if clone.full {
            world.log(upid, format!("create full clone of mountpoint {key} ({volid})"));
            let made = disk::allocate(world, &storage, &node, newid, source.size).map_err(|f| f.line())?;
            disk::chatter(world, upid, &made);
            for line in COPIED {
                world.log(upid, *line);
            }
            made
        } else {
            world.log(upid, format!("create linked clone of mount point {key} ({volid})"));
            world.clone_volume(&volid, &node, newid, false)?
        };
        clone.made.push(made.volid());
        let mut parsed = mountpoint::parse(schema, &key, &text);
        parsed.insert("volume".to_owned(), made.volid());
        let Some(guest) = world.guests.get_mut(&newid) else {
            return Err("unexpected state change".to_owned());
        };
        guest.config.insert(key, mountpoint::print(&parsed));
    }
    Ok(())
}

/// What copying the files prints.
pub(crate) const COPIED: &[&str] = &[
    "",
    "Number of files: 27 (reg: 9, dir: 18)",
    "Number of created files: 25 (reg: 9, dir: 16)",
    "Number of deleted files: 0",
    "Number of regular files transferred: 9",
    "Total file size: 445 bytes",
    "Total transferred file size: 445 bytes",
    "Literal data: 445 bytes",
    "Matched data: 0 bytes",
    "File list size: 0",
    "File list generation time: 0.001 seconds",
    "File list transfer time: 0.000 seconds",
    "Total bytes sent: 1,558",
    "Total bytes received: 262",
    "",
    "sent 1,558 bytes  received 262 bytes  3,640.00 bytes/sec",
    "total size is 445  speedup is 0.24",
];
