//! A volume is copied: into a snapshot, or into another volume.
//!
//! Proxmox VE lets a tenant's token copy a volume in one way only: `import-from` into a slot of a VM that it may
//! configure, from a volume of a VM that it may clone. The copy is whole, it takes its time, and its configuration
//! shows it only when it is done: so a copy that is there is complete, and one that died left nothing.
//!
//! A volume that a running VM writes to is not copied: what came of it would be neither of one moment nor whole.

use pve_types::{Vmid, VolumeId};

use super::attach::places;
use super::create::{OrHolder, Place, wanted};
use super::holder::{Copy, CopyOf, Holder};
use super::name::Format;
use super::refusal::Kind;
use super::step::{Decision, Look, Step};
use super::vm::Use;
use crate::Seen;

/// A copy that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeCopy {
    /// What it is.
    pub of: CopyOf,
    /// Where it goes.
    pub place: Place,
    /// Its format; none for that of the source.
    pub format: Option<Format>,
    /// Now, in Unix seconds.
    pub now: i64,
}

/// How the task that copies stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// It runs.
    Running,
    /// It failed, with this.
    Failed(String),
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copying {
    /// Drives of VMs that run, or may, and have the source.
    pub busy: Seen<Vec<(Vmid, Use)>>,
    /// Holders that can own a copy there, proven.
    pub holders: Seen<Vec<Holder>>,
    /// The task that was started for this copy, as far as this process knows.
    pub task: Option<Task>,
    /// A number that is free, for one holder more; absent where we may make none.
    pub next: Seen<Vmid>,
}

/// How a copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is done.
    Ready(Copy),
    /// It is being made.
    UnderWay,
}

/// Decides the next step towards there being such a copy.
pub fn copy(want: &MakeCopy, seen: &Copying, tenant: &str) -> OrHolder<State> {
    let go = OrHolder::Go;
    let holders = match &seen.holders {
        Seen::Known(holders) => &holders[..],
        Seen::Absent => &[],
        Seen::Unasked => return go(Decision::Look(Look::Holder)),
        Seen::Unread(why) => return go(Decision::refuse(Kind::Unavailable, format!("cannot read our holders: {why}"))),
    };
    let MakeCopy { of, place, format, now } = want;
    if let Some(copy) = holders.iter().find_map(|holder| holder.copy(of.kind, &of.name)) {
        return go(if copy.of.source == of.source {
            Decision::Done(State::Ready(copy))
        } else {
            let why = format!("name: `{}` is a copy of `{}`, not of `{}`", of.name, copy.of.source, of.source);
            Decision::refuse(Kind::AlreadyExists, why)
        });
    }
    match &seen.task {
        Some(Task::Running) => return go(Decision::Done(State::UnderWay)),
        Some(Task::Failed(why)) => {
            return go(Decision::refuse(Kind::Internal, format!("copying `{}` failed: {why}", of.source)));
        }
        None => {}
    }
    match &seen.busy {
        Seen::Unasked => return go(Decision::Look(Look::Others)),
        Seen::Unread(why) => {
            return go(Decision::refuse(Kind::Unavailable, format!("cannot tell who has `{}`: {why}", of.source)));
        }
        Seen::Known(busy) if !busy.is_empty() => {
            return go(Decision::refuse(
                Kind::FailedPrecondition,
                format!(
                    "`{}` is attached to {}, which may write to it: a copy would not be of one moment. Detach it (scale \
                     its pods down), and the copy is made",
                    of.source,
                    places(busy)
                ),
            ));
        }
        Seen::Known(_) | Seen::Absent => {}
    }
    let room = holders.iter().filter_map(|holder| Some((holder, holder.room_for_copy()?)));
    let Some((holder, slot)) = room.min_by_key(|(holder, _)| holder.vmid()) else {
        return wanted(place, &seen.next, tenant);
    };
    let Some(digest) = holder.config().digest.clone() else {
        return go(Decision::refuse(Kind::Internal, "Proxmox VE gave no digest with a holder's configuration"));
    };
    go(Decision::step(Step::Copy {
        holder: holder.clone(),
        slot,
        of: of.clone(),
        storage: place.storage.clone(),
        format: *format,
        notes: holder.notes_with(of, slot, *now, tenant),
        digest,
    }))
}

/// The snapshot as Kubernetes names it: it has a name before its volume has one.
pub fn snapshot_volume(holder_of_source: Vmid, name: &str, storage: &pve_types::StorageId) -> VolumeId {
    VolumeId { storage: storage.clone(), name: format!("vm-{holder_of_source}-{name}") }
}
