//! A machine that is to go. Needs who it is, never a valid spec.

use std::time::Duration;

use pve_types::{NodeName, Vmid, VolumeId};

use super::prepare::seed_name;
use super::{ByMark, Facts, Fresh, Identity, Look, Note, Observed, Plan, Step, by_mark, config, soon, still_cloning};
use crate::inventory::{GuestRow, Inventory};
use crate::mark::Owned;
use crate::{Again, Seen};

/// How long a clone call may still be under way whose answer nobody has.
const LATE: Duration = Duration::from_secs(5);
/// How long a VMID that exists, but that we may not see, is waited for.
const HIDDEN: Duration = Duration::from_mins(1);

pub(super) fn plan(who: &Identity, seen: &Observed, inventory: &Inventory) -> Plan {
    let Some(vmid) = seen.recorded.vmid.or(seen.recorded.reserved) else {
        return match by_mark(who, seen, inventory) {
            ByMark::Found(owned, row, config) => owned_vm(seen, inventory, owned, row, config.lock.is_some()),
            ByMark::Look(look) => Plan::look(look, Note::Gone, Facts::default()),
            ByMark::Unread(why) => soon(Note::Unread(why)),
            ByMark::None => let_go(),
        };
    };
    let Some(row) = inventory.guest(vmid) else {
        return not_listed(seen, inventory, vmid);
    };
    let config = match config(seen, vmid) {
        Seen::Known(config) => config,
        Seen::Unasked => {
            let look = Look::Config { node: row.node.clone(), vmid, fresh: Fresh::ThisPass };
            return Plan::look(look, Note::NotVisibleYet(vmid), Facts::default());
        }
        // moved, or going: the next inventory tells
        Seen::Absent => return soon(Note::NotVisibleYet(vmid)),
        Seen::Unread(why) => return soon(Note::Unread(why.clone())),
    };
    if still_cloning(config) {
        return soon(Note::NotVisibleYet(vmid));
    }
    match Owned::prove(vmid, config, &who.uid, &who.name, seen.recorded.uuid) {
        Some(owned) => owned_vm(seen, inventory, owned, row, config.lock.is_some()),
        // The same VM by its UUID, but somebody took our mark or name off it: their word against ours.
        None if seen.recorded.uuid.is_some() && config.smbios_uuid() == seen.recorded.uuid => {
            let says = format!("same UUID, name `{}`, no mark of ours", config.name.as_deref().unwrap_or(""));
            Plan::rest(Note::NotOurs { vmid, says }, Facts::default(), Again::After(Duration::from_secs(30)))
        }
        // Ours is gone, and its VMID another's.
        None => seed_or_go(seen, inventory, vmid),
    }
}

fn let_go() -> Plan {
    Plan::order(Step::LetGo, Note::Gone, Facts::default())
}

fn not_listed(seen: &Observed, inventory: &Inventory, vmid: Vmid) -> Plan {
    if seen.done.destroyed {
        return seed_or_go(seen, inventory, vmid);
    }
    match &seen.answers.exists {
        Seen::Unasked => Plan::look(Look::Exists(vmid), Note::NotVisibleYet(vmid), Facts::default()),
        Seen::Unread(why) => soon(Note::Unread(why.clone())),
        // A clone of ours under way; or another's VM, if it stays hidden and was never recorded as ours.
        Seen::Known(()) if seen.recorded.vmid.is_none() && seen.quiet > HIDDEN => let_go(),
        Seen::Known(()) => soon(Note::NotVisibleYet(vmid)),
        Seen::Absent if seen.recorded.vmid.is_none() && seen.quiet < LATE => soon(Note::NotVisibleYet(vmid)),
        Seen::Absent => seed_or_go(seen, inventory, vmid),
    }
}

fn seed_or_go(seen: &Observed, inventory: &Inventory, vmid: Vmid) -> Plan {
    // An ISO is made only for a VM that was recorded.
    if seen.recorded.vmid.is_none() || seen.recorded.seed_removed {
        return let_go();
    }
    let node = seen.recorded.node.clone().or_else(|| inventory.nodes.first().map(|row| row.node.clone()));
    match node.and_then(|node| seed_volume(inventory, &node, vmid).map(|volume| (node, volume))) {
        Some((node, volume)) => {
            Plan::order(Step::RemoveSeed { node, volume }, Note::RemovingSeed(vmid), Facts::default())
        }
        None => let_go(),
    }
}

fn seed_volume(inventory: &Inventory, node: &NodeName, vmid: Vmid) -> Option<VolumeId> {
    let storage = inventory.iso_storage(node)?.storage.clone();
    Some(VolumeId { storage, name: format!("iso/{}", seed_name(vmid)) })
}

fn owned_vm(seen: &Observed, inventory: &Inventory, guest: Owned, row: &GuestRow, locked: bool) -> Plan {
    let vmid = guest.vmid();
    let node = row.node.clone();
    let facts = Facts { node: Some(node.clone()), uuid: Some(guest.uuid()), ..Facts::default() };
    if locked {
        let lock = row.lock.clone().unwrap_or_else(|| "unknown".into());
        return Plan::rest(Note::Locked { vmid, lock }, facts, Again::After(Duration::from_secs(5)));
    }
    if seen.runs(row) {
        return Plan::order(Step::Stop { guest, node }, Note::Stopping(vmid), facts);
    }
    if !seen.recorded.seed_removed
        && let Some(volume) = guest.mark().seed.clone().or_else(|| seed_volume(inventory, &node, vmid))
    {
        return Plan::order(Step::RemoveSeed { node, volume }, Note::RemovingSeed(vmid), facts);
    }
    Plan::order(Step::Destroy { guest, node }, Note::Destroying(vmid), facts)
}
