//! The workload cluster, spoken to as its user does: with kubectl and its kubeconfig.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::{ControlPlane, NotYet, eventually, token_kubeconfig};

/// kubectl with the workload cluster's kubeconfig.
pub(super) struct Workload {
    kubectl: PathBuf,
    pub(super) kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Workload {
    /// Takes the kubeconfig that Cluster API has written.
    pub(super) async fn open(dir: &Path, tools: &Path, plane: &ControlPlane, cluster: &str) -> Result<Self> {
        let secret = format!("{cluster}-kubeconfig");
        let text = plane.kubectl(&["get", "secret", &secret, "-o", "json"]).await?;
        let secret: k8s_openapi::api::core::v1::Secret =
            serde_json::from_str(&text).context("read the Secret with the workload cluster's kubeconfig")?;
        let text = secret.data.and_then(|mut data| data.remove("value")).context("the Secret has no key `value`")?;
        let kubeconfig = dir.join("workload.kubeconfig");
        std::fs::write(&kubeconfig, text.0).context("write the workload cluster's kubeconfig")?;
        Ok(Self { kubectl: tools.join("kubectl"), kubeconfig, cache: dir.join("kubectl-cache") })
    }

    /// Applies a manifest.
    pub(super) async fn apply(&self, name: &str, manifest: &str) -> Result<String> {
        let file = self.cache.with_file_name(format!("{name}.yaml"));
        std::fs::write(&file, manifest).with_context(|| format!("write `{}`", file.display()))?;
        self.kubectl(&["apply", "--server-side", "--filename", &file.display().to_string()]).await
    }

    /// A kubeconfig of a ServiceAccount with the rights of this manifest, which names both.
    pub(super) async fn account(&self, namespace: &str, name: &str, rbac: &str) -> Result<PathBuf> {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.apply(namespace, &object.to_string()).await?;
        self.apply(&format!("{name}-rbac"), rbac).await?;
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, "--duration=24h"]).await?;
        let text = std::fs::read_to_string(&self.kubeconfig).context("read the workload cluster's kubeconfig")?;
        let path = self.cache.with_file_name(format!("{name}.kubeconfig"));
        let text = token_kubeconfig(&text, name, token.trim())?;
        std::fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
        Ok(path)
    }

    /// Runs kubectl; its output.
    pub(super) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .context("start `kubectl`")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`kubectl {}`: {}", args.join(" "), error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until so many Nodes are Ready and initialised: a provider ID of ours, a zone, no taint that says otherwise;
    /// and no others are there.
    pub(super) async fn nodes(&self, count: usize, limit: Duration) -> Result<String> {
        let path = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.providerID} zone {.metadata.labels.topology\.kubernetes\.io/zone} taints [{.spec.taints[*].key}] {.status.addresses[?(@.type=="InternalIP")].address} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
        let all = eventually(limit, || async {
            let text =
                self.kubectl(&["get", "nodes", "-o", path]).await.map_err(|why| NotYet::because(why.to_string()))?;
            let lines: Vec<&str> = text.lines().collect();
            let is = |line: &&&str| {
                let whole = line.contains(" proxmox://") && line.contains(" zone pve") && line.ends_with(" True");
                whole && !line.contains("node.cloudprovider.kubernetes.io/uninitialized")
            };
            let ready = lines.iter().filter(is).count();
            if ready == count && lines.len() == count {
                Ok(text)
            } else {
                Err(NotYet::because(format!("{ready} of {count} Nodes are Ready ({} there)", lines.len())))
            }
        });
        all.await.context("wait for the Nodes")
    }

    /// Waits until the cluster's own pods all run, and none is said to be on a Node that is gone: what Kubernetes still
    /// takes for a DNS server there answers nobody.
    pub(super) async fn own_pods(&self, limit: Duration) -> Result<()> {
        let running = eventually(limit, || async {
            let not_yet = |why: anyhow::Error| NotYet::because(why.to_string());
            let names = self.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]).await;
            let names = names.map_err(not_yet)?;
            let nodes: Vec<&str> = names.split_whitespace().collect();
            let path = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
            let pods = self.kubectl(&["get", "pods", "--namespace=kube-system", "-o", path]).await.map_err(not_yet)?;
            let well = |line: &&str| {
                let words: Vec<&str> = line.split(' ').collect();
                matches!(words[..], [_, node, "True"] if nodes.contains(&node))
            };
            match pods.lines().find(|line| !well(line)) {
                None => Ok(()),
                Some(line) => Err(NotYet::because(format!("pod, its Node, whether it is Ready: {line}"))),
            }
        });
        running.await.context("wait for the pods of kube-system")
    }

    /// Runs a pod on each worker; logs, exec and a packet from one to the other.
    pub(super) async fn pods(&self, image: &str, note: &mut impl FnMut(&str)) -> Result<()> {
        let path = "jsonpath={.items[*].metadata.name}";
        let selector = "--selector=!node-role.kubernetes.io/control-plane";
        let names = self.kubectl(&["get", "nodes", selector, "-o", path]).await?;
        let names: Vec<&str> = names.split_whitespace().collect();
        ensure!(names.len() >= 2, "two workers are needed, there are: {}", names.join(" "));
        for (pod, node) in ["hello-0", "hello-1"].iter().zip(&names) {
            let object = serde_json::json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod},
                "spec": {
                    "nodeName": node, "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "c", "image": image, "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", "echo hello from $(hostname); while :; do echo pong | nc -l -p 8080; done"]}],
                },
            });
            let file = self.cache.with_file_name(format!("{pod}.json"));
            std::fs::write(&file, object.to_string())?;
            self.kubectl(&["apply", "-f", &file.display().to_string()]).await?;
        }
        self.kubectl(&["wait", "--for=condition=Ready", "pod/hello-0", "pod/hello-1", "--timeout=60s"]).await?;
        note("a pod runs on each worker");
        let logs = self.kubectl(&["logs", "hello-0"]).await?;
        ensure!(logs.contains("hello from hello-0"), "`kubectl logs` says: {logs}");
        let address = self.kubectl(&["get", "pod", "hello-1", "-o", "jsonpath={.status.podIP}"]).await?;
        let script = format!("nc -w 3 {} 8080 </dev/null", address.trim());
        let pong = eventually(Duration::from_secs(20), || async {
            let said = self.kubectl(&["exec", "hello-0", "--", "sh", "-c", &script]).await;
            let said = said.map_err(|why| NotYet::because(why.to_string()))?;
            if said.contains("pong") { Ok(said) } else { Err(NotYet::because("no answer from the other node's pod")) }
        });
        pong.await.context("reach a pod on the other node")?;
        note("logs and exec work; pods of two nodes reach each other");
        self.kubectl(&["delete", "pod", "hello-0", "hello-1", "--wait=false"]).await?;
        Ok(())
    }
}
