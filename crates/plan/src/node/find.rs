//! Which VM a Node is: the one with its SMBIOS UUID, whatever either is called.
//!
//! Only VMs whose configuration was read are known by UUID, so that those are read first that are likely: the number
//! that the Node names, then VMs of its name, then names that begin alike, then all.

use pve_types::{SmbiosUuid, Vmid};

use super::observed::{Answers, Identity, Node, Region, Vm};
use super::{Fresh, Look, Note, ProviderId, gone};
use crate::Seen;

/// What was found.
pub(super) enum Found<'a> {
    /// This VM.
    Vm { region: &'a Region, vm: &'a Vm, identity: Identity },
    /// Every VM in view is another.
    Nowhere,
    /// It cannot be said.
    Unclear(Note),
    /// A VM that is to be looked at first.
    Look(Look),
}

/// The Node's UUID: the provider ID's, or the kubelet's.
pub(super) fn uuid(node: &Node) -> Option<SmbiosUuid> {
    match node.provider_id {
        ProviderId::Uuid(uuid) => Some(uuid),
        ProviderId::None | ProviderId::Number { .. } | ProviderId::Foreign(_) => node.uuid,
    }
}

fn identity(region: &Region, vmid: Vmid, answers: &Answers) -> Seen<Identity> {
    match answers.identities.get(&(region.name.clone(), vmid)) {
        Some(answer) => answer.clone(),
        None => region.identities.get(&vmid).map_or(Seen::Unasked, |known| Seen::Known(known.clone())),
    }
}

/// How likely a VM is the Node: 0 is most.
fn rank(node: &Node, hint: Option<(&Region, Vmid)>, region: &Region, vm: &Vm) -> u8 {
    let name = vm.name.as_deref().unwrap_or_default();
    let short = node.name.split('.').next().unwrap_or_default();
    match hint {
        Some((of, vmid)) if of.name == region.name && vmid == vm.vmid => 0,
        _ if name == node.name || name == short => 1,
        _ if !name.is_empty() && (name.starts_with(short) || node.name.starts_with(name)) => 2,
        _ => 3,
    }
}

/// Looks for the VM.
pub(super) fn find<'a>(node: &Node, regions: &'a [Region], answers: &Answers) -> Found<'a> {
    let Some(uuid) = uuid(node) else { return Found::Unclear(Note::NoUuid) };
    let hint = gone::hint(node, regions);
    let mut found: Vec<(&Region, &Vm, Identity)> = Vec::new();
    let mut unread: Option<String> = None;
    let mut next: Option<(u8, &Region, &Vm)> = None;
    for region in regions {
        let view = match &region.view {
            Seen::Known(view) => view,
            Seen::Unread(why) => {
                unread = Some(why.clone());
                continue;
            }
            Seen::Absent | Seen::Unasked => {
                unread = Some(format!("region `{}` was not read yet", region.name));
                continue;
            }
        };
        for vm in view.vms.values() {
            match identity(region, vm.vmid, answers) {
                Seen::Known(identity) if identity.uuid == Some(uuid) => found.push((region, vm, identity)),
                Seen::Known(_) => {}
                Seen::Unread(why) => unread = Some(format!("VM {}: {why}", vm.vmid)),
                // gone between the reading and the question
                Seen::Absent => unread = Some(format!("VM {} has just gone", vm.vmid)),
                Seen::Unasked => {
                    let rank = rank(node, hint, region, vm);
                    if next.is_none_or(|(best, _, _)| rank < best) {
                        next = Some((rank, region, vm));
                    }
                }
            }
        }
    }
    if found.len() > 1 {
        return Found::Unclear(Note::Twins(found.iter().map(|(_, vm, _)| vm.vmid).collect()));
    }
    // A second VM of the same name may be a copy of the first.
    if let Some((rank, region, vm)) = next
        && (found.is_empty() || rank <= 1)
    {
        return Found::Look(Look::Identity {
            region: region.name.clone(),
            node: vm.node.clone(),
            vmid: vm.vmid,
            fresh: Fresh::Cached,
        });
    }
    if found.is_empty()
        && unread.is_none()
        && let Some(look) = again(node, regions, answers)
    {
        return Found::Look(look);
    }
    match (found.pop(), unread) {
        (Some((region, vm, identity)), _) => Found::Vm { region, vm, identity },
        (None, Some(why)) => Found::Unclear(Note::Unread(why)),
        (None, None) => Found::Nowhere,
    }
}

/// A likely VM that was read earlier, for a Node that nobody is: its number may have been given away meanwhile.
fn again(node: &Node, regions: &[Region], answers: &Answers) -> Option<Look> {
    let hint = gone::hint(node, regions);
    regions.iter().find_map(|region| {
        let view = region.view.known()?;
        let likely = view.vms.values().find(|vm| {
            rank(node, hint, region, vm) <= 1 && !answers.identities.contains_key(&(region.name.clone(), vm.vmid))
        })?;
        let (region, node) = (region.name.clone(), likely.node.clone());
        Some(Look::Identity { region, node, vmid: likely.vmid, fresh: Fresh::ThisPass })
    })
}
