//! The part of leaving that the cluster has: no new pods, the old ones evicted as their budgets allow, no Node.
//!
//! * Promises: a pod that nothing would make again is not evicted unasked; a refusal by a PodDisruptionBudget is waited for,
//!   never gone round; the Node is deleted last.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use tokio::time::Instant;

use crate::run::pause;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is to become of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes with its Node: a DaemonSet's, a static pod, or one that has ended.
    Stays,
    /// It is evicted.
    Evict,
    /// It is evicted, and is on its way.
    Going,
    /// Nothing would make it again.
    Bare,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call.
    #[error("{what}")]
    Call {
        /// What we were doing.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Pods that nothing would make again.
    #[error("drain: nothing would make these pods again: {0}\nhint: delete them, or leave with --force")]
    Bare(String),
    /// Not in time.
    #[error("drain: after {} s there are still {pods}\nhint: a PodDisruptionBudget may hold them: `kubectl get pdb -A`", .within.as_secs())]
    Late {
        /// Which.
        pods: String,
        /// How long was waited.
        within: Duration,
    },
}

fn call(what: String) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Call { what, source: Box::new(source) }
}

/// What is to become of a pod.
pub fn fate(pod: &Pod, forced: bool) -> Fate {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    match owner {
        _ if pod.annotations().contains_key(MIRROR) => Fate::Stays,
        _ if matches!(phase, Some("Succeeded" | "Failed")) => Fate::Stays,
        Some(owner) if owner.kind == "DaemonSet" => Fate::Stays,
        _ if pod.metadata.deletion_timestamp.is_some() => Fate::Going,
        None if !forced => Fate::Bare,
        Some(_) | None => Fate::Evict,
    }
}

/// Cordons and empties the Node. A Node that is not there is empty.
pub async fn drain(
    client: &Client,
    node: &str,
    forced: bool,
    within: Duration,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let there = nodes.get_opt(node).await.map_err(call(format!("read Node `{node}`")))?;
    if there.is_none() {
        return Ok(());
    }
    let cordon = serde_json::json!({"spec": {"unschedulable": true}});
    nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(cordon))
        .await
        .map_err(call(format!("cordon Node `{node}`")))?;
    tell(&format!("Node `{node}` takes no new pods"));
    let until = Instant::now() + within;
    let all: Api<Pod> = Api::all(client.clone());
    let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    loop {
        let pods = all.list(&on_node).await.map_err(call(format!("list the pods of Node `{node}`")))?;
        let of = |wanted: Fate| pods.iter().filter(move |pod| fate(pod, forced) == wanted);
        let bare: Vec<String> = of(Fate::Bare).map(shown).collect();
        if !bare.is_empty() {
            return Err(Error::Bare(bare.join(", ")));
        }
        let left: Vec<String> = of(Fate::Evict).chain(of(Fate::Going)).map(shown).collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Error::Late { pods: left.join(", "), within });
        }
        for pod in of(Fate::Evict) {
            let own: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            match own.evict(&pod.name_any(), &EvictParams::default()).await {
                Ok(_) => tell(&format!("pod {} is evicted", shown(pod))),
                // 404: it has gone; 429: its budget says not now
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 429) => {}
                Err(why) => return Err(call(format!("evict pod {}", shown(pod)))(why)),
            }
        }
        pause(Duration::from_secs(1)).await;
    }
}

/// Deletes the Node.
pub async fn delete_node(client: &Client, node: &str) -> Result<(), Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    match nodes.delete(node, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(why) => Err(call(format!("delete Node `{node}`"))(why)),
    }
}

fn shown(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

#[cfg(test)]
mod test {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: &Value, phase: &str) -> Pod {
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
    }

    fn owned(kind: &str) -> Value {
        json!({"name": "p", "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "1", "controller": true}]})
    }

    #[test]
    fn only_what_comes_again_elsewhere_is_evicted() {
        let bare = json!({"name": "p"});
        assert_eq!(fate(&pod(&owned("ReplicaSet"), "Running"), false), Fate::Evict);
        assert_eq!(fate(&pod(&owned("DaemonSet"), "Running"), true), Fate::Stays);
        assert_eq!(fate(&pod(&bare, "Running"), false), Fate::Bare);
        assert_eq!(fate(&pod(&bare, "Running"), true), Fate::Evict);
        assert_eq!(fate(&pod(&bare, "Succeeded"), false), Fate::Stays);
        let mirror = json!({"name": "p", "annotations": {MIRROR: "x"}});
        assert_eq!(fate(&pod(&mirror, "Running"), true), Fate::Stays);
        let mut going = owned("ReplicaSet");
        going["deletionTimestamp"] = json!("2026-11-26T08:00:00Z");
        assert_eq!(fate(&pod(&going, "Running"), false), Fate::Going);
    }
}
