//! A Node object in the words of `plan`.

use k8s_openapi::api::core::v1;
use plan::node::{Address, AddressKind, Node, ProviderId, Taint};

/// Reads a Node.
pub(crate) fn read(object: &v1::Node) -> Node {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    Node {
        name: object.metadata.name.clone().unwrap_or_default(),
        provider_id: ProviderId::read(spec.and_then(|spec| spec.provider_id.as_deref())),
        uuid: status.and_then(|status| status.node_info.as_ref()?.system_uuid.parse().ok()),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        annotations: object.metadata.annotations.clone().unwrap_or_default(),
        taints: Taint::ALL.into_iter().filter(|taint| taints.iter().any(|one| is(one, *taint))).collect(),
        addresses: addresses
            .iter()
            .filter_map(|one| Some(Address { kind: AddressKind::read(&one.type_)?, address: one.address.clone() }))
            .collect(),
    }
}

/// Whether this is the taint; Kubernetes tells taints apart by key and effect.
pub(super) fn is(one: &v1::Taint, taint: Taint) -> bool {
    one.key == taint.key() && one.effect == taint.effect()
}
