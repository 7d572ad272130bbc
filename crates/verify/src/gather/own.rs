//! Objects that probes make in a cluster, and how they know them again.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use serde_json::{Value, json};

/// The label that says who has made an object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What it says of ours.
pub(super) const US: &str = "oxmox-verify";

/// A JSON object as an object of Kubernetes.
#[expect(clippy::expect_used, reason = "the JSON is a constant of ours: a test makes every one")]
pub(super) fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of ours reads")
}

/// A namespace of ours. Probes need no privilege, and say so.
pub(super) fn namespace(name: &str) -> Namespace {
    object(json!({"metadata": {"name": name, "labels": {
        MANAGED_BY: US,
        "pod-security.kubernetes.io/enforce": "restricted",
    }}}))
}

/// One for pods in the network of a node, which the former refuses.
pub(super) fn namespace_on_nodes(name: &str) -> Namespace {
    let mut namespace = namespace(name);
    namespace.labels_mut().insert("pod-security.kubernetes.io/enforce".to_owned(), "privileged".to_owned());
    namespace
}

/// Whether a namespace is one of ours: no other is ever removed.
pub(super) fn is_ours(namespace: &Namespace) -> bool {
    namespace.labels().get(MANAGED_BY).is_some_and(|by| by == US)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_namespace_that_somebody_else_has_made_is_not_ours_whatever_its_name() {
        assert!(is_ours(&namespace("n")));
        let mut theirs = namespace("n");
        theirs.labels_mut().insert(MANAGED_BY.to_owned(), "Helm".to_owned());
        assert!(!is_ours(&theirs));
        theirs.labels_mut().clear();
        assert!(!is_ours(&theirs));
    }
}
