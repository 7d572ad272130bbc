//! The report for test collectors: one suite a step, one case a check.
//!
//! What is only worth a warning succeeds, with the warning as its output; blocked and unread checks, and steps without
//! checks, are skipped with their reason: they did not pass.

use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::report::{Check, Outcome, Report, StepReport};

/// The report as JUnit XML.
pub fn junit(report: &Report) -> String {
    let mut out = Junit::new("oxmox verify");
    for step in &report.steps {
        out.add_test_suite(suite(report, step));
    }
    out.to_string().unwrap_or_default()
}

fn suite(report: &Report, step: &StepReport) -> TestSuite {
    let mut suite = TestSuite::new(step.id.as_str());
    suite.add_property(Property::new("title", format!("{}. {}", step.number, step.title)));
    suite.add_property(Property::new("oxmox", report.versions.oxmox.clone()));
    if let Some(cluster) = &report.cluster {
        suite.add_property(Property::new("cluster", cluster.clone()));
    }
    if step.not_yet {
        let mut status = TestCaseStatus::skipped();
        status.set_message("no checks yet: not run");
        suite.add_test_case(TestCase::new(step.id.as_str(), status));
    }
    for check in &step.checks {
        let mut case = TestCase::new(check.id.clone(), status(check));
        case.set_classname(format!("oxmox.verify.{}", step.id.as_str()));
        let details = details(check);
        if !details.is_empty() {
            case.set_system_out(details);
        }
        suite.add_test_case(case);
    }
    suite
}

fn status(check: &Check) -> TestCaseStatus {
    match check.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed if check.is_warning() => TestCaseStatus::success(),
        Outcome::Failed => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(check.id.clone()).set_message(check.message.clone());
            if let Some(hint) = &check.hint {
                status.set_description(format!("hint: {hint}"));
            }
            status
        }
        Outcome::Blocked | Outcome::Unread => {
            let mut status = TestCaseStatus::skipped();
            let by = check
                .blocked_by
                .as_ref()
                .filter(|by| !check.message.contains(*by))
                .map(|by| format!(" by {by}"))
                .unwrap_or_default();
            status.set_message(format!("{}{by}: {}", check.word(), check.message));
            status
        }
    }
}

fn details(check: &Check) -> String {
    let message = (check.outcome == Outcome::Failed).then(|| format!("{}: {}", check.word(), check.message));
    let hint = check.hint.as_ref().filter(|_| check.is_warning()).map(|hint| format!("hint: {hint}"));
    let lines: Vec<String> = message.into_iter().chain(hint).chain(check.evidence.iter().cloned()).collect();
    lines.join("\n")
}
