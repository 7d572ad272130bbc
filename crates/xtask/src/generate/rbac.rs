//! What each role may do in Kubernetes. The demo applies this file as it is; the chart includes it with
//! its own namespace.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Where the chart is installed by default. The chart puts its own namespace in its place.
const NAMESPACE: &str = "oxmox-system";

/// The provider of Cluster API.
pub(super) fn capi() -> Result<String> {
    role(
        "capi",
        &json!([
            {"apiGroups": ["infrastructure.cluster.x-k8s.io"], "resources": ["proxmoxclusters", "proxmoxmachines"], "verbs": ["get", "list", "watch", "patch", "update"]},
            {"apiGroups": ["infrastructure.cluster.x-k8s.io"], "resources": ["proxmoxclusters/status", "proxmoxmachines/status"], "verbs": ["patch", "update"]},
            {"apiGroups": ["infrastructure.cluster.x-k8s.io"], "resources": ["proxmoxclusters/finalizers", "proxmoxmachines/finalizers"], "verbs": ["update"]},
            {"apiGroups": ["cluster.x-k8s.io"], "resources": ["clusters", "machines"], "verbs": ["get", "list", "watch"]},
            // bootstrap data and credentials: by name only, never listed
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]),
    )
}

/// The cloud controller manager.
pub(super) fn ccm() -> Result<String> {
    role(
        "ccm",
        &json!([
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]),
    )
}

/// The exporter, which tells which guest is which Machine, Node and PersistentVolume.
pub(super) fn exporter() -> Result<String> {
    role_with(
        "exporter",
        &json!([
            {"apiGroups": [""], "resources": ["nodes", "persistentvolumes"], "verbs": ["list"]},
            {"apiGroups": ["cluster.x-k8s.io"], "resources": ["machines"], "verbs": ["list"]},
            {"apiGroups": ["infrastructure.cluster.x-k8s.io"], "resources": ["proxmoxmachines"], "verbs": ["list"]},
        ]),
        // no Lease: any number of them may run
        &json!([]),
    )
}

/// The controller of the storage driver. It asks Kubernetes for nothing: the rights are those of the sidecars, which
/// share its pod and so its account.
pub(super) fn csi_controller() -> Result<String> {
    let read = ["get", "list", "watch"];
    let snapshots = "snapshot.storage.k8s.io";
    role_with(
        "csi-controller",
        &json!([
            // external-provisioner makes and deletes them, external-attacher and external-resizer mark them
            {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch", "update", "patch"]},
            {"apiGroups": [""], "resources": ["persistentvolumeclaims/status"], "verbs": ["update", "patch"]},
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": read},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch", "create", "update", "patch"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses", "csinodes", "volumeattributesclasses"], "verbs": read},
            // external-attacher
            {"apiGroups": ["storage.k8s.io"], "resources": ["volumeattachments"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["volumeattachments/status"], "verbs": ["patch"]},
            // external-snapshotter, and external-provisioner for volumes out of snapshots
            {"apiGroups": [snapshots], "resources": ["volumesnapshotclasses"], "verbs": read},
            {"apiGroups": [snapshots], "resources": ["volumesnapshots"], "verbs": ["get", "list", "watch", "update"]},
            {"apiGroups": [snapshots], "resources": ["volumesnapshotcontents"], "verbs": ["get", "list", "watch", "update", "patch"]},
            {"apiGroups": [snapshots], "resources": ["volumesnapshotcontents/status"], "verbs": ["update", "patch"]},
        ]),
        &json!([
            lease(),
            // how much room storages have, for the scheduler; owned by the Deployment, found through pod and ReplicaSet
            {"apiGroups": ["storage.k8s.io"], "resources": ["csistoragecapacities"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]},
        ]),
    )
}

/// The node plugin of the storage driver, which reads region and zone of its own Node.
pub(super) fn csi_node() -> Result<String> {
    role_with("csi-node", &json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]), &json!([]))
}

fn lease() -> Value {
    json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "patch"]})
}

/// ServiceAccount, rights in all namespaces, and the Lease in its own.
fn role(component: &str, rules: &Value) -> Result<String> {
    role_with(component, rules, &json!([lease()]))
}

/// ServiceAccount, rights in all namespaces, and rights in its own.
fn role_with(component: &str, rules: &Value, own_rules: &Value) -> Result<String> {
    let name = format!("oxmox-{component}");
    let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]);
    let labels = json!({"app.kubernetes.io/name": "oxmox", "app.kubernetes.io/component": component});
    let objects = [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels},
            "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": subject,
        }),
    ];
    let own = [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "rules": own_rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": subject,
        }),
    ];
    let mut text = String::from("# Generated by `cargo xtask gen`.\n");
    let has_own = own_rules.as_array().is_some_and(|rules| !rules.is_empty());
    for object in objects.iter().chain(own.iter().filter(|_| has_own)) {
        text.push_str("---\n");
        text.push_str(&yaml(object)?);
        text.push('\n');
    }
    Ok(text)
}

fn yaml(object: &Value) -> Result<String> {
    Ok(serde_saphyr::to_string(object).context("print YAML")?.trim_end().to_owned())
}
