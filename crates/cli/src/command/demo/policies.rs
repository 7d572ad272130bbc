//! Network policies: an engine on every Node, and the policies that we ship for tenants, tried with packets.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{NotYet, eventually};

use super::Cni;
use super::stages::Story;
use super::workload::Workload;

const KUBE_ROUTER: &str = include_str!("kube-router.yaml");
const CILIUM_TENANT: &str = include_str!("../../../../../charts/tenant-policies/files/cilium-network-policies.yaml");
const TENANT: &str = include_str!("../../../../../charts/tenant-policies/files/network-policies.yaml");
/// The network of the quickstart's machines.
const MACHINES: &str = "10.10.10.0/24";
/// An engine's rules follow a policy in about two seconds.
const SETTLES: Duration = Duration::from_secs(45);

impl Story<'_> {
    /// An engine that enforces network policies on every Node.
    pub(super) async fn policy_engine(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("policy-engine");
        match self.set.cni {
            Cni::KubeRouter => self.kube_router(workload).await,
            Cni::Cilium => self.cilium_is_well(workload).await,
        }
    }

    async fn kube_router(&mut self, workload: &Workload) -> Result<()> {
        workload.apply("kube-router", KUBE_ROUTER).await?;
        workload
            .kubectl(&["--namespace=kube-system", "rollout", "status", "daemonset/kube-router", "--timeout=90s"])
            .await?;
        workload.own_pods(Duration::from_mins(1)).await?;
        self.stages.note("kube-router 2.1.0: its pods are Ready");
        Ok(())
    }

    /// The policies of charts/tenant-policies in a tenant's namespace.
    pub(super) async fn tenant_policies(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("tenant-policies");
        for namespace in ["tenant", "neighbour"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            workload.apply(&format!("namespace-{namespace}"), &object.to_string()).await?;
        }
        let all = [("tenant", "one"), ("tenant", "two"), ("neighbour", "foe")];
        for (namespace, name) in all {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                    "name": "c", "image": guest_node::DEMO_IMAGE, "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "while :; do echo pong | nc -l -p 8080; done"],
                }]},
            });
            workload.apply(&format!("pod-{name}"), &pod.to_string()).await?;
        }
        for (namespace, name) in all {
            let (pod, namespace) = (format!("pod/{name}"), format!("--namespace={namespace}"));
            workload.kubectl(&["wait", &namespace, "--for=condition=Ready", &pod, "--timeout=60s"]).await?;
        }
        let [one, two, foe] = [
            address(workload, "tenant", "one").await?,
            address(workload, "tenant", "two").await?,
            address(workload, "neighbour", "foe").await?,
        ];
        let api = "kubernetes.default.svc.cluster.local";
        try_it(workload, ("neighbour", "foe"), (&one, 8080), true).await.context("before any policy")?;
        try_it(workload, ("tenant", "one"), (&foe, 8080), true).await.context("before any policy")?;
        let (kind, policies) = match self.set.cni {
            Cni::KubeRouter => ("NetworkPolicy", TENANT.replace("192.0.2.0/24", MACHINES)),
            Cni::Cilium => ("CiliumNetworkPolicy", CILIUM_TENANT.to_owned()),
        };
        workload.apply("tenant-policies", &with_namespace(&policies, "tenant")).await?;
        for (from, to, open) in [
            (("neighbour", "foe"), (one.as_str(), 8080), false),
            (("tenant", "one"), (foe.as_str(), 8080), false),
            (("tenant", "one"), (two.as_str(), 8080), true),
            (("tenant", "one"), (api, 443), true),
        ] {
            try_it(workload, from, to, open).await?;
        }
        self.stages.note(&format!(
            "charts/tenant-policies, {kind}: closed both ways to a neighbour; open: own pods, DNS, the API server"
        ));
        workload.kubectl(&["delete", "namespace", "tenant", "neighbour", "--wait=false"]).await?;
        Ok(())
    }
}

fn with_namespace(manifests: &str, namespace: &str) -> String {
    manifests.replace("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"))
}

async fn address(workload: &Workload, namespace: &str, pod: &str) -> Result<String> {
    let namespace = format!("--namespace={namespace}");
    let address = workload.kubectl(&["get", "pod", pod, &namespace, "-o", "jsonpath={.status.podIP}"]).await?;
    Ok(address.trim().to_owned())
}

/// Waits until a connection is open, or closed: a call that is not answered in two seconds.
async fn try_it(workload: &Workload, from: (&str, &str), to: (&str, u16), open: bool) -> Result<()> {
    let ((namespace, pod), (host, port)) = (from, to);
    let script = format!("nc -w 2 {host} {port} </dev/null >/dev/null 2>&1 && echo open || echo closed");
    let namespace = format!("--namespace={namespace}");
    let wanted = if open { "open" } else { "closed" };
    let seen = eventually(SETTLES, || async {
        let said = workload.kubectl(&["exec", pod, &namespace, "--", "sh", "-c", &script]).await;
        let said = said.map_err(|why| NotYet::because(why.to_string()))?;
        if said.trim() == wanted { Ok(()) } else { Err(NotYet::because(said.trim().to_owned())) }
    });
    seen.await.with_context(|| format!("from {pod} to {host}:{port}, which should be {wanted}"))
}
