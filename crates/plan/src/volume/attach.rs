//! A volume is plugged into a VM, and taken out again.
//!
//! ```text
//! publish:   others? ──has it──► refused          unpublish:  config? ──has it not──► done
//!               │ nobody                                         │ has it, or is to get it
//!            config? ──has it──► QEMU? ──too──► done          Detach / Revert ──► config?
//!               │ not           └─not─► Detach (the slot is spoiled) ──► config?
//!            Attach into a free slot ──► config?
//! ```
//! Proxmox VE does not keep two VMs from having one volume, and answers 200 to an attach that the guest never sees: so
//! others are looked at before, and QEMU after.

use std::collections::BTreeSet;

use pve_types::{DiskSpec, Vmid, VolumeId};

use super::holder::At;
use super::refusal::Kind;
use super::slot::{self, Slot};
use super::step::{Decision, Detach, Look, Step};
use super::vm::{Phase, Use, VmConfig};
use crate::Seen;

/// A volume that a VM is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The VM.
    pub vm: At,
    /// The volume, with its identity and options.
    pub disk: DiskSpec,
}

/// A volume that a VM is not to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublish {
    /// The VM.
    pub vm: At,
    /// The volume.
    pub volume: VolumeId,
}

/// What QEMU has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Qemu {
    /// It does not run: the configuration is all there is.
    Stopped,
    /// It runs, with drives at these keys.
    Has(BTreeSet<String>),
}

/// What was seen of a VM and of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Drives of other VMs that have the volume. A holder that rests is none of them, for its own volumes.
    pub others: Seen<Vec<(Vmid, Use)>>,
    /// The VM's configuration, now and then.
    pub config: Seen<VmConfig>,
    /// What QEMU has.
    pub qemu: Seen<Qemu>,
    /// Slots of this VM that spoiled in this process's life.
    pub spoiled: BTreeSet<Slot>,
}

impl Attachment {
    /// Nothing was looked at yet.
    pub fn unasked(spoiled: BTreeSet<Slot>) -> Self {
        Self { others: Seen::Unasked, config: Seen::Unasked, qemu: Seen::Unasked, spoiled }
    }
}

/// Where a volume is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugged {
    /// The slot.
    pub slot: Slot,
    /// The drive as the configuration has it.
    pub disk: DiskSpec,
}

/// Words for where others have it.
pub(super) fn places(others: &[(Vmid, Use)]) -> String {
    let place = |(vm, of): &(Vmid, Use)| {
        let how = match of.phase {
            Phase::Now => "",
            Phase::Leaving => ", being detached",
            Phase::Coming => ", waiting to be attached",
        };
        format!("VM {vm} ({}{how})", of.key)
    };
    others.iter().map(place).collect::<Vec<_>>().join(", ")
}

fn digest<D>(config: &VmConfig) -> Result<String, Decision<D>> {
    config.digest.clone().ok_or_else(|| {
        Decision::refuse(
            Kind::Internal,
            "Proxmox VE gave no digest with a VM's configuration: nothing is written blindly",
        )
    })
}

fn readable<'a, D>(what: &At, seen: &'a Seen<VmConfig>, look: Look) -> Result<&'a VmConfig, Decision<D>> {
    match seen {
        Seen::Known(config) => Ok(config),
        Seen::Unasked => Err(Decision::Look(look)),
        Seen::Absent => Err(Decision::refuse(Kind::NotFound, format!("{what} does not exist"))),
        Seen::Unread(why) => Err(Decision::refuse(Kind::Unavailable, format!("cannot read {what}: {why}"))),
    }
}

/// Decides the next step towards the VM having the volume.
pub fn publish(want: &Publish, seen: &Attachment) -> Decision<Plugged> {
    decide_publish(want, seen).unwrap_or_else(|decision| decision)
}

fn decide_publish(want: &Publish, seen: &Attachment) -> Result<Decision<Plugged>, Decision<Plugged>> {
    let Publish { vm, disk } = want;
    let Some(volume) = disk.volume() else {
        return Ok(Decision::refuse(Kind::Internal, format!("`{disk}` names no volume")));
    };
    not_its_own(vm, volume)?;
    match &seen.others {
        Seen::Unasked => return Ok(Decision::Look(Look::Others)),
        Seen::Unread(why) => {
            return Ok(Decision::refuse(Kind::Unavailable, format!("cannot tell who else has `{volume}`: {why}")));
        }
        Seen::Known(others) if !others.is_empty() => {
            let places = places(others);
            return Ok(Decision::refuse(
                Kind::FailedPrecondition,
                format!("`{volume}` is in use by {places}: it is attached to {vm} when it is detached there"),
            ));
        }
        Seen::Known(_) | Seen::Absent => {}
    }
    let config = readable(vm, &seen.config, Look::Config)?;
    let plugged = config.plugged(volume);
    match &plugged[..] {
        [] => plug(want, config, seen),
        [of] => settled(want, of, config, seen),
        several => {
            let keys: Vec<&str> = several.iter().map(|of| of.key.as_str()).collect();
            Ok(Decision::refuse(
                Kind::FailedPrecondition,
                format!("{vm} has `{volume}` more than once ({}): detach it there", keys.join(", ")),
            ))
        }
    }
}

/// A VM's own disks are not volumes: they are its to boot from.
fn not_its_own<D>(vm: &At, volume: &VolumeId) -> Result<(), Decision<D>> {
    if volume.owner() == Some(vm.vm) {
        let why = format!("`{volume}` is a disk of {vm} itself, not a volume of a holder: it is left alone");
        return Err(Decision::refuse(Kind::FailedPrecondition, why));
    }
    Ok(())
}

fn unlocked<D>(vm: &At, config: &VmConfig) -> Result<(), Decision<D>> {
    match &config.lock {
        None => Ok(()),
        Some(lock) => {
            Err(Decision::refuse(Kind::Unavailable, format!("{vm} is locked ({lock}): wait until that is over")))
        }
    }
}

fn plug(want: &Publish, config: &VmConfig, seen: &Attachment) -> Result<Decision<Plugged>, Decision<Plugged>> {
    let Publish { vm, disk } = want;
    unlocked(vm, config)?;
    let blocks = match &seen.qemu {
        Seen::Known(Qemu::Has(blocks)) => Some(blocks),
        Seen::Known(Qemu::Stopped) | Seen::Absent | Seen::Unread(_) | Seen::Unasked => None,
    };
    let Some(slot) = slot::free(config, blocks, &seen.spoiled) else {
        let spoiled: Vec<String> = seen.spoiled.iter().map(Slot::to_string).collect();
        let spoiled = if spoiled.is_empty() {
            String::new()
        } else {
            format!("; {} are spoiled until the VM is stopped and started", spoiled.join(", "))
        };
        return Ok(Decision::refuse(
            Kind::ResourceExhausted,
            format!("{vm} has no free slot among scsi{} to scsi{}{spoiled}", Slot::FIRST, Slot::LAST),
        ));
    };
    Ok(Decision::step(Step::Attach { vm: vm.clone(), slot, disk: disk.clone(), digest: digest(config)? }))
}

fn settled(
    want: &Publish,
    of: &Use,
    config: &VmConfig,
    seen: &Attachment,
) -> Result<Decision<Plugged>, Decision<Plugged>> {
    let Publish { vm, disk } = want;
    let Use { key, phase, disk: there } = of;
    let Some(volume) = there.volume() else {
        return Ok(Decision::refuse(Kind::Internal, format!("`{there}` names no volume")));
    };
    let Some(slot) = of.slot() else {
        return Ok(Decision::refuse(
            Kind::FailedPrecondition,
            format!("{vm} has `{}` at {key}, where we plug nothing in: detach it there", there.file),
        ));
    };
    match phase {
        Phase::Now => {}
        // What waits is taken back: an attach that QEMU did not take is no attach, and a detach is no longer wanted.
        Phase::Leaving | Phase::Coming => {
            unlocked(vm, config)?;
            return Ok(Decision::step(Step::Revert {
                vm: vm.clone(),
                key: key.clone(),
                volume: volume.clone(),
                digest: digest(config)?,
            }));
        }
    }
    let same = |option: &str| there.option(option) == disk.option(option);
    if !same("wwn") || !same("serial") {
        return Ok(Decision::refuse(
            Kind::FailedPrecondition,
            format!(
                "{vm} has `{}` at {key} without our serial number and WWN: it was attached by others, detach it there",
                there.file
            ),
        ));
    }
    if there.option("ro").unwrap_or("0") != disk.option("ro").unwrap_or("0") {
        return Ok(Decision::refuse(
            Kind::AlreadyExists,
            format!("{vm} has `{}` at {key} with another `readonly` than is asked for", there.file),
        ));
    }
    match &seen.qemu {
        Seen::Unasked => Ok(Decision::Look(Look::Qemu)),
        Seen::Unread(why) => {
            Ok(Decision::refuse(Kind::Unavailable, format!("cannot tell what QEMU of {vm} has: {why}")))
        }
        Seen::Absent => Ok(Decision::refuse(Kind::NotFound, format!("{vm} does not exist"))),
        Seen::Known(Qemu::Has(blocks)) if !blocks.contains(key) => {
            unlocked(vm, config)?;
            Ok(Decision::step(Step::Detach {
                vm: vm.clone(),
                key: key.clone(),
                volume: volume.clone(),
                digest: digest(config)?,
                why: Detach::Spoiled,
            }))
        }
        Seen::Known(Qemu::Stopped | Qemu::Has(_)) => Ok(Decision::Done(Plugged { slot, disk: there.clone() })),
    }
}

/// Decides the next step towards the VM not having the volume.
pub fn unpublish(want: &Unpublish, seen: &Seen<VmConfig>) -> Decision<()> {
    decide_unpublish(want, seen).unwrap_or_else(|decision| decision)
}

fn decide_unpublish(want: &Unpublish, seen: &Seen<VmConfig>) -> Result<Decision<()>, Decision<()>> {
    let Unpublish { vm, volume } = want;
    not_its_own(vm, volume)?;
    if *seen == Seen::Absent {
        return Ok(Decision::Done(()));
    }
    let config = readable(vm, seen, Look::Config)?;
    let Some(of) = config.plugged(volume).into_iter().next() else { return Ok(Decision::Done(())) };
    if of.slot().is_none() {
        let why = format!("{vm} has `{volume}` at {}, where we plug nothing in: detach it there", of.key);
        return Ok(Decision::refuse(Kind::FailedPrecondition, why));
    }
    unlocked(vm, config)?;
    let (key, digest) = (of.key.clone(), digest(config)?);
    Ok(Decision::step(match of.phase {
        Phase::Coming => Step::Revert { vm: vm.clone(), key, volume: volume.clone(), digest },
        // One that is leaving and has not left is asked again: the guest may let go now.
        Phase::Now | Phase::Leaving => {
            Step::Detach { vm: vm.clone(), key, volume: volume.clone(), digest, why: Detach::Wanted }
        }
    }))
}
