//! Snapshots of guests: made, gone back to, taken away.
//!
//! ```text
//! create:   lock: snapshot, snapstate: prepare, the memory's volume ──► the disks ──► lock and snapstate gone
//! delete:   lock: snapshot-delete, snapstate: delete ──► the memory's volume and the disks' ──► its children have its parent
//! rollback: the guest is cut off, lock: rollback ──► disks and configuration of then ──► started, if asked or if it ran
//! ```
//!
//! Promises the checks of Proxmox VE in their order, and that a create which fails or is stopped leaves nothing.

mod create;
mod delete;
mod disks;
mod rollback;
#[cfg(test)]
mod test;

use serde::{Deserialize, Serialize};

use super::{Job, Next};
use crate::state::World;
use crate::state::guest::{Guest, GuestKind};

/// Work on a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) what: What,
    pub(crate) stage: Stage,
}

/// What is done with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    Create { description: String, vmstate: bool },
    Delete { force: bool },
    Rollback { start: bool },
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    Begun,
    /// The configuration is locked.
    Locked,
}

impl What {
    /// The word in the kinds of tasks.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Create { .. } => "snapshot",
            Self::Delete { .. } => "delsnapshot",
            Self::Rollback { .. } => "rollback",
        }
    }
}

pub(crate) fn step(world: &mut World, upid: &str, mut work: Snapshot) -> Next {
    let done = match (&work.what, work.stage) {
        (What::Create { description, vmstate }, Stage::Begun) => {
            create::prepare(world, upid, &work, description, *vmstate)
        }
        (What::Create { .. }, Stage::Locked) => create::commit(world, upid, &work),
        (What::Delete { .. }, Stage::Begun) => delete::prepare(world, &work),
        (What::Delete { force }, Stage::Locked) => delete::commit(world, upid, &work, *force),
        (What::Rollback { .. }, Stage::Begun) => rollback::prepare(world, &work),
        (What::Rollback { start }, Stage::Locked) => rollback::commit(world, upid, &work, *start),
    };
    if let Err(text) = done {
        return Next::Failed(text);
    }
    if work.stage == Stage::Locked {
        return Next::Done;
    }
    // From here on the lock of the configuration keeps others away, not the file.
    if let Some(guest) = world.guests.get_mut(&work.vmid) {
        guest.holders.remove(upid);
    }
    work.stage = Stage::Locked;
    let time = world.pace.of("snapshot") / 2.0;
    Next::Again(Box::new(Job::Snapshot(work)), time)
}

/// Somebody stopped the task: a snapshot that isn't finished is taken back.
pub(crate) fn stopped(world: &mut World, work: &Snapshot) {
    if work.stage == Stage::Locked && matches!(work.what, What::Create { .. }) {
        create::abandon(world, work);
    }
}

fn the<'w>(world: &'w World, work: &Snapshot) -> Result<&'w Guest, String> {
    world.guest_of(work.kind, &work.node, work.vmid).map_err(|fail| fail.line())
}

fn the_mut<'w>(world: &'w mut World, work: &Snapshot) -> Result<&'w mut Guest, String> {
    world.guest_of_mut(work.kind, &work.node, work.vmid).map_err(|fail| fail.line())
}

fn unlocked(guest: &Guest) -> Result<(), String> {
    guest.get("lock").map_or(Ok(()), |lock| Err(format!("{} is locked ({lock})", guest.kind.label())))
}

fn missing(name: &str) -> String {
    format!("snapshot '{name}' does not exist")
}

fn set_lock(guest: &mut Guest, lock: &str) {
    guest.config.insert("lock".to_owned(), lock.to_owned());
}
