//! How busy nodes are: what their guests take.

use std::collections::BTreeMap;

use crate::state::World;
use crate::state::node::Node;

/// The size of a node's own disk.
pub(crate) const ROOT_DISK: u64 = 100 << 30;
/// What of it is used.
pub(crate) const ROOT_USED: u64 = 8 << 30;
/// What a node needs for itself.
const OWN_MEMORY: u64 = 2 << 30;

/// How busy a node is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) uptime: i64,
    pub(crate) memory: u64,
    /// 0 to 1.
    pub(crate) cpu: f64,
}

#[expect(clippy::cast_possible_truncation, reason = "seconds")]
fn load(world: &World, node: &Node, memory: u64, cpus: f64) -> Load {
    Load {
        uptime: (world.now - node.booted) as i64,
        memory: (OWN_MEMORY + memory).min(node.memory),
        cpu: (0.01 + cpus / f64::from(node.cores.max(1)) / 10.0).min(1.0),
    }
}

/// The load of one node.
pub(crate) fn of(world: &World, node: &Node) -> Load {
    let running = world.guests.values().filter(|g| g.node == node.name && g.running());
    let (memory, cpus) = running.fold((0, 0.0), |(m, c), g| (m + g.memory(), c + f64::from(g.cpus())));
    load(world, node, memory, cpus)
}

/// The load of every node, in one go, as it was at the last round of the statistics daemon.
pub(crate) fn all(world: &World) -> BTreeMap<&str, Load> {
    let mut sums: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for guest in world.published.values().filter(|g| g.status != "stopped") {
        let sum = sums.entry(&guest.node).or_default();
        sum.0 += guest.memory;
        sum.1 += f64::from(guest.cpus);
    }
    world
        .nodes
        .iter()
        .map(|node| {
            let (memory, cpus) = sums.get(node.name.as_str()).copied().unwrap_or_default();
            (node.name.as_str(), load(world, node, memory, cpus))
        })
        .collect()
}
