//! What wakes a pass beside a change of the object itself.

use api::{ProxmoxCluster, ProxmoxMachine};
use kube::api::{DynamicObject, ListParams, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt as _};
use pve_types::Vmid;

use crate::core;
use crate::run::Context;
use crate::settings::Settings;

fn reference<K: kube::Resource<DynamicType = ()>>(object: &K) -> ObjectRef<K> {
    ObjectRef::from_obj(object)
}

/// The machines that a change on Proxmox VE concerns.
pub(crate) fn machines_of_change(ctx: &Context, changes: &pve::Changes) -> Vec<ObjectRef<ProxmoxMachine>> {
    let mut concerned = Vec::new();
    ctx.each_machine(|machine| {
        let uid = machine.uid().unwrap_or_default();
        let (task, reserved) = ctx
            .memory
            .with(&uid, |progress| (progress.task.clone(), progress.reserved.as_ref().map(|reserved| reserved.vmid)));
        let written = machine.spec.virtual_machine_id.or(machine.status.as_ref().and_then(|s| s.reserved_vmid));
        let vmid = written.and_then(|n| Vmid::try_from(u32::try_from(n).ok()?).ok()).or(reserved);
        // A machine that has no VMID yet waits for something that any change may bring: a template, a node, room.
        let waits = vmid.is_none() && changes.tasks.is_empty();
        if waits
            || task.is_some_and(|task| changes.tasks.contains(&task))
            || vmid.is_some_and(|vmid| changes.concerns(vmid))
        {
            concerned.push(reference(machine));
        }
    });
    concerned
}

/// The infrastructure of one of Cluster API's `Machine`s.
pub(crate) fn machine_of_machine(machine: &DynamicObject) -> Option<ObjectRef<ProxmoxMachine>> {
    let name =
        core::infrastructure(machine).filter(|_| core::infrastructure_kind(machine) == Some("ProxmoxMachine"))?;
    Some(ObjectRef::new(name).within(&machine.namespace()?))
}

/// All machines of a cluster, by its label.
pub(crate) fn machines_of_cluster(
    ctx: &Context,
    namespace: Option<&str>,
    cluster: &str,
) -> Vec<ObjectRef<ProxmoxMachine>> {
    let mut all = Vec::new();
    ctx.each_machine(|machine| {
        if machine.metadata.namespace.as_deref() == namespace
            && machine.labels().get(api::CLUSTER_NAME_LABEL).is_some_and(|label| label == cluster)
        {
            all.push(reference(machine));
        }
    });
    all
}

/// The infrastructure of one of Cluster API's `Cluster`s.
pub(crate) fn cluster_of_cluster(cluster: &DynamicObject) -> Option<ObjectRef<ProxmoxCluster>> {
    let name =
        core::infrastructure(cluster).filter(|_| core::infrastructure_kind(cluster) == Some("ProxmoxCluster"))?;
    Some(ObjectRef::new(name).within(&cluster.namespace()?))
}

/// The `ProxmoxCluster` that a machine belongs to.
pub(crate) async fn clusters_of(ctx: &Context, kube: &Client, machine: &ObjectMeta) -> Vec<ObjectRef<ProxmoxCluster>> {
    let labels = machine.labels.as_ref();
    let (Some(name), Some(namespace)) =
        (labels.and_then(|labels| labels.get(api::CLUSTER_NAME_LABEL)), machine.namespace.as_deref())
    else {
        return Vec::new();
    };
    let clusters: Api<DynamicObject> = Api::namespaced_with(kube.clone(), namespace, &ctx.kinds.cluster);
    let cluster = clusters.get_opt(name).await.ok().flatten();
    cluster.as_ref().and_then(cluster_of_cluster).into_iter().collect()
}

/// All clusters.
pub(crate) async fn all_clusters(kube: &Client, settings: &Settings) -> Vec<ObjectRef<ProxmoxCluster>> {
    let clusters: Api<ProxmoxCluster> = match &settings.namespace {
        Some(namespace) => Api::namespaced(kube.clone(), namespace),
        None => Api::all(kube.clone()),
    };
    let list = clusters.list_metadata(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    list.iter()
        .filter_map(|meta| {
            Some(ObjectRef::new(meta.metadata.name.as_deref()?).within(meta.metadata.namespace.as_deref()?))
        })
        .collect()
}
