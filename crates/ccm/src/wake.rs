//! What wakes a pass beside a change of the Node itself: a change that the shared reading saw.

use std::sync::Arc;

use daemon::controller::Guarded;
use k8s_openapi::api::core::v1;
use kube::runtime::reflector::{ObjectRef, Store};
use plan::node::{INSTANCE_ID, Node, ProviderId, Taint};
use pve::Changed;
use pve_types::Vmid;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::node;
use crate::region::Connection;

/// Passes on what changes in one region, until told to stop.
pub(crate) async fn pass_on(
    of: Arc<Connection>,
    nodes: Store<Guarded<v1::Node>>,
    to: mpsc::UnboundedSender<ObjectRef<v1::Node>>,
    token: CancellationToken,
) {
    let mut changes = of.poller.changes();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = token.cancelled() => return,
        };
        let what = match change {
            Ok(change) => change.what.clone(),
            Err(broadcast::error::RecvError::Lagged(_)) => Changed::Everything,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        for object in nodes.state() {
            let Ok(object) = &object.0 else { continue };
            if concerns(&what, &node::read(object)) && to.send(ObjectRef::from_obj(object)).is_err() {
                return;
            }
        }
    }
}

/// Whether a Node is to be looked at again.
fn concerns(what: &Changed, node: &Node) -> bool {
    let (guests, nodes) = match what {
        Changed::Everything => return true,
        Changed::These { guests, nodes, storages: _ } => (guests, nodes),
    };
    let vmid: Option<Vmid> = match &node.provider_id {
        ProviderId::Foreign(_) => return false,
        ProviderId::Number { vmid, .. } => Some(*vmid),
        ProviderId::None | ProviderId::Uuid(_) => node.annotations.get(INSTANCE_ID).and_then(|text| text.parse().ok()),
    };
    // Who waits for a VM, or is silent, waits for anything.
    !nodes.is_empty()
        || node.taints.contains(&Taint::Uninitialized)
        || (!guests.is_empty() && vmid.is_none_or(|vmid| guests.contains(&vmid)))
}
