//! A volume grows: where it is plugged in, or else through its holder, which need not run for that.
//!
//! A volume that was grown through its holder stays plugged in there. That costs nothing (a holder never runs), and
//! taking it out would need the protection off.

use pve_types::{DiskSize, Vmid, VolumeId};

use super::attach::places;
use super::holder::{At, Holder};
use super::refusal::Kind;
use super::size::Range;
use super::slot::Slot;
use super::step::{Decision, Look, Step};
use super::vm::{Phase, Use, VmConfig};
use crate::Seen;

/// What was seen of a volume that is to grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Drives of VMs that have it, its resting holder apart.
    pub others: Seen<Vec<(Vmid, Use)>>,
    /// The VM that has it, where one has.
    pub vm: Seen<(At, VmConfig)>,
    /// Its owner, proven to be a holder of ours.
    pub holder: Seen<Holder>,
    /// Its size, where the storage itself was asked.
    pub size: Seen<DiskSize>,
}

/// How a volume has grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Its size.
    pub size: DiskSize,
    /// Whether a VM has it, so that its file system is to grow too.
    pub plugged: bool,
}

/// Decides the next step towards the volume being that large.
pub fn grow(volume: &VolumeId, range: Range, seen: &Growth) -> Decision<Grown> {
    let want = match range.choose() {
        Ok(size) => size,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    let plugged = match &seen.others {
        Seen::Unasked => return Decision::Look(Look::Others),
        Seen::Unread(why) => {
            return Decision::refuse(Kind::Unavailable, format!("cannot tell who has `{volume}`: {why}"));
        }
        Seen::Absent => false,
        Seen::Known(others) if others.len() > 1 => {
            return Decision::refuse(
                Kind::FailedPrecondition,
                format!("`{volume}` is in use in several places ({}): detach all but one", places(others)),
            );
        }
        Seen::Known(others) => !others.is_empty(),
    };
    if let Seen::Known(size) = &seen.size
        && *size >= want
    {
        return enough(volume, range, Grown { size: *size, plugged });
    }
    if plugged { in_vm(volume, range, want, seen) } else { in_holder(volume, range, want, seen) }
}

fn enough(volume: &VolumeId, range: Range, grown: Grown) -> Decision<Grown> {
    if range.holds(grown.size) {
        return Decision::Done(grown);
    }
    Decision::refuse(
        Kind::OutOfRange,
        format!("capacity_range.limit_bytes: `{volume}` has {} already, more than {} bytes", grown.size, range.limit),
    )
}

fn in_vm(volume: &VolumeId, range: Range, want: DiskSize, seen: &Growth) -> Decision<Grown> {
    let (at, config) = match &seen.vm {
        Seen::Known((at, config)) => (at, config),
        Seen::Unasked => return Decision::Look(Look::Config),
        Seen::Absent => {
            return Decision::refuse(Kind::Aborted, format!("the VM that had `{volume}` is gone: ask again"));
        }
        Seen::Unread(why) => {
            return Decision::refuse(Kind::Unavailable, format!("cannot read the VM that has `{volume}`: {why}"));
        }
    };
    let Some(of) = config.plugged(volume).into_iter().find(|of| of.phase == Phase::Now) else {
        return Decision::refuse(Kind::Aborted, format!("`{volume}` is being attached or detached: ask again"));
    };
    step(volume, range, want, at, config, &of, true)
}

fn in_holder(volume: &VolumeId, range: Range, want: DiskSize, seen: &Growth) -> Decision<Grown> {
    let holder = match &seen.holder {
        Seen::Known(holder) if holder.owns(volume) => holder,
        Seen::Known(holder) => {
            return Decision::refuse(Kind::Internal, format!("`{volume}` does not belong to {}", holder.at()));
        }
        Seen::Unasked => return Decision::Look(Look::Holder),
        Seen::Absent => return Decision::refuse(Kind::NotFound, format!("the VM that owns `{volume}` does not exist")),
        Seen::Unread(why) => {
            return Decision::refuse(Kind::FailedPrecondition, format!("`{volume}` is not ours to grow: {why}"));
        }
    };
    let config = holder.config();
    if let Some(of) = config.plugged(volume).into_iter().find(|of| of.phase == Phase::Now) {
        return step(volume, range, want, holder.at(), config, &of, false);
    }
    let Some(slot) = holder.room_for_copy().or_else(|| lendable(holder)) else {
        let why = format!("{} has no slot to grow `{volume}` in: 30 copies fill it; delete snapshots", holder.at());
        return Decision::refuse(Kind::ResourceExhausted, why);
    };
    match (&config.lock, config.digest.clone()) {
        (Some(lock), _) => {
            Decision::refuse(Kind::Unavailable, format!("{} is locked ({lock}): wait until that is over", holder.at()))
        }
        (None, None) => Decision::refuse(Kind::Internal, "Proxmox VE gave no digest with a holder's configuration"),
        (None, Some(digest)) => {
            Decision::step(Step::Hold { holder: holder.clone(), slot, volume: volume.clone(), digest })
        }
    }
}

/// A slot of a holder with a volume that was grown there before: that one becomes `unusedN`.
fn lendable(holder: &Holder) -> Option<Slot> {
    let copies: Vec<Slot> = holder.copies().into_iter().map(|copy| copy.slot).collect();
    let held = |slot: &Slot| {
        let drive = holder.config().drives.get(&slot.to_string());
        let volume = drive.and_then(|drive| drive.now.as_ref()).and_then(|disk| disk.volume());
        // A copy whose line was lost has a serial number all the same.
        let plain = drive.and_then(|drive| drive.now.as_ref()).is_some_and(|disk| disk.option("serial").is_none());
        plain && volume.is_some_and(|volume| holder.owns(volume))
    };
    Slot::all().find(|slot| !copies.contains(slot) && held(slot))
}

fn step(
    volume: &VolumeId,
    range: Range,
    want: DiskSize,
    at: &At,
    config: &VmConfig,
    of: &Use,
    plugged: bool,
) -> Decision<Grown> {
    if let Some(lock) = &config.lock {
        return Decision::refuse(Kind::Unavailable, format!("{at} is locked ({lock}): wait until that is over"));
    }
    match of.disk.size {
        Some(size) if size >= want => enough(volume, range, Grown { size, plugged }),
        _ => match config.digest.clone() {
            None => Decision::refuse(Kind::Internal, "Proxmox VE gave no digest with a VM's configuration"),
            Some(digest) => Decision::step(Step::Grow {
                vm: at.clone(),
                key: of.key.clone(),
                volume: volume.clone(),
                size: want,
                digest,
            }),
        },
    }
}
