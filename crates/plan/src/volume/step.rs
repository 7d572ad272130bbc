//! What may be done to volumes, what may be looked at, and what a plan is.

use pve_types::{DiskSize, DiskSpec, StorageId, VolumeId};

use super::holder::{At, CopyOf, Holder};
use super::name::Format;
use super::refusal::Refusal;
use super::slot::Slot;

/// One complete order; nothing is left to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make an empty volume.
    Allocate {
        /// Whose it will be.
        holder: Holder,
        /// Where.
        storage: StorageId,
        /// Its name.
        file: String,
        /// Its size.
        size: DiskSize,
        /// Its format.
        format: Format,
    },
    /// Plug a volume into a VM.
    Attach {
        /// The VM.
        vm: At,
        /// Where.
        slot: Slot,
        /// The volume and its options.
        disk: DiskSpec,
        /// What was read; a write on anything else is refused.
        digest: String,
    },
    /// Take a volume out of a VM.
    Detach {
        /// The VM.
        vm: At,
        /// The key it is at.
        key: String,
        /// The volume that is there.
        volume: VolumeId,
        /// What was read.
        digest: String,
        /// Why.
        why: Detach,
    },
    /// Forget a change that waits.
    Revert {
        /// The VM.
        vm: At,
        /// The key.
        key: String,
        /// The volume whose coming or going waits.
        volume: VolumeId,
        /// What was read.
        digest: String,
    },
    /// Write a volume that is to be freed into its holder, and switch the holder's protection off.
    Offer {
        /// The holder.
        holder: Holder,
        /// `unusedN`; none where the holder has it plugged in.
        unused: Option<String>,
        /// The volume.
        volume: VolumeId,
        /// What was read.
        digest: String,
    },
    /// Free a volume that its holder has, and switch the protection on again.
    Free {
        /// The holder.
        holder: Holder,
        /// The keys that it has it at.
        keys: Vec<String>,
        /// The volume.
        volume: VolumeId,
        /// The notes, where they change.
        notes: Option<String>,
        /// What was read.
        digest: String,
    },
    /// Plug a volume into its holder, so that it can be grown.
    Hold {
        /// The holder.
        holder: Holder,
        /// Where.
        slot: Slot,
        /// The volume.
        volume: VolumeId,
        /// What was read.
        digest: String,
    },
    /// Grow a volume where it is plugged in. A task.
    Grow {
        /// The VM.
        vm: At,
        /// The key.
        key: String,
        /// The volume.
        volume: VolumeId,
        /// To this size.
        size: DiskSize,
        /// What was read.
        digest: String,
    },
    /// Copy a volume into a slot of a holder. A task.
    Copy {
        /// The holder.
        holder: Holder,
        /// Where.
        slot: Slot,
        /// What it is.
        of: CopyOf,
        /// The storage that it goes to.
        storage: StorageId,
        /// Its format.
        format: Option<Format>,
        /// The holder's notes with it.
        notes: String,
        /// What was read.
        digest: String,
    },
}

/// Why a volume is taken out of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// It was asked for.
    Wanted,
    /// QEMU has not got it, though the configuration says so: the slot is spoiled.
    Spoiled,
}

/// A fact that is needed before a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Who else has the volume.
    Others,
    /// The VM's configuration, now and then.
    Config,
    /// What QEMU has.
    Qemu,
    /// The holder's configuration.
    Holder,
    /// The volume itself.
    Volume,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody carries out helps no one"]
pub enum Decision<D> {
    /// Look at this, and ask again.
    Look(Look),
    /// Do this, look at what became of it, and ask again.
    Do(Box<Step>),
    /// It is as wanted.
    Done(D),
    /// It is not done, for this.
    Refuse(Refusal),
}

impl<D> Decision<D> {
    pub(super) fn step(step: Step) -> Self {
        Self::Do(Box::new(step))
    }

    pub(super) fn refuse(kind: super::Kind, why: impl Into<String>) -> Self {
        Self::Refuse(Refusal::new(kind, why))
    }
}
