//! Networks that are applied.

use crate::state::World;

/// `ifreload`: the node's interfaces become what its file says.
pub(crate) fn reload(world: &mut World, node: &str) {
    if let Some(node) = world.node_mut(node) {
        node.bridges = node.network_mut().reload();
    }
}
