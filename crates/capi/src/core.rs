//! Cluster API's own kinds, `Cluster` and `Machine`, as far as an infrastructure provider reads them.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery;
use kube::{Client, ResourceExt};
use serde_json::Value;

/// Cluster API's group.
const GROUP: &str = "cluster.x-k8s.io";

/// The kinds at the newest version that is served.
#[derive(Debug, Clone)]
pub(crate) struct Kinds {
    pub(crate) cluster: ApiResource,
    pub(crate) machine: ApiResource,
}

impl Kinds {
    /// Asks the API server which version it serves; `None` while Cluster API is not installed.
    pub(crate) async fn discover(client: &Client) -> Result<Option<Self>, kube::Error> {
        for version in ["v1beta2", "v1beta1"] {
            let find = |kind: &str| {
                let gvk = GroupVersionKind::gvk(GROUP, version, kind);
                async move { discovery::pinned_kind(client, &gvk).await }
            };
            match (find("Cluster").await, find("Machine").await) {
                (Ok((cluster, _)), Ok((machine, _))) => return Ok(Some(Self { cluster, machine })),
                (Err(kube::Error::Api(status)), _) | (_, Err(kube::Error::Api(status))) if status.code == 404 => {}
                (Err(kube::Error::Discovery(_)), _) | (_, Err(kube::Error::Discovery(_))) => {}
                (Err(why), _) | (_, Err(why)) => return Err(why),
            }
        }
        Ok(None)
    }
}

fn text<'a>(object: &'a DynamicObject, pointer: &str) -> Option<&'a str> {
    object.data.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Whether the object, or its cluster as a whole, is paused.
pub(crate) fn paused(cluster: &DynamicObject) -> bool {
    cluster.data.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false)
}

/// The name of the cluster's infrastructure.
pub(crate) fn infrastructure(object: &DynamicObject) -> Option<&str> {
    text(object, "/spec/infrastructureRef/name")
}

/// The kind of the object's infrastructure.
pub(crate) fn infrastructure_kind(object: &DynamicObject) -> Option<&str> {
    text(object, "/spec/infrastructureRef/kind")
}

/// The Secret with a machine's bootstrap data.
pub(crate) fn bootstrap_secret(machine: &DynamicObject) -> Option<&str> {
    text(machine, "/spec/bootstrap/dataSecretName")
}

/// A machine's Kubernetes version.
pub(crate) fn version(machine: &DynamicObject) -> Option<&str> {
    text(machine, "/spec/version")
}

/// Whether the machine's Node has joined.
pub(crate) fn joined(machine: &DynamicObject) -> bool {
    text(machine, "/status/nodeRef/name").is_some()
}

/// The name of a machine's cluster.
pub(crate) fn cluster_name(machine: &DynamicObject) -> Option<String> {
    text(machine, "/spec/clusterName")
        .map(ToOwned::to_owned)
        .or_else(|| machine.labels().get(api::CLUSTER_NAME_LABEL).cloned())
}

/// The owner of that kind among Cluster API's.
pub(crate) fn owner(meta: &kube::api::ObjectMeta, kind: &str) -> Option<String> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let ours = |owner: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
        owner.kind == kind && owner.api_version.starts_with("cluster.x-k8s.io/")
    };
    owners.iter().find(ours).map(|owner| owner.name.clone())
}
