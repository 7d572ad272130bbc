//! Cilium instead of the nodes' own pod network and kube-router: from the moment at which the cluster's API server
//! answers, as on a cluster that kubeadm has made.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::stages::Story;
use super::workload::Workload;

/// An address outside of the cluster, which rules by CIDR are tried with: the router's.
pub(super) const OUTSIDE: &str = "10.10.10.1:8099";

const CILIUM: &str = include_str!("cilium.yaml");

impl Story<'_> {
    /// CRDs, agent and operator. No Node is Ready before its agent is.
    pub(super) async fn install_cilium(&mut self, workload: &Workload) -> Result<()> {
        let crds = self.set.tools.join("cilium-files/crds");
        let crds = format!("--filename={}", crds.display());
        workload.kubectl(&["apply", "--server-side", &crds]).await.context("apply Cilium's CRDs")?;
        workload.kubectl(&["wait", "--for=condition=Established", &crds, "--timeout=60s"]).await?;
        workload.apply("cilium", CILIUM).await?;
        self.stages.note("Cilium 1.18.4 is applied: the cluster has no other pod network");
        Ok(())
    }

    /// Every agent says that it is well.
    pub(super) async fn cilium_is_well(&mut self, workload: &Workload) -> Result<()> {
        for what in ["daemonset/cilium", "deployment/cilium-operator"] {
            workload.kubectl(&["--namespace=kube-system", "rollout", "status", what, "--timeout=90s"]).await?;
        }
        workload.own_pods(Duration::from_mins(1)).await?;
        let path = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}"#;
        let select = ["--namespace=kube-system", "--selector=k8s-app=cilium", "-o", path];
        let agents = workload.kubectl(&[&["get", "pods"][..], &select].concat()).await?;
        for agent in agents.lines() {
            let (pod, node) = agent.split_once(' ').with_context(|| format!("read the agent `{agent}`"))?;
            let ask = ["--namespace=kube-system", "exec", pod, "--container=cilium-agent", "--", "cilium-dbg"];
            let said = workload.kubectl(&[&ask[..], &["status", "--brief"]].concat()).await?;
            ensure!(said.trim() == "OK", "Cilium's agent on {node} says: {}", said.trim());
        }
        self.stages.note(&format!("Cilium 1.18.4: {} agents say OK", agents.lines().count()));
        let listener = TcpListener::bind(OUTSIDE).await.with_context(|| format!("listen at {OUTSIDE}"))?;
        tokio::spawn(outside(listener));
        Ok(())
    }
}

/// Says of itself that it is there, to whoever asks.
async fn outside(listener: TcpListener) {
    while let Ok((mut caller, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A caller that hangs up has heard enough.
            let mut request = [0; 512];
            let _heard = caller.read(&mut request).await;
            let _said = caller.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").await;
        });
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_manifests_ask_for_the_images_that_nodes_bring_along() {
        for image in [guest_node::CILIUM_IMAGE, guest_node::CILIUM_OPERATOR_IMAGE] {
            assert!(CILIUM.contains(&format!("image: {image}\n")), "{image}");
        }
        let others = CILIUM.lines().filter(|line| line.contains("image: ") && !line.contains("quay.io/cilium/"));
        assert_eq!(others.count(), 0);
    }
}
