//! What could not be read is never a pass, and never somebody's fault.

use serde_json::Value;

use super::{all, check};
use crate::evidence::{Evidence, Read};
use crate::fixture::healthy;
use crate::judge::{CHECKS, Of, judge};
use crate::report::{Outcome, Severity};
use crate::selection::Selection;

/// Paths of all known parts in saved evidence.
fn parts(at: &Value, path: &str, found: &mut Vec<String>) {
    if let Value::Object(fields) = at {
        if fields.len() == 1 && fields.contains_key("known") {
            found.push(path.to_owned());
            return;
        }
        fields.iter().for_each(|(key, value)| parts(value, &format!("{path}/{}", key.replace('/', "~1")), found));
    }
    if let Value::Array(rows) = at {
        rows.iter().enumerate().for_each(|(n, value)| parts(value, &format!("{path}/{n}"), found));
    }
}

fn without(paths: &[String], cause: &str) -> Evidence {
    let mut saved = serde_json::to_value(healthy()).unwrap();
    for path in paths {
        *saved.pointer_mut(path).unwrap() =
            serde_json::json!({"unread": {"cause": cause, "why": "the line went dead"}});
    }
    serde_json::from_value(saved).unwrap()
}

fn all_parts() -> Vec<String> {
    let mut found = Vec::new();
    parts(&serde_json::to_value(healthy()).unwrap(), "", &mut found);
    found
}

#[test]
fn a_missing_part_turns_passes_into_unread_and_blames_nobody() {
    let found = all_parts();
    assert!(found.len() > 20, "{found:?}");
    for path in found {
        for cause in ["garbled", "forbidden", "not-asked"] {
            if path == "/workload/endpoint" && cause == "garbled" {
                continue; // something answers there that speaks no TLS: that is read, and it is a failure
            }
            let report = all(&without(std::slice::from_ref(&path), cause));
            for check in report.checks() {
                assert_ne!(check.outcome, Outcome::Failed, "{} without {path} ({cause}): {}", check.id, check.message);
            }
            let silent = report.checks().filter(|check| check.outcome != Outcome::Passed).count();
            // versions of clusters are shown, not judged; VM 300 is nobody's, but may carry a mark
            let shown_only = path.ends_with("/version") && !path.starts_with("/proxmox");
            let not_asked_agent = path.contains("/agents/") && cause == "not-asked";
            let by_count = path.ends_with("/replicas") && cause == "not-asked";
            let by_nodes = path.ends_with("/majority") && cause != "garbled";
            if !(by_nodes || shown_only || not_asked_agent || by_count) {
                assert!(silent > 0, "nothing misses {path} ({cause})");
                assert_eq!(report.exit_code(), 1, "{path} ({cause})");
            }
        }
    }
}

#[test]
fn with_nothing_read_nothing_passes() {
    let report = all(&without(&all_parts(), "no-answer"));
    for check in report.checks() {
        assert_ne!(check.outcome, Outcome::Passed, "{}: {}", check.id, check.message);
    }
    assert_eq!(report.summary.parts_read, 0);
    assert_eq!(report.exit_code(), 3);
}

#[test]
fn without_a_management_cluster_proxmox_alone_is_judged() {
    let management = all_parts().into_iter().filter(|path| !path.starts_with("/proxmox")).collect::<Vec<_>>();
    let evidence = without(&management, "not-asked");
    let report = judge(&evidence, &Selection::all().proxmox_only());
    assert_eq!(report.exit_code(), 0);
    let of_clusters = CHECKS.iter().filter(|check| check.of != Of::Proxmox).count();
    assert_eq!(report.summary.deselected, of_clusters);
    let report = all(&evidence);
    let passed: Vec<&str> =
        report.checks().filter(|check| check.outcome == Outcome::Passed).map(|check| check.id.as_str()).collect();
    for id in [
        "api.reachable",
        "api.privileges",
        "api.nodes-online",
        "network-storage.iso-storage",
        "network-storage.free-space",
    ] {
        assert!(passed.contains(&id), "{id} is not among {passed:?}");
    }
    assert!(report.checks().all(|check| check.outcome != Outcome::Failed));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_token_that_sees_nothing_passes_nothing_that_it_would_have_to_see() {
    let mut evidence = healthy();
    evidence.proxmox.permissions = Read::Known(std::collections::BTreeMap::new());
    evidence.proxmox.guests = Read::Known(std::collections::BTreeMap::new());
    evidence.proxmox.settings.clear();
    evidence.proxmox.storages = Read::Known(Vec::new());
    evidence.proxmox.node_storages.values_mut().for_each(|all| *all = Read::Known(Vec::new()));
    let report = all(&evidence);
    for id in [
        "network-storage.iso-storage",
        "network-storage.free-space",
        "vm-management.no-orphans",
        "vm-management.no-duplicates",
    ] {
        let found = check(&report, id);
        assert_eq!(found.outcome, Outcome::Unread, "{id}: {}", found.message);
    }
}

#[test]
fn plain_http_is_never_called_a_trusted_certificate() {
    let mut evidence = healthy();
    let door = &mut evidence.proxmox.doors[0];
    (door.url, door.certificate) = ("http://127.0.0.1:8080".into(), Read::not_asked("plain http shows no certificate"));
    let found = check(&all(&evidence), "api.tls-chain");
    assert_eq!((found.outcome, found.severity), (Outcome::Failed, Severity::Warning), "{}", found.message);
}

#[test]
fn a_scene_that_a_story_did_not_come_to_has_not_passed() {
    let mut evidence = healthy();
    crate::fixture::of(&mut evidence.story).scenes.remove("delete");
    let found = check(&all(&evidence), "end-to-end.deletion");
    assert_eq!(found.outcome, Outcome::Unread, "{}", found.message);
}

#[test]
fn a_record_of_a_demo_reads_as_it_is_written() {
    let text = r#"{"scenes": [{"id": "pods", "step": 3, "title": "pods", "outcome": "failed", "seconds": 3.5,
        "limitSeconds": 60, "last": "no packet"}]}"#;
    let mut evidence = healthy();
    evidence.story = Read::Known(crate::evidence::StorySeen::from_record(text).unwrap());
    let found = check(&all(&evidence), "end-to-end.pods");
    assert_eq!((found.outcome, found.message.as_str()), (Outcome::Failed, "failed after 4 s: no packet"));
}
