//! What follows from whether a Node's VM runs.

use std::time::Duration;

use super::observed::{Answers, Node, Power, Region, Taint, Vm};
use super::{Change, LOST_NODE, Look, Note, OUR_ZONE, OUT_OF_SERVICE, Plan, Step, ZONE};
use crate::{Again, Seen};

const SOON: Duration = Duration::from_secs(5);

/// Adds taints and marks to what is to be written.
pub(super) fn plan(node: &Node, (region, vm): (&Region, &Vm), answers: &Answers, change: &mut Change) -> Plan {
    let verdict = if node.ready || change.remove.contains(&Taint::Uninitialized) {
        Verdict::Known(back(node, vm, change))
    } else {
        not_ready(node, (region, vm), answers, change)
    };
    let (note, again) = match verdict {
        Verdict::Look(look) => return Plan::look(look, Note::Stopped(vm.vmid)),
        Verdict::Known(note) => (note, Again::OnChange),
        Verdict::Wait(note) => (note, Again::After(SOON)),
    };
    let change = std::mem::take(change);
    if change.is_empty() {
        return Plan::rest(note, again);
    }
    let note = match note {
        Note::Settled(vmid) | Note::Runs(vmid) if change.remove.contains(&Taint::Uninitialized) => {
            Note::Initialised { vmid, node: vm.node.clone() }
        }
        Note::Settled(vmid) | Note::Runs(vmid) if !change.labels.is_empty() || change.addresses.is_some() => {
            Note::Followed { vmid, node: vm.node.clone() }
        }
        note => note,
    };
    Plan { again, ..Plan::order(Step::Write(change), note) }
}

enum Verdict {
    Known(Note),
    /// As it stands; looked at again soon.
    Wait(Note),
    Look(Look),
}

/// The Node reports, or its VM runs: what we said of a stopped VM is over.
fn back(node: &Node, vm: &Vm, change: &mut Change) -> Note {
    let said = untaint(node, change);
    if node.ready && node.annotations.contains_key(LOST_NODE) {
        change.annotations.insert(LOST_NODE.to_owned(), None);
    }
    if said { Note::Back(vm.vmid) } else { Note::Settled(vm.vmid) }
}

fn untaint(node: &Node, change: &mut Change) -> bool {
    let mut any = false;
    if node.taints.contains(&Taint::Shutdown) {
        any |= change.remove.insert(Taint::Shutdown);
    }
    // One without our mark is an administrator's.
    if node.annotations.contains_key(OUT_OF_SERVICE) {
        change.annotations.insert(OUT_OF_SERVICE.to_owned(), None);
        if node.taints.contains(&Taint::OutOfService) {
            any |= change.remove.insert(Taint::OutOfService);
        }
    }
    any
}

fn not_ready(node: &Node, (region, vm): (&Region, &Vm), answers: &Answers, change: &mut Change) -> Verdict {
    let nodes = region.view.known().map(|view| &view.nodes);
    let online = nodes.and_then(|nodes| nodes.get(&vm.node)).copied().unwrap_or(false);
    let fenced = vm.ha.as_deref() == Some("fence");
    if (!online || fenced) && node.annotations.get(LOST_NODE).map(String::as_str) != Some(vm.node.as_str()) {
        change.annotations.insert(LOST_NODE.to_owned(), Some(vm.node.to_string()));
    }
    if !online {
        return Verdict::Wait(Note::NodeLost { vmid: vm.vmid, node: vm.node.clone() });
    }
    match vm.power {
        Power::On => {
            let said = untaint(node, change);
            Verdict::Known(if said { Note::Back(vm.vmid) } else { Note::Runs(vm.vmid) })
        }
        Power::Unknown => Verdict::Wait(Note::Unread(format!("whether VM {} runs is not known", vm.vmid))),
        Power::Off => off(node, (region, vm), answers, change),
    }
}

/// The reading shows it as stopped, on a node that answers.
fn off(node: &Node, (region, vm): (&Region, &Vm), answers: &Answers, change: &mut Change) -> Verdict {
    if let Some(from) = left_behind(node, (region, vm)) {
        // Its labels stay: they tell where it may still run.
        change.labels.retain(|key, _| key != OUR_ZONE && key != ZONE);
        return Verdict::Wait(Note::MovedUnproven { vmid: vm.vmid, from });
    }
    let asleep = vm.lock.as_deref().is_some_and(|lock| lock.starts_with("suspend"));
    let lost = node.annotations.get(LOST_NODE).filter(|_| !asleep && !returns(vm)).cloned();
    let has = |taint| node.taints.contains(&taint);
    if has(Taint::Shutdown) && (lost.is_none() || has(Taint::OutOfService)) {
        return Verdict::Known(match lost {
            Some(node) => Note::OutOfService { vmid: vm.vmid, node },
            None => Note::Stopped(vm.vmid),
        });
    }
    let answer = answers.power.get(&(region.name.clone(), vm.vmid)).unwrap_or(&Seen::Unasked);
    match answer {
        Seen::Unasked => {
            Verdict::Look(Look::Power { region: region.name.clone(), node: vm.node.clone(), vmid: vm.vmid })
        }
        Seen::Unread(why) => Verdict::Wait(Note::Unread(why.clone())),
        Seen::Absent => Verdict::Wait(Note::Unread(format!("VM {} has just gone from `{}`", vm.vmid, vm.node))),
        // The reading is older than the answer.
        Seen::Known(Power::On | Power::Unknown) => Verdict::Wait(Note::Runs(vm.vmid)),
        Seen::Known(Power::Off) => {
            if !has(Taint::Shutdown) {
                change.add.insert(Taint::Shutdown);
            }
            let Some(lost) = lost else { return Verdict::Known(Note::Stopped(vm.vmid)) };
            if !has(Taint::OutOfService) {
                change.add.insert(Taint::OutOfService);
                change.annotations.insert(OUT_OF_SERVICE.to_owned(), Some(format!("VM {} on {}", vm.vmid, vm.node)));
            }
            Verdict::Known(Note::OutOfService { vmid: vm.vmid, node: lost })
        }
    }
}

/// Whether high availability is going to start it again.
fn returns(vm: &Vm) -> bool {
    let gone = |state: &str| matches!(state, "stopped" | "request_stop" | "error" | "ignored" | "disabled");
    vm.ha.as_deref().is_some_and(|state| !gone(state))
}

/// Where the VM ran, if somebody moved its configuration away from there while that node is still lost. High
/// availability moves a VM only from a node that it has fenced; a person may be wrong.
fn left_behind(node: &Node, (region, vm): (&Region, &Vm)) -> Option<String> {
    let from = node.labels.get(OUR_ZONE).or_else(|| node.labels.get(ZONE))?;
    let nodes = &region.view.known()?.nodes;
    let lost = nodes.iter().any(|(name, online)| name.as_str() == from && !online);
    (lost && vm.node.as_str() != from && vm.ha.is_none()).then(|| from.clone())
}
