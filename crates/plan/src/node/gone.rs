//! When a VM is gone. What we do not see is not gone: the proof is below, and nothing else makes one.
//!
//! ```text
//! no VM in view has the UUID ──▶ every region was read, every Proxmox VE node answers, every VM in view is known by UUID
//!   ──▶ the cluster is quorate, its own membership says all nodes are there, our token may still see VMs
//!   ──▶ the VM's number is free in the whole cluster (asked of a call that hides nothing), or is now another VM's
//! ```

use std::time::Duration;

use pve_types::{NodeName, Vmid};

use super::find;
use super::observed::{Answers, Audit, Node, Number, Region, Standing, View};
use super::{Fresh, Look, Note, Plan, REGION, Step};
use crate::{Again, Seen};

/// Proof that a Node's VM is gone. Only [`plan`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    node: String,
    proof: String,
}

impl Gone {
    /// The Node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What proves it.
    pub fn proof(&self) -> &str {
        &self.proof
    }
}

/// Nothing will soon be other than it is.
const LATER: Duration = Duration::from_mins(5);
/// A node or a cluster may be back.
const SOON: Duration = Duration::from_secs(30);

/// What to do about a Node of ours whose VM nobody sees.
pub(super) fn plan(node: &Node, regions: &[Region], answers: &Answers, hint: Option<(&Region, Vmid)>) -> Plan {
    let unproven = |why: String, wait| Plan::rest(Note::Unproven(why), Again::After(wait));
    if node.ready {
        return unproven("its kubelet reports".into(), LATER);
    }
    let mut sees_all = true;
    for region in regions {
        let view = match &region.view {
            Seen::Known(view) => view,
            Seen::Unread(why) => return Plan::rest(Note::Unread(why.clone()), Again::After(SOON)),
            Seen::Absent | Seen::Unasked => {
                return Plan::rest(
                    Note::Unread(format!("region `{}` was not read yet", region.name)),
                    Again::After(SOON),
                );
            }
        };
        if let Some(away) = away(view) {
            return unproven(format!("Proxmox VE's node `{away}` does not answer"), SOON);
        }
        match answers.standings.get(&region.name) {
            None | Some(Seen::Unasked | Seen::Absent) => {
                return Plan::look(Look::Standing { region: region.name.clone() }, Note::NoVm);
            }
            Some(Seen::Unread(why)) => return unproven(why.clone(), LATER),
            Some(Seen::Known(standing)) => {
                sees_all &= standing.audit == Audit::All;
                if let Some(doubt) = doubt(standing, view) {
                    return unproven(format!("region `{}`: {doubt}", region.name), SOON);
                }
            }
        }
    }
    let Some((region, vmid)) = hint else {
        // Without its number only a view that nothing is hidden from proves anything.
        return if sees_all {
            gone(node, "no VM has its UUID, and our token sees all of them".into())
        } else {
            unproven(
                "its number is not known, and our token does not see all VMs (VM.Audit on /vms would do)".into(),
                LATER,
            )
        };
    };
    let key = (region.name.clone(), vmid);
    let there = region.view.known().and_then(|view| view.vms.get(&vmid));
    if let Some(vm) = there {
        // Its number is another VM's now; read again, for a Node is deleted on the strength of it.
        return match answers.identities.get(&key) {
            None | Some(Seen::Unasked) => {
                let (region, node) = (region.name.clone(), vm.node.clone());
                Plan::look(Look::Identity { region, node, vmid, fresh: Fresh::ThisPass }, Note::NoVm)
            }
            Some(Seen::Known(other))
                if other.uuid.is_some() && other.uuid != find::uuid(node) && find::uuid(node).is_some() =>
            {
                gone(node, format!("its number {vmid} is another VM's, with another UUID"))
            }
            Some(Seen::Known(_) | Seen::Absent) => unproven(format!("VM {vmid} is there and has no UUID"), LATER),
            Some(Seen::Unread(why)) => unproven(why.clone(), SOON),
        };
    }
    match answers.numbers.get(&key) {
        None | Some(Seen::Unasked | Seen::Absent) => {
            Plan::look(Look::Number { region: region.name.clone(), vmid }, Note::NoVm)
        }
        Some(Seen::Unread(why)) => unproven(why.clone(), SOON),
        Some(Seen::Known(Number::Taken)) => unproven(
            format!("VM {vmid} exists, but our token does not see it: give it VM.Audit on /vms/{vmid} or its pool"),
            LATER,
        ),
        Some(Seen::Known(Number::Free)) => gone(node, format!("its number {vmid} is free in the whole cluster")),
    }
}

fn gone(node: &Node, proof: String) -> Plan {
    let note = Note::Gone(proof.clone());
    Plan::order(Step::Delete(Gone { node: node.name.clone(), proof }), note)
}

fn away(view: &View) -> Option<&NodeName> {
    view.nodes.iter().find(|(_, online)| !**online).map(|(name, _)| name)
}

/// Why what is not in the view may yet be there.
fn doubt(standing: &Standing, view: &View) -> Option<String> {
    let Standing { quorate, members, audit } = standing;
    if !quorate {
        return Some("the cluster has no majority".into());
    }
    if let Some(node) =
        members.iter().find_map(|(node, online)| (!online || !view.nodes.contains_key(node)).then_some(node))
    {
        return Some(format!("its node `{node}` is away, or was not read"));
    }
    if members.is_empty() {
        return Some("its membership names no node".into());
    }
    (*audit == Audit::Nothing).then(|| "our token has VM.Audit nowhere, so that it sees no VM".into())
}

/// The number that the Node's VM had, and its region, as far as it says.
pub(super) fn hint<'a>(node: &Node, regions: &'a [Region]) -> Option<(&'a Region, Vmid)> {
    let of = |name: &str| regions.iter().find(|region| region.name == name);
    if let super::ProviderId::Number { region, vmid } = &node.provider_id {
        return of(region).map(|region| (region, *vmid));
    }
    let vmid = node.annotations.get(super::INSTANCE_ID)?.parse().ok()?;
    match node.labels.get(REGION) {
        Some(name) => of(name).map(|region| (region, vmid)),
        None if regions.len() == 1 => Some((&regions[0], vmid)),
        None => None,
    }
}
