//! Step 6: what network policies let through, proven by packets.

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::{Caller, Connection, Evidence, PoliciesSeen, PolicyStage, Target};
use crate::step::StepId;

const NEXT: &str = "look at the engine's pods and logs on the nodes that the message names; a CNI plugin without a policy \
                    engine (flannel, the bridge plugin) enforces nothing";

/// What a check of the probes says of itself.
#[derive(Clone, Copy)]
pub(super) struct CheckWords {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) looks_at: &'static str,
    pub(super) fix: &'static str,
}

pub(super) const fn check(
    words: CheckWords,
    of: Of,
    needs: &'static [&'static str],
    judge: fn(&Evidence) -> Verdict,
) -> CheckInfo {
    let CheckWords { id, title, looks_at, fix } = words;
    CheckInfo {
        id,
        step: StepId::Policies,
        title,
        looks_at,
        matters: "A policy that is stored and not enforced looks the same as one that is, until somebody comes through.",
        fix,
        of,
        needs,
        judge,
    }
}

const FIX: &str = "Install a policy engine (Cilium, Kube-OVN, Calico, kube-router), or mend the one that is there: its pods \
                   must run on every node. Try again with `oxmox verify --only policies --probe`.";

const fn words(id: &'static str, title: &'static str, looks_at: &'static str) -> CheckWords {
    CheckWords { id, title, looks_at, fix: FIX }
}

pub(super) const CONNECTIVITY: CheckInfo = check(
    words(
        "policies.connectivity",
        "Pods reach each other where no policy stands, and DNS answers",
        "Three callers, two of them on another node than the server and one in another namespace, call two ports of a server \
         and its Service by name.",
    ),
    Of::Probe,
    &["network-storage.endpoint-answers"],
    |evidence| stage(evidence, PolicyStage::Connectivity),
);

pub(super) const DENY_ALL: CheckInfo = check(
    words(
        "policies.deny-all",
        "A policy without rules closes its pods",
        "The same callers, after a policy of type Ingress without rules for the server.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::DenyAll),
);

pub(super) const ALLOW_ONE: CheckInfo = check(
    words(
        "policies.allow-one",
        "A pod selector lets in the pods that it selects, and no others",
        "The same callers, of which the policy lets in those with the friend's label.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::AllowOne),
);

pub(super) const PORT: CheckInfo = check(
    words(
        "policies.port",
        "A rule with a port opens that port, and no other",
        "The same callers, of which the policy lets in the friend, on the first port.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::Port),
);

pub(super) const NAMESPACE: CheckInfo = check(
    words(
        "policies.namespace",
        "A namespace selector lets in that namespace, and no other",
        "The same callers, of which the policy lets in those of the other namespace.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::Namespace),
);

pub(super) const EGRESS: CheckInfo = check(
    words(
        "policies.egress",
        "A policy of type Egress holds back what its pods send",
        "The same callers, after a policy that lets the foe send to DNS and to a control pod only.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::Egress),
);

pub(super) const UPDATE: CheckInfo = check(
    words(
        "policies.update",
        "A changed policy is enforced as changed",
        "The same callers, after that policy was changed to let the foe send to the server's first port as well.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    |evidence| stage(evidence, PolicyStage::Update),
);

pub(super) const DELETE: CheckInfo = check(
    words(
        "policies.delete",
        "A deleted policy closes nothing any more, and the probes leave nothing",
        "The same callers, after all policies were deleted; then both namespaces of the probes are removed.",
    ),
    Of::Probe,
    &["policies.connectivity"],
    delete,
);

fn stage(evidence: &Evidence, which: PolicyStage) -> Verdict {
    match tally(evidence, which) {
        Ok((tally, passed)) => tally.verdict(passed, NEXT),
        Err(verdict) => verdict,
    }
}

fn delete(evidence: &Evidence) -> Verdict {
    let (mut tally, passed) = match tally(evidence, PolicyStage::Delete) {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    match need("the probes", &evidence.workload.policies).map(|seen| need("what the probes have left", &seen.left)) {
        Ok(Ok(left)) => left.iter().for_each(|one| tally.warning(format!("{one} of the probes is still there"))),
        Ok(Err(verdict)) | Err(verdict) => return verdict,
    }
    tally.verdict(passed, NEXT)
}

/// What was seen against what the policies say; and the words when all of it is right.
fn tally(evidence: &Evidence, which: PolicyStage) -> Result<(Tally, String), Verdict> {
    let seen = need("the probes of network policies", &evidence.workload.policies)?;
    let Some(stage) = seen.stages.get(&which) else {
        return Err(Verdict::unread(format!("the probes did not come to `{}`", which.as_str())));
    };
    let connections = need("the probes' connections", stage)?;
    let mut tally = Tally::default();
    let opens = |from, to| which.opens(from, to);
    let (open, closed) = count(connections, (&Caller::ALL, &Target::ALL), opens, &mut tally);
    Ok((tally, format!("{open} connections open and {closed} closed, by packets ({})", layer(seen))))
}

/// Counts connections that are open and closed as they should be; those that are not go into the tally.
pub(super) fn count(
    connections: &[Connection],
    (callers, targets): (&[Caller], &[Target]),
    opens: impl Fn(Caller, Target) -> bool,
    tally: &mut Tally,
) -> (usize, usize) {
    let (mut open, mut closed) = (0, 0);
    for &from in callers {
        for &to in targets {
            let (caller, target) = (from.as_str(), to.as_str());
            let one = connections.iter().find(|one| (one.from, one.to) == (from, to));
            match (one.and_then(|one| one.open), opens(from, to)) {
                (Some(true), true) => open += 1,
                (Some(false), false) => closed += 1,
                (Some(true), false) => {
                    tally.error(format!("`{caller}` reaches `{target}`, which should be closed to it"));
                }
                (Some(false), true) => {
                    tally.error(format!("`{caller}` does not reach `{target}`, which should be open to it"));
                }
                (None, _) => tally.unread(format!("`{caller}` reached not even the control: its silence says nothing")),
            }
        }
    }
    (open, closed)
}

/// Which layer was proven: the engine by name, and between which nodes.
pub(super) fn layer(seen: &PoliciesSeen) -> String {
    let engine = match seen.engines.as_slice() {
        [] => "by an engine that is no DaemonSet we know".to_owned(),
        names => format!("by {}", names.join(", ")),
    };
    if seen.server_node == seen.client_node {
        format!("{engine}; within node `{}` only", seen.server_node)
    } else {
        format!("{engine}; within node `{}` and from `{}`", seen.server_node, seen.client_node)
    }
}
