//! Which VM a Node is, where that is, and by which addresses it is reached.

use std::collections::{BTreeMap, BTreeSet};

use super::{JOIN, age, called, machines, workers};
use crate::evidence::{self, Evidence, Guest, MachineSeen, Named, NamedVm, Read, WorkerSeen};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};
use crate::judge::vm_management::vmid;

pub(super) fn provider_ids(evidence: &Evidence) -> Verdict {
    let both = workers(evidence).and_then(|workers| machines(evidence).map(|machines| (workers, machines)));
    let (workers, machines) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut holders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in &workers.nodes {
        let machine = machine_of(&machines, node);
        let Some(id) = &node.provider_id else {
            match machine {
                _ if node.uninitialized => tally.unread(format!("{} is not initialised yet", called(node))),
                Some(machine) => tally.error(format!(
                    "{} has no provider ID; machine `{}` has {}",
                    called(node),
                    machine.name,
                    shown(machine)
                )),
                None => tally.warning(format!("{} has no provider ID: nothing tells which VM it is", called(node))),
            }
            continue;
        };
        holders.entry(id.to_ascii_lowercase()).or_default().push(&node.name);
        let line = format!("{}: {id}", called(node));
        match (machine, NamedVm::read(id)) {
            (Some(machine), _) if machine.spec.provider_id.as_ref() != Some(id) => {
                tally.error(format!("{line}; machine `{}` has {}", machine.name, shown(machine)));
            }
            (Some(_), _) => tally.fine(line),
            (None, Some(_)) => tally.fine(format!("{line}, of no machine")),
            (None, None) if id.starts_with("proxmox:") => tally.error(format!("{line} names no VM")),
            (None, None) => tally.fine(format!("{line}, of another provider")),
        }
    }
    for (id, nodes) in holders.iter().filter(|(_, nodes)| nodes.len() > 1) {
        tally.error(format!("Nodes {} share the provider ID {id}", nodes.join(" and ")));
    }
    let passed = format!("{}, each with an ID of its own", count(workers.nodes.len(), "Node"));
    tally.verdict(passed, "delete the Node object and restart its kubelet, so that it registers with the right ID")
}

/// The machine that a Node is: by its provider ID in either form, or else by its name.
fn machine_of<'a>(machines: &[&'a MachineSeen], node: &WorkerSeen) -> Option<&'a MachineSeen> {
    let named = node.provider_id.as_deref().and_then(NamedVm::read);
    let by_id = named.and_then(|named| {
        let is = |machine: &&&MachineSeen| match named {
            NamedVm::Number(number) => vmid(machine) == Some(number),
            NamedVm::Uuid(_) => machine.spec.provider_id.as_deref().and_then(NamedVm::read) == Some(named),
        };
        machines.iter().find(is)
    });
    by_id.or_else(|| machines.iter().find(|machine| machine.name == node.name)).copied()
}

fn shown(machine: &MachineSeen) -> &str {
    machine.spec.provider_id.as_deref().unwrap_or("none yet")
}

/// The VM that a Node is, if it names one.
enum Vm<'a> {
    Is(pve_types::Vmid, &'a Guest),
    Nowhere,
    Unread(String),
    NotOurs,
}

fn vm_of<'a>(evidence: &'a Evidence, node: &WorkerSeen) -> Vm<'a> {
    let Some(named) = node.provider_id.as_deref().and_then(NamedVm::read) else { return Vm::NotOurs };
    match evidence.proxmox.named(named) {
        Named::Unread(why) => Vm::Unread(why),
        Named::Are(vmids) => {
            let guests = evidence.proxmox.guests.known();
            let first = vmids.first().and_then(|vmid| Some((*vmid, guests?.get(vmid)?)));
            first.map_or(Vm::Nowhere, |(vmid, guest)| Vm::Is(vmid, guest))
        }
    }
}

pub(super) fn no_orphans(evidence: &Evidence) -> Verdict {
    let both = workers(evidence).and_then(|workers| {
        need("the list of virtual machines", &evidence.proxmox.guests)?;
        machines(evidence).map(|machines| (workers, machines))
    });
    let (workers, machines) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut others = 0;
    for node in &workers.nodes {
        match vm_of(evidence, node) {
            Vm::Is(vmid, guest) => tally.fine(format!("{} is VM {vmid} on `{}`", called(node), guest.node)),
            Vm::Nowhere => {
                let id = node.provider_id.as_deref().unwrap_or_default();
                tally.error(format!("{} is {id}, and no VM that we may see is", called(node)));
            }
            Vm::Unread(why) => tally.unread(format!("{}: {why}", called(node))),
            Vm::NotOurs => others += 1,
        }
    }
    let names: BTreeSet<&str> = workers.nodes.iter().filter_map(|node| node.provider_id.as_deref()).collect();
    for machine in machines {
        if machine.spec.provider_id.as_deref().is_some_and(|id| names.contains(id)) {
            continue;
        }
        match age(evidence, machine.created) {
            Some(age) if age < JOIN => tally.fine(format!("machine `{}` is on its way", machine.name)),
            Some(age) => {
                tally.error(format!("machine `{}` has no Node, {} min after it was made", machine.name, age.as_mins()));
            }
            None => tally.unread(format!("machine `{}` has no Node, and its age is not known", machine.name)),
        }
    }
    let ours = workers.nodes.len() - others;
    let passed = match others {
        0 => format!("{}, each with its VM", count(ours, "Node")),
        others => format!("{}, each with its VM; {others} of no Proxmox VE", count(ours, "Node")),
    };
    tally.verdict(passed, "look at the cloud controller manager's log; for a machine, at cloud-init's log in the guest")
}

pub(super) fn zones(evidence: &Evidence) -> Verdict {
    let workers = match workers(evidence) {
        Ok(workers) => workers,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let (vmid, on) = match vm_of(evidence, node) {
            Vm::Is(vmid, guest) => (vmid, guest.node.as_str()),
            // that is judged elsewhere
            Vm::NotOurs if node.uninitialized => {
                tally.unread(format!("{} is not initialised yet", called(node)));
                continue;
            }
            Vm::Nowhere | Vm::NotOurs => continue,
            Vm::Unread(why) => {
                tally.unread(format!("{}: {why}", called(node)));
                continue;
            }
        };
        let (zone, own) = (node.zone.as_deref(), node.own_zone.as_deref());
        let where_it_is = format!("VM {vmid} is on `{on}`");
        match (zone, own) {
            (Some(zone), _) if zone == on && own.is_none_or(|own| own == on) => {
                tally.fine(format!("{}: {where_it_is}", called(node)));
            }
            (Some(zone), Some(own)) if own == on => tally
                .warning(format!("{}: {where_it_is}, topology.kubernetes.io/zone still says `{zone}`", called(node))),
            (Some(zone), _) => {
                let says = own.filter(|own| *own != on).unwrap_or(zone);
                tally.error(format!("{}: {where_it_is}, its zone says `{says}`", called(node)));
            }
            (None, _) => tally.warning(format!("{}: {where_it_is}, and it has no zone", called(node))),
        }
    }
    tally.verdict("zones are where the VMs are", "see that `oxmox run ccm` runs and reads Proxmox VE")
}

pub(super) fn addresses(evidence: &Evidence) -> Verdict {
    let both = workers(evidence).and_then(|workers| machines(evidence).map(|machines| (workers, machines)));
    let (workers, machines) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let vmid = match vm_of(evidence, node) {
            Vm::Is(vmid, _) => Some(vmid),
            Vm::Nowhere | Vm::NotOurs => None,
            Vm::Unread(why) => {
                tally.unread(format!("{}: {why}", called(node)));
                continue;
            }
        };
        let has = evidence::addresses(&node.internal_ips);
        if has.is_empty() {
            tally.error(format!("{} has no InternalIP", called(node)));
            continue;
        }
        let Some(vmid) = vmid else { continue };
        let machine = machine_of(&machines, node);
        let known = machine.map(MachineSeen::known_addresses).unwrap_or_default();
        let told = evidence.proxmox.agent_addresses.get(&vmid);
        for ip in has {
            match told {
                _ if known.contains(&ip) => tally.fine(format!("{}: {ip}, its machine's", called(node))),
                Some(Read::Known(told)) if told.contains(&ip) => {
                    tally.fine(format!("{}: {ip}, as the guest agent of VM {vmid} says", called(node)));
                }
                Some(Read::Known(told)) => {
                    let all: Vec<String> = known.iter().chain(told).map(ToString::to_string).collect();
                    tally.error(format!("{} says {ip}; VM {vmid} has {}", called(node), all.join(", ")));
                }
                Some(Read::Unread { why, .. }) => {
                    tally.unread(format!("{}: whose {ip} is could not be read: {why}", called(node)));
                }
                None => tally.unread(format!("{}: nobody asked VM {vmid} whether {ip} is its own", called(node))),
            }
        }
    }
    tally.verdict(
        "every InternalIP is the VM's own",
        "give the kubelet `--node-ip`, or look for a machine with that address",
    )
}
