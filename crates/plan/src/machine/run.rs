//! A VM that is recorded: prepared, started, and asked until it is as wanted.

use std::net::IpAddr;
use std::time::Duration;

use pve_types::GuestConfig;

use super::observed::CloudInit;
use super::{Desired, Facts, Look, Note, Observed, Plan, Step, prepare};
use crate::inventory::{GuestRow, Inventory};
use crate::mark::Owned;
use crate::{Again, Seen};

/// A VM, proven ours, as it was seen.
pub(super) struct Vm<'a> {
    pub(super) guest: Owned,
    pub(super) row: &'a GuestRow,
    pub(super) config: &'a GuestConfig,
}

impl Vm<'_> {
    pub(super) fn facts(&self, seen: &Observed) -> Facts {
        Facts {
            node: Some(self.row.node.clone()),
            uuid: Some(self.guest.uuid()),
            addresses: seen.recorded.addresses.values().flatten().copied().collect(),
            bootstrapped: self.guest.mark().seed.is_some(),
            ready: false,
        }
    }
}

pub(super) fn plan(want: &Desired, seen: &Observed, inventory: &Inventory, vm: &Vm<'_>) -> Plan {
    let vmid = vm.guest.vmid();
    let facts = vm.facts(seen);
    if let Some(lock) = vm.config.lock.clone() {
        return Plan::rest(Note::Locked { vmid, lock }, facts, Again::After(Duration::from_secs(10)));
    }
    if seen.runs(vm.row) {
        return running(want, seen, vm, facts);
    }
    if !seen.recorded.provisioned
        && let Some(plan) = prepare::plan(want, seen, inventory, vm)
    {
        return plan;
    }
    let (guest, node) = (vm.guest.clone(), vm.row.node.clone());
    Plan::order(Step::Start { guest, node }, Note::Starting(vmid), facts)
}

fn running(want: &Desired, seen: &Observed, vm: &Vm<'_>, facts: Facts) -> Plan {
    if seen.recorded.provisioned {
        return settled(seen, vm, facts);
    }
    let vmid = vm.guest.vmid();
    let node = vm.row.node.clone();
    let wait = Again::After(Duration::from_secs(3));
    let agent = want.ask_agent && vm.config.agent_enabled();
    let mut facts = facts;
    let needs_address = facts.addresses.is_empty();
    if needs_address && !agent {
        return Plan::rest(Note::AddressAwaited(vmid), facts, Again::After(Duration::from_secs(30)));
    }
    // Where cloud-init is asked for, that shows the agent; addresses that we gave need no asking.
    if needs_address || (agent && !want.ask_cloud_init) {
        match &seen.answers.agent {
            Seen::Unasked => return Plan::look(Look::Agent { node, vmid }, Note::AgentAwaited(vmid), facts),
            Seen::Absent => return Plan::rest(Note::AgentAwaited(vmid), facts, wait),
            Seen::Unread(why) => return Plan::rest(Note::Unread(why.clone()), facts, wait),
            Seen::Known(told) if needs_address => {
                facts.addresses = told.iter().filter(|a| ours(vm, &a.mac)).map(|a| a.address).filter(lasting).collect();
                if facts.addresses.is_empty() {
                    return Plan::rest(Note::AddressAwaited(vmid), facts, wait);
                }
            }
            Seen::Known(_) => {}
        }
    }
    if agent && want.ask_cloud_init {
        match &seen.answers.cloud_init {
            Seen::Unasked => return Plan::look(Look::CloudInit { node, vmid }, Note::CloudInitAwaited(vmid), facts),
            Seen::Absent => return Plan::rest(Note::CloudInitAwaited(vmid), facts, wait),
            Seen::Unread(why) => return Plan::rest(Note::Unread(why.clone()), facts, wait),
            Seen::Known(CloudInit::Failed(why)) => {
                let note = Note::CloudInitFailed { vmid, why: why.clone() };
                return Plan::rest(note, facts, Again::After(Duration::from_mins(1)));
            }
            Seen::Known(CloudInit::Done | CloudInit::None) => {}
        }
    }
    settled(seen, vm, facts)
}

/// Whether the interface is one of the VM's own NICs, not a bridge or tunnel inside the guest.
fn ours(vm: &Vm<'_>, mac: &str) -> bool {
    vm.config.nets.values().filter_map(|net| net.mac.as_ref()).any(|own| own.to_string().eq_ignore_ascii_case(mac))
}

fn lasting(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// What is at rest is woken by changes. But where a task of ours told of the power later than the shared reading did,
/// a VM that was turned off since may never show as a change: then it is looked at again.
pub(super) fn at_rest(seen: &Observed, row: &GuestRow) -> Again {
    match seen.power {
        Some(on) if row.running != Some(on) => Again::After(Duration::from_secs(5)),
        Some(_) | None => Again::OnChange,
    }
}

fn settled(seen: &Observed, vm: &Vm<'_>, facts: Facts) -> Plan {
    let vmid = vm.guest.vmid();
    let facts = Facts { ready: true, ..facts };
    let Some(seed) = &vm.guest.mark().seed else {
        return Plan::rest(Note::Settled { vmid }, facts, at_rest(seen, vm.row));
    };
    if seen.recorded.seed_removed {
        return Plan::rest(Note::Settled { vmid }, facts, at_rest(seen, vm.row));
    }
    if !seen.node_joined {
        return Plan::rest(Note::AwaitsNode { vmid }, facts, at_rest(seen, vm.row));
    }
    let (guest, node) = (vm.guest.clone(), vm.row.node.clone());
    match prepare::eject(vm, seed) {
        Some(set) => {
            let (digest, volume) = (vm.config.digest.clone(), seed.clone());
            Plan::order(Step::Eject { guest, node, set, digest, volume }, Note::RemovingSeed(vmid), facts)
        }
        None => Plan::order(Step::RemoveSeed { node, volume: seed.clone() }, Note::RemovingSeed(vmid), facts),
    }
}
