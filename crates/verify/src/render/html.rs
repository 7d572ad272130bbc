//! The report as one HTML file that needs nothing else: no scripts, no fonts, no pictures.

use askama::Template;

use crate::report::{Check, Outcome, Report, StepReport};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    verdict: &'a str,
    verdict_class: &'a str,
    started: String,
    seconds: String,
    counts: Vec<(usize, &'a str, &'a str)>,
    versions: Vec<(&'a str, &'a str)>,
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    of: &'a StepReport,
    class: &'a str,
    sign: char,
    says: String,
}

/// The report as one HTML file, light or dark as the reader's system is.
pub fn html(report: &Report) -> String {
    let (verdict, verdict_class) = match report.exit_code() {
        0 => ("All checks passed", "passed"),
        1 => ("Something to see to", "warning"),
        2 => ("Something failed", "failed"),
        _ => ("Nothing could be read", "unread"),
    };
    let sum = &report.summary;
    let counts = [
        (sum.passed, "passed", "passed"),
        (sum.warnings, "warnings", "warning"),
        (sum.failed, "failed", "failed"),
        (sum.blocked, "blocked", "blocked"),
        (sum.unread, "unread", "unread"),
        (sum.deselected, "not asked for", "quiet"),
        (sum.steps_not_yet, "steps without checks yet", "quiet"),
    ];
    let took = report.finished.duration_since(report.started);
    let known = &report.versions;
    let versions = [
        ("oxmox", Some(known.oxmox.as_str())),
        ("Proxmox VE", known.proxmox.as_deref()),
        ("management cluster", known.management.as_deref()),
        ("workload cluster", known.workload.as_deref()),
    ];
    let page = Page {
        report,
        verdict,
        verdict_class,
        started: report.started.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        seconds: format!("{}.{}", took.as_secs(), took.subsec_millis() / 100),
        counts: counts.into_iter().filter(|(count, ..)| *count > 0).collect(),
        versions: versions.into_iter().filter_map(|(name, version)| Some((name, version?))).collect(),
        steps: report.steps.iter().map(of_step).collect(),
    };
    // The template takes values as they are: only a formatter that fails can fail here, and a String's does not.
    page.render().unwrap_or_default()
}

/// A text in parts, those between backticks being code.
fn parts(text: &str) -> Vec<(bool, &str)> {
    if !text.matches('`').count().is_multiple_of(2) {
        return vec![(false, text)];
    }
    text.split('`').enumerate().map(|(at, part)| (at % 2 == 1, part)).filter(|(_, part)| !part.is_empty()).collect()
}

fn of_step(step: &StepReport) -> Step<'_> {
    // The worst check speaks for its step.
    let worst = step.checks.iter().max_by_key(|check| rank(check));
    let (class, sign) = worst.map_or(("quiet", '·'), |check| (check.word(), check.sign()));
    let passed = step.checks.iter().filter(|check| check.outcome == Outcome::Passed).count();
    let says = match (step.not_yet, step.checks.len()) {
        (true, _) => "no checks yet".to_owned(),
        (false, 0) => "not asked for".to_owned(),
        (false, all) => format!("{passed} of {all} passed"),
    };
    Step { of: step, class, sign, says }
}

fn rank(check: &Check) -> u8 {
    match check.outcome {
        Outcome::Passed => 0,
        Outcome::Blocked => 1,
        Outcome::Unread => 2,
        Outcome::Failed if check.is_warning() => 3,
        Outcome::Failed => 4,
    }
}

#[cfg(test)]
mod test {
    use super::parts;

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(parts("node `pve3` is off"), [(false, "node "), (true, "pve3"), (false, " is off")]);
        assert_eq!(parts("a ` alone"), [(false, "a ` alone")]);
    }
}
