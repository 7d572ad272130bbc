//! Which guest is which Machine and Node, and which volume which PersistentVolume, read from Kubernetes now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::family::Family;

/// The number of a Node's VM, as the cloud controller manager writes it.
const INSTANCE_ID: &str = "proxmox.sinextra.dev/instance-id";
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// The driver whose volume handles are `region/zone/storage/disk`.
const DRIVER: &str = "csi.proxmox.sinextra.dev";
/// Objects change slowly, and a join that is a minute old is good enough.
const EVERY: Duration = Duration::from_secs(30);

/// A guest that is a Machine, a Node, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineRow {
    /// `qemu/100`.
    pub id: String,
    /// The Machine's namespace.
    pub namespace: String,
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub machine: String,
    /// The Node.
    pub node: String,
}

impl MachineRow {
    /// What one cluster knows beside what another does.
    fn learn(&mut self, more: Self) {
        let Self { id, namespace, cluster, machine, node } = more;
        let mine = [&mut self.id, &mut self.namespace, &mut self.cluster, &mut self.machine, &mut self.node];
        for (mine, new) in mine.into_iter().zip([id, namespace, cluster, machine, node]) {
            if !new.is_empty() {
                *mine = new;
            }
        }
    }
}

/// A volume that is a PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeRow {
    /// `storage:name`.
    pub volid: String,
    /// The PersistentVolume.
    pub pv: String,
    /// Its claim.
    pub pvc: String,
    /// The claim's namespace.
    pub namespace: String,
}

/// What Kubernetes was last seen to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Guests.
    pub machines: BTreeSet<MachineRow>,
    /// Volumes.
    pub volumes: BTreeSet<VolumeRow>,
    /// What could not be read.
    pub failed: Vec<String>,
}

/// Reads Kubernetes in the background.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Mutex<Arc<Objects>>>);

impl Reader {
    pub(crate) fn spawn(clusters: Vec<Client>, token: CancellationToken) -> Self {
        let reader = Self(Arc::default());
        tokio::spawn(keep(clusters, reader.clone(), token));
        reader
    }

    /// What was last seen.
    pub(crate) fn last(&self) -> Arc<Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn keep(clusters: Vec<Client>, reader: Reader, token: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    let mut said = Vec::new();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = token.cancelled() => return,
        }
        let mut objects = read(&clusters).await;
        if objects.failed != said {
            for why in &objects.failed {
                tracing::warn!("{why}");
            }
            said.clone_from(&objects.failed);
        }
        let mut last = reader.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !objects.failed.is_empty() {
            // What could not be read is as it was.
            objects.machines.extend(last.machines.iter().cloned());
            objects.volumes.extend(last.volumes.iter().cloned());
        }
        *last = Arc::new(objects);
    }
}

/// All clusters as one: Machines stand in a management cluster, their Nodes and volumes in workload clusters.
async fn read(clusters: &[Client]) -> Objects {
    let mut out = Objects::default();
    let mut machines: BTreeMap<String, MachineRow> = BTreeMap::new();
    for kube in clusters {
        read_one(kube, &mut machines, &mut out).await;
    }
    out.machines = machines.into_values().collect();
    out
}

async fn read_one(kube: &Client, machines: &mut BTreeMap<String, MachineRow>, out: &mut Objects) {
    let ours = list(kube, "infrastructure.cluster.x-k8s.io", &["v1alpha2"], "ProxmoxMachine").await;
    let core = list(kube, "cluster.x-k8s.io", &["v1beta2", "v1beta1"], "Machine").await;
    match (ours, core) {
        (Ok(ours), Ok(core)) => {
            for (id, row) in ours.iter().filter_map(|one| machine(one, &core)) {
                machines.entry(id).or_default().learn(row);
            }
        }
        (Err(why), _) | (_, Err(why)) => out.failed.push(why),
    }
    let nodes: Api<Node> = Api::all(kube.clone());
    match nodes.list(&ListParams::default()).await {
        Ok(nodes) => {
            for node in nodes {
                let Some(vmid) = node.annotations().get(INSTANCE_ID) else { continue };
                let id = format!("qemu/{vmid}");
                let row = MachineRow { id: id.clone(), node: node.name_any(), ..MachineRow::default() };
                machines.entry(id).or_default().learn(row);
            }
        }
        Err(why) => out.failed.push(format!("list Nodes: {}", daemon::chain(&why))),
    }
    let volumes: Api<PersistentVolume> = Api::all(kube.clone());
    match volumes.list(&ListParams::default()).await {
        Ok(volumes) => out.volumes.extend(volumes.iter().filter_map(volume)),
        Err(why) => out.failed.push(format!("list PersistentVolumes: {}", daemon::chain(&why))),
    }
}

/// All objects of a kind; none where the kind is not installed.
async fn list(kube: &Client, group: &str, versions: &[&str], kind: &str) -> Result<Vec<DynamicObject>, String> {
    for version in versions {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::all_with(kube.clone(), &resource);
        match api.list(&ListParams::default()).await {
            Ok(list) => return Ok(list.items),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(why) => return Err(format!("list {kind}s: {}", daemon::chain(&why))),
        }
    }
    Ok(Vec::new())
}

fn text<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn machine(of: &DynamicObject, core: &[DynamicObject]) -> Option<(String, MachineRow)> {
    let vmid = of.data.pointer("/spec/virtualMachineID").and_then(Value::as_u64)?;
    let id = format!("qemu/{vmid}");
    let namespace = of.namespace().unwrap_or_default();
    let owner = of.owner_references().iter().find(|owner| owner.kind == "Machine").map(|owner| owner.name.clone());
    let machine = owner.unwrap_or_default();
    let is = |one: &&DynamicObject| one.name_any() == machine && one.namespace().as_deref() == Some(namespace.as_str());
    let node = core.iter().find(is).map(|one| text(one, "/status/nodeRef/name").to_owned()).unwrap_or_default();
    let cluster = of.labels().get(CLUSTER_NAME).cloned().unwrap_or_default();
    Some((id.clone(), MachineRow { id, namespace, cluster, machine, node }))
}

fn volume(of: &PersistentVolume) -> Option<VolumeRow> {
    let spec = of.spec.as_ref()?;
    let csi = spec.csi.as_ref().filter(|csi| csi.driver == DRIVER)?;
    let mut parts = csi.volume_handle.splitn(4, '/').skip(2);
    let (storage, disk) = (parts.next()?, parts.next()?);
    let claim = spec.claim_ref.clone().unwrap_or_default();
    Some(VolumeRow {
        volid: format!("{storage}:{disk}"),
        pv: of.name_any(),
        pvc: claim.name.unwrap_or_default(),
        namespace: claim.namespace.unwrap_or_default(),
    })
}

impl Objects {
    /// Their families.
    pub fn families(&self) -> Vec<Family<'_>> {
        let Self { machines, volumes, failed } = self;
        let mut all = Vec::new();
        let mut info = Family::gauge("oxmox_machine_info", "Which Machine and Node a guest is.");
        for MachineRow { id, namespace, cluster, machine, node } in machines {
            let labels =
                [("id", id), ("namespace", namespace), ("cluster", cluster), ("machine", machine), ("node", node)];
            info.push(labels.map(|(key, value)| (key, value.as_str())), 1.0);
        }
        all.push(info);
        let mut info = Family::gauge("oxmox_volume_info", "Which PersistentVolume a volume is.");
        for VolumeRow { volid, pv, pvc, namespace } in volumes {
            let labels = [("volid", volid), ("pv", pv), ("pvc", pvc), ("namespace", namespace)];
            info.push(labels.map(|(key, value)| (key, value.as_str())), 1.0);
        }
        all.push(info);
        let mut well = Family::gauge("oxmox_exporter_kubernetes_success", "Whether all of that could be read.");
        well.push::<&str, &str>([], f64::from(u8::from(failed.is_empty())));
        all.push(well);
        all
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_is_told_with_its_owner_and_node() {
        let object = |value| serde_json::from_value::<DynamicObject>(value).unwrap();
        let ours = object(json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha2", "kind": "ProxmoxMachine",
            "metadata": {
                "name": "w-0-infra", "namespace": "team", "labels": {CLUSTER_NAME: "prod"},
                "ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "name": "w-0", "uid": "1"}],
            },
            "spec": {"virtualMachineID": 101},
        }));
        let core = object(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine", "metadata": {"name": "w-0", "namespace": "team"},
            "status": {"nodeRef": {"name": "node-w-0"}},
        }));
        let (_, row) = machine(&ours, &[core]).unwrap();
        let text = |text: &str| text.to_owned();
        let is = MachineRow {
            id: text("qemu/101"),
            namespace: text("team"),
            cluster: text("prod"),
            machine: text("w-0"),
            node: text("node-w-0"),
        };
        assert_eq!(row, is);
    }

    #[test]
    fn what_two_clusters_know_of_a_guest_is_one_row() {
        let text = |text: &str| text.to_owned();
        let of_machine = MachineRow { id: text("qemu/101"), machine: text("w-0"), ..MachineRow::default() };
        let of_node = MachineRow { id: text("qemu/101"), node: text("node-w-0"), ..MachineRow::default() };
        let mut row = MachineRow::default();
        row.learn(of_machine.clone());
        row.learn(of_node.clone());
        assert_eq!(row, MachineRow { node: of_node.node, ..of_machine });
    }

    #[test]
    fn a_volume_handle_names_the_volume() {
        let volume = |handle: &str, driver: &str| {
            let of: PersistentVolume = serde_json::from_value(json!({
                "metadata": {"name": "pvc-1"},
                "spec": {"csi": {"driver": driver, "volumeHandle": handle}, "claimRef": {"name": "data", "namespace": "db"}},
            }))
            .unwrap();
            super::volume(&of).map(|row| row.volid)
        };
        assert_eq!(volume("dc1/pve1/lvm/vm-9999-pvc-1", DRIVER).as_deref(), Some("lvm:vm-9999-pvc-1"));
        assert_eq!(volume("dc1//nfs/9999/vm-9999-pvc-1.raw", DRIVER).as_deref(), Some("nfs:9999/vm-9999-pvc-1.raw"));
        assert_eq!(volume("dc1/pve1/lvm", DRIVER), None);
        assert_eq!(volume("dc1/pve1/lvm/x", "other"), None);
    }
}
