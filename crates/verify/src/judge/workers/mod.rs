//! Step 4: each Node is a machine's VM, knows where it is, and is fit to take pods.

mod identity;
mod state;

use jiff::{SignedDuration, Timestamp};

use super::verdict::{Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::{Evidence, MachineSeen, WorkerSeen, WorkersSeen};
use crate::step::StepId;

/// A cloud controller manager has this long to meet a new Node.
const MEET: SignedDuration = SignedDuration::from_mins(2);
/// A kubelet has this long to become ready, and an approver to approve.
const SETTLE: SignedDuration = SignedDuration::from_mins(5);
/// A machine has this long to become a Node.
const JOIN: SignedDuration = SignedDuration::from_mins(15);

pub(super) const NODES_READY: CheckInfo = CheckInfo {
    id: "worker.nodes-ready",
    step: StepId::Worker,
    title: "Every Node is Ready and takes pods",
    looks_at: "All Nodes of the workload cluster, those without a machine as well: condition `Ready`; memory, disk and \
               process pressure, a network that is missing, and being cordoned are warnings. A Node that registered \
               less than five minutes ago may still be on its way.",
    matters: "A Node that is there and not Ready holds pods that nobody serves, and counts as room that is not there.",
    fix: "`kubectl describe node NODE`, then on the machine `systemctl status kubelet containerd`, `journalctl -u \
          kubelet` and `oxmox worker check`.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers", "vm-management.nodes-ready"],
    judge: state::nodes_ready,
};

pub(super) const INITIALISED: CheckInfo = CheckInfo {
    id: "worker.initialised",
    step: StepId::Worker,
    title: "The cloud controller manager has met every Node",
    looks_at: "No Node has the taint `node.cloudprovider.kubernetes.io/uninitialized`; for two minutes after it \
               registered it is a warning.",
    matters: "A kubelet that was started with `--cloud-provider=external` takes no pods until a cloud controller \
              manager has described its Node.",
    fix: "See that `oxmox run ccm` runs in the workload cluster, and what its log says of that Node: most often its VM is \
          not found by its UUID, or the token may not see it.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: state::initialised,
};

pub(super) const PROVIDER_IDS: CheckInfo = CheckInfo {
    id: "worker.provider-ids",
    step: StepId::Worker,
    title: "Each Node says which VM it is, as its machine does",
    looks_at: "`spec.providerID` of every Node: it is there, no two Nodes share it, and where a ProxmoxMachine has the \
               Node's VM or its name, the text is the machine's. IDs of other providers are left alone; a Node without \
               one is a warning when no machine has its name.",
    matters: "Cluster API, the cloud controller manager and autoscalers know Nodes by this text alone. Two Nodes with one \
              ID, or one ID that is spelled differently, end in machines that are replaced again and again.",
    fix: "A provider ID cannot be changed: delete the Node object and restart its kubelet with the right one \
          (`--provider-id`, or the cloud controller manager's form of IDs: `proxmox://UUID` with Cluster API).",
    of: Of::Cluster,
    needs: &["worker.initialised"],
    judge: identity::provider_ids,
};

pub(super) const NO_ORPHANS: CheckInfo = CheckInfo {
    id: "worker.no-orphans",
    step: StepId::Worker,
    title: "No Node is without its VM, and no machine without its Node",
    looks_at: "The VM that each Node's provider ID names exists. A machine that is fifteen minutes old has a Node.",
    matters: "Pods of a Node whose VM is gone hang; volumes stay attached to it. A machine that never became a Node costs \
              and does nothing.",
    fix: "The cloud controller manager deletes a Node when it has proven that its VM is gone: look at its log. By hand: \
          `kubectl delete node NODE`. For a machine without a Node look at cloud-init's log in the guest \
          (/var/log/cloud-init-output.log).",
    of: Of::Cluster,
    needs: &["api.authenticated", "worker.provider-ids"],
    judge: identity::no_orphans,
};

pub(super) const ZONES: CheckInfo = CheckInfo {
    id: "worker.zones",
    step: StepId::Worker,
    title: "Each Node's zone is the Proxmox VE node that its VM is on",
    looks_at: "`topology.kubernetes.io/zone` and `topology.proxmox.sinextra.dev/zone` of every Node against the node \
               that Proxmox VE lists its VM on. A missing label, and a Kubernetes' label that stayed behind after a \
               migration, are warnings.",
    matters: "Pods are spread, and volumes are placed, by this label. A wrong one puts all replicas on one host.",
    fix: "See that `oxmox run ccm` runs and reads Proxmox VE. With `features.force_update_labels: false` only the second \
          label follows a migration.",
    of: Of::Cluster,
    needs: &["api.authenticated", "worker.initialised"],
    judge: identity::zones,
};

pub(super) const ADDRESSES: CheckInfo = CheckInfo {
    id: "worker.addresses",
    step: StepId::Worker,
    title: "Each Node's addresses are its VM's",
    looks_at: "Every `InternalIP` of a Node is one that its ProxmoxMachine's status has, or that the guest agent of its \
               VM tells. A Node has at least one.",
    matters: "The API server reaches kubelets (logs, exec, metrics) and Nodes reach each other by this address. One of a \
              bridge of its own, or of another machine, looks well until somebody needs it.",
    fix: "Give the kubelet `--node-ip`, or the cloud controller manager the networks to leave out; see whether two \
          machines have one address.",
    of: Of::Cluster,
    needs: &["api.authenticated", "worker.initialised"],
    judge: identity::addresses,
};

pub(super) const VERSION_SKEW: CheckInfo = CheckInfo {
    id: "worker.version-skew",
    step: StepId::Worker,
    title: "Kubelets are no newer than the API server, and not too old",
    looks_at: "The minor version of each kubelet against the API server's: newer is an error, more than three older as \
               well; three older is a warning, since the control plane cannot be upgraded any further.",
    matters: "Kubernetes supports no other combination: newer kubelets ask for what the API server does not have, old \
              ones miss what it has removed.",
    fix: "Upgrade the control plane first, then roll the machines.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: state::version_skew,
};

pub(super) const NO_PENDING_CSRS: CheckInfo = CheckInfo {
    id: "worker.no-pending-csrs",
    step: StepId::Worker,
    title: "Certificates that kubelets ask for are signed",
    looks_at: "CertificateSigningRequests for the two signers of kubelets: one that waits for approval for more than five \
               minutes is an error for the client's certificate and a warning for the server's; approved and not signed \
               is an error; denied or failed a warning.",
    matters: "Without its client certificate a kubelet does not join, or stops at its renewal. Without the server's, \
              `kubectl logs` and metrics distrust it.",
    fix: "`kubectl get csr`; approve what you know (`kubectl certificate approve NAME`). Client certificates are approved \
          by kube-controller-manager when the bootstrap token's group may ask for them (`kubeadm` sees to it).",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: state::no_pending_csrs,
};

pub(super) const CLOCKS: CheckInfo = CheckInfo {
    id: "worker.clocks",
    step: StepId::Worker,
    title: "Nodes' clocks agree with the API server's",
    looks_at: "Each Node's lease has two times of the same moment: `renewTime`, by the kubelet's clock, and the time at \
               which the API server took it. 5 seconds apart is a warning, 60 an error.",
    matters: "Certificates and tokens have dates: a clock that is behind finds them not valid yet, one that is ahead \
              expired. Leases, events and logs tell wrong orders.",
    fix: "`chronyc tracking` (or `timedatectl`) in the guest and on the control plane; a VM that was suspended wants \
          its time set.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: state::clocks,
};

/// The Nodes, or a verdict that there are none to judge.
fn workers(evidence: &Evidence) -> Result<&WorkersSeen, Verdict> {
    let workers = need("the workload cluster's Nodes", &evidence.workload.workers)?;
    if workers.nodes.is_empty() {
        return Err(Verdict::blocked("nodes", "the workload cluster has no Node yet"));
    }
    Ok(workers)
}

/// Machines that are to be.
fn machines(evidence: &Evidence) -> Result<Vec<&MachineSeen>, Verdict> {
    let all = need("the ProxmoxMachines", &evidence.management.machines)?;
    Ok(all.iter().filter(|machine| !machine.deleting).collect())
}

/// How old something is; `None`: it is not known when it was made.
fn age(evidence: &Evidence, created: Option<Timestamp>) -> Option<SignedDuration> {
    Some(evidence.finished.duration_since(created?))
}

/// Whether something is surely younger than that.
fn younger(evidence: &Evidence, created: Option<Timestamp>, than: SignedDuration) -> bool {
    age(evidence, created).is_some_and(|age| age < than)
}

/// `Node `w-0``.
fn called(node: &WorkerSeen) -> String {
    format!("Node `{}`", node.name)
}
