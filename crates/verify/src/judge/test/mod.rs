//! Every check on saved evidence: passing, failing, and with parts of the evidence missing.

mod broken;
mod cilium;
mod golden;
mod monitoring;
mod unread;
mod volumes;
mod workers;

use crate::evidence::Evidence;
use crate::fixture::healthy;
use crate::judge::{CHECKS, judge};
use crate::report::{Check, Outcome, Report};
use crate::selection::Selection;

fn all(evidence: &Evidence) -> Report {
    judge(evidence, &Selection::all())
}

fn check(report: &Report, id: &str) -> Check {
    report.checks().find(|check| check.id == id).unwrap_or_else(|| panic!("no check `{id}`")).clone()
}

#[test]
fn a_healthy_world_passes_every_check() {
    let report = all(&healthy());
    for check in report.checks() {
        assert_eq!(check.outcome, Outcome::Passed, "{}: {}", check.id, check.message);
    }
    assert_eq!(report.checks().count(), CHECKS.len());
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn steps_without_checks_are_said_to_be_not_yet_and_never_passed() {
    let report = all(&healthy());
    let not_yet: Vec<u8> = report.steps.iter().filter(|step| step.not_yet).map(|step| step.number).collect();
    assert_eq!(not_yet, [0; 0]);
    assert_eq!(report.summary.steps_not_yet, 0);
    assert!(report.steps.iter().filter(|step| step.not_yet).all(|step| step.checks.is_empty()));
}

#[test]
fn ids_are_unique_and_begin_with_their_step_and_needs_come_first() {
    for (at, info) in CHECKS.iter().enumerate() {
        assert_eq!(info.id.split('.').next(), Some(info.step.as_str()), "{}", info.id);
        let before: Vec<&str> = CHECKS[..at].iter().map(|check| check.id).collect();
        assert!(!before.contains(&info.id), "{} twice", info.id);
        assert!(info.needs.iter().all(|need| before.contains(need)), "{} needs what comes later", info.id);
        assert!(CHECKS[..at].iter().all(|check| check.step <= info.step), "{} is out of order", info.id);
    }
}

#[test]
fn evidence_survives_being_saved() {
    let text = serde_json::to_string(&healthy()).unwrap();
    let back: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(back, healthy());
    assert_eq!(all(&back), all(&healthy()));
}

#[test]
fn deselected_checks_are_listed_apart_and_still_block_what_needs_them() {
    let mut evidence = healthy();
    evidence.proxmox.version =
        crate::Read::unread(crate::Cause::NotKnown, "Proxmox refused `GET /version` (401): authentication failure");
    let skip = Selection::new(Vec::new(), vec!["api.authenticated".into()]).unwrap();
    let report = judge(&evidence, &skip);
    assert_eq!(report.deselected[0].id, "api.authenticated");
    assert!(report.checks().all(|check| check.id != "api.authenticated"));
    let quorate = check(&report, "api.quorate");
    assert_eq!((quorate.outcome, quorate.blocked_by.as_deref()), (Outcome::Blocked, Some("api.authenticated")));
}

#[test]
fn a_report_about_nothing_is_no_success() {
    let only = Selection::new(vec!["api".into()], vec!["api".into()]).unwrap();
    assert_eq!(judge(&healthy(), &only).exit_code(), 3);
}

#[test]
fn the_page_of_checks_is_the_committed_one() {
    let page = crate::check_pages();
    for info in &CHECKS {
        assert!(page.contains(&format!("### {}\n", info.id)));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/checks.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "docs/reference/checks.md is not what `check_pages()` says: run `cargo xtask gen`");
}
