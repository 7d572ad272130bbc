//! Cilium's own policies: for each check a world in which it, and nothing else, fails; and worlds without Cilium.

use super::broken::World;
use super::{all, check};
use crate::evidence::{Caller, CiliumStage, Read, Target};
use crate::fixture::{healthy, of, seen_of_cilium};
use crate::report::Outcome;

pub(super) const ERRORS: &[World] = &[
    ("policies.cilium-deny", "`foe` reaches `web`, which should be closed", |e| {
        *seen_of_cilium(e, CiliumStage::Deny, Caller::Foe, Target::Web) = Some(true);
    }),
    ("policies.cilium-entities", "`node` does not reach `side`", |e| {
        *seen_of_cilium(e, CiliumStage::Nodes, Caller::Node, Target::Side) = Some(false);
    }),
    ("policies.cilium-entities", "`node` reaches `web`, which should be closed", |e| {
        *seen_of_cilium(e, CiliumStage::World, Caller::Node, Target::Web) = Some(true);
    }),
    ("policies.cilium-egress-cidr", "`foe` does not reach `outside`", |e| {
        *seen_of_cilium(e, CiliumStage::EgressCidr, Caller::Foe, Target::Outside) = Some(false);
    }),
    ("policies.cilium-egress-cidr", "`foe` reaches `outside`, which should be closed", |e| {
        *seen_of_cilium(e, CiliumStage::EgressPort, Caller::Foe, Target::Outside) = Some(true);
    }),
    ("policies.cilium-delete", "`foe` does not reach `service`", |e| {
        *seen_of_cilium(e, CiliumStage::Delete, Caller::Foe, Target::Service) = Some(false);
    }),
];

#[test]
fn each_of_these_worlds_makes_its_own_check_fail_and_no_other() {
    for (id, _, change) in ERRORS {
        let mut evidence = healthy();
        change(&mut evidence);
        let report = all(&evidence);
        let failed: Vec<&str> =
            report.checks().filter(|check| check.outcome != Outcome::Passed).map(|check| check.id.as_str()).collect();
        assert_eq!(failed, [*id]);
    }
}

#[test]
fn a_cluster_with_one_node_is_not_asked_for_a_caller_in_its_network() {
    let mut evidence = healthy();
    let seen = of(&mut evidence.workload.policies);
    seen.client_node = seen.server_node.clone();
    for stage in of(&mut seen.cilium).as_mut().unwrap().stages.values_mut() {
        of(stage).retain(|one| one.from != Caller::Node);
    }
    for id in ["policies.cilium-deny", "policies.cilium-entities"] {
        let found = check(&all(&evidence), id);
        assert_eq!(found.outcome, Outcome::Passed, "{id}: {}", found.message);
    }
}

#[test]
fn without_cilium_its_checks_are_blocked_by_it_and_never_passed() {
    let mut evidence = healthy();
    of(&mut evidence.workload.policies).cilium = Read::Known(None);
    let found = check(&all(&evidence), "policies.cilium-deny");
    assert_eq!((found.outcome, found.blocked_by.as_deref()), (Outcome::Blocked, Some("Cilium")));
    let mut evidence = healthy();
    of(&mut of(&mut evidence.workload.policies).cilium).as_mut().unwrap().outside = None;
    let found = check(&all(&evidence), "policies.cilium-egress-cidr");
    assert_eq!((found.outcome, found.blocked_by.as_deref()), (Outcome::Blocked, Some("--probe-outside")));
}
