//! The kubelet's part, played: Nodes that register, report, and fall silent.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::simulator::Simulator;
use crate::stage::Stage;

/// The condition of a Node that reports.
pub const READY: &str = "True";

/// A kubelet with `--cloud-provider=external`.
#[derive(Debug, Clone)]
pub struct Kubelet {
    /// Its Node's name.
    pub name: String,
    /// What its firmware says.
    pub uuid: String,
    /// The address that it was started with.
    pub ip: String,
}

impl Kubelet {
    /// That of a VM of the simulator, whose name becomes the Node's.
    pub async fn of(sim: &Simulator, vmid: u32) -> Result<Self> {
        Self::read(&sim.state().await?, vmid)
    }

    fn read(state: &Value, vmid: u32) -> Result<Self> {
        let config = state.pointer(&format!("/guests/{vmid}/config")).context("the simulator has no such VM")?;
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let uuid = text("smbios1").split("uuid=").nth(1).unwrap_or_default().split(',').next().unwrap_or_default();
        Ok(Self {
            name: text("name").to_owned(),
            // as the kernel shows it, whatever Proxmox VE wrote
            uuid: uuid.to_uppercase(),
            ip: format!("10.20.{}.{}", vmid / 250, vmid % 250),
        })
    }

    /// Those of all VMs that run, up to so many.
    pub async fn all(sim: &Simulator, up_to: usize) -> Result<Vec<Self>> {
        let state = sim.state().await?;
        let guests = state.get("guests").and_then(Value::as_object).context("the simulator has no guests")?;
        let runs = |guest: &Value| guest.get("run").is_some_and(|run| !run.is_null());
        let vmids = guests.iter().filter(|(_, guest)| runs(guest)).filter_map(|(vmid, _)| vmid.parse().ok());
        vmids.take(up_to).map(|vmid| Self::read(&state, vmid)).collect()
    }

    /// Registers its Node, with its status, as a kubelet does.
    pub async fn register(&self, kube: &kube::Client) -> Result<()> {
        let nodes: Api<Node> = Api::all(kube.clone());
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": self.name, "annotations": {"alpha.kubernetes.io/provided-node-ip": self.ip}},
            "spec": {"taints": [{"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}]},
            "status": self.status(READY),
        }))?;
        nodes.create(&PostParams::default(), &node).await.context("create the Node")?;
        Ok(())
    }

    /// Reports, or says what the node lifecycle controller says of one that does not.
    pub async fn report(&self, kube: &kube::Client, ready: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(kube.clone());
        let status = json!({"status": {"conditions": self.status(ready)["conditions"]}});
        let patched = nodes.patch_status(&self.name, &PatchParams::default(), &Patch::Strategic(status)).await;
        patched.context("write the Node's conditions")?;
        Ok(())
    }

    fn status(&self, ready: &str) -> Value {
        json!({
            "conditions": [{"type": "Ready", "status": ready, "reason": "Played", "message": "", "lastHeartbeatTime": null, "lastTransitionTime": null}],
            "nodeInfo": {
                "machineID": "", "systemUUID": self.uuid, "bootID": "", "kernelVersion": "6.12", "osImage": "Debian",
                "containerRuntimeVersion": "containerd://2.1.0", "kubeletVersion": "v1.36.3", "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": "amd64",
            },
        })
    }
}

impl Stage {
    /// A Node, if it is there.
    pub async fn node(&self, name: &str) -> Result<Option<Node>> {
        let nodes: Api<Node> = Api::all(self.kube.clone());
        nodes.get_opt(name).await.with_context(|| format!("read the Node `{name}`"))
    }
}
