//! Reading the management cluster.

use std::collections::BTreeSet;

use api::{CLUSTER_NAME_LABEL, ProxmoxCluster, ProxmoxMachine, ProxmoxMachineTemplate};
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, ResourceExt, discovery};
use serde_json::Value;

use super::{Sources, of_kube};
use crate::evidence::{Cause, ClusterSeen, MachineSeen, MachineTemplateSeen, Management, Read};

/// Kinds that want machines: group and kind.
const OWNERS: [(&str, &str); 2] =
    [("cluster.x-k8s.io", "MachineDeployment"), ("controlplane.cluster.x-k8s.io", "KubeadmControlPlane")];

/// What wants machines, how many, and the template that it makes them from.
struct Owner {
    what: String,
    replicas: u32,
    template: Option<String>,
}

/// Reads everything but the UIDs of all machines, and says which cluster it is about.
pub(super) async fn read(sources: &Sources) -> (Management, Option<String>) {
    let named = sources.cluster.clone();
    let Some(client) = &sources.kube else {
        return (unread(&Read::<()>::not_asked("no management cluster was given")), named);
    };
    let namespace = sources.namespace.as_str();
    let version = of_kube(client.apiserver_version().await).map(|info| info.git_version);
    if let Read::Unread { cause, why } = &version {
        return (unread(&Read::<()>::unread(*cause, why.clone())), named);
    }
    let cluster = cluster(client, namespace, named.as_deref()).await;
    let name = match &cluster {
        Read::Known((name, _)) => Some(name.clone()),
        Read::Unread { .. } => named,
    };
    let cluster = cluster.map(|(_, seen)| seen);
    let Some(label) = name.clone() else {
        let why = "it is not known which cluster is meant";
        return (Management { version, cluster, ..unread(&Read::<()>::not_asked(why)) }, name);
    };
    let of_cluster = ListParams::default().labels(&format!("{CLUSTER_NAME_LABEL}={label}"));
    let (machines, owners, all_machines) =
        tokio::join!(machines(client, namespace, &of_cluster), owners(client, namespace, &of_cluster), uids(client));
    let templates = templates(client, namespace, &label, owners.known()).await;
    let replicas = owners.map(|all| all.into_iter().map(|owner| (owner.what, owner.replicas)).collect());
    (Management { version, cluster, machines, all_machines, templates, replicas }, name)
}

/// Reads the UIDs of all machines once more: a machine that came or went while VMs were read counts as known.
pub(super) async fn again(sources: &Sources, management: &mut Management) {
    let Some(client) = &sources.kube else { return };
    if let Read::Known(before) = &mut management.all_machines
        && let Read::Known(after) = uids(client).await
    {
        let all: BTreeSet<String> = before.drain(..).chain(after).collect();
        before.extend(all);
    }
}

fn unread<T>(why: &Read<T>) -> Management {
    fn same<T, U>(why: &Read<T>) -> Read<U> {
        match why {
            Read::Known(_) => Read::not_asked("nobody asked"),
            Read::Unread { cause, why } => Read::unread(*cause, why.clone()),
        }
    }
    Management {
        version: same(why),
        cluster: same(why),
        machines: same(why),
        all_machines: same(why),
        templates: same(why),
        replicas: same(why),
    }
}

async fn cluster(client: &Client, namespace: &str, named: Option<&str>) -> Read<(String, ClusterSeen)> {
    let clusters: Api<ProxmoxCluster> = Api::namespaced(client.clone(), namespace);
    let all = match of_kube(clusters.list(&ListParams::default()).await) {
        Read::Known(all) => all,
        Read::Unread { cause, why } => return Read::unread(cause, format!("ProxmoxClusters in `{namespace}`: {why}")),
    };
    let name_of =
        |one: &ProxmoxCluster| one.labels().get(CLUSTER_NAME_LABEL).cloned().unwrap_or_else(|| one.name_any());
    let there: Vec<String> = all.iter().map(name_of).collect();
    let list = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    let found: Vec<ProxmoxCluster> = all
        .into_iter()
        .filter(|one| named.is_none_or(|named| name_of(one) == named || one.name_any() == named))
        .collect();
    match (found.len(), named) {
        (1, _) => {}
        (0, Some(named)) => {
            let why = format!("namespace `{namespace}` has no ProxmoxCluster of cluster `{named}`; it has {list}");
            return Read::unread(Cause::Missing, why);
        }
        (0, None) => return Read::unread(Cause::Missing, format!("namespace `{namespace}` has no ProxmoxCluster")),
        (_, _) => {
            let why = format!("namespace `{namespace}` has several clusters, name one of: {list}");
            return Read::not_asked(why);
        }
    }
    let one = found.into_iter().next();
    one.map_or_else(
        || Read::not_asked("nobody asked"),
        |one| Read::Known((name_of(&one), ClusterSeen { name: one.name_any(), spec: one.spec })),
    )
}

async fn machines(client: &Client, namespace: &str, of_cluster: &ListParams) -> Read<Vec<MachineSeen>> {
    let machines: Api<ProxmoxMachine> = Api::namespaced(client.clone(), namespace);
    let seen = |one: ProxmoxMachine| MachineSeen {
        namespace: one.namespace().unwrap_or_default(),
        name: one.name_any(),
        uid: one.uid().unwrap_or_default(),
        created: one.metadata.creation_timestamp.as_ref().map(|time| time.0),
        deleting: one.metadata.deletion_timestamp.is_some(),
        spec: one.spec,
        status: one.status.unwrap_or_default(),
    };
    of_kube(machines.list(of_cluster).await).map(|all| all.into_iter().map(seen).collect())
}

async fn uids(client: &Client) -> Read<Vec<String>> {
    let machines: Api<ProxmoxMachine> = Api::all(client.clone());
    let all = of_kube(machines.list_metadata(&ListParams::default()).await);
    all.map(|all| all.into_iter().filter_map(|one| one.metadata.uid).collect())
}

/// The templates that something makes machines from; without such a thing all that belong to the cluster.
async fn templates(
    client: &Client,
    namespace: &str,
    cluster: &str,
    owners: Option<&Vec<Owner>>,
) -> Read<Vec<MachineTemplateSeen>> {
    let templates: Api<ProxmoxMachineTemplate> = Api::namespaced(client.clone(), namespace);
    let all = of_kube(templates.list(&ListParams::default()).await);
    let used: BTreeSet<&str> = owners.into_iter().flatten().filter_map(|owner| owner.template.as_deref()).collect();
    let ours = |one: &ProxmoxMachineTemplate| {
        let labelled = one.labels().get(CLUSTER_NAME_LABEL).is_some_and(|label| label == cluster);
        let owned = one.owner_references().iter().any(|owner| owner.kind == "Cluster" && owner.name == cluster);
        if used.is_empty() { labelled || owned } else { used.contains(one.name_any().as_str()) }
    };
    let seen = |one: ProxmoxMachineTemplate| MachineTemplateSeen { name: one.name_any(), spec: one.spec.template.spec };
    all.map(|all| all.into_iter().filter(|one| ours(one)).map(seen).collect())
}

async fn owners(client: &Client, namespace: &str, of_cluster: &ListParams) -> Read<Vec<Owner>> {
    let mut owners = Vec::new();
    for (group, kind) in OWNERS {
        let found = match of_kube(discovery::oneshot::group(client, group).await) {
            Read::Known(found) => found.recommended_kind(kind),
            Read::Unread { cause, why } => return Read::unread(cause, format!("kinds of `{group}`: {why}")),
        };
        let Some((resource, _)) = found else {
            return Read::unread(Cause::Missing, format!("`{group}` has no kind {kind}"));
        };
        let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        match of_kube(objects.list(of_cluster).await) {
            Read::Known(all) => owners.extend(all.iter().map(|one| owner(kind, one))),
            Read::Unread { cause, why } => return Read::unread(cause, why),
        }
    }
    Read::Known(owners)
}

fn owner(kind: &str, object: &DynamicObject) -> Owner {
    // v1beta2 and v1beta1 of the control plane, then the deployment
    const TEMPLATES: [&str; 3] = [
        "/spec/machineTemplate/spec/infrastructureRef/name",
        "/spec/machineTemplate/infrastructureRef/name",
        "/spec/template/spec/infrastructureRef/name",
    ];
    let text = |path: &&str| object.data.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let replicas = object.data.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    Owner {
        what: format!("{kind}/{}", object.name_any()),
        replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        template: TEMPLATES.iter().find_map(text),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_wants_machines_names_its_template_in_either_contract() {
        let object = |spec: Value| {
            let text = serde_json::json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "a"}, "spec": spec});
            serde_json::from_value::<DynamicObject>(text).unwrap()
        };
        let reference = serde_json::json!({"name": "t"});
        for spec in [
            serde_json::json!({"replicas": 3, "machineTemplate": {"spec": {"infrastructureRef": reference}}}),
            serde_json::json!({"replicas": 3, "machineTemplate": {"infrastructureRef": reference}}),
            serde_json::json!({"replicas": 3, "template": {"spec": {"infrastructureRef": reference}}}),
        ] {
            let owner = owner("X", &object(spec));
            assert_eq!((owner.what.as_str(), owner.replicas, owner.template.as_deref()), ("X/a", 3, Some("t")));
        }
    }
}
