//! Where a service may be and where it is best: the rules (9) and the groups (8), decided as a function of the world.

use std::collections::{BTreeMap, BTreeSet};

use super::is_active;
use crate::state::World;
use crate::state::cluster::Section;

/// `pve1:2,pve2` as nodes with their priorities.
pub(crate) fn node_list(text: &str) -> BTreeMap<String, i64> {
    text.split([',', ';', ' '])
        .filter(|n| !n.is_empty())
        .map(|n| match n.split_once(':') {
            Some((node, priority)) => (node.to_owned(), priority.parse().unwrap_or(0)),
            None => (n.to_owned(), 0),
        })
        .collect()
}

/// The resources of a rule.
pub(crate) fn resources(rule: &Section) -> BTreeSet<String> {
    rule.get("resources")
        .map_or("", String::as_str)
        .split([',', ';', ' '])
        .filter(|r| !r.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is(rule: &Section, key: &str, value: &str) -> bool {
    rule.get(key).is_some_and(|v| v == value)
}

/// The node affinity of a service: its nodes, and whether it may be on no others.
fn affinity(world: &World, sid: &str) -> Option<(BTreeMap<String, i64>, bool)> {
    let of =
        |rule: &Section, strict: &str| (node_list(rule.get("nodes").map_or("", String::as_str)), is(rule, strict, "1"));
    let rule =
        world.cluster.rules.values().find(|rule| {
            is(rule, "type", "node-affinity") && !is(rule, "disable", "1") && resources(rule).contains(sid)
        });
    if let Some(rule) = rule {
        return Some(of(rule, "strict"));
    }
    let group = world.cluster.ha.get(sid).and_then(|r| r.more.get("group"))?;
    world.cluster.groups.get(group).map(|g| of(g, "restricted"))
}

/// Other resources that a service shall be with, or apart from.
pub(crate) fn others(world: &World, sid: &str, affinity: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rule in world.cluster.rules.values() {
        if is(rule, "type", "resource-affinity") && is(rule, "affinity", affinity) && !is(rule, "disable", "1") {
            let of = resources(rule);
            if of.contains(sid) {
                found.extend(of.into_iter().filter(|other| other != sid));
            }
        }
    }
    found
}

/// Where a service is or is about to be.
fn place(world: &World, sid: &str) -> Option<String> {
    let service = world.cluster.manager.services.get(sid)?;
    if !is_active(service) || service.state == "fence" {
        return None;
    }
    Some(service.target.clone().unwrap_or_else(|| service.node.clone()))
}

/// The nodes on which a service may be started now, with their priority.
fn candidates(world: &World, sid: &str) -> BTreeMap<String, i64> {
    let affinity = affinity(world, sid);
    let mut nodes: BTreeMap<String, i64> = BTreeMap::new();
    for node in world.nodes.iter().filter(|n| n.online && !n.maintenance) {
        let priority = match &affinity {
            None => Some(0),
            Some((listed, strict)) => listed.get(&node.name).copied().or(if *strict { None } else { Some(-1) }),
        };
        if let Some(priority) = priority {
            nodes.insert(node.name.clone(), priority);
        }
    }
    for other in others(world, sid, "negative") {
        if let Some(taken) = place(world, &other) {
            nodes.remove(&taken);
        }
    }
    let mut together: BTreeMap<String, usize> = BTreeMap::new();
    for node in others(world, sid, "positive").iter().filter_map(|o| place(world, o)) {
        *together.entry(node).or_insert(0) += 1;
    }
    let most = together.iter().max_by_key(|(_, n)| **n).map(|(node, _)| node.clone());
    if let Some(node) = most {
        nodes.retain(|n, _| *n == node);
    }
    nodes
}

/// The nodes that a service may be on.
pub(crate) fn usable(world: &World, sid: &str) -> Vec<String> {
    candidates(world, sid).into_keys().collect()
}

/// The best node for a service; where it is now, unless another is better by the rules.
pub(crate) fn best(world: &World, sid: &str, current: Option<&str>) -> Option<String> {
    let nodes = candidates(world, sid);
    let top = nodes.values().copied().max()?;
    let preferred: Vec<&String> = nodes.iter().filter(|(_, p)| **p == top).map(|(n, _)| n).collect();
    if let Some(current) = current.filter(|c| preferred.iter().any(|p| p == c)) {
        return Some(current.to_owned());
    }
    let failed = world.cluster.manager.services.get(sid).map(|s| s.failed.clone()).unwrap_or_default();
    let load = |node: &str| world.cluster.manager.services.values().filter(|s| is_active(s) && s.node == node).count();
    preferred.into_iter().min_by_key(|n| (failed.contains(n), load(n))).cloned()
}

/// Requests that cannot be followed because of another resource, and those that come along.
pub(crate) fn motion(world: &World, sid: &str, node: &str) -> (Vec<String>, Vec<String>) {
    let along: BTreeSet<String> = others(world, sid, "positive");
    let mut blocking = BTreeSet::new();
    for one in along.iter().chain(std::iter::once(&sid.to_owned())) {
        let apart = others(world, one, "negative");
        blocking.extend(apart.into_iter().filter(|o| place(world, o).is_some_and(|n| n == node)));
    }
    (along.into_iter().collect(), blocking.into_iter().collect())
}
