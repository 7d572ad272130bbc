//! What a cluster's machines may touch: specs, Proxmox nodes, templates.

use std::collections::{BTreeMap, BTreeSet};

use ::api::{MatchPolicy, ProxmoxMachineSpec};
use pve_types::{NodeName, Vmid};

use super::verdict::{Says, Verdict, need};
use crate::evidence::{Evidence, Guest, Read};

/// The specs of all machines that are and of all templates that more will be made from, by what they are of.
pub(super) fn specs(evidence: &Evidence) -> Result<Vec<(String, &ProxmoxMachineSpec)>, Verdict> {
    let management = &evidence.management;
    need("the ProxmoxCluster", &management.cluster)?;
    let templates = need("the ProxmoxMachineTemplates", &management.templates)?;
    let machines = need("the ProxmoxMachines", &management.machines)?;
    let mut specs: Vec<(String, &ProxmoxMachineSpec)> =
        templates.iter().map(|one| (format!("ProxmoxMachineTemplate `{}`", one.name), &one.spec)).collect();
    for machine in machines.iter().filter(|machine| !machine.deleting) {
        // A machine says the same as the template it came from, save what its controller wrote into it.
        let made_from_one = templates.iter().any(|one| one.spec == as_ordered(&machine.spec));
        if !made_from_one {
            specs.push((format!("ProxmoxMachine `{}`", machine.name), &machine.spec));
        }
    }
    if specs.is_empty() {
        return Err(Verdict::blocked("machines", "the cluster has neither machines nor templates of machines"));
    }
    Ok(specs)
}

fn as_ordered(spec: &ProxmoxMachineSpec) -> ProxmoxMachineSpec {
    ProxmoxMachineSpec { provider_id: None, virtual_machine_id: None, ..spec.clone() }
}

/// The Proxmox nodes that the spec's machines may be placed on. Without a word of the spec and the cluster that is
/// the node of the template; without a cluster all nodes.
pub(super) fn nodes(evidence: &Evidence, spec: &ProxmoxMachineSpec) -> Result<BTreeSet<NodeName>, Verdict> {
    let cluster = need("the ProxmoxCluster", &evidence.management.cluster)?;
    let allowed = if spec.allowed_nodes.is_empty() { &cluster.spec.allowed_nodes } else { &spec.allowed_nodes };
    let named: BTreeSet<NodeName> = allowed.iter().filter_map(|name| name.parse().ok()).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let source = spec.source_node.as_ref().and_then(|name| name.parse().ok());
    match source {
        Some(node) => Ok(BTreeSet::from([node])),
        None => Ok(BTreeSet::from([known_template(evidence, spec)?.1.node.clone()])),
    }
}

/// The template of a spec for checks that judge something else: without one they are blocked.
pub(super) fn known_template<'a>(
    evidence: &'a Evidence,
    spec: &ProxmoxMachineSpec,
) -> Result<(Vmid, &'a Guest), Verdict> {
    template(evidence, spec).map_err(|verdict| match verdict.says {
        Says::Failed(_) => Verdict::blocked("vm-management.template", verdict.message),
        Says::Passed | Says::Blocked(_) | Says::Unread => verdict,
    })
}

/// All Proxmox nodes that any machine may be placed on; all there are when no cluster was named.
pub(super) fn all_nodes(evidence: &Evidence) -> Result<BTreeSet<NodeName>, Verdict> {
    if evidence.management.cluster.known().is_none() {
        let nodes = need("the list of nodes", &evidence.proxmox.nodes)?;
        return Ok(nodes.iter().map(|node| node.name.clone()).collect());
    }
    let cluster = need("the ProxmoxCluster", &evidence.management.cluster)?;
    let mut all: BTreeSet<NodeName> = cluster.spec.allowed_nodes.iter().filter_map(|name| name.parse().ok()).collect();
    let by_specs = specs(evidence)
        .and_then(|specs| specs.iter().map(|(_, spec)| nodes(evidence, spec)).collect::<Result<Vec<_>, _>>());
    match by_specs {
        Ok(sets) => all.extend(sets.into_iter().flatten()),
        Err(verdict) if all.is_empty() => return Err(verdict),
        // what the cluster itself allows is worth judging all the same
        Err(_) => {}
    }
    Ok(all)
}

/// The template of a spec. The error says in its message what was found instead.
pub(super) fn template<'a>(evidence: &'a Evidence, spec: &ProxmoxMachineSpec) -> Result<(Vmid, &'a Guest), Verdict> {
    let guests = need("the list of virtual machines", &evidence.proxmox.guests)?;
    if let Some(id) = spec.template_id {
        let vmid = u32::try_from(id).ok().and_then(|id| Vmid::try_from(id).ok());
        let guest = vmid.and_then(|vmid| guests.get_key_value(&vmid));
        return match guest {
            Some((vmid, guest)) => Ok((*vmid, guest)),
            None => Err(Verdict::failed(format!("there is no VM {id} to be the template{}", near(guests)))),
        };
    }
    let Some(selector) = &spec.template_selector else {
        return Err(Verdict::failed("the spec names neither a template nor tags of one"));
    };
    let wanted: BTreeSet<String> = selector.match_tags.iter().map(|tag| tag.to_ascii_lowercase()).collect();
    let mut found: Vec<(usize, Vmid, &Guest)> = guests
        .iter()
        .filter(|(_, guest)| guest.template && wanted.iter().all(|tag| guest.tags.contains(tag)))
        .map(|(vmid, guest)| (guest.tags.len() - wanted.len(), *vmid, guest))
        .filter(|(others, ..)| *others == 0 || selector.match_policy != MatchPolicy::Exact)
        .collect();
    found.sort_by_key(|(others, vmid, _)| (*others, *vmid));
    if selector.match_policy == MatchPolicy::BestSubset {
        let best = found.first().map(|(others, ..)| *others);
        found.retain(|(others, ..)| Some(*others) == best);
    }
    let tags = selector.match_tags.join(", ");
    match found[..] {
        [] => Err(Verdict::failed(format!("no template has the tags {tags}{}", near(guests)))),
        [(_, vmid, guest)] => Ok((vmid, guest)),
        [..] => {
            let which: Vec<String> = found.iter().map(|(_, vmid, _)| vmid.to_string()).collect();
            Err(Verdict::failed(format!("the tags {tags} fit several templates: {}", which.join(", "))))
        }
    }
}

/// The templates there are, for somebody who asked for one that is not there.
fn near(guests: &BTreeMap<Vmid, Guest>) -> String {
    let all: Vec<String> = guests
        .iter()
        .filter(|(_, guest)| guest.template)
        .map(|(vmid, guest)| {
            let tags: Vec<&str> = guest.tags.iter().collect();
            format!("{vmid} `{}` (tags: {})", guest.name.as_deref().unwrap_or(""), tags.join(" "))
        })
        .collect();
    match all[..] {
        [] => "; no template is to be seen at all".to_owned(),
        [..] => format!("; to be seen are: {}", all.join(", ")),
    }
}

/// A part that is kept for each of several things; one that nobody asked for is unread.
pub(super) fn of<'a, K: Ord + std::fmt::Display, T>(map: &'a BTreeMap<K, Read<T>>, key: &K) -> Result<&'a T, String> {
    match map.get(key) {
        Some(Read::Known(value)) => Ok(value),
        Some(Read::Unread { why, .. }) => Err(why.clone()),
        None => Err("nobody asked for it".to_owned()),
    }
}

/// `3 machines`, `1 machine`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
