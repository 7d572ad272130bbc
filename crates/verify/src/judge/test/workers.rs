//! Step 4: worlds that break one thing each, and what could not be looked at.

use jiff::ToSpan;

use super::broken::World;
use super::{all, check};
use crate::evidence::{Cause, Evidence, Read, SigningRequest, WorkerSeen, WorkersSeen};
use crate::fixture::{UUIDS, healthy, node, of, unread, vmid, worker};
use crate::report::Outcome;

fn seen(evidence: &mut Evidence) -> &mut WorkersSeen {
    of(&mut evidence.workload.workers)
}

fn w0(evidence: &mut Evidence) -> &mut WorkerSeen {
    &mut seen(evidence).nodes[1]
}

/// A Node that somebody joined by hand on a VM of his own; its agent tells its address.
fn by_hand(evidence: &mut Evidence) -> &mut WorkerSeen {
    let uuid = "0a0a0a0a-0000-4180-b651-d71617da3e0b";
    of(evidence.proxmox.settings.get_mut(&vmid(300)).unwrap()).uuid = uuid.parse().ok();
    let address = "10.10.10.99";
    evidence.proxmox.agent_addresses.insert(vmid(300), Read::Known([address.parse().unwrap()].into()));
    let node = WorkerSeen {
        provider_id: Some(format!("proxmox://{uuid}")),
        internal_ips: vec![address.into()],
        ..worker("mail", 0, "pve3")
    };
    let lease = *of(&mut seen(evidence).leases).get("w-0").unwrap();
    of(&mut seen(evidence).leases).insert("mail".into(), lease);
    seen(evidence).nodes.push(node);
    seen(evidence).nodes.last_mut().unwrap()
}

fn skewed(evidence: &mut Evidence, seconds: i64) {
    let lease = of(&mut seen(evidence).leases).get_mut("w-0").unwrap();
    lease.renewed += seconds.seconds();
}

fn asked<'a>(evidence: &'a mut Evidence, signer: &str) -> &'a mut SigningRequest {
    let all = of(&mut seen(evidence).requests);
    let mut request = all[0].clone();
    (request.name, request.signer) = ("csr-late".into(), format!("kubernetes.io/{signer}"));
    (request.approved, request.issued) = (false, false);
    all.push(request);
    all.last_mut().unwrap()
}

pub(super) const ERRORS: &[World] = &[
    ("worker.nodes-ready", "Node `mail` is not Ready: container runtime is down", |e| {
        let node = by_hand(e);
        (node.ready, node.message) = (Some(false), "container runtime is down".into());
    }),
    ("worker.nodes-ready", "Node `mail` has never said", |e| by_hand(e).ready = None),
    ("worker.initialised", "Node `w-0` waits for a cloud controller manager", |e| w0(e).uninitialized = true),
    ("worker.provider-ids", "Nodes w-0 and mail share the provider ID", |e| {
        let node = by_hand(e);
        node.provider_id = Some(format!("proxmox://{}", UUIDS[1]));
        (node.internal_ips, node.zone, node.own_zone) =
            (vec!["10.10.10.21".into()], Some("pve2".into()), Some("pve2".into()));
    }),
    ("worker.provider-ids", "proxmox://dc1/102; machine `w-0` has proxmox://f250", |e| {
        w0(e).provider_id = Some("proxmox://dc1/102".into());
    }),
    ("worker.provider-ids", "Node `w-0` has no provider ID; machine `w-0` has", |e| {
        let node = w0(e);
        (node.provider_id, node.zone, node.own_zone) = (None, None, None);
    }),
    ("worker.provider-ids", "proxmox://dc1/web names no VM", |e| {
        by_hand(e).provider_id = Some("proxmox://dc1/web".into());
    }),
    ("worker.no-orphans", "Node `mail` is proxmox://0a0a0a0a-0000-4180-b651-d71617da3e0b, and no VM", |e| {
        by_hand(e);
        of(e.proxmox.settings.get_mut(&vmid(300)).unwrap()).uuid = None;
    }),
    ("worker.no-orphans", "machine `w-0` has no Node, 60 min after it was made", |e| {
        // not yet provisioned: step 3 only warns of it
        of(&mut e.management.machines)[1].status.initialization = None;
        of(&mut e.workload.nodes).pop();
        seen(e).nodes.pop();
    }),
    ("worker.zones", "Node `w-0`: VM 102 is on `pve3`, its zone says `pve2`", |e| {
        of(&mut e.proxmox.guests).get_mut(&vmid(102)).unwrap().node = node("pve3");
    }),
    ("worker.addresses", "Node `w-0` has no InternalIP", |e| w0(e).internal_ips.clear()),
    ("worker.addresses", "Node `w-0` says 10.10.10.77; VM 102 has 10.10.10.21, 10.10.10.22", |e| {
        w0(e).internal_ips = vec!["10.10.10.77".into()];
        e.proxmox.agent_addresses.insert(vmid(102), Read::Known(["10.10.10.22".parse().unwrap()].into()));
    }),
    ("worker.version-skew", "kubelet v1.37.0, API server v1.36.3: it is newer", |e| w0(e).kubelet = "v1.37.0".into()),
    ("worker.version-skew", "it is 4 minor versions older", |e| w0(e).kubelet = "v1.32.9".into()),
    ("worker.no-pending-csrs", "`csr-late` of `system:bootstrap:abcdef`", |e| {
        asked(e, "kube-apiserver-client-kubelet");
    }),
    ("worker.no-pending-csrs", "is approved, and nobody signs it", |e| asked(e, "kubelet-serving").approved = true),
    ("worker.clocks", "Node `w-0` is 90.0 s behind the API server", |e| skewed(e, -90)),
    ("worker.clocks", "Node `w-0` is 75.0 s ahead of the API server", |e| skewed(e, 75)),
];

pub(super) const WARNINGS: &[World] = &[
    ("worker.nodes-ready", "Node `w-0` is cordoned", |e| w0(e).cordoned = true),
    ("worker.nodes-ready", "Node `w-0` is under DiskPressure", |e| w0(e).pressure = vec!["DiskPressure".into()]),
    ("worker.nodes-ready", "Node `mail` has registered, and is not Ready yet", |e| {
        let now = e.finished;
        let node = by_hand(e);
        (node.ready, node.created) = (Some(false), Some(now - 1.minute()));
    }),
    ("worker.provider-ids", "Node `mail` has no provider ID", |e| by_hand(e).provider_id = None),
    ("worker.zones", "Node `w-0`: VM 102 is on `pve2`, and it has no zone", |e| {
        let node = w0(e);
        (node.zone, node.own_zone) = (None, None);
    }),
    ("worker.zones", "topology.kubernetes.io/zone still says `pve1`", |e| w0(e).zone = Some("pve1".into())),
    ("worker.version-skew", "the control plane can go no further", |e| w0(e).kubelet = "v1.33.0".into()),
    ("worker.no-pending-csrs", "kubelet-serving waits for approval", |e| {
        asked(e, "kubelet-serving");
    }),
    ("worker.no-pending-csrs", "Denied: by hand", |e| {
        asked(e, "kubelet-serving").refused = Some("Denied: by hand".into());
    }),
    ("worker.clocks", "Node `w-0` is 7.0 s ahead of the API server", |e| skewed(e, 7)),
];

#[test]
fn each_trouble_fails_its_own_check_and_no_other_of_the_step() {
    for (id, _, change) in ERRORS.iter().chain(WARNINGS) {
        let mut evidence = healthy();
        change(&mut evidence);
        let report = all(&evidence);
        let failed: Vec<&str> = report
            .checks()
            .filter(|check| check.outcome == Outcome::Failed && check.id.starts_with("worker."))
            .map(|check| check.id.as_str())
            .collect();
        assert_eq!(failed, [*id]);
    }
}

#[test]
fn a_node_that_was_joined_by_hand_is_judged_like_any_other() {
    let mut evidence = healthy();
    by_hand(&mut evidence);
    let report = all(&evidence);
    for check in report.checks() {
        assert_eq!(check.outcome, Outcome::Passed, "{}: {}", check.id, check.message);
    }
    assert!(check(&report, "worker.provider-ids").evidence.iter().any(|line| line.ends_with("of no machine")));
}

#[test]
fn a_new_node_has_its_time_to_be_met_and_its_request_to_be_approved() {
    let mut evidence = healthy();
    let now = evidence.finished;
    let node = w0(&mut evidence);
    (node.uninitialized, node.created, node.provider_id) = (true, Some(now - 30.seconds()), None);
    (node.zone, node.own_zone) = (None, None);
    asked(&mut evidence, "kubelet-serving").created = Some(now - 30.seconds());
    let report = all(&evidence);
    let initialised = check(&report, "worker.initialised");
    assert!(initialised.is_warning(), "{initialised:?}");
    for id in ["worker.provider-ids", "worker.zones"] {
        assert_eq!(check(&report, id).outcome, Outcome::Unread, "{id} says nothing of it yet");
    }
    assert_eq!(check(&report, "worker.no-pending-csrs").outcome, Outcome::Passed);
}

#[test]
fn what_could_not_be_looked_at_is_never_a_pass() {
    type Blind = fn(&mut Evidence);
    let cases: [(&str, Blind); 7] = [
        ("worker.clocks", |e| seen(e).leases = unread()),
        ("worker.clocks", |e| _ = of(&mut seen(e).leases).remove("w-0")),
        ("worker.no-pending-csrs", |e| seen(e).requests = Read::unread(Cause::Forbidden, "forbidden")),
        ("worker.addresses", |e| {
            w0(e).internal_ips = vec!["10.10.10.77".into()];
            e.proxmox.agent_addresses.insert(vmid(102), Read::unread(Cause::Refused, "no agent"));
        }),
        ("worker.addresses", |e| w0(e).internal_ips = vec!["10.10.10.77".into()]),
        ("worker.no-orphans", |e| _ = e.proxmox.settings.insert(vmid(102), unread())),
        ("worker.version-skew", |e| w0(e).kubelet = String::new()),
    ];
    for (id, blind) in cases {
        let mut evidence = healthy();
        blind(&mut evidence);
        let found = check(&all(&evidence), id);
        assert_eq!(found.outcome, Outcome::Unread, "{id}: {}", found.message);
    }
}

#[test]
fn a_node_of_another_provider_is_left_alone() {
    let mut evidence = healthy();
    let node = by_hand(&mut evidence);
    (node.provider_id, node.zone, node.own_zone) = (Some("k3s://mail".into()), None, None);
    let report = all(&evidence);
    let step = report.checks().filter(|check| check.id.starts_with("worker."));
    for check in step {
        assert_eq!(check.outcome, Outcome::Passed, "{}: {}", check.id, check.message);
    }
}

#[test]
fn evidence_of_before_these_checks_passes_none_of_them() {
    let mut saved = serde_json::to_value(healthy()).unwrap();
    saved["workload"].as_object_mut().unwrap().remove("workers");
    let evidence: Evidence = serde_json::from_value(saved).unwrap();
    let report = all(&evidence);
    assert_eq!(report.checks().filter(|check| check.id.starts_with("worker.")).count(), 9);
    for check in report.checks().filter(|check| check.id.starts_with("worker.")) {
        assert_eq!(check.outcome, Outcome::Blocked, "{}: {}", check.id, check.message);
    }
}
