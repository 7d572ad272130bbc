//! For each check the least change of a healthy world that makes it fail.

use jiff::ToSpan;

use super::{all, check};
use crate::evidence::{Caller, Cause, Evidence, Iso, PolicyStage, Read, SceneOutcome, Target, TrustSeen};
use crate::fixture::{healthy, machine, mark, node, of, seen, unread, vmid};
use crate::judge::CHECKS;
use crate::report::{Outcome, Severity};

pub(super) type Change = fn(&mut Evidence);

/// A check's id, what it must say, and the change that makes it fail.
pub(super) type World = (&'static str, &'static str, Change);

fn fail(evidence: &mut Evidence, scene: &str, why: &str) {
    let scene = of(&mut evidence.story).scenes.get_mut(scene).unwrap();
    (scene.outcome, scene.last) = (SceneOutcome::Failed, why.into());
}

const ERRORS: &[World] = &[
    ("api.reachable", "no Proxmox could be reached", |e| {
        e.proxmox.version = Read::unread(Cause::NoConnection, "no Proxmox could be reached");
    }),
    ("api.tls-chain", "is not trusted", |e| {
        e.proxmox.version = Read::unread(Cause::Certificate, "the certificate is not trusted");
    }),
    ("api.authenticated", "401", |e| e.proxmox.version = Read::unread(Cause::NotKnown, "refused (401)")),
    ("api.version-supported", "7.4", |e| of(&mut e.proxmox.version).version = "7.4-16".into()),
    ("api.privileges", "VM.Clone on /vms/9000", |e| {
        of(&mut e.proxmox.permissions).get_mut("/vms").unwrap().remove("VM.Clone");
    }),
    ("api.quorate", "3 of 3 nodes online, and Proxmox VE says that the cluster has no majority", |e| {
        e.proxmox.majority = Read::Known(false);
    }),
    ("api.quorate", "1 of 3 nodes online: no majority", |e| {
        e.proxmox.majority = Read::unread(Cause::Forbidden, "403");
        of(&mut e.proxmox.nodes)[1..].iter_mut().for_each(|node| node.status = "offline".into());
    }),
    ("api.nodes-online", "no node `pve9`; there are: pve1, pve2, pve3", |e| {
        of(&mut e.management.cluster).spec.allowed_nodes.push("pve9".into());
    }),
    ("api.clock-skew", "90.0 s behind", |e| {
        of(&mut e.proxmox.doors[0].certificate).clock_ahead_ms = Some(-90_000);
    }),
    ("network-storage.iso-storage", "no storage of node `pve2` takes `iso`", |e| {
        for one in of(e.proxmox.node_storages.get_mut(&node("pve2")).unwrap()) {
            one.content.remove("iso");
        }
    }),
    ("network-storage.image-storage", "storage `shared` on node `pve3` takes no `images`", |e| {
        of(e.proxmox.node_storages.get_mut(&node("pve3")).unwrap())[0].content.remove("images");
    }),
    ("network-storage.bridge", "node `pve3` has no bridge `vmbr0`", |e| {
        of(e.proxmox.bridges.get_mut(&node("pve3")).unwrap()).clear();
    }),
    ("network-storage.free-space", "`shared` has 4 % free", |e| {
        of(e.proxmox.node_storages.get_mut(&node("pve1")).unwrap())[0].free = Some(4 << 30);
    }),
    ("network-storage.address-range", "0 addresses are free", |e| {
        let config = of(&mut e.management.cluster).spec.ipv4_config.as_mut().unwrap();
        config.addresses = vec!["10.10.10.20-10.10.10.21".into()];
        of(&mut e.management.replicas).insert("MachineDeployment/w".into(), 3);
    }),
    ("network-storage.endpoint-answers", "no answer", |e| {
        e.workload.endpoint = Read::unread(Cause::NoConnection, "no answer in 5 s");
    }),
    ("vm-management.template", "there is no VM 9001 to be the template; to be seen are: 9000", |e| {
        of(&mut e.management.templates)[0].spec.template_id = Some(9001);
    }),
    ("vm-management.machines-have-vms", "machine `w-0`, VM 102: it is stopped", |e| {
        e.proxmox.states.insert(vmid(102), Read::Known("stopped".into()));
    }),
    ("vm-management.no-duplicates", "VMs 101 and 300 all belong to machine `default/cp-0`", |e| {
        of(e.proxmox.settings.get_mut(&vmid(300)).unwrap()).mark = Some(mark("cp-0", 0));
    }),
    ("vm-management.agent-answers", "not running", |e| {
        e.proxmox.agents.insert(vmid(101), Read::unread(Cause::Refused, "QEMU guest agent is not running"));
    }),
    ("vm-management.nodes-ready", "node `w-0` is not Ready: network plugin is not ready", |e| {
        let seen = &mut of(&mut e.workload.nodes)[1];
        (seen.ready, seen.message) = (Some(false), "network plugin is not ready".into());
    }),
    ("vm-management.seed-removed", "`shared:iso/user-data-102.iso` of machine `w-0`", |e| {
        let volume = "shared:iso/user-data-102.iso".parse().unwrap();
        of(e.proxmox.isos.get_mut("shared").unwrap()).push(Iso { volume, made: None });
    }),
    ("end-to-end.provision", "failed after 20 s: no machine runs", |e| fail(e, "quickstart", "no machine runs")),
    ("end-to-end.pods", "failed after 20 s: no packet", |e| fail(e, "pods", "no packet")),
    ("end-to-end.scale", "failed after 20 s: two clones", |e| fail(e, "scale", "two clones")),
    ("end-to-end.repair", "failed after 20 s: not replaced", |e| fail(e, "repair", "not replaced")),
    ("end-to-end.volumes", "failed after 20 s: another checksum", |e| fail(e, "volumes", "another checksum")),
    ("end-to-end.monitoring", "failed after 20 s: an empty panel", |e| fail(e, "monitoring", "an empty panel")),
    ("end-to-end.node-lost-ha", "failed after 20 s: not Ready", |e| fail(e, "node-lost-ha", "not Ready")),
    ("end-to-end.node-lost", "failed after 20 s: moved too early", |e| fail(e, "node-lost", "moved too early")),
    ("end-to-end.deletion", "failed after 20 s: a finalizer", |e| fail(e, "delete", "a finalizer")),
    ("end-to-end.nothing-left", "failed after 20 s: a disk", |e| fail(e, "nothing-left", "a disk")),
    ("policies.connectivity", "`foe` does not reach `service`", |e| {
        *seen(e, PolicyStage::Connectivity, Caller::Foe, Target::Service) = Some(false);
    }),
    ("policies.deny-all", "`stranger` reaches `web`, which should be closed", |e| {
        *seen(e, PolicyStage::DenyAll, Caller::Stranger, Target::Web) = Some(true);
    }),
    ("policies.allow-one", "`foe` reaches `side`", |e| {
        *seen(e, PolicyStage::AllowOne, Caller::Foe, Target::Side) = Some(true);
    }),
    ("policies.port", "`friend` reaches `side`", |e| {
        *seen(e, PolicyStage::Port, Caller::Friend, Target::Side) = Some(true);
    }),
    ("policies.namespace", "`stranger` does not reach `web`", |e| {
        *seen(e, PolicyStage::Namespace, Caller::Stranger, Target::Web) = Some(false);
    }),
    ("policies.egress", "`foe` reaches `service`", |e| {
        *seen(e, PolicyStage::Egress, Caller::Foe, Target::Service) = Some(true);
    }),
    ("policies.update", "`foe` does not reach `web`", |e| {
        *seen(e, PolicyStage::Update, Caller::Foe, Target::Web) = Some(false);
    }),
    ("policies.delete", "`friend` does not reach `web`", |e| {
        *seen(e, PolicyStage::Delete, Caller::Friend, Target::Web) = Some(false);
    }),
];

const WARNINGS: &[World] = &[
    ("api.reachable", "https://pve2:8006 does not answer", |e| {
        let second = crate::evidence::Door { url: "https://pve2:8006".into(), certificate: unread() };
        e.proxmox.doors.push(second);
    }),
    ("end-to-end.scale", "took 61 s, more than 60 s", |e| {
        of(&mut e.story).scenes.get_mut("scale").unwrap().seconds = 61.0;
    }),
    ("api.reachable", "2500 ms", |e| of(&mut e.proxmox.version).took_ms = 2_500),
    ("api.tls-chain", "ends in 9 days", |e| {
        of(&mut e.proxmox.doors[0].certificate).not_after = Some(e.started + (24 * 9 + 1).hours());
    }),
    ("api.tls-chain", "verification is switched off", |e| e.proxmox.trust = TrustSeen::Anyone),
    ("api.version-supported", "newer", |e| of(&mut e.proxmox.version).version = "10.0".into()),
    ("api.version-supported", "older than 8.4", |e| of(&mut e.proxmox.version).version = "8.2.4".into()),
    ("api.quorate", "1 of 3 nodes online: what is left of the majority are votes of others", |e| {
        of(&mut e.proxmox.nodes)[1..].iter_mut().for_each(|node| node.status = "offline".into());
    }),
    ("api.quorate", "one more lost node", |e| of(&mut e.proxmox.nodes)[2].status = "offline".into()),
    ("api.nodes-online", "node `pve3` is offline", |e| of(&mut e.proxmox.nodes)[2].status = "offline".into()),
    ("api.clock-skew", "7.0 s ahead of us", |e| {
        of(&mut e.proxmox.doors[0].certificate).clock_ahead_ms = Some(7_000);
    }),
    ("network-storage.image-storage", "clones cannot go to other nodes", |e| {
        for node in ["pve1", "pve2", "pve3"].map(node) {
            of(e.proxmox.node_storages.get_mut(&node).unwrap())[0].shared = false;
        }
    }),
    ("network-storage.free-space", "`shared` has 19 % free (19.0 GiB of 100.0 GiB)", |e| {
        of(e.proxmox.node_storages.get_mut(&node("pve1")).unwrap())[0].free = Some(19 << 30);
    }),
    ("network-storage.address-range", "none is to spare", |e| {
        let config = of(&mut e.management.cluster).spec.ipv4_config.as_mut().unwrap();
        config.addresses = vec!["10.10.10.20-10.10.10.21".into()];
    }),
    ("vm-management.template", "guest agent switched off", |e| {
        of(e.proxmox.settings.get_mut(&vmid(9000)).unwrap()).agent = false;
    }),
    ("vm-management.machines-have-vms", "`w-0` has no VM yet", |e| {
        of(&mut e.management.machines)[1].spec.virtual_machine_id = None;
    }),
    ("vm-management.no-orphans", "VM 101 belongs to machine `default/cp-0` (UID uid-0), which does not exist", |e| {
        of(&mut e.management.all_machines).retain(|uid| uid != "uid-0");
    }),
    ("vm-management.nodes-ready", "`w-0` has no node yet", |e| {
        of(&mut e.management.machines)[1].status.initialization = None;
        of(&mut e.workload.nodes).pop();
    }),
    ("policies.delete", "namespace x of the probes is still there", |e| {
        of(&mut of(&mut e.workload.policies).left).push("namespace x".into());
    }),
];

#[test]
fn each_trouble_is_found_named_and_answered_with_the_next_move() {
    let errors = ERRORS
        .iter()
        .chain(super::workers::ERRORS)
        .chain(super::volumes::ERRORS)
        .chain(super::monitoring::ERRORS)
        .chain(super::cilium::ERRORS)
        .map(|world| (Severity::Error, world));
    let warnings = WARNINGS
        .iter()
        .chain(super::workers::WARNINGS)
        .chain(super::volumes::WARNINGS)
        .chain(super::monitoring::WARNINGS)
        .map(|world| (Severity::Warning, world));
    for (severity, (id, says, change)) in errors.chain(warnings) {
        let mut evidence = healthy();
        change(&mut evidence);
        let report = all(&evidence);
        let check = check(&report, id);
        assert_eq!((check.outcome, check.severity), (Outcome::Failed, severity), "{id}: {check:?}");
        let words = format!("{} {}", check.message, check.evidence.join(" "));
        assert!(words.contains(says), "{id} should say `{says}`, says `{words}`");
        assert!(check.hint.is_some(), "{id} has no next move");
        let code = if severity == Severity::Error { 2 } else { 1 };
        assert!(report.exit_code() >= code, "{id}: exit code {}", report.exit_code());
    }
}

#[test]
fn each_check_has_a_world_that_makes_it_fail() {
    for info in &CHECKS {
        let all = ERRORS.iter().chain(WARNINGS).chain(super::workers::ERRORS).chain(super::cilium::ERRORS);
        let all = all.chain(super::volumes::ERRORS).chain(super::monitoring::ERRORS).chain(super::volumes::WARNINGS);
        assert!(all.into_iter().any(|(id, ..)| *id == info.id), "{}", info.id);
    }
}

#[test]
fn what_an_earlier_failure_makes_meaningless_is_blocked_and_names_the_first_cause() {
    let mut evidence = healthy();
    evidence.proxmox.version = Read::unread(Cause::NoConnection, "no Proxmox could be reached");
    let report = all(&evidence);
    for id in ["api.tls-chain", "api.authenticated", "api.quorate", "vm-management.template"] {
        let check = check(&report, id);
        assert_eq!((check.outcome, check.blocked_by.as_deref()), (Outcome::Blocked, Some("api.reachable")), "{id}");
    }
    assert_eq!(check(&report, "network-storage.endpoint-answers").outcome, Outcome::Passed);
}

#[test]
fn who_does_not_see_the_check_that_blocks_is_told_what_it_found() {
    let mut evidence = healthy();
    of(&mut evidence.workload.nodes)[0].ready = Some(false);
    let message = |only: Vec<String>| {
        let report = crate::judge::judge(&evidence, &crate::selection::Selection::new(only, Vec::new()).unwrap());
        check(&report, "worker.nodes-ready").message
    };
    assert_eq!(message(Vec::new()), "means nothing while `vm-management.nodes-ready` fails");
    let alone = message(vec!["worker".into()]);
    assert!(alone.contains("`vm-management.nodes-ready` fails: node `cp-0` is not Ready"), "{alone}");
}

#[test]
fn a_vm_that_is_not_the_machines_own_is_told_by_name_mark_and_uuid() {
    let cases: [(&str, Change); 4] = [
        ("it is called `other`", |e| of(e.proxmox.settings.get_mut(&vmid(101)).unwrap()).name = Some("other".into())),
        ("do not end with our mark", |e| of(e.proxmox.settings.get_mut(&vmid(101)).unwrap()).mark = None),
        ("its mark has UID uid-1, not uid-0", |e| {
            of(e.proxmox.settings.get_mut(&vmid(101)).unwrap()).mark = Some(mark("cp-0", 1));
        }),
        ("its SMBIOS UUID says none", |e| of(e.proxmox.settings.get_mut(&vmid(101)).unwrap()).uuid = None),
    ];
    for (says, change) in cases {
        let mut evidence = healthy();
        change(&mut evidence);
        let found = check(&all(&evidence), "vm-management.machines-have-vms");
        assert_eq!(found.outcome, Outcome::Failed);
        assert!(found.message.contains(says), "{}", found.message);
    }
}

#[test]
fn a_machine_that_is_being_deleted_is_nobodys_trouble() {
    let mut evidence = healthy();
    let mut going = machine("w-1", 1);
    (going.deleting, going.spec.virtual_machine_id) = (true, Some(555));
    of(&mut evidence.management.machines).push(going);
    assert_eq!(all(&evidence).exit_code(), 0);
}

#[test]
fn an_endpoint_inside_a_range_is_an_error() {
    let mut evidence = healthy();
    let config = of(&mut evidence.management.cluster).spec.ipv4_config.as_mut().unwrap();
    config.addresses = vec!["10.10.10.0/24".into()];
    let found = check(&all(&evidence), "network-storage.address-range");
    assert!(found.message.contains("the endpoint 10.10.10.10 lies inside `10.10.10.0/24`"), "{}", found.message);
}

#[test]
fn templates_are_chosen_by_tags_as_the_policy_says() {
    use ::api::{MatchPolicy, TemplateSelector};
    let by_tags = |tags: &[&str], match_policy| {
        let mut evidence = healthy();
        let spec = &mut of(&mut evidence.management.templates)[0].spec;
        (spec.template_id, spec.source_node) = (None, None);
        let match_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        spec.template_selector = Some(TemplateSelector { match_tags, match_policy });
        check(&all(&evidence), "vm-management.template")
    };
    assert_eq!(by_tags(&["v1", "Debian"], MatchPolicy::Exact).outcome, Outcome::Passed);
    assert_eq!(by_tags(&["debian"], MatchPolicy::UniqueSubset).outcome, Outcome::Passed);
    let exact = by_tags(&["debian"], MatchPolicy::Exact);
    assert!(exact.message.contains("no template has the tags debian; to be seen are: 9000 `debian-12`"), "{exact:?}");
}

#[test]
fn a_caller_that_reaches_not_even_the_control_proves_nothing_closed() {
    let mut evidence = healthy();
    for to in Target::ALL {
        *seen(&mut evidence, PolicyStage::DenyAll, Caller::Foe, to) = None;
    }
    let found = check(&all(&evidence), "policies.deny-all");
    assert_eq!(found.outcome, Outcome::Unread, "{found:?}");
    assert!(found.message.contains("its silence says nothing"), "{}", found.message);
}

#[test]
fn the_engine_and_the_nodes_are_named() {
    let found = check(&all(&healthy()), "policies.port");
    let words = "2 connections open and 7 closed, by packets (by kube-system/cilium; within node `w-0` and from `w-1`)";
    assert_eq!(found.message, words);
}
