//! Cluster API's part, played: clusters, machines with bootstrap data, Nodes that join.

use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{ProxmoxCluster, ProxmoxMachine};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::{NotYet, eventually};

use crate::stage::Stage;

const NAMESPACE: &str = "default";
/// The usual cluster of a story.
pub const CLUSTER: &str = "story";

/// What a story wishes of a machine.
#[derive(Debug, Clone)]
pub struct MachineWish {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Changes of the usual spec.
    pub spec: Value,
    /// The bootstrap data.
    pub user_data: String,
}

impl MachineWish {
    /// The usual: a full clone with more cores, memory and disk, an address, and all checks.
    pub fn named(name: impl Into<String>) -> Self {
        let user_data = "#cloud-config\nruncmd: [[touch, /joined]]\n".to_owned();
        Self { name: name.into(), cluster: CLUSTER.to_owned(), spec: json!({}), user_data }
    }

    /// With a field of the spec set.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// Of another cluster than the usual one.
    #[must_use]
    pub fn of(mut self, cluster: &str) -> Self {
        cluster.clone_into(&mut self.cluster);
        self
    }

    /// With other bootstrap data.
    #[must_use]
    pub fn with_user_data(mut self, text: &str) -> Self {
        text.clone_into(&mut self.user_data);
        self
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

impl Stage {
    fn core(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", kind));
        Api::namespaced_with(self.kube.clone(), NAMESPACE, &resource)
    }

    /// Our machines.
    pub fn machines(&self) -> Api<ProxmoxMachine> {
        Api::namespaced(self.kube.clone(), NAMESPACE)
    }

    /// Our clusters.
    pub fn clusters(&self) -> Api<ProxmoxCluster> {
        Api::namespaced(self.kube.clone(), NAMESPACE)
    }

    async fn create(&self, kind: &str, object: Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(object).context("read an object of the story")?;
        self.core(kind).create(&PostParams::default(), &object).await.with_context(|| format!("create the {kind}"))
    }

    /// Makes the usual cluster, with changes of its spec.
    pub async fn cluster(&self, change: Value) -> Result<()> {
        self.cluster_named(CLUSTER, change).await
    }

    /// Makes a cluster, with changes of the usual spec.
    pub async fn cluster_named(&self, name: &str, change: Value) -> Result<()> {
        let owner = self
            .create(
                "Cluster",
                json!({
                    "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
                    "metadata": {"name": name},
                    "spec": {"infrastructureRef": {"apiGroup": api::GROUP, "kind": "ProxmoxCluster", "name": name}},
                }),
            )
            .await?;
        let mut spec = json!({
            "controlPlaneEndpoint": {"host": "10.10.10.10", "port": 6443},
            "allowedNodes": ["pve1", "pve2", "pve3"],
            "schedulerHints": {"memoryAdjustment": 0},
            "ipv4Config": {"addresses": ["10.10.0.10-10.10.9.250"], "prefix": 16, "gateway": "10.10.0.1"},
            "dnsServers": ["10.10.0.1"],
        });
        merge(&mut spec, &change);
        let cluster: ProxmoxCluster = serde_json::from_value(json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha2", "kind": "ProxmoxCluster",
            "metadata": {
                "name": name, "labels": {api::CLUSTER_NAME_LABEL: name},
                "ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": name, "uid": owner.uid(), "controller": true}],
            },
            "spec": spec,
        }))?;
        self.clusters().create(&PostParams::default(), &cluster).await.context("create the ProxmoxCluster")?;
        Ok(())
    }

    /// Makes a machine as Cluster API would: Machine, bootstrap data, ProxmoxMachine.
    pub async fn machine(&self, wish: &MachineWish) -> Result<()> {
        let name = &wish.name;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "cluster.x-k8s.io/secret",
            "stringData": {"value": wish.user_data, "format": "cloud-config"},
        });
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(self.kube.clone(), NAMESPACE);
        secrets
            .patch(name, &PatchParams::apply("story").force(), &Patch::Apply(secret))
            .await
            .context("write the bootstrap data")?;
        let owner = self
            .create(
                "Machine",
                json!({
                    "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
                    "metadata": {"name": name, "labels": {api::CLUSTER_NAME_LABEL: wish.cluster}},
                    "spec": {
                        "clusterName": wish.cluster, "version": "v1.36.3",
                        "bootstrap": {"dataSecretName": name},
                        "infrastructureRef": {"apiGroup": api::GROUP, "kind": "ProxmoxMachine", "name": name},
                    },
                }),
            )
            .await?;
        let mut spec = json!({
            "sourceNode": "pve1", "templateID": 9000, "full": true, "pool": "kubernetes",
            "numSockets": 1, "numCores": 4, "memoryMiB": 4096,
            "disks": {"bootVolume": {"disk": "scsi0", "sizeGb": 20}},
            "network": {"networkDevices": [{"name": "net0", "bridge": "vmbr0"}]},
        });
        merge(&mut spec, &wish.spec);
        let machine: ProxmoxMachine = serde_json::from_value(json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha2", "kind": "ProxmoxMachine",
            "metadata": {
                "name": name, "labels": {api::CLUSTER_NAME_LABEL: wish.cluster},
                "ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": name, "uid": owner.uid(), "controller": true}],
            },
            "spec": spec,
        }))?;
        self.machines().create(&PostParams::default(), &machine).await.context("create the ProxmoxMachine")?;
        Ok(())
    }

    /// Says that a machine's Node has joined.
    pub async fn joined(&self, name: &str) -> Result<()> {
        let patch = json!({"status": {"nodeRef": {"name": name}}});
        self.core("Machine")
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .context("write the Machine's nodeRef")?;
        Ok(())
    }

    /// Deletes a machine's infrastructure, as Cluster API would; its Machine goes as well.
    pub async fn delete_machine(&self, name: &str) -> Result<()> {
        self.machines().delete(name, &DeleteParams::default()).await.context("delete the ProxmoxMachine")?;
        self.core("Machine").delete(name, &DeleteParams::default()).await.context("delete the Machine")?;
        Ok(())
    }

    /// Reason and message of a machine's `Ready`, and whether it is.
    pub async fn ready(&self, name: &str) -> Result<(bool, String, String)> {
        let machine = self.machines().get(name).await.context("read the ProxmoxMachine")?;
        let status = machine.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.map_or((false, String::new(), String::new()), |condition| {
            (condition.status == "True", condition.reason.clone(), condition.message.clone())
        }))
    }

    /// Reason and message of a cluster's `Ready`, and whether it is.
    pub async fn cluster_ready(&self, name: &str) -> Result<(bool, String, String)> {
        let cluster = self.clusters().get(name).await.context("read the ProxmoxCluster")?;
        let conditions = cluster.status.unwrap_or_default().conditions;
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.map_or((false, String::new(), String::new()), |condition| {
            (condition.status == "True", condition.reason, condition.message)
        }))
    }

    /// Writes credentials for a cluster, under a name for `spec.credentialsRef`.
    pub async fn credentials(&self, name: &str, keys: &Value) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys});
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(self.kube.clone(), NAMESPACE);
        secrets
            .patch(name, &PatchParams::apply("story").force(), &Patch::Apply(secret))
            .await
            .context("write the credentials")?;
        Ok(())
    }

    /// Changes a machine's object.
    pub async fn change_machine(&self, name: &str, change: &Value) -> Result<()> {
        let changed = self.machines().patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        changed.context("change the ProxmoxMachine")?;
        Ok(())
    }

    /// Changes a cluster's object.
    pub async fn change_cluster(&self, name: &str, change: &Value) -> Result<()> {
        let changed = self.clusters().patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        changed.context("change the ProxmoxCluster")?;
        Ok(())
    }

    /// Waits until the bootstrap data of a machine whose Node has joined is removed.
    pub async fn until_ejected(&self, name: &str, limit: Duration) -> Result<()> {
        let waited = eventually(limit, || async {
            let machine = self.machines().get(name).await.map_err(|why| NotYet::because(why.to_string()))?;
            match machine.status.unwrap_or_default().bootstrap_data_removed {
                Some(true) => Ok(()),
                _ => Err(NotYet::because("the bootstrap data is not removed")),
            }
        });
        waited.await.with_context(|| self.manager_log())
    }

    /// Waits until a machine is ready.
    pub async fn until_ready(&self, name: &str, limit: Duration) -> Result<()> {
        let waited = eventually(limit, || async {
            match self.ready(name).await? {
                (true, ..) => Ok(()),
                (false, reason, message) => Err(NotYet::because(format!("{name}: {reason}: {message}"))),
            }
        });
        waited.await.with_context(|| self.manager_log())
    }

    /// Waits until a machine's object is gone.
    pub async fn until_gone(&self, name: &str, limit: Duration) -> Result<()> {
        let waited = eventually(limit, || async {
            match self.machines().get_opt(name).await.map_err(|why| NotYet::because(why.to_string()))? {
                None => Ok(()),
                Some(machine) => {
                    let status = machine.status.unwrap_or_default();
                    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
                    Err(NotYet::because(format!("{name} is still there: {ready:?}")))
                }
            }
        });
        waited.await.with_context(|| self.manager_log())
    }

    /// The VMIDs that the simulator holds, its template apart.
    pub async fn vms(&self) -> Result<Vec<u64>> {
        let world = self.sim.world().await?;
        Ok(world.vms().filter_map(|vm| vm.get("vmid").and_then(Value::as_u64)).collect())
    }
}
