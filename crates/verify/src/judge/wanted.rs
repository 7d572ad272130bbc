//! Step 3: each machine has exactly its own VM.

use super::orphans::Mark;
use super::verdict::{Tally, Verdict, need};
use super::vm_management::{machines, vmid};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Evidence, GuestSettings, MachineSeen};
use crate::step::StepId;

pub(super) const MACHINES_HAVE_VMS: CheckInfo = CheckInfo {
    id: "vm-management.machines-have-vms",
    step: StepId::VmManagement,
    title: "Each machine has its own VM, and it runs",
    looks_at: "For each ProxmoxMachine with a recorded `virtualMachineID`: a VM of that number and of the machine's \
               name, our mark in the last line of its notes with the machine's namespace, name and UID, an SMBIOS UUID \
               equal to `providerID`, running. A machine without a VM yet is a warning.",
    matters: "These are what tells our VM from another's. Where they differ, somebody has changed or replaced the VM, \
              and nothing will be done to it any more.",
    fix: "Look at the ProxmoxMachine's conditions. A VM that was destroyed is replaced by Cluster API (MachineHealthCheck \
          or `kubectl delete machine`); a changed name or mark can be put back by hand.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: machines_have_vms,
};

fn machines_have_vms(evidence: &Evidence) -> Verdict {
    let both = machines(evidence).and_then(|machines| {
        need("the list of virtual machines", &evidence.proxmox.guests).map(|guests| (machines, guests))
    });
    let (machines, guests) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut fine = 0;
    for machine in machines {
        let name = &machine.name;
        let Some(vmid) = vmid(machine) else {
            let ready = machine.status.conditions.iter().find(|condition| condition.type_ == "Ready");
            let why = ready.map_or("its controller says nothing", |condition| condition.message.as_str());
            tally.warning(format!("machine `{name}` has no VM yet: {why}"));
            continue;
        };
        let Some(guest) = guests.get(&vmid) else {
            tally.error(format!("machine `{name}`: VM {vmid} is not to be seen"));
            continue;
        };
        let mut complaints = match scope::of(&evidence.proxmox.settings, &vmid) {
            Ok(settings) => complaints(machine, settings),
            Err(why) => {
                tally.unread(format!("settings of VM {vmid} could not be read: {why}"));
                continue;
            }
        };
        match scope::of(&evidence.proxmox.states, &vmid) {
            Ok(state) if state == "running" && complaints.is_empty() => {
                fine += 1;
                tally.fine(format!("`{name}` is VM {vmid} on node `{}`", guest.node));
            }
            Ok(state) if state == "running" => {}
            Ok(state) => complaints.push(format!("it is {state}")),
            Err(why) => tally.unread(format!("whether VM {vmid} runs could not be read: {why}")),
        }
        for complaint in complaints {
            tally.error(format!("machine `{name}`, VM {vmid}: {complaint}"));
        }
    }
    let passed = format!("{}, each with its own VM", scope::count(fine, "machine"));
    tally.verdict(passed, "look at the ProxmoxMachine's conditions and at the VM in Proxmox")
}

fn complaints(machine: &MachineSeen, settings: &GuestSettings) -> Vec<String> {
    let mut all = Vec::new();
    let named = settings.name.as_deref().unwrap_or("");
    if named != machine.name {
        all.push(format!("it is called `{named}`"));
    }
    let who = format!("{}/{}", machine.namespace, machine.name);
    match settings.mark.as_deref().and_then(Mark::read) {
        None => all.push("its notes do not end with our mark".to_owned()),
        Some(mark) if mark.machine != who => all.push(format!("its mark names `{}`", mark.machine)),
        Some(mark) if mark.uid != machine.uid => {
            all.push(format!("its mark has UID {}, not {}", mark.uid, machine.uid));
        }
        Some(_) => {}
    }
    let uuid = settings.uuid.map(|uuid| format!("proxmox://{uuid}"));
    if uuid != machine.spec.provider_id {
        let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".to_owned());
        all.push(format!(
            "its SMBIOS UUID says {}, `providerID` {}",
            or_none(&uuid),
            or_none(&machine.spec.provider_id)
        ));
    }
    all
}
