//! Who may pass: machines with an owner that are not paused, nor managed by something else. Everybody else is left alone.

use api::{MachineReason, ProxmoxCluster, ProxmoxMachine};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Scope;
use crate::core;
use crate::run::{Context, Error};

/// Whether a pass goes on.
pub(super) enum Gate {
    /// It does.
    Open(Box<Scope>),
    /// It does not, and nothing is written.
    Shut,
    /// It does not, and the object is told why.
    Waits { machine: Box<ProxmoxMachine>, reason: MachineReason, message: String },
}

pub(super) async fn open(
    ctx: &Context,
    machines: &Api<ProxmoxMachine>,
    machine: ProxmoxMachine,
) -> Result<Gate, Error> {
    let namespace = machine.namespace().unwrap_or_default();
    let deleted = machine.metadata.deletion_timestamp.is_some();
    let ours = machine.finalizers().iter().any(|finalizer| finalizer == api::MACHINE_FINALIZER);
    if machine.labels().contains_key(api::MANAGED_BY_LABEL) || (deleted && !ours) || !ctx.concerns(machine.labels()) {
        return Ok(Gate::Shut);
    }
    let owner_name = core::owner(&machine.metadata, "Machine");
    let owner = match &owner_name {
        Some(name) => get(ctx, &ctx.kinds.machine, &namespace, name).await?,
        None => None,
    };
    let cluster_name =
        owner.as_ref().and_then(core::cluster_name).or_else(|| machine.labels().get(api::CLUSTER_NAME_LABEL).cloned());
    let core_cluster = match &cluster_name {
        Some(name) => get(ctx, &ctx.kinds.cluster, &namespace, name).await?,
        None => None,
    };
    let paused =
        machine.annotations().contains_key(api::PAUSED_ANNOTATION) || core_cluster.as_ref().is_some_and(core::paused);
    if paused {
        let message = "paused by Cluster.spec.paused or the annotation cluster.x-k8s.io/paused".into();
        return Ok(Gate::Waits { machine: Box::new(machine), reason: MachineReason::Paused, message });
    }
    let cluster = match core_cluster.as_ref().and_then(core::infrastructure) {
        Some(name) => {
            let clusters: Api<ProxmoxCluster> = Api::namespaced(ctx.kube.clone(), &namespace);
            clusters.get_opt(name).await.map_err(Error::kube("read the ProxmoxCluster"))?
        }
        None => None,
    };
    if !deleted && (owner.is_none() || core_cluster.is_none()) {
        let message = match (&owner_name, &cluster_name) {
            (None, _) => "waiting for a Machine to own this".to_owned(),
            (Some(name), None) => format!("Machine `{name}` names no cluster"),
            (Some(name), Some(cluster)) => format!("waiting for Machine `{name}` and Cluster `{cluster}` to be there"),
        };
        return Ok(Gate::Waits { machine: Box::new(machine), reason: MachineReason::WaitingForOwner, message });
    }
    if !deleted && cluster.is_none() {
        let message = "waiting for the Cluster's ProxmoxCluster to be there".into();
        let reason = MachineReason::WaitingForClusterInfrastructureReady;
        return Ok(Gate::Waits { machine: Box::new(machine), reason, message });
    }
    let machine = if deleted || ours { machine } else { finalize(machines, machine).await? };
    Ok(Gate::Open(Box::new(Scope { machine, owner, cluster })))
}

/// The finalizer stands before anything is made that would have to be cleaned up.
async fn finalize(machines: &Api<ProxmoxMachine>, machine: ProxmoxMachine) -> Result<ProxmoxMachine, Error> {
    let mut finalizers = machine.finalizers().to_vec();
    finalizers.push(api::MACHINE_FINALIZER.into());
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": machine.resource_version()}});
    machines
        .patch(&machine.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(Error::kube("add our finalizer to the ProxmoxMachine"))
}

async fn get(
    ctx: &Context,
    kind: &kube::api::ApiResource,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    let objects: Api<DynamicObject> = Api::namespaced_with(ctx.kube.clone(), namespace, kind);
    objects.get_opt(name).await.map_err(Error::kube("read Cluster API's objects"))
}
