//! Step 3: templates, and what machines become once their VMs run.

use ::api::ProxmoxMachineSpec;
use pve_types::Vmid;

use super::verdict::{Says, Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Cause, Evidence, GuestSettings, MachineSeen, Read};
use crate::step::StepId;

pub(super) const TEMPLATE: CheckInfo = CheckInfo {
    id: "vm-management.template",
    step: StepId::VmManagement,
    title: "The templates are there and fit",
    looks_at: "For each template of machines: the VM that it is cloned from exists (by number or by tags), is a \
               template, has a disk to boot from, a free IDE drive for the bootstrap image, the guest agent switched \
               on (a warning, and not looked at where the agent is skipped), and no cloud-init drive of its own (a \
               warning: the guest could take that for its bootstrap data).",
    matters: "Everything that a machine is comes from its template; a wrong one shows only after minutes, in the guest.",
    fix: "Correct `templateID` and `sourceNode`, or `templateSelector.matchTags`; convert the VM with `qm template`; \
          `qm set ID --agent enabled=1`; remove a cloud-init drive with `qm set ID --delete ide2`.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: template,
};

fn template(evidence: &Evidence) -> Verdict {
    let specs = match scope::specs(evidence) {
        Ok(specs) => specs,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for (who, spec) in specs {
        let (vmid, guest) = match scope::template(evidence, spec) {
            Ok(found) => found,
            Err(verdict) => match verdict.says {
                Says::Failed(_) => {
                    tally.error(format!("{who}: {}", verdict.message));
                    continue;
                }
                Says::Passed | Says::Blocked(_) | Says::Unread => return verdict,
            },
        };
        if let Some(source) = spec.source_node.as_ref().filter(|name| **name != guest.node.as_str()) {
            tally.error(format!("{who}: template {vmid} is on node `{}`, not on `{source}`", guest.node));
        }
        match scope::of(&evidence.proxmox.settings, &vmid) {
            Ok(settings) => fits(&who, spec, vmid, settings, &mut tally),
            Err(why) => tally.unread(format!("settings of template {vmid} could not be read: {why}")),
        }
    }
    tally.verdict("every template is there and fits", "correct the template's number or tags, or the VM in Proxmox")
}

fn fits(who: &str, spec: &ProxmoxMachineSpec, vmid: Vmid, settings: &GuestSettings, tally: &mut Tally) {
    let name = settings.name.as_deref().unwrap_or("");
    let whole = settings.template && settings.boot.is_some();
    if !settings.template {
        tally.error(format!("{who}: VM {vmid} `{name}` is no template"));
    }
    if settings.boot.is_none() {
        tally.error(format!("{who}: template {vmid} `{name}` has no disk to boot from"));
    }
    let taken = |key: &str| settings.disks.get(key).is_some_and(|disk| !disk.cdrom);
    if ["ide0", "ide1", "ide2", "ide3"].into_iter().all(taken) {
        tally.error(format!(
            "{who}: template {vmid} `{name}` has disks on ide0 to ide3, none is left for the bootstrap image"
        ));
    }
    let own = settings
        .disks
        .iter()
        .find(|(_, disk)| disk.volume.as_ref().is_some_and(|volume| volume.name.contains("-cloudinit")));
    if let Some((key, _)) = own {
        tally.warning(format!("{who}: template {vmid} `{name}` has a cloud-init drive of its own on {key}"));
    }
    if !settings.agent && !skips_agent(spec) {
        tally.warning(format!("{who}: template {vmid} `{name}` has the guest agent switched off"));
    }
    if whole {
        tally.fine(format!("{who}: template {vmid} `{name}`"));
    }
}

fn skips_agent(spec: &ProxmoxMachineSpec) -> bool {
    spec.checks.as_ref().and_then(|checks| checks.skip_qemu_guest_agent) == Some(true)
}

/// The VMID that a machine has recorded, if it is one.
pub(super) fn vmid(machine: &MachineSeen) -> Option<Vmid> {
    let number = u32::try_from(machine.spec.virtual_machine_id?).ok()?;
    Vmid::try_from(number).ok()
}

/// The cluster's machines that are to be, or a verdict when there are none.
pub(super) fn machines(evidence: &Evidence) -> Result<Vec<&MachineSeen>, Verdict> {
    let all = need("the ProxmoxMachines", &evidence.management.machines)?;
    let there: Vec<&MachineSeen> = all.iter().filter(|machine| !machine.deleting).collect();
    if there.is_empty() {
        return Err(Verdict::blocked("machines", "the cluster has no ProxmoxMachine yet"));
    }
    Ok(there)
}

pub(super) const AGENT_ANSWERS: CheckInfo = CheckInfo {
    id: "vm-management.agent-answers",
    step: StepId::VmManagement,
    title: "The guest agent of each machine answers",
    looks_at: "Pings the guest agent of each running machine, save those whose spec skips it.",
    matters: "Addresses by DHCP and the end of cloud-init are learnt from it; shutting down in order needs it, too.",
    fix: "Install qemu-guest-agent in the template and start it, and switch it on: `qm set ID --agent enabled=1`.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: agent_answers,
};

fn agent_answers(evidence: &Evidence) -> Verdict {
    let machines = match machines(evidence) {
        Ok(machines) => machines,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut asked = 0;
    for machine in machines {
        let Some(vmid) = vmid(machine) else { continue };
        if skips_agent(&machine.spec) {
            tally.fine(format!("`{}` skips the agent", machine.name));
            continue;
        }
        let line = format!("`{}` (VM {vmid})", machine.name);
        match evidence.proxmox.agents.get(&vmid) {
            Some(Read::Known(())) => {
                asked += 1;
                tally.fine(format!("{line} answers"));
            }
            Some(Read::Unread { cause: Cause::Refused, why }) => tally.error(format!("{line}: {why}")),
            Some(Read::Unread { cause: Cause::NotAsked, why }) => tally.fine(format!("{line}: {why}")),
            Some(Read::Unread { why, .. }) => tally.unread(format!("{line}: {why}")),
            None => tally.unread(format!("{line}: nobody asked")),
        }
    }
    let passed = format!("{} answered", scope::count(asked, "agent"));
    tally.verdict(passed, "install and start qemu-guest-agent in the template, and enable it in the VM's options")
}

pub(super) const NODES_READY: CheckInfo = CheckInfo {
    id: "vm-management.nodes-ready",
    step: StepId::VmManagement,
    title: "Each machine is a Ready node",
    looks_at: "The workload cluster's nodes, by the kubeconfig in the Secret `CLUSTER-kubeconfig`: for each machine one \
               whose providerID is the machine's, and that is Ready. A machine that is not provisioned yet and has no \
               node is a warning.",
    matters: "That a VM runs says little; that its node is Ready says that network, runtime and kubelet work.",
    fix: "Look at the node's `Ready` condition and at cloud-init's log in the guest (/var/log/cloud-init-output.log). A \
          node that is not Ready right after joining often lacks a CNI.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: nodes_ready,
};

fn nodes_ready(evidence: &Evidence) -> Verdict {
    let both = machines(evidence)
        .and_then(|machines| need("the workload cluster", &evidence.workload.nodes).map(|nodes| (machines, nodes)));
    let (machines, nodes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut ready = 0;
    for machine in machines {
        let name = &machine.name;
        let provisioned = machine.status.initialization.as_ref().and_then(|i| i.provisioned) == Some(true);
        let node = machine
            .spec
            .provider_id
            .as_ref()
            .and_then(|id| nodes.iter().find(|node| node.provider_id.as_ref() == Some(id)));
        match node {
            None if provisioned => tally.error(format!("machine `{name}` has no node")),
            None => tally.warning(format!("machine `{name}` has no node yet")),
            Some(node) if node.ready == Some(true) => {
                ready += 1;
                tally.fine(format!("`{name}` is node `{}`, kubelet {}", node.name, node.kubelet));
            }
            Some(node) => tally.error(format!("node `{}` is not Ready: {}", node.name, node.message)),
        }
    }
    tally.verdict(
        format!("{} Ready", scope::count(ready, "node")),
        "look at the node's conditions and at /var/log/cloud-init-output.log in the guest",
    )
}

pub(super) const SEED_REMOVED: CheckInfo = CheckInfo {
    id: "vm-management.seed-removed",
    step: StepId::VmManagement,
    title: "Bootstrap images of joined machines are removed",
    looks_at: "For each machine whose node has joined: no `user-data-VMID.iso` on any storage for images, and none in a \
               drive of its VM.",
    matters: "The image holds the token that it joined with, and whatever else the bootstrap data holds, readable for \
              all who may read that storage.",
    fix: "The controller removes it when the node has joined: look at the ProxmoxMachine's conditions and at \
          Datastore.Allocate on that storage. By hand: eject it (`qm set ID --ide0 none,media=cdrom`), then \
          `pvesm free VOLUME`.",
    of: Of::Cluster,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: seed_removed,
};

fn seed_removed(evidence: &Evidence) -> Verdict {
    let both = machines(evidence)
        .and_then(|machines| need("the workload cluster", &evidence.workload.nodes).map(|nodes| (machines, nodes)));
    let (machines, nodes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut joined = 0;
    for (place, isos) in &evidence.proxmox.isos {
        if let Read::Unread { why, .. } = isos {
            tally.unread(format!("images on `{place}` could not be read: {why}"));
        }
    }
    if evidence.proxmox.isos.is_empty() {
        tally.unread("no storage for images was read");
    }
    for machine in machines {
        let Some(vmid) = vmid(machine) else { continue };
        let id = machine.spec.provider_id.as_ref();
        if id.is_none() || !nodes.iter().any(|node| node.provider_id.as_ref() == id) {
            continue;
        }
        joined += 1;
        let seed = format!("iso/user-data-{vmid}.iso");
        let lies = evidence.proxmox.isos.values().filter_map(Read::known).flatten().find(|iso| iso.volume.name == seed);
        if let Some(iso) = lies {
            tally.error(format!("`{}` of machine `{}`, which has joined, still lies there", iso.volume, machine.name));
        }
        match scope::of(&evidence.proxmox.settings, &vmid) {
            Err(why) => tally.unread(format!("settings of VM {vmid} could not be read: {why}")),
            Ok(settings) => {
                let drive = settings
                    .disks
                    .iter()
                    .find(|(_, disk)| disk.volume.as_ref().is_some_and(|volume| volume.name == seed));
                if let Some((key, _)) = drive {
                    tally.error(format!("machine `{}` has joined, and its image is still in {key}", machine.name));
                }
            }
        }
    }
    let passed = format!("{} joined, no bootstrap image left", scope::count(joined, "machine"));
    tally.verdict(passed, "look at the ProxmoxMachine's conditions and at Datastore.Allocate on that storage")
}
