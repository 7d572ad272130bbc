//! Step 6: what Cilium's own policies let through, proven by packets.

use super::policies::{CheckWords, check, count, layer};
use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::{Caller, CiliumSeen, CiliumStage, Evidence, PoliciesSeen, Target};

const NEXT: &str =
    "ask the agents of the nodes that the message names: `cilium-dbg status`, `cilium-dbg monitor --type drop`";
const FIX: &str = "Look at Cilium's agents (`kubectl -n kube-system get pods -l k8s-app=cilium`): one must run on every node. \
                   Try again with `oxmox verify --only policies --probe`.";

const fn words(id: &'static str, title: &'static str, looks_at: &'static str) -> CheckWords {
    CheckWords { id, title, looks_at, fix: FIX }
}

pub(super) const DENY: CheckInfo = check(
    words(
        "policies.cilium-deny",
        "What a CiliumNetworkPolicy denies stays denied whatever allows it",
        "The callers of `policies.connectivity` and one in the network of a node, after a policy that lets in the whole \
         cluster (`fromEntities: [cluster]`) and denies the foe (`ingressDeny`).",
    ),
    Of::Cilium,
    &["policies.connectivity"],
    |evidence| judge(evidence, &[CiliumStage::Deny]),
);

pub(super) const ENTITIES: CheckInfo = check(
    words(
        "policies.cilium-entities",
        "Entities mean what they say: nodes are not pods, and the cluster is not the world",
        "The same callers, of which the policy first lets in nodes only (`host`, `remote-node`), then the world only. On a \
         cluster with one node that takes pods the caller in its network is left out: a node always reaches its own pods.",
    ),
    Of::Cilium,
    &["policies.connectivity"],
    |evidence| judge(evidence, &[CiliumStage::Nodes, CiliumStage::World]),
);

pub(super) const EGRESS_CIDR: CheckInfo = check(
    words(
        "policies.cilium-egress-cidr",
        "A rule with a CIDR and a port opens that port of that address outside, and nothing else",
        "The foe, which may first send to the port of the address that `--probe-outside` names, then to another port of it; \
         in both cases to no pod but a control. Everybody else stays as they are.",
    ),
    Of::CiliumOutside,
    &["policies.connectivity"],
    |evidence| judge(evidence, &[CiliumStage::EgressCidr, CiliumStage::EgressPort]),
);

pub(super) const DELETE: CheckInfo = check(
    words(
        "policies.cilium-delete",
        "A deleted CiliumNetworkPolicy closes nothing any more",
        "The same callers, after the policies of Cilium's kind were deleted.",
    ),
    Of::Cilium,
    &["policies.connectivity"],
    |evidence| judge(evidence, &[CiliumStage::Delete]),
);

fn judge(evidence: &Evidence, stages: &[CiliumStage]) -> Verdict {
    let seen = match need("the probes of network policies", &evidence.workload.policies) {
        Ok(seen) => seen,
        Err(verdict) => return verdict,
    };
    let cilium = match need("the probes of Cilium's policies", &seen.cilium) {
        Ok(Some(cilium)) => cilium,
        Ok(None) => return Verdict::blocked("Cilium", "no Cilium runs in the cluster"),
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut sums = (0, 0);
    for &stage in stages {
        if stage.needs_outside() && cilium.outside.is_none() {
            return Verdict::blocked("--probe-outside", "no address outside of the cluster was named");
        }
        match one(seen, cilium, stage, &mut tally) {
            Ok((open, closed)) => sums = (sums.0 + open, sums.1 + closed),
            Err(verdict) => return verdict,
        }
    }
    tally.verdict(format!("{} connections open and {} closed, by packets ({})", sums.0, sums.1, layer(seen)), NEXT)
}

fn one(
    seen: &PoliciesSeen,
    cilium: &CiliumSeen,
    stage: CiliumStage,
    tally: &mut Tally,
) -> Result<(usize, usize), Verdict> {
    let Some(read) = cilium.stages.get(&stage) else {
        return Err(Verdict::unread(format!("the probes did not come to `{}`", stage.as_str())));
    };
    let connections = need("the probes' connections", read)?;
    let callers = if seen.server_node == seen.client_node { &Caller::ALL[..] } else { &Caller::CILIUM };
    let targets = if cilium.outside.is_some() { &Target::CILIUM[..] } else { &Target::ALL };
    Ok(count(connections, (callers, targets), |from, to| stage.opens(from, to), tally))
}
