//! The objects of the probes: servers, callers, and the policies of each stage.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use super::super::own::{MANAGED_BY, US, object};
use super::{HERE, THERE};
use crate::evidence::{Caller, PolicyStage, Target};

/// The label by which policies choose.
pub(super) const ROLE: &str = "oxmox-verify/role";
pub(super) const WEB: u16 = 8080;
const SIDE: u16 = 8081;

fn pod(name: &str, role: &str, image: &str, node: &str, script: &str) -> Pod {
    object(json!({
        "metadata": {"name": name, "labels": {MANAGED_BY: US, ROLE: role}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
            }],
        },
    }))
}

/// A pod that speaks HTTP on both ports; it has nothing to give, and says so.
pub(super) fn server(name: &str, image: &str, node: &str) -> Pod {
    pod(name, name, image, node, &format!("httpd -f -p {SIDE} -h /tmp & exec httpd -f -p {WEB} -h /tmp"))
}

/// Where a caller's calls go.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) server: String,
    pub(super) control: String,
    /// `IP:PORT`, outside of the cluster.
    pub(super) outside: Option<std::net::SocketAddr>,
}

impl Addresses {
    /// What is called, beside the control.
    pub(super) fn targets(&self) -> &'static [Target] {
        if self.outside.is_some() { &Target::CILIUM } else { &Target::ALL }
    }
}

/// A pod that calls everything, round after round.
pub(super) fn caller(caller: Caller, image: &str, node: &str, to: &Addresses) -> Pod {
    let Addresses { server, control, outside } = to;
    let service = format!("server.{HERE}.svc");
    let outside = outside.map(|at| format!("call outside {} {}; ", at.ip(), at.port())).unwrap_or_default();
    let script = format!(
        "n=0; call() {{ if printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 \"$2\" \"$3\" 2>/dev/null | grep -q HTTP; \
         then s=open; else s=closed; fi; echo \"$n $1 $s\"; }}; while :; do n=$((n+1)); call web {server} {WEB}; call side {server} {SIDE}; \
         call service {service} {WEB}; {outside}call control {control} {WEB}; echo \"$n end\"; sleep 0.2; done"
    );
    let mut pod = pod(caller.as_str(), caller.as_str(), image, node, &script);
    if let (Caller::Node, Some(spec)) = (caller, &mut pod.spec) {
        spec.host_network = Some(true);
        spec.dns_policy = Some("ClusterFirstWithHostNet".to_owned());
    }
    pod
}

pub(super) fn service() -> Service {
    object(json!({
        "metadata": {"name": "server", "labels": {MANAGED_BY: US}},
        "spec": {"selector": {ROLE: "server"}, "ports": [{"port": WEB}]},
    }))
}

/// The policies that stand in a stage, all in the server's namespace.
pub(super) fn policies(stage: PolicyStage) -> Vec<NetworkPolicy> {
    let friend = json!({"podSelector": {"matchLabels": {ROLE: "friend"}}});
    let other = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": THERE}}});
    let ingress = |rules: Value| policy("ingress", "server", json!({"policyTypes": ["Ingress"], "ingress": rules}));
    let egress = |more: Option<Value>| {
        let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
        let control = json!({"to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": THERE}},
            "podSelector": {"matchLabels": {ROLE: "control"}},
        }]});
        let rules: Vec<Value> = [dns, control].into_iter().chain(more).collect();
        policy("egress", "foe", json!({"policyTypes": ["Egress"], "egress": rules}))
    };
    match stage {
        PolicyStage::Connectivity | PolicyStage::Delete => vec![],
        PolicyStage::DenyAll => vec![ingress(json!([]))],
        PolicyStage::AllowOne => vec![ingress(json!([{"from": [friend]}]))],
        PolicyStage::Port => vec![ingress(json!([{"from": [friend], "ports": [{"port": WEB, "protocol": "TCP"}]}]))],
        PolicyStage::Namespace => vec![ingress(json!([{"from": [other]}]))],
        PolicyStage::Egress => vec![egress(None)],
        PolicyStage::Update => {
            let to = json!([{"podSelector": {"matchLabels": {ROLE: "server"}}}]);
            vec![egress(Some(json!({"to": to, "ports": [{"port": WEB, "protocol": "TCP"}]})))]
        }
    }
}

fn policy(name: &str, of: &str, rules: Value) -> NetworkPolicy {
    let mut spec = rules;
    spec["podSelector"] = json!({"matchLabels": {ROLE: of}});
    object(json!({"metadata": {"name": name, "labels": {MANAGED_BY: US}}, "spec": spec}))
}

#[cfg(test)]
mod test {
    use kube::ResourceExt;

    use super::*;

    #[test]
    fn every_object_reads_and_is_marked_as_ours() {
        let names: Vec<String> =
            PolicyStage::ALL.iter().flat_map(|&stage| policies(stage)).map(|policy| policy.name_any()).collect();
        assert_eq!(names, ["ingress", "ingress", "ingress", "ingress", "egress", "egress"]);
        let outside = Some("10.0.0.3:80".parse().unwrap());
        let to = Addresses { server: "10.0.0.1".to_owned(), control: "10.0.0.2".to_owned(), outside };
        for pod in [server("server", "i", "n"), caller(Caller::Foe, "i", "n", &to)] {
            assert_eq!(pod.labels().get(MANAGED_BY).map(String::as_str), Some(US));
        }
        assert_eq!(service().name_any(), "server");
    }

    #[test]
    fn only_the_caller_that_stands_for_a_node_is_in_its_network() {
        let to = Addresses { server: "10.0.0.1".to_owned(), control: "10.0.0.2".to_owned(), outside: None };
        for one in Caller::CILIUM {
            let spec = caller(one, "i", "n", &to).spec.unwrap();
            assert_eq!(spec.host_network.is_some(), one == Caller::Node, "{one:?}");
        }
        assert_eq!(to.targets(), Target::ALL);
    }
}
