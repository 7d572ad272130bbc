//! Networks that are applied.

use crate::state::World;

/// `ifreload`: the node's interfaces become what its file says, and its vnets what runs.
pub(crate) fn reload(world: &mut World, node: &str) {
    let vnets = world.sdn.vnets_on(node);
    let version = world.sdn.version;
    world.sdn.nodes.insert(node.to_owned(), version);
    if let Some(node) = world.node_mut(node) {
        node.bridges = node.network_mut().reload();
        node.bridges.extend(vnets);
    }
}

/// Every node applies its network, in a task of its own.
pub(crate) fn reload_all(world: &mut World, upid: &str) {
    let Some(who) = world.tasks.get(upid).map(|t| t.who.clone()) else { return };
    let nodes: Vec<String> = world.nodes.iter().filter(|n| n.online).map(|n| n.name.clone()).collect();
    for node in nodes {
        world.log(upid, format!("{node}: reloading network config"));
        crate::calls::network::reload(world, &node, &who);
    }
}
