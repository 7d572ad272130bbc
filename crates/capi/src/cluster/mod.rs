//! One pass over one `ProxmoxCluster`: is Proxmox VE there, and has it what the spec names?

use std::sync::Arc;

use api::{ClusterReason, ConditionType, Initialization, ProxmoxCluster, ProxmoxClusterStatus};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use plan::cluster::{Observed, Plan, keep, remove};
use plan::machine::Truth;
use plan::{Again, Seen, Severity};
use serde_json::json;

use crate::run::{Context, Error, FIELD_MANAGER};
use crate::{condition, core, machine};

/// One pass.
pub(crate) async fn reconcile(namespace: &str, name: &str, ctx: Arc<Context>) -> Result<Action, Error> {
    let clusters: Api<ProxmoxCluster> = Api::namespaced(ctx.kube.clone(), namespace);
    let Some(cluster) = clusters.get_opt(name).await.map_err(Error::kube("read the ProxmoxCluster"))? else {
        return Ok(Action::await_change());
    };
    let deleted = cluster.metadata.deletion_timestamp.is_some();
    let ours = cluster.finalizers().iter().any(|finalizer| finalizer == api::CLUSTER_FINALIZER);
    if cluster.labels().contains_key(api::MANAGED_BY_LABEL) || (deleted && !ours) || !ctx.concerns(cluster.labels()) {
        return Ok(Action::await_change());
    }
    let owner = match core::owner(&cluster.metadata, "Cluster") {
        Some(name) => {
            let owners: Api<DynamicObject> = Api::namespaced_with(ctx.kube.clone(), namespace, &ctx.kinds.cluster);
            owners.get_opt(&name).await.map_err(Error::kube("read the Cluster"))?
        }
        None => None,
    };
    if cluster.annotations().contains_key(api::PAUSED_ANNOTATION) || owner.as_ref().is_some_and(core::paused) {
        let mut status = cluster.status.clone().unwrap_or_default();
        let generation = cluster.metadata.generation;
        let reason = ClusterReason::Paused;
        condition::set(
            &mut status.conditions,
            ConditionType::Paused,
            Truth::True,
            &reason,
            "",
            generation,
            machine::now(),
        );
        write(&clusters, &cluster, status).await?;
        return Ok(Action::await_change());
    }
    let seen = observe(&ctx, &cluster, owner.is_some()).await;
    let plan = if deleted { remove(&seen) } else { keep(&cluster, &seen) };
    if plan.let_go {
        finalizer(&clusters, &cluster, false).await?;
        return Ok(Action::await_change());
    }
    if !deleted && !ours && owner.is_some() {
        finalizer(&clusters, &cluster, true).await?;
    }
    publish(&ctx, &clusters, &cluster, &plan).await?;
    Ok(match plan.again {
        Again::OnChange => Action::await_change(),
        Again::Now => Action::requeue(std::time::Duration::ZERO),
        Again::After(wait) => Action::requeue(wait),
    })
}

async fn observe(ctx: &Context, cluster: &ProxmoxCluster, owned: bool) -> Observed {
    let connection = ctx.connections.of(cluster).await;
    let inventory = match &connection {
        Ok(connection) => match ctx.inventories.read(connection, &connection.poller.snapshot()) {
            Seen::Known(inventory) => Seen::Known((*inventory).clone()),
            Seen::Absent => Seen::Absent,
            Seen::Unasked => Seen::Unasked,
            Seen::Unread(why) => Seen::Unread(why),
        },
        Err(_) => Seen::Unasked,
    };
    let name = core::owner(&cluster.metadata, "Cluster");
    let label = name.or_else(|| cluster.labels().get(api::CLUSTER_NAME_LABEL).cloned());
    let namespace = cluster.namespace();
    let mut machines = 0;
    ctx.each_machine(|machine| {
        let ours = label.is_some() && machine.labels().get(api::CLUSTER_NAME_LABEL) == label.as_ref();
        machines += usize::from(ours && machine.namespace() == namespace);
    });
    Observed { owned, credentials: connection.map(|_| ()), inventory, machines }
}

async fn finalizer(clusters: &Api<ProxmoxCluster>, cluster: &ProxmoxCluster, wanted: bool) -> Result<(), Error> {
    let mut finalizers = cluster.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != api::CLUSTER_FINALIZER);
    if wanted {
        finalizers.push(api::CLUSTER_FINALIZER.into());
    }
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": cluster.resource_version()}});
    clusters
        .patch(&cluster.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(Error::kube("write the finalizer of the ProxmoxCluster"))?;
    Ok(())
}

async fn publish(
    ctx: &Context,
    clusters: &Api<ProxmoxCluster>,
    cluster: &ProxmoxCluster,
    plan: &Plan,
) -> Result<(), Error> {
    let mut status = cluster.status.clone().unwrap_or_default();
    let before = status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| (c.reason.clone(), c.message.clone()));
    let generation = cluster.metadata.generation;
    let now = machine::now();
    let provisioned = status.initialization.as_ref().and_then(|init| init.provisioned).unwrap_or(false);
    let truth = match (plan.ready, plan.reason) {
        (true, _) => Truth::True,
        // It was there, and could not be looked at: that says nothing of it.
        (false, ClusterReason::ProxmoxUnreachable) if provisioned => Truth::Unknown,
        (false, _) => Truth::False,
    };
    for kind in [ConditionType::Ready, ConditionType::ProxmoxAvailable] {
        condition::set(&mut status.conditions, kind, truth, &plan.reason, &plan.message, generation, now);
    }
    let reason = ClusterReason::NotPaused;
    condition::set(&mut status.conditions, ConditionType::Paused, Truth::False, &reason, "", generation, now);
    if plan.ready {
        status.initialization = Some(Initialization { provisioned: Some(true) });
        status.ready = Some(true);
    }
    let reason = plan.reason.to_string();
    if before != Some((reason.clone(), plan.message.clone())) {
        let severity = if plan.ready { Severity::Info } else { Severity::Warning };
        tracing::info!(cluster = %cluster.name_any(), %reason, "{}", plan.message);
        ctx.event(cluster, severity, &reason, &plan.message).await;
    }
    write(clusters, cluster, status).await
}

async fn write(
    clusters: &Api<ProxmoxCluster>,
    cluster: &ProxmoxCluster,
    status: ProxmoxClusterStatus,
) -> Result<(), Error> {
    if cluster.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
        "kind": "ProxmoxCluster",
        "metadata": {"name": cluster.name_any()},
        "status": status,
    });
    clusters
        .patch_status(&cluster.name_any(), &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch))
        .await
        .map_err(Error::kube("write the status of the ProxmoxCluster"))?;
    Ok(())
}
