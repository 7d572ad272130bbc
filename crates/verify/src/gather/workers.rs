//! Reading Nodes as members of their cluster; and the addresses that guest agents tell of their VMs.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use pve_types::{NodeName, Vmid};

use super::{of_kube, of_proxmox};
use crate::evidence::{
    LeaseSeen, Management, Named, NamedVm, Proxmox, Read, SigningRequest, WorkerSeen, WorkersSeen, Workload, addresses,
};

const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
const ZONE: &str = "topology.kubernetes.io/zone";
/// The label of the cloud controller manager that people use now; it always follows the VM.
const OWN_ZONE: &str = "topology.proxmox.sinextra.dev/zone";
/// Conditions that are bad when they are true.
const BAD: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];
/// Signers that kubelets ask.
const SIGNERS: [&str; 2] = ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"];
/// Agents asked at once: an absent one costs Proxmox VE three seconds.
const AT_ONCE: usize = 4;

/// Reads what stands beside the Nodes that were read.
pub(super) async fn read(client: &Client, nodes: &Read<Vec<Node>>) -> Read<WorkersSeen> {
    let nodes = match nodes {
        Read::Known(nodes) => nodes.iter().map(worker).collect(),
        Read::Unread { cause, why } => return Read::unread(*cause, why.clone()),
    };
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let every = ListParams::default();
    let (leases, requests) = tokio::join!(leases.list(&every), requests.list(&every));
    let leases = of_kube(leases).map(|all| all.iter().filter_map(|one| Some((one.name_any(), lease(one)?))).collect());
    let requests = of_kube(requests).map(|all| all.iter().filter_map(request).collect());
    Read::Known(WorkersSeen { nodes, leases, requests })
}

fn worker(node: &Node) -> WorkerSeen {
    let (spec, status) = (node.spec.clone().unwrap_or_default(), node.status.clone().unwrap_or_default());
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let bad = conditions.iter().filter(|one| one.status == "True" && BAD.contains(&one.type_.as_str()));
    let label = |key: &str| node.labels().get(key).cloned();
    let addresses = status.addresses.unwrap_or_default().into_iter();
    WorkerSeen {
        name: node.name_any(),
        created: node.metadata.creation_timestamp.as_ref().map(|time| time.0),
        provider_id: spec.provider_id.filter(|id| !id.is_empty()),
        ready: ready.map(|condition| condition.status == "True"),
        message: ready.and_then(|condition| condition.message.clone()).unwrap_or_default(),
        pressure: bad.map(|condition| condition.type_.clone()).collect(),
        cordoned: spec.unschedulable == Some(true),
        uninitialized: spec.taints.unwrap_or_default().iter().any(|taint| taint.key == UNINITIALIZED),
        kubelet: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
        zone: label(ZONE),
        own_zone: label(OWN_ZONE),
        internal_ips: addresses.filter(|one| one.type_ == "InternalIP").map(|one| one.address).collect(),
    }
}

/// The kubelet writes `renewTime` by its clock, the API server the time of the kubelet's entry among the managed fields.
fn lease(lease: &Lease) -> Option<LeaseSeen> {
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?.0;
    let entries = lease.metadata.managed_fields.iter().flatten();
    let by_kubelet = entries.filter(|entry| entry.manager.as_deref() == Some("kubelet"));
    let taken: Timestamp = by_kubelet.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()?;
    Some(LeaseSeen { renewed, taken })
}

fn request(request: &CertificateSigningRequest) -> Option<SigningRequest> {
    let spec = &request.spec;
    if !SIGNERS.contains(&spec.signer_name.as_str()) {
        return None;
    }
    let status = request.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let refused = conditions.iter().find(|one| matches!(one.type_.as_str(), "Denied" | "Failed"));
    Some(SigningRequest {
        name: request.name_any(),
        signer: spec.signer_name.clone(),
        user: spec.username.clone().unwrap_or_default(),
        created: request.metadata.creation_timestamp.as_ref().map(|time| time.0),
        approved: conditions.iter().any(|one| one.type_ == "Approved"),
        refused: refused.map(|one| format!("{}: {}", one.type_, one.message.as_deref().unwrap_or("no reason given"))),
        issued: status.and_then(|status| status.certificate.as_ref()).is_some_and(|bytes| !bytes.0.is_empty()),
    })
}

/// Asks the agents of VMs whose Node has an address that its machine does not account for.
pub(super) async fn agents(pve: &pve::Client, management: &Management, workload: &Workload, seen: &mut Proxmox) {
    let machines = management.machines.known().into_iter().flatten();
    let accounted: BTreeMap<&str, _> = machines
        .filter_map(|machine| Some((machine.spec.provider_id.as_deref()?, machine.known_addresses())))
        .collect();
    let nodes = workload.workers.known().into_iter().flat_map(|workers| &workers.nodes);
    let unaccounted = nodes.filter(|node| {
        let known = node.provider_id.as_deref().and_then(|id| accounted.get(id));
        addresses(&node.internal_ips).iter().any(|ip| known.is_none_or(|known| !known.contains(ip)))
    });
    let guests = seen.guests.known();
    let asked: Vec<(Vmid, NodeName)> = unaccounted
        .filter_map(|node| NamedVm::read(node.provider_id.as_deref()?))
        .filter_map(|vm| match seen.named(vm) {
            Named::Are(vmids) => vmids.into_iter().next(),
            Named::Unread(_) => None,
        })
        .filter_map(|vmid| Some((vmid, guests?.get(&vmid)?.node.clone())))
        .collect();
    let answers = stream::iter(asked).map(async |(vmid, node): (Vmid, NodeName)| {
        let told = of_proxmox(pve.agent_interfaces(&node, vmid).await);
        (vmid, told.map(|all| all.iter().flat_map(|one| &one.addresses).map(|one| one.address).collect()))
    });
    seen.agent_addresses = answers.buffer_unordered(AT_ONCE).collect().await;
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_lease_tells_two_clocks() {
        let read = |text: serde_json::Value| lease(&serde_json::from_value(text).unwrap());
        let entry = |manager: &str, time: &str| serde_json::json!({"manager": manager, "time": time});
        let fields = [entry("kubelet", "2026-11-25T21:00:00Z"), entry("kubectl", "2026-11-25T21:30:00Z")];
        let spec = serde_json::json!({"renewTime": "2026-11-25T21:01:30.250000Z"});
        let both = read(serde_json::json!({"metadata": {"name": "a", "managedFields": fields}, "spec": spec})).unwrap();
        assert_eq!(both.renewed.duration_since(both.taken).as_millis(), 90_250);
        let silent = read(serde_json::json!({"metadata": {"name": "a"}, "spec": spec}));
        assert_eq!(silent, None, "without the API server's time the kubelet's says nothing");
    }

    #[test]
    fn only_what_kubelets_ask_for_is_taken_over() {
        let read = |signer: &str, status: serde_json::Value| {
            let text = serde_json::json!({"metadata": {"name": "csr-1"}, "status": status, "spec":
                {"signerName": signer, "request": "", "username": "system:node:w-0", "usages": []}});
            request(&serde_json::from_value(text).unwrap())
        };
        assert_eq!(read("example.com/other", serde_json::json!({})), None);
        let denied = serde_json::json!({"conditions": [{"type": "Denied", "status": "True", "message": "by hand"}]});
        let seen = read("kubernetes.io/kubelet-serving", denied).unwrap();
        assert_eq!((seen.refused.as_deref(), seen.approved, seen.issued), (Some("Denied: by hand"), false, false));
        let approved =
            serde_json::json!({"certificate": "QQ==", "conditions": [{"type": "Approved", "status": "True"}]});
        let seen = read("kubernetes.io/kubelet-serving", approved).unwrap();
        assert_eq!((seen.refused, seen.approved, seen.issued), (None, true, true));
    }
}
