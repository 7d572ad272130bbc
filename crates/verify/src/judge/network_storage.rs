//! Step 2: bridges, and the door of the workload cluster.

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Cause, Evidence, Read};
use crate::step::StepId;

pub(super) const BRIDGE: CheckInfo = CheckInfo {
    id: "network-storage.bridge",
    step: StepId::NetworkStorage,
    title: "Each NIC's bridge exists on each node",
    looks_at: "For each NIC of the cluster's machines and templates: a bridge (or virtual network) of that name on each \
               node that the machine may be placed on, and that it is active.",
    matters: "A VM whose bridge is missing does not start; on the wrong network it never joins.",
    fix: "Create the bridge on the node (System, Network) and apply, correct `bridge` in the template, or narrow \
          `allowedNodes`.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: bridge,
};

fn bridge(evidence: &Evidence) -> Verdict {
    let mut tally = Tally::default();
    let specs = match scope::specs(evidence) {
        Ok(specs) => specs,
        Err(verdict) => return verdict,
    };
    for (who, spec) in specs {
        let nodes = match scope::nodes(evidence, spec) {
            Ok(nodes) => nodes,
            Err(verdict) => return verdict,
        };
        for nic in &spec.network.network_devices {
            let Some(wanted) = &nic.bridge else { continue };
            for node in &nodes {
                let bridges = match scope::of(&evidence.proxmox.bridges, node) {
                    Ok(bridges) => bridges,
                    Err(why) => {
                        tally.unread(format!("the network of node `{node}` could not be read: {why}"));
                        continue;
                    }
                };
                match bridges.iter().find(|one| one.name == *wanted) {
                    None => {
                        let all: Vec<&str> = bridges.iter().map(|one| one.name.as_str()).collect();
                        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                        tally.error(format!(
                            "{who}, {}: node `{node}` has no bridge `{wanted}`; it has {all}",
                            nic.name
                        ));
                    }
                    Some(one) if !one.active => {
                        tally.error(format!("{who}, {}: bridge `{wanted}` on node `{node}` is not up", nic.name));
                    }
                    Some(_) => tally.fine(format!("{node}: {wanted}")),
                }
            }
        }
    }
    tally.verdict("every bridge is there and up", "create the bridge on the node, or correct `bridge` in the template")
}

pub(super) const ENDPOINT_ANSWERS: CheckInfo = CheckInfo {
    id: "network-storage.endpoint-answers",
    step: StepId::NetworkStorage,
    title: "The workload cluster's endpoint answers",
    looks_at: "Opens a TLS connection to `controlPlaneEndpoint`. Before the first machine of the control plane runs, \
               no answer is a warning only.",
    matters: "Nodes join through this address, and everything that manages the cluster uses it.",
    fix: "Check that the address is free and routed, that what holds it (kube-vip, keepalived, a load balancer) runs on \
          the control plane, and that no firewall stands between.",
    of: Of::Cluster,
    needs: &[],
    judge: endpoint_answers,
};

fn endpoint_answers(evidence: &Evidence) -> Verdict {
    if let Err(verdict) = need("the ProxmoxCluster", &evidence.management.cluster) {
        return verdict;
    }
    let provisioned = evidence.management.machines.known().is_some_and(|machines| {
        machines.iter().any(|machine| machine.status.initialization.as_ref().and_then(|i| i.provisioned) == Some(true))
    });
    match &evidence.workload.endpoint {
        Read::Known(seen) => {
            let issuer = seen.certificate.issuer.as_deref().unwrap_or("an issuer that does not read");
            Verdict::passed(format!("{} answers with TLS", seen.address))
                .evidence([format!("certificate by {issuer}"), format!("fingerprint {}", seen.certificate.fingerprint)])
        }
        Read::Unread { cause: Cause::NotAsked | Cause::Missing, why } => {
            Verdict::blocked("controlPlaneEndpoint", why.clone())
        }
        Read::Unread { cause: Cause::Forbidden | Cause::NotKnown | Cause::Refused, why } => {
            Verdict::unread(why.clone())
        }
        // connecting failed, or what answers speaks no TLS
        Read::Unread { why, .. } => {
            let hint = "check what holds the address on the control plane, and the firewalls between";
            if provisioned {
                Verdict::failed(why.clone()).hint(hint)
            } else {
                Verdict::warning(format!("{why}; no machine runs yet"))
                    .hint("wait for the control plane's first machine")
            }
        }
    }
}
