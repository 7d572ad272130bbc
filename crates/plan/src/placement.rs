//! Which node a machine goes to, and which VMID it gets.

use std::collections::{BTreeMap, BTreeSet};

use pve_types::{NodeName, Vmid};

use crate::inventory::{GuestRow, Inventory};

/// What a machine asks of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Allowed nodes; empty: the template's.
    pub allowed: &'a [NodeName],
    /// Memory in bytes.
    pub memory: u64,
    /// Percentage of a node's memory that may be reserved; 0: no check.
    pub percent: u64,
    /// Disks lie on storage that only the template's node has.
    pub pinned: bool,
}

/// Why there is no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// None of the nodes exists.
    #[error("Proxmox VE has no node `{wanted}`; it has: {has}")]
    Unknown {
        /// What was named.
        wanted: String,
        /// What is there.
        has: String,
    },
    /// All are offline.
    #[error("no allowed node is online ({0})")]
    Offline(String),
    /// The disks cannot go there.
    #[error(
        "template {template} lies on storage that only `{node}` has, which is not among the allowed nodes ({allowed})"
    )]
    Pinned {
        /// The template.
        template: Vmid,
        /// Its node.
        node: NodeName,
        /// What was named.
        allowed: String,
    },
    /// None has enough memory.
    #[error("no allowed node has {wanted_mib} MiB to spare; the most is {best_mib} MiB on `{best}`")]
    Memory {
        /// MiB wanted.
        wanted_mib: u64,
        /// MiB on the best node.
        best_mib: u64,
        /// The best node.
        best: NodeName,
    },
}

fn list<'a>(nodes: impl Iterator<Item = &'a NodeName>) -> String {
    nodes.map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

/// Chooses the node: online, with room, with the fewest machines of the same kind; then the most room; then by name.
///
/// `siblings` counts the machines of the same cluster and role on each node, those that are only reserved among them;
/// `promised` is memory in bytes that machines not yet visible will take.
pub fn node(
    ask: &Ask<'_>,
    template: &GuestRow,
    inventory: &Inventory,
    siblings: &BTreeMap<NodeName, usize>,
    promised: &BTreeMap<NodeName, u64>,
) -> Result<NodeName, NoRoom> {
    let own = std::slice::from_ref(&template.node);
    let allowed = if ask.allowed.is_empty() { own } else { ask.allowed };
    let known: Vec<_> = allowed.iter().filter_map(|name| inventory.node(name)).collect();
    if known.is_empty() {
        let has = list(inventory.nodes.iter().map(|row| &row.node));
        return Err(NoRoom::Unknown { wanted: list(allowed.iter()), has });
    }
    let fitting: Vec<_> = known.iter().filter(|row| !ask.pinned || row.node == template.node).collect();
    if fitting.is_empty() {
        let (template, node) = (template.vmid, template.node.clone());
        return Err(NoRoom::Pinned { template, node, allowed: list(allowed.iter()) });
    }
    let online: Vec<_> = fitting.into_iter().filter(|row| row.online).collect();
    if online.is_empty() {
        return Err(NoRoom::Offline(list(allowed.iter())));
    }
    let spare = |name: &NodeName, maxmem: Option<u64>| {
        let Some(maxmem) = maxmem else { return u64::MAX };
        let used: u64 =
            inventory.guests.iter().filter(|row| row.node == *name && !row.template).map(|row| row.maxmem).sum();
        let limit = u64::try_from(u128::from(maxmem) * u128::from(ask.percent) / 100).unwrap_or(u64::MAX);
        limit.saturating_sub(used).saturating_sub(promised.get(name).copied().unwrap_or(0))
    };
    let rated: Vec<_> = online.iter().map(|row| (&row.node, spare(&row.node, row.maxmem))).collect();
    rated
        .iter()
        .filter(|(_, spare)| ask.percent == 0 || *spare >= ask.memory)
        .min_by_key(|(name, spare)| (siblings.get(*name).copied().unwrap_or(0), std::cmp::Reverse(*spare), *name))
        .map(|(name, _)| (*name).clone())
        .ok_or_else(|| {
            let best = rated.iter().max_by_key(|(_, spare)| *spare);
            let (best, spare) = best.map_or((template.node.clone(), 0), |(name, spare)| ((*name).clone(), *spare));
            NoRoom::Memory { wanted_mib: ask.memory >> 20, best_mib: spare >> 20, best }
        })
}

/// The lowest VMID that nobody is known to have, at or above `from` and not above `to`.
pub fn vmid(from: Vmid, to: Option<Vmid>, inventory: &Inventory, reserved: &BTreeSet<Vmid>) -> Option<Vmid> {
    let used: BTreeSet<Vmid> = inventory.guests.iter().map(|row| row.vmid).collect();
    (u32::from(from)..=to.map_or(999_999_999, u32::from))
        .filter_map(|number| Vmid::try_from(number).ok())
        .find(|vmid| !used.contains(vmid) && !reserved.contains(vmid))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::inventory::NodeRow;
    use pve_types::Tags;

    const GIB: u64 = 1 << 30;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn guest(vmid: &str, node: &str, maxmem: u64, template: bool) -> GuestRow {
        let (vmid, node) = (vmid.parse().unwrap(), name(node));
        GuestRow { vmid, node, name: None, running: None, template, tags: Tags::default(), lock: None, maxmem }
    }

    fn world() -> Inventory {
        let row = |node, online| NodeRow { node: name(node), online, maxmem: Some(16 * GIB) };
        Inventory {
            nodes: vec![row("pve1", true), row("pve2", true), row("pve3", false)],
            guests: vec![guest("9000", "pve1", 2 * GIB, true), guest("100", "pve1", 8 * GIB, false)],
            ..Inventory::default()
        }
    }

    fn place(allowed: &[&str], memory: u64, pinned: bool, siblings: &[(&str, usize)]) -> Result<String, String> {
        let allowed: Vec<_> = allowed.iter().map(|node| name(node)).collect();
        let ask = Ask { allowed: &allowed, memory, percent: 100, pinned };
        let siblings = siblings.iter().map(|(node, count)| (name(node), *count)).collect();
        let world = world();
        node(&ask, &world.guests[0], &world, &siblings, &BTreeMap::new())
            .map(|node| node.to_string())
            .map_err(|why| why.to_string())
    }

    #[test]
    fn without_allowed_nodes_a_machine_stays_with_its_template() {
        assert_eq!(place(&[], GIB, false, &[]), Ok("pve1".into()));
    }

    #[test]
    fn machines_spread_and_then_go_where_most_room_is() {
        assert_eq!(place(&["pve1", "pve2"], GIB, false, &[]), Ok("pve2".into()));
        assert_eq!(place(&["pve1", "pve2"], GIB, false, &[("pve2", 1)]), Ok("pve1".into()));
    }

    #[test]
    fn a_node_without_room_offline_or_unknown_is_not_taken() {
        assert_eq!(place(&["pve1", "pve2"], 9 * GIB, false, &[("pve2", 5)]), Ok("pve2".into()));
        assert!(place(&["pve1"], 9 * GIB, false, &[]).unwrap_err().contains("the most is 8192 MiB on `pve1`"));
        assert!(place(&["pve3"], GIB, false, &[]).unwrap_err().contains("online"));
        assert_eq!(
            place(&["pve9"], GIB, false, &[]).unwrap_err(),
            "Proxmox VE has no node `pve9`; it has: pve1, pve2, pve3"
        );
    }

    #[test]
    fn local_disks_pin_a_machine_to_its_templates_node() {
        assert_eq!(place(&["pve1", "pve2"], GIB, true, &[("pve1", 9)]), Ok("pve1".into()));
        assert!(place(&["pve2"], GIB, true, &[]).unwrap_err().contains("only `pve1` has"));
    }

    #[test]
    fn a_vmid_that_is_used_or_reserved_is_not_chosen() {
        let from = "100".parse().unwrap();
        let reserved = BTreeSet::from(["101".parse().unwrap()]);
        assert_eq!(vmid(from, None, &world(), &reserved), "102".parse().ok());
        assert_eq!(vmid(from, "101".parse().ok(), &world(), &reserved), None);
    }
}
