//! Carries out a step. Only writes; each write names the version that it was decided on, where it could undo another's.

use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use plan::node::{Change, Plan, Step, Taint};
use serde_json::{Value, json};

use super::object;
use crate::run::{Context, Error, FIELD_MANAGER};

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acted {
    /// There was none, or it is done.
    Done,
    /// The Node has changed, or gone, since it was decided: nothing is written, and it is decided anew.
    Outdated,
}

pub(super) async fn act(ctx: &Context, object: &v1::Node, plan: &Plan) -> Result<Acted, Error> {
    let nodes: Api<v1::Node> = Api::all(ctx.kube.clone());
    let acted = carry_out(&nodes, object, plan).await;
    match acted {
        Ok(()) => Ok(Acted::Done),
        Err(Error::Kube { source, .. }) if matches!(&*source, kube::Error::Api(status) if matches!(status.code, 404 | 409)) => {
            Ok(Acted::Outdated)
        }
        Err(why) => Err(why),
    }
}

async fn carry_out(nodes: &Api<v1::Node>, object: &v1::Node, plan: &Plan) -> Result<(), Error> {
    match &plan.step {
        None => Ok(()),
        Some(Step::Write(change)) => write(nodes, object, change).await,
        Some(Step::Delete(gone)) => {
            let meta = &object.metadata;
            let preconditions =
                Preconditions { uid: meta.uid.clone(), resource_version: meta.resource_version.clone() };
            let params = DeleteParams::default().preconditions(preconditions);
            let deleted = nodes.delete(gone.node(), &params).await;
            deleted.map(|_| ()).map_err(Error::kube("delete the Node"))
        }
    }
}

/// Addresses first: who waits for the taint to go finds them written.
async fn write(nodes: &Api<v1::Node>, object: &v1::Node, change: &Change) -> Result<(), Error> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut version = object.metadata.resource_version.clone();
    if let Some(addresses) = &change.addresses {
        let all: Vec<Value> =
            addresses.iter().map(|one| json!({"type": one.kind.word(), "address": one.address})).collect();
        let patch = json!({"status": {"addresses": all}});
        let written = nodes.patch_status(name, &params, &Patch::Merge(patch)).await;
        version = written.map_err(Error::kube("write the Node's addresses"))?.metadata.resource_version;
    }
    let patch = patch(object, change, version.as_deref());
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(());
    }
    let written = nodes.patch(name, &params, &Patch::Merge(patch)).await;
    written.map(|_| ()).map_err(Error::kube("write the Node"))
}

/// A merge patch of metadata and spec; empty if there is nothing of them to write.
fn patch(object: &v1::Node, change: &Change, version: Option<&str>) -> Value {
    let Change { provider_id, labels, annotations, add, remove, addresses: _ } = change;
    let mut patch = json!({});
    if !labels.is_empty() {
        patch["metadata"]["labels"] = json!(labels);
    }
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = json!(annotations);
    }
    if let Some(id) = provider_id {
        patch["spec"]["providerID"] = json!(id);
    }
    if !add.is_empty() || !remove.is_empty() {
        let has = object.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let kept = has.into_iter().filter(|one| !remove.iter().chain(add).any(|taint| object::is(one, *taint)));
        let added = add.iter().map(|taint: &Taint| v1::Taint {
            key: taint.key().to_owned(),
            value: taint.value().map(ToOwned::to_owned),
            effect: taint.effect().to_owned(),
            time_added: None,
        });
        patch["spec"]["taints"] = json!(kept.chain(added).collect::<Vec<_>>());
        // The list is written whole: only over the one that was read.
        patch["metadata"]["resourceVersion"] = json!(version);
    }
    patch
}

#[cfg(test)]
mod test {
    use super::*;

    fn node(taints: &Value) -> v1::Node {
        serde_json::from_value(json!({
            "metadata": {"name": "w-0", "resourceVersion": "7"}, "spec": {"taints": taints},
        }))
        .unwrap()
    }

    #[test]
    fn taints_of_others_stay_and_the_list_is_written_over_the_one_that_was_read() {
        let node = node(&json!([
            {"key": Taint::Uninitialized.key(), "value": "true", "effect": "NoSchedule"},
            {"key": "dedicated", "value": "db", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"},
        ]));
        let change =
            Change { remove: [Taint::Uninitialized].into(), add: [Taint::OutOfService].into(), ..Change::default() };
        let patch = patch(&node, &change, Some("8"));
        assert_eq!(
            patch,
            json!({"metadata": {"resourceVersion": "8"}, "spec": {"taints": [
                {"key": "dedicated", "value": "db", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"},
                {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"},
            ]}})
        );
    }

    #[test]
    fn labels_alone_need_no_version() {
        let change = Change { labels: [("a".to_owned(), "b".to_owned())].into(), ..Change::default() };
        assert_eq!(patch(&node(&json!([])), &change, Some("8")), json!({"metadata": {"labels": {"a": "b"}}}));
    }
}
