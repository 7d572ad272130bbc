//! A machine that is to be: from nothing to a VM that is recorded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use api::MachineReason;
use pve_types::{GuestConfig, Vmid};

use super::step::CloneOrder;
use super::{
    ByMark, Desired, Facts, Fresh, Look, Note, Observed, Plan, Step, by_mark, config, run, soon, still_cloning,
};
use crate::inventory::{GuestRow, Inventory};
use crate::mark::{Mark, Owned};
use crate::placement::{self, Ask};
use crate::{Again, Seen, address, template};

/// How long a VMID that exists, but that we may not see, is waited for, before it counts as somebody else's.
const HIDDEN: Duration = Duration::from_mins(1);

pub(super) fn plan(want: &Desired, seen: &Observed, inventory: &Inventory) -> Plan {
    match (seen.recorded.vmid, seen.recorded.reserved) {
        (Some(vmid), _) => recorded(want, seen, inventory, vmid),
        (None, Some(vmid)) => reserved(want, seen, inventory, vmid),
        (None, None) => unreserved(want, seen, inventory),
    }
}

fn rest(note: Note) -> Plan {
    Plan::rest(note, Facts::default(), Again::OnChange)
}

/// What another machine gives back shows in no change of ours or of Proxmox VE's: it is looked for.
fn freed_by_others(note: Note) -> Plan {
    Plan::rest(note, Facts::default(), Again::After(Duration::from_secs(10)))
}

fn look(look: Look, note: Note) -> Plan {
    Plan::look(look, note, Facts::default())
}

fn unreserved(want: &Desired, seen: &Observed, inventory: &Inventory) -> Plan {
    match by_mark(&want.identity, seen, inventory) {
        ByMark::Found(owned, row, _) => return record(owned, row, seen),
        ByMark::Look(ask) => return look(ask, Note::NoBootstrapData),
        ByMark::Unread(why) => return soon(Note::Unread(why)),
        ByMark::None => {}
    }
    if let Some(wait) = not_ready(seen) {
        return wait;
    }
    let (template, config) = match template(want, seen, inventory) {
        Ok(found) => found,
        Err(plan) => return *plan,
    };
    let ask = Ask {
        allowed: &want.nodes,
        memory: want.memory_mib.or(config.memory).unwrap_or(512) << 20,
        percent: want.memory_percent,
        pinned: pinned(want, config, inventory),
    };
    let node = match placement::node(&ask, template, inventory, &seen.siblings, &seen.promised) {
        Ok(node) => node,
        Err(why) => return Plan::rest(Note::NoRoom(why), Facts::default(), Again::After(Duration::from_secs(30))),
    };
    if inventory.iso_storage(&node).is_none() {
        return rest(Note::NoIsoStorage(node));
    }
    if let Some(storage) = &want.clone.storage
        && !inventory.storages.iter().any(|row| row.storage == *storage)
    {
        let mut there: Vec<_> = inventory.storages.iter().map(|row| row.storage.as_str()).collect();
        there.sort_unstable();
        there.dedup();
        let why = format!(
            "ProxmoxMachine `spec.storage`: no storage `{storage}` is to be seen; there are: {}",
            there.join(", ")
        );
        return rest(Note::Failed { doing: MachineReason::PlacementFailed, why });
    }
    let addresses = match addresses(want, seen) {
        Ok(addresses) => addresses,
        Err(note) => return freed_by_others(note),
    };
    let (from, to) = match (want.vmids, seen.next_vmid) {
        (Some((from, to)), _) => (from, Some(to)),
        (None, Some(from)) => (from, None),
        (None, None) => return look(Look::NextVmid, Note::NoVmid),
    };
    match placement::vmid(from, to, inventory, &seen.reserved) {
        Some(vmid) => Plan::order(Step::Reserve { vmid, node, addresses }, Note::Reserving(vmid), Facts::default()),
        None => freed_by_others(Note::NoVmid),
    }
}

fn not_ready(seen: &Observed) -> Option<Plan> {
    if !seen.cluster_ready {
        return Some(rest(Note::ClusterNotReady));
    }
    match &seen.bootstrap {
        Seen::Known(()) => None,
        Seen::Absent | Seen::Unasked => Some(rest(Note::NoBootstrapData)),
        Seen::Unread(why) => Some(soon(Note::BootstrapUnread(why.clone()))),
    }
}

fn template<'a>(
    want: &Desired,
    seen: &'a Observed,
    inventory: &'a Inventory,
) -> Result<(&'a GuestRow, &'a GuestConfig), Box<Plan>> {
    let row = template::find(&want.template, inventory).map_err(|why| {
        Box::new(Plan::rest(Note::NoTemplate(why), Facts::default(), Again::After(Duration::from_secs(30))))
    })?;
    match config(seen, row.vmid) {
        Seen::Known(config) if config.template => Ok((row, config)),
        Seen::Known(_) => {
            let why = template::NoTemplate::NotATemplate { vmid: row.vmid, node: row.node.clone() };
            Err(Box::new(rest(Note::NoTemplate(why))))
        }
        Seen::Unasked => {
            let ask = Look::Config { node: row.node.clone(), vmid: row.vmid, fresh: Fresh::Cached };
            Err(Box::new(look(ask, Note::NotVisibleYet(row.vmid))))
        }
        Seen::Absent => Err(Box::new(soon(Note::NotVisibleYet(row.vmid)))),
        Seen::Unread(why) => Err(Box::new(soon(Note::Unread(why.clone())))),
    }
}

/// Whether the clone has to stay on the template's node: a disk lies on storage that others have not, or the clone's
/// storage is local.
fn pinned(want: &Desired, template: &GuestConfig, inventory: &Inventory) -> bool {
    let local = |storage| inventory.is_shared(storage) == Some(false);
    template.attached().filter_map(|(_, disk)| disk.volume()).any(|volume| local(&volume.storage))
        || want.clone.storage.as_ref().is_some_and(local)
}

fn addresses(want: &Desired, seen: &Observed) -> Result<BTreeMap<u8, Vec<IpAddr>>, Note> {
    let mut taken = seen.taken.clone();
    taken.extend(want.endpoint);
    let mut given: BTreeMap<u8, Vec<IpAddr>> = BTreeMap::new();
    for nic in &want.nics {
        let families = [(nic.default_ipv4, &want.ipv4, "ipv4Config"), (nic.default_ipv6, &want.ipv6, "ipv6Config")];
        for (wanted, pool, field) in families {
            let Some(pool) = pool.as_ref().filter(|_| wanted) else { continue };
            let free = pool.first_free(&taken).ok_or(Note::NoAddress { field, size: pool.size() })?;
            taken.insert(free);
            given.entry(nic.number).or_default().push(free);
        }
    }
    Ok(given)
}

fn reserved(want: &Desired, seen: &Observed, inventory: &Inventory, vmid: Vmid) -> Plan {
    if let Some(row) = inventory.guest(vmid) {
        return match config(seen, vmid) {
            Seen::Unasked => {
                let ask = Look::Config { node: row.node.clone(), vmid, fresh: Fresh::ThisPass };
                look(ask, Note::NotVisibleYet(vmid))
            }
            Seen::Unread(_) | Seen::Absent => hidden(seen, vmid),
            Seen::Known(config) if still_cloning(config) => soon(Note::NotVisibleYet(vmid)),
            Seen::Known(config) => {
                let who = &want.identity;
                match Owned::prove(vmid, config, &who.uid, &who.name, None) {
                    Some(owned) => record(owned, row, seen),
                    None => Plan::order(Step::Release, Note::VmidTaken(vmid), Facts::default()),
                }
            }
        };
    }
    match &seen.answers.exists {
        // Nothing of ours can be under way there. Another's VM that we may not see is refused by Proxmox VE itself.
        Seen::Unasked if seen.untried => clone(want, seen, inventory, vmid),
        Seen::Unasked => look(Look::Exists(vmid), Note::NotVisibleYet(vmid)),
        Seen::Unread(why) => soon(Note::Unread(why.clone())),
        Seen::Known(()) => hidden(seen, vmid),
        Seen::Absent => clone(want, seen, inventory, vmid),
    }
}

/// A VMID that is in use but tells us nothing: a clone of ours under way, or a VM that our credentials may not see.
fn hidden(seen: &Observed, vmid: Vmid) -> Plan {
    if seen.quiet > HIDDEN {
        Plan::order(Step::Release, Note::VmidTaken(vmid), Facts::default())
    } else {
        soon(Note::NotVisibleYet(vmid))
    }
}

fn clone(want: &Desired, seen: &Observed, inventory: &Inventory, vmid: Vmid) -> Plan {
    if let Some(wait) = not_ready(seen) {
        return wait;
    }
    let row = match template(want, seen, inventory) {
        Ok((row, _)) => row,
        Err(plan) => return *plan,
    };
    let Some(node) = &seen.recorded.node else {
        // Status lost its half: reserve anew, nothing was cloned.
        return Plan::order(Step::Release, Note::VmidTaken(vmid), Facts::default());
    };
    let who = &want.identity;
    let mark = Mark { machine: format!("{}/{}", who.namespace, who.name), uid: who.uid.clone(), seed: None };
    let order = CloneOrder {
        node: row.node.clone(),
        from: row.vmid,
        to: vmid,
        name: who.name.clone(),
        description: mark.notes(want.description.as_deref()),
        full: want.clone.full,
        format: want.clone.format.clone(),
        storage: want.clone.storage.clone(),
        pool: want.clone.pool.clone(),
        snapshot: want.clone.snapshot.clone(),
        target: (*node != row.node).then(|| node.clone()),
    };
    let note = Note::Cloning { from: row.vmid, to: vmid, node: node.clone() };
    Plan::order(Step::Clone(order), note, Facts::default())
}

fn record(guest: Owned, row: &GuestRow, seen: &Observed) -> Plan {
    let vmid = guest.vmid();
    let mut addresses = BTreeMap::new();
    if seen.recorded.addresses.is_empty() {
        for tag in row.tags.iter() {
            for address in address::from_tags(std::iter::once(tag)) {
                let nic = tag.trim_start_matches("ip_net").split('_').next().and_then(|nic| nic.parse().ok());
                addresses.entry(nic.unwrap_or(0)).or_insert_with(Vec::new).push(address);
            }
        }
    }
    let facts = Facts { node: Some(row.node.clone()), uuid: Some(guest.uuid()), ..Facts::default() };
    Plan::order(Step::Record { guest, node: row.node.clone(), addresses }, Note::Recording(vmid), facts)
}

fn recorded(want: &Desired, seen: &Observed, inventory: &Inventory, vmid: Vmid) -> Plan {
    let Some(row) = inventory.guest(vmid) else {
        return match &seen.answers.exists {
            Seen::Unasked => look(Look::Exists(vmid), Note::NotVisibleYet(vmid)),
            Seen::Unread(why) => soon(Note::Unread(why.clone())),
            Seen::Known(()) => {
                let why = format!("VM {vmid} exists, but our credentials do not see it (they need VM.Audit on it)");
                Plan::rest(Note::Unread(why), Facts::default(), Again::After(Duration::from_secs(10)))
            }
            Seen::Absent => Plan::rest(Note::Lost(vmid), Facts::default(), Again::OnChange),
        };
    };
    // its VMs are shown as they were last known, or as unknown
    if inventory.node(&row.node).is_some_and(|node| !node.online) {
        let note = Note::NodeLost { vmid, node: row.node.clone() };
        return Plan::rest(note, Facts::default(), Again::After(Duration::from_secs(5)));
    }
    let config = match config(seen, vmid) {
        Seen::Known(config) => config,
        Seen::Unasked => {
            if let Some(settled) = settled_at_a_glance(want, seen, row) {
                return settled;
            }
            let ask = Look::Config { node: row.node.clone(), vmid, fresh: Fresh::Cached };
            return look(ask, Note::NotVisibleYet(vmid));
        }
        Seen::Absent => return soon(Note::NotVisibleYet(vmid)),
        Seen::Unread(why) => return soon(Note::Unread(why.clone())),
    };
    let who = &want.identity;
    match Owned::prove(vmid, config, &who.uid, &who.name, seen.recorded.uuid) {
        None => {
            let says = format!(
                "name `{}`, notes `{}`",
                config.name.as_deref().unwrap_or(""),
                config.description.as_deref().unwrap_or("").lines().next_back().unwrap_or("")
            );
            Plan::rest(Note::NotOurs { vmid, says }, Facts::default(), Again::After(Duration::from_secs(30)))
        }
        // status or the spec's half of the record was lost: write it again
        Some(guest) if seen.recorded.uuid.is_none() => record(guest, row, seen),
        Some(guest) => run::plan(want, seen, inventory, &run::Vm { guest, row, config }),
    }
}

/// A machine that needs nothing done is not asked for its configuration: the shared reading shows it running under our
/// name. That is no proof that it is ours, and none is needed to leave it alone.
fn settled_at_a_glance(want: &Desired, seen: &Observed, row: &GuestRow) -> Option<Plan> {
    let recorded = &seen.recorded;
    let idle = recorded.provisioned
        && recorded.uuid.is_some()
        && seen.runs(row)
        && row.lock.is_none()
        && row.name.as_deref() == Some(want.identity.name.as_str());
    let facts = || Facts {
        node: Some(row.node.clone()),
        uuid: recorded.uuid,
        addresses: recorded.addresses.values().flatten().copied().collect(),
        bootstrapped: recorded.bootstrapped,
        ready: true,
    };
    let note = match (recorded.seed_removed, seen.node_joined) {
        (true, _) => Note::Settled { vmid: row.vmid },
        (false, false) => Note::AwaitsNode { vmid: row.vmid },
        (false, true) => {
            let volume = seen.done.ejected.clone().filter(|_| idle)?;
            let step = Step::RemoveSeed { node: row.node.clone(), volume };
            return Some(Plan::order(step, Note::RemovingSeed(row.vmid), facts()));
        }
    };
    idle.then(|| Plan::rest(note, facts(), run::at_rest(seen, row)))
}
