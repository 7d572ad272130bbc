//! Probes of Cilium's own policies, with the pods that are there already and one in the network of a node.
//!
//! Promises: nothing is made where no Cilium runs, that is its DaemonSet and its CiliumNetworkPolicies.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};

use super::objects::{ROLE, WEB};
use super::{HERE, NODES, Outcome, Probe, THERE, address, known, objects};
use crate::evidence::{Caller, Cause, CiliumSeen, CiliumStage, Connection, Read};
use crate::gather::of_kube;
use crate::gather::own::{MANAGED_BY, US, namespace_on_nodes, object};

impl Probe<'_> {
    /// Tries Cilium's policies, if Cilium is there.
    pub(super) async fn cilium(&self, image: &str) -> Read<Option<CiliumSeen>> {
        if !self.engines.iter().any(|engine| engine.ends_with("/cilium")) {
            return Read::Known(None);
        }
        match of_kube(self.cilium_policies().list(&ListParams::default().limit(1)).await) {
            Read::Known(_) => {}
            Read::Unread { cause: Cause::NotKnown | Cause::Missing, .. } => return Read::Known(None),
            Read::Unread { cause, why } => return Read::unread(cause, format!("read CiliumNetworkPolicies: {why}")),
        }
        if let Err((cause, why)) = self.node_calls(image).await {
            return Read::unread(cause, why);
        }
        let mut stages = BTreeMap::new();
        let outside = self.to.outside;
        for stage in CiliumStage::ALL.into_iter().filter(|stage| outside.is_some() || !stage.needs_outside()) {
            let read = match self.apply_cilium(stage).await {
                Ok(()) => Read::Known(self.look_at_cilium(stage).await),
                Err((cause, why)) => Read::unread(cause, why),
            };
            stages.insert(stage, read);
        }
        Read::Known(Some(CiliumSeen { outside: outside.map(|at| at.to_string()), stages }))
    }

    async fn look_at_cilium(&self, stage: CiliumStage) -> Vec<Connection> {
        // A node always reaches what it runs.
        let apart = self.server_node != self.client_node;
        let callers = if apart { &Caller::CILIUM[..] } else { &Caller::ALL };
        self.look((callers, self.to.targets()), |from, to| stage.opens(from, to)).await
    }

    fn cilium_policies(&self) -> Api<DynamicObject> {
        let kind = ApiResource {
            group: "cilium.io".to_owned(),
            version: "v2".to_owned(),
            api_version: "cilium.io/v2".to_owned(),
            kind: "CiliumNetworkPolicy".to_owned(),
            plural: "ciliumnetworkpolicies".to_owned(),
        };
        Api::namespaced_with(self.client.clone(), HERE, &kind)
    }

    /// A caller in the network of the callers' node.
    async fn node_calls(&self, image: &str) -> Outcome<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let made = namespaces.create(&PostParams::default(), &namespace_on_nodes(NODES)).await;
        known("make a namespace", of_kube(made))?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NODES);
        let caller = objects::caller(Caller::Node, image, &self.client_node, &self.to);
        known("make a pod in the network of its node", of_kube(pods.create(&PostParams::default(), &caller).await))?;
        address(&pods, Caller::Node.as_str()).await.map(drop)
    }

    /// Makes the stage's policy the only one.
    async fn apply_cilium(&self, stage: CiliumStage) -> Outcome<()> {
        let policies = self.cilium_policies();
        let wanted = policy(stage, self.to.outside);
        let there = known("read Cilium's policies", of_kube(policies.list(&ListParams::default()).await))?;
        for old in &there {
            if wanted.as_ref().is_none_or(|new| new.name_any() != old.name_any()) {
                let gone = policies.delete(&old.name_any(), &DeleteParams::default()).await;
                known("delete a policy of Cilium's", of_kube(gone).map(drop))?;
            }
        }
        let Some(mut new) = wanted else { return Ok(()) };
        let name = new.name_any();
        let written = match there.iter().find(|old| old.name_any() == name) {
            Some(old) => {
                new.metadata.resource_version = old.resource_version();
                policies.replace(&name, &PostParams::default(), &new).await
            }
            None => policies.create(&PostParams::default(), &new).await,
        };
        known("write a policy of Cilium's", of_kube(written)).map(drop)
    }
}

/// The policy that stands in a stage, in the server's namespace.
fn policy(stage: CiliumStage, outside: Option<SocketAddr>) -> Option<DynamicObject> {
    let ingress = |more: Value| of("server", "ingress", more);
    let foe = json!([{"matchLabels": {ROLE: "foe"}}]);
    match stage {
        CiliumStage::Deny => Some(ingress(json!({
            "ingress": [{"fromEntities": ["cluster"]}], "ingressDeny": [{"fromEndpoints": foe}],
        }))),
        CiliumStage::Nodes => Some(ingress(json!({"ingress": [{"fromEntities": ["host", "remote-node"]}]}))),
        CiliumStage::World => Some(ingress(json!({"ingress": [{"fromEntities": ["world"]}]}))),
        CiliumStage::EgressCidr => outside.map(|at| egress(at, at.port())),
        // Nobody listens on the discard port, and it need not matter: what is closed is the other one.
        CiliumStage::EgressPort => outside.map(|at| egress(at, if at.port() == 9 { 10 } else { 9 })),
        CiliumStage::Delete => None,
    }
}

/// What the foe may send: to an address by its CIDR, with a port; and to DNS and the control.
fn egress(at: SocketAddr, port: u16) -> DynamicObject {
    let cidr = format!("{}/{}", at.ip(), if at.is_ipv4() { 32 } else { 128 });
    let ports = |port: u16, protocols: &[&str]| -> Value {
        let one = |protocol: &&str| json!({"port": port.to_string(), "protocol": protocol});
        json!([{"ports": protocols.iter().map(one).collect::<Vec<_>>()}])
    };
    let control = json!({"k8s:io.kubernetes.pod.namespace": THERE, ROLE: "control"});
    let rules = json!([
        {"toEntities": ["cluster"], "toPorts": ports(53, &["UDP", "TCP"])},
        {"toEndpoints": [{"matchLabels": control}], "toPorts": ports(WEB, &["TCP"])},
        {"toCIDR": [cidr], "toPorts": ports(port, &["TCP"])},
    ]);
    of("foe", "egress", json!({"egress": rules}))
}

fn of(role: &str, name: &str, mut spec: Value) -> DynamicObject {
    spec["endpointSelector"] = json!({"matchLabels": {ROLE: role}});
    object(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": name, "labels": {MANAGED_BY: US}}, "spec": spec,
    }))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_stage_but_the_last_has_a_policy_that_is_marked_as_ours() {
        let outside = Some("10.0.0.3:8099".parse().unwrap());
        let all = CiliumStage::ALL.map(|stage| policy(stage, outside));
        let names: Vec<String> = all.iter().flatten().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["ingress", "ingress", "ingress", "egress", "egress"]);
        assert!(all[5].is_none());
        assert!(all.iter().flatten().all(|policy| policy.labels()[MANAGED_BY] == US));
    }

    #[test]
    fn the_two_policies_by_cidr_differ_in_nothing_but_the_port() {
        let at = "10.0.0.3:8099".parse().unwrap();
        let rule = |port| egress(at, port).data["spec"]["egress"][2].clone();
        assert_eq!(rule(8099)["toCIDR"], json!(["10.0.0.3/32"]));
        assert_eq!(rule(8099)["toPorts"][0]["ports"][0]["port"], "8099");
        assert_eq!(rule(9)["toPorts"][0]["ports"][0]["port"], "9");
    }
}
