//! Worlds whose monitoring is broken, each in one way.

use super::broken::World;
use super::{all, check};
use crate::evidence::{Evidence, FiringAlert, Monitoring};
use crate::fixture::{healthy, of};
use crate::judge::judge;
use crate::report::{Outcome, Report};
use crate::selection::Selection;

fn fires(e: &mut Evidence, name: &str, severity: &str) {
    let summary = "something is wrong".to_owned();
    of(&mut e.monitoring.firing).push(FiringAlert { name: name.into(), severity: severity.into(), summary });
}

pub(super) const ERRORS: &[World] = &[
    ("monitoring.scrape-up", "`capi` at 10.0.0.7:8081 does not answer", |e| {
        of(&mut e.monitoring.targets)[0].up = false;
    }),
    ("monitoring.scrape-up", "no target has the job `oxmox-pve`", |e| {
        of(&mut e.monitoring.targets).pop();
    }),
    ("monitoring.scrape-fresh", "figures of pve1 are 300 s old", |e| {
        of(&mut e.monitoring.ages).insert("pve1".into(), 300_000);
    }),
    ("monitoring.scrape-fresh", "there is no `pve_up` at all", |e| of(&mut e.monitoring.ages).clear()),
    ("monitoring.metrics-true", "`node/pve2` is up, and the metrics say otherwise", |e| {
        of(&mut e.monitoring.up).insert("node/pve2".into(), false);
    }),
    ("monitoring.metrics-true", "`qemu/102` is not in the metrics", |e| {
        of(&mut e.monitoring.up).remove("qemu/102");
    }),
    ("monitoring.metrics-true", "`storage/pve3/local` is not in the metrics", |e| {
        of(&mut e.monitoring.up).remove("storage/pve3/local");
    }),
    ("monitoring.metrics-true", "`node/other` is in the metrics, and Proxmox VE has no such node", |e| {
        of(&mut e.monitoring.up).insert("node/other".into(), true);
    }),
    ("monitoring.info-complete", "no metric says that VM 102 is the machine `default/w-0`", |e| {
        of(&mut e.monitoring.machines).get_mut("qemu/102").unwrap().machine.clear();
    }),
    ("monitoring.info-complete", "no metric says which guest the Node `w-0` is", |e| {
        of(&mut e.monitoring.machines).get_mut("qemu/102").unwrap().node.clear();
    }),
    ("monitoring.rules-loaded", "the alert `OxmoxTasksFail` is not loaded", |e| {
        of(&mut e.monitoring.rules).remove("OxmoxTasksFail");
    }),
    ("monitoring.rules-loaded", "the alert `ProxmoxNodeDown`: it cannot be evaluated", |e| {
        of(&mut e.monitoring.rules).insert("ProxmoxNodeDown".into(), "it cannot be evaluated".into());
    }),
    ("monitoring.alerts-none-firing", "`ProxmoxNodeDown` fires", |e| fires(e, "ProxmoxNodeDown", "critical")),
    ("monitoring.logs-arrive", "no line has come", |e| *of(&mut e.monitoring.lines) = 0),
];

pub(super) const WARNINGS: &[World] = &[("monitoring.alerts-none-firing", "`ProxmoxStorageFillingUp` fires", |e| {
    fires(e, "ProxmoxStorageFillingUp", "warning");
})];

fn failed(report: &Report) -> Vec<String> {
    report.checks().filter(|check| check.outcome == Outcome::Failed).map(|check| check.id.clone()).collect()
}

#[test]
fn each_of_these_worlds_fails_one_check_and_no_other() {
    for (id, says, change) in ERRORS.iter().chain(WARNINGS) {
        let mut evidence = healthy();
        change(&mut evidence);
        assert_eq!(failed(&all(&evidence)), [*id], "{says}");
    }
}

#[test]
fn alerts_of_others_are_not_ours_to_judge() {
    let mut evidence = healthy();
    fires(&mut evidence, "Watchdog", "none");
    assert_eq!(check(&all(&evidence), "monitoring.alerts-none-firing").outcome, Outcome::Passed);
}

#[test]
fn without_a_store_the_step_is_deselected_and_says_which_flag_names_one() {
    let mut evidence = healthy();
    evidence.monitoring = Monitoring::not_asked("no store of metrics was named (`--prometheus-url`)");
    let report = judge(&evidence, &Selection::all().without_metrics().without_logs());
    let of_step: Vec<_> = report.deselected.iter().filter(|one| one.id.starts_with("monitoring.")).collect();
    assert_eq!(of_step.len(), 7);
    assert!(of_step.iter().all(|one| one.why.contains("--prometheus-url") || one.why.contains("--logs-url")));
    assert_eq!(report.exit_code(), 0);
    for check in all(&evidence).checks().filter(|check| check.id.starts_with("monitoring.")) {
        assert_eq!(check.outcome, Outcome::Blocked, "{}", check.id);
    }
}
