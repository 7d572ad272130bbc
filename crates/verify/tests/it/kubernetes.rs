//! A management cluster that answers what the test says, beside a simulator.

use std::collections::BTreeMap;

use kube::client::Body;
use serde_json::{Value, json};
use verify::{Cause, Outcome, Read, Selection, gather, judge};

use crate::simulated::{TOKEN, now, sim, sources, trusting};

/// A client whose API server answers these paths, and 404 for all others.
fn server(answers: &[(&str, Value)]) -> kube::Client {
    let answers: BTreeMap<String, Value> =
        answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (code, body) = match answers.get(request.uri().path()) {
            Some(answer) if answer.get("kind").and_then(Value::as_str) == Some("Status") => (403, answer.clone()),
            Some(answer) => (200, answer.clone()),
            None => (
                404,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                "reason": "NotFound", "message": format!("{} is not there", request.uri().path())}),
            ),
        };
        let answer = http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
        async { answer }
    });
    kube::Client::new(service, "default")
}

const INFRA: &str = "infrastructure.cluster.x-k8s.io/v1alpha2";

fn list(api: &str, kind: &str, items: &Value) -> Value {
    json!({"apiVersion": api, "kind": format!("{kind}List"), "metadata": {}, "items": items})
}

/// A group's description, and what answers at its version.
fn discovered(group: &str, kind: &str, plural: &str) -> (Value, (String, Value)) {
    let version = format!("{group}/v1beta2");
    let known = json!({"groupVersion": version, "version": "v1beta2"});
    let about = json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [known],
        "preferredVersion": known});
    let resources = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
        {"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["list"]}]});
    (about, (format!("/apis/{version}"), resources))
}

fn world() -> Vec<(String, Value)> {
    let label = json!({"cluster.x-k8s.io/cluster-name": "demo"});
    let network = json!({"networkDevices": [{"name": "net0", "bridge": "vmbr0"}]});
    let template = json!({"metadata": {"name": "workers", "namespace": "default"}, "spec": {"template": {"spec":
        {"sourceNode": "pve1", "templateID": 9000, "network": network}}}});
    let other = json!({"metadata": {"name": "another", "namespace": "default"}, "spec": {"template": {"spec":
        {"sourceNode": "pve1", "templateID": 1, "network": network}}}});
    let cluster = json!({"metadata": {"name": "demo", "namespace": "default", "labels": label}, "spec": {
        "controlPlaneEndpoint": {"host": "127.0.0.1", "port": 1}, "allowedNodes": ["pve1", "pve2"], "dnsServers": [],
        "ipv4Config": {"addresses": ["10.10.10.20-10.10.10.23"], "prefix": 24, "gateway": "10.10.10.1"}}});
    let deployment = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment",
        "metadata": {"name": "w", "namespace": "default"}, "spec": {"replicas": 2, "template": {"spec":
        {"infrastructureRef": {"name": "workers"}}}}});
    let machines = "/apis/infrastructure.cluster.x-k8s.io/v1alpha2/proxmoxmachines";
    let namespaced = "/apis/infrastructure.cluster.x-k8s.io/v1alpha2/namespaces/default";
    let mut all = vec![
        (
            "/version".to_owned(),
            json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        ),
        (format!("{namespaced}/proxmoxclusters"), list(INFRA, "ProxmoxCluster", &json!([cluster]))),
        (format!("{namespaced}/proxmoxmachines"), list(INFRA, "ProxmoxMachine", &json!([]))),
        (machines.to_owned(), list("meta.k8s.io/v1", "PartialObjectMetadata", &json!([]))),
        (
            format!("{namespaced}/proxmoxmachinetemplates"),
            list(INFRA, "ProxmoxMachineTemplate", &json!([template, other])),
        ),
        (
            "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments".to_owned(),
            list("cluster.x-k8s.io/v1beta2", "MachineDeployment", &json!([deployment])),
        ),
        (
            "/apis/controlplane.cluster.x-k8s.io/v1beta2/namespaces/default/kubeadmcontrolplanes".to_owned(),
            list("controlplane.cluster.x-k8s.io/v1beta2", "KubeadmControlPlane", &json!([])),
        ),
    ];
    let (core, core_kinds) = discovered("cluster.x-k8s.io", "MachineDeployment", "machinedeployments");
    let (plane, plane_kinds) =
        discovered("controlplane.cluster.x-k8s.io", "KubeadmControlPlane", "kubeadmcontrolplanes");
    all.push(("/apis".to_owned(), json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [core, plane]})));
    all.extend([core_kinds, plane_kinds]);
    all
}

fn client(world: &[(String, Value)]) -> kube::Client {
    let answers: Vec<(&str, Value)> = world.iter().map(|(path, answer)| (path.as_str(), answer.clone())).collect();
    server(&answers)
}

#[tokio::test]
async fn a_cluster_that_is_only_ordered_is_judged_by_its_templates() {
    let sim = sim().await;
    let mut sources = sources(sim.url(), trusting(&sim), sim.token(TOKEN).unwrap());
    sources.kube = Some(client(&world()));
    let evidence = gather(&sources, now()).await;
    assert_eq!(evidence.cluster.as_deref(), Some("demo"), "the only one in the namespace");
    let management = &evidence.management;
    assert_eq!(management.version, Read::Known("v1.36.3".to_owned()));
    assert_eq!(management.replicas.known().unwrap().get("MachineDeployment/w"), Some(&2));
    let templates: Vec<&str> = management.templates.known().unwrap().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(templates, ["workers"], "only what machines are made from");
    assert!(
        matches!(evidence.workload.nodes, Read::Unread { cause: Cause::Missing, .. }),
        "there is no kubeconfig yet"
    );
    let report = judge(&evidence, &Selection::all());
    let outcome = |id: &str| {
        let check = report.checks().find(|check| check.id == id).unwrap();
        (check.word(), check.message.clone())
    };
    for id in [
        "api.privileges",
        "network-storage.bridge",
        "network-storage.image-storage",
        "network-storage.address-range",
        "vm-management.template",
    ] {
        assert_eq!(outcome(id).0, "passed", "{id}: {}", outcome(id).1);
    }
    assert_eq!(outcome("network-storage.endpoint-answers").0, "warning", "no machine runs yet");
    assert_eq!(outcome("vm-management.machines-have-vms").0, "blocked");
    assert!(report.checks().all(|check| check.outcome != Outcome::Unread));
}

#[tokio::test]
async fn what_the_service_account_may_not_read_is_unread() {
    let sim = sim().await;
    let mut world = world();
    let forbidden = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "proxmoxmachines is forbidden"});
    for (path, answer) in &mut world {
        if path.ends_with("/proxmoxmachines") {
            *answer = forbidden.clone();
        }
    }
    let mut sources = sources(sim.url(), trusting(&sim), sim.token(TOKEN).unwrap());
    sources.kube = Some(client(&world));
    let evidence = gather(&sources, now()).await;
    let report = judge(&evidence, &Selection::all());
    for id in ["vm-management.machines-have-vms", "vm-management.no-orphans", "network-storage.address-range"] {
        let check = report.checks().find(|check| check.id == id).unwrap();
        assert_eq!(check.outcome, Outcome::Unread, "{id}: {}", check.message);
        assert!(check.message.contains("forbidden"), "{}", check.message);
    }
}
