//! A volume is freed, through its holder: a token that may do that need not be allowed to free everything on a storage.
//!
//! ```text
//! others? ──has it──► refused
//!    │ nobody
//! holder? ──not ours──► refused
//!    │ ours         protected, or has not got it ──► Offer ──► holder?
//!    └────────────► has it, protection off ──► Free (and protection on) ──► done
//! ```
//! Proxmox VE frees a volume that a running VM has attached without a word: so others are looked at before.

use pve_types::{Vmid, VolumeId};

use super::attach::places;
use super::holder::Holder;
use super::refusal::Kind;
use super::step::{Decision, Look, Step};
use super::vm::Use;
use crate::Seen;

/// What was seen of a volume that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Drives of VMs that have it, its resting holder apart.
    pub others: Seen<Vec<(Vmid, Use)>>,
    /// Its owner: known where it is proven to be a holder of ours, unread with what it lacks.
    pub holder: Seen<Holder>,
    /// Whether the volume is there; only asked where there is no holder.
    pub volume: Seen<()>,
    /// Whether it was freed in this pass.
    pub freed: bool,
}

/// Decides the next step towards there being no such volume.
pub fn delete(volume: &VolumeId, seen: &Leftover, tenant: &str) -> Decision<()> {
    if seen.freed {
        return Decision::Done(());
    }
    match &seen.others {
        Seen::Unasked => return Decision::Look(Look::Others),
        Seen::Unread(why) => {
            return Decision::refuse(Kind::Unavailable, format!("cannot tell who has `{volume}`: {why}"));
        }
        Seen::Known(others) if !others.is_empty() => {
            return Decision::refuse(
                Kind::FailedPrecondition,
                format!("`{volume}` is in use by {}: it is deleted when it is detached there", places(others)),
            );
        }
        Seen::Known(_) | Seen::Absent => {}
    }
    let holder = match &seen.holder {
        Seen::Known(holder) if holder.owns(volume) => holder,
        Seen::Known(holder) => {
            return Decision::refuse(Kind::Internal, format!("`{volume}` does not belong to {}", holder.at()));
        }
        Seen::Unasked => return Decision::Look(Look::Holder),
        Seen::Unread(why) => {
            return Decision::refuse(Kind::FailedPrecondition, format!("`{volume}` is not ours to delete: {why}"));
        }
        Seen::Absent => {
            return match &seen.volume {
                Seen::Absent => Decision::Done(()),
                Seen::Unasked => Decision::Look(Look::Volume),
                Seen::Known(()) => Decision::refuse(
                    Kind::FailedPrecondition,
                    format!(
                        "`{volume}` is not ours to delete: the VM that owns it does not exist; delete it in Proxmox VE"
                    ),
                ),
                Seen::Unread(why) => {
                    Decision::refuse(Kind::Unavailable, format!("cannot tell whether `{volume}` exists: {why}"))
                }
            };
        }
    };
    free(volume, holder, tenant)
}

fn free(volume: &VolumeId, holder: &Holder, tenant: &str) -> Decision<()> {
    let config = holder.config();
    if let Some(lock) = &config.lock {
        return Decision::refuse(
            Kind::Unavailable,
            format!("{} is locked ({lock}): wait until that is over", holder.at()),
        );
    }
    let Some(digest) = config.digest.clone() else {
        return Decision::refuse(Kind::Internal, "Proxmox VE gave no digest with a holder's configuration");
    };
    let uses = config.uses(volume);
    if uses.is_empty() || config.protection {
        let unused = if uses.is_empty() { config.unused(volume) } else { None };
        if uses.is_empty() && unused.is_none() {
            return Decision::refuse(
                Kind::ResourceExhausted,
                format!("{} has no free `unusedN` to free `{volume}` by", holder.at()),
            );
        }
        return Decision::step(Step::Offer { holder: holder.clone(), unused, volume: volume.clone(), digest });
    }
    let is_copy = holder.copies().iter().any(|copy| copy.volume == *volume);
    Decision::step(Step::Free {
        holder: holder.clone(),
        keys: uses.into_iter().map(|of| of.key).collect(),
        volume: volume.clone(),
        notes: is_copy.then(|| holder.notes_without(volume, tenant)),
        digest,
    })
}
