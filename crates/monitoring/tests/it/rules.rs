use std::path::Path;
use std::process::Command;

use testkit::Prometheus;

const TESTS: &str = include_str!("../rules.test.yaml");

/// Prometheus's programs; none where Debian's packages cannot be had.
pub(crate) fn programs(test: &str) -> Option<Prometheus> {
    match Prometheus::ensure(&|_| {}) {
        Ok(programs) => Some(programs),
        Err(why) => {
            eprintln!("SKIPPED {test}: {why:#}");
            None
        }
    }
}

fn judge(dir: &Path, rules: &str, tests: &str) -> (bool, String) {
    std::fs::write(dir.join("rules.yaml"), rules).unwrap();
    std::fs::write(dir.join("rules.test.yaml"), tests).unwrap();
    let programs = programs("").unwrap();
    let output =
        Command::new(programs.promtool()).current_dir(dir).args(["test", "rules", "rules.test.yaml"]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_finds_ten_rules_and_nothing_wrong_with_them() {
    let Some(programs) = programs("promtool_finds_ten_rules_and_nothing_wrong_with_them") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    std::fs::write(&file, monitoring::rules().unwrap()).unwrap();
    let output = Command::new(programs.promtool()).args(["check", "rules"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("10 rules found"), "{said}");
}

#[test]
fn each_alert_fires_when_it_must_and_is_silent_when_it_must_not() {
    if programs("each_alert_fires_when_it_must_and_is_silent_when_it_must_not").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rules = monitoring::rules().unwrap();
    let (passed, said) = judge(dir.path(), &rules, TESTS);
    assert!(passed, "{said}");
    for alert in &monitoring::ALERTS {
        let asked = format!("alertname: {}\n", alert.name);
        let fires = TESTS.split("alertname: ").any(|part| part.starts_with(alert.name) && part.contains("exp_labels"));
        assert!(TESTS.contains(&asked) && fires, "{} is never seen to fire", alert.name);
    }
}

#[test]
fn a_rule_that_is_wrong_is_noticed() {
    if programs("a_rule_that_is_wrong_is_noticed").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rules = monitoring::rules().unwrap();
    for (right, wrong) in [
        ("> 0.85", "> 0.95"),
        ("for: 30s", "for: 0s"),
        (" unless on (node, instance)", " or on (node, instance)"),
        ("oxmox_machine_info{machine!=\"\"}", "oxmox_machine_info"),
        ("> 0.5", "> 0.2"),
        (">= 3", ">= 1"),
        ("up{job=\"oxmox\"} == 0", "up{job=\"oxmox\"} == 2"),
    ] {
        let broken = rules.replace(right, wrong);
        assert_ne!(broken, rules, "{right} is not in the rules");
        let (passed, _) = judge(dir.path(), &broken, TESTS);
        assert!(!passed, "nobody noticed {wrong}");
    }
}
