//! Software-defined networks.

use serde_json::Value;

use crate::calls::Call;
use crate::state::World;

/// The vnets that run on a node, as its interfaces.
pub(super) fn local_vnets(_: &World, _: &Call<'_>) -> Vec<Value> {
    Vec::new()
}
