//! A report of a broken world against the report of health.

use verify::{Check, Outcome, Report, Severity};

use super::world::Is;

/// What a check has to say, all names filled in.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) check: String,
    pub(super) is: Is,
    pub(super) says: String,
}

/// What differs from what has to be; nothing when exactly the wanted checks end as wanted, and all others as in health.
pub(super) fn differences(health: &Report, now: &Report, wanted: &[Wanted]) -> Vec<String> {
    let mut all = Vec::new();
    for was in health.checks() {
        match now.checks().find(|check| check.id == was.id) {
            None => all.push(format!("{} is not in the report", was.id)),
            Some(is) => match wanted.iter().find(|one| one.check == is.id) {
                Some(one) => all.extend(against(one, is)),
                None if ending(is) != ending(was) => {
                    all.push(format!("{} should be {}, and is {}: {}", is.id, name(was), name(is), is.message));
                }
                None => {}
            },
        }
    }
    all.extend(
        now.checks().filter(|is| !health.checks().any(|was| was.id == is.id)).map(|is| format!("{} is new", is.id)),
    );
    let unknown = wanted.iter().filter(|one| !health.checks().any(|was| was.id == one.check));
    all.extend(unknown.map(|one| format!("{} is no check of this report", one.check)));
    all
}

/// How a check ended, in which two reports are alike.
fn ending(check: &Check) -> (Outcome, Severity) {
    (check.outcome, check.severity)
}

fn name(check: &Check) -> &'static str {
    match (check.outcome, check.severity) {
        (Outcome::Passed, _) => "passed",
        (Outcome::Failed, Severity::Error) => "failed",
        (Outcome::Failed, Severity::Warning | Severity::Info) => "a warning",
        (Outcome::Blocked, _) => "blocked",
        (Outcome::Unread, _) => "unread",
    }
}

fn against(wanted: &Wanted, is: &Check) -> Vec<String> {
    let error = (Outcome::Failed, Severity::Error);
    let warning = (Outcome::Failed, Severity::Warning);
    let (right, word) = match wanted.is {
        Is::Failed => (ending(is) == error, "failed"),
        Is::Warned => (ending(is) == warning, "a warning"),
        Is::Told => (ending(is) == error || ending(is) == warning, "failed or a warning"),
        Is::Unread => (is.outcome == Outcome::Unread, "unread"),
        Is::Blocked => (is.outcome == Outcome::Blocked, "blocked"),
    };
    if !right {
        return vec![format!("{} should be {word}, and is {}: {}", is.id, name(is), is.message)];
    }
    let mut all = Vec::new();
    let words = explanation(is);
    if !words.contains(&wanted.says) {
        all.push(format!("{} should say `{}`, and says: {words}", is.id, wanted.says));
    }
    if is.outcome == Outcome::Failed && is.hint.as_ref().is_none_or(String::is_empty) {
        all.push(format!("{} names no next move", is.id));
    }
    if is.outcome == Outcome::Blocked && is.blocked_by.as_ref().is_none_or(String::is_empty) {
        all.push(format!("{} does not name what blocks it", is.id));
    }
    all
}

/// All that a check says to its reader.
fn explanation(check: &Check) -> String {
    let more = check.blocked_by.iter().chain(&check.hint).chain(&check.evidence);
    std::iter::once(&check.message).chain(more).map(String::as_str).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod test {
    use super::*;
    use serde_json::{Value, json};

    fn report(checks: &[(&str, &str, &str, &str)]) -> Report {
        let checks: Vec<Value> = checks
            .iter()
            .map(|(id, outcome, severity, message)| {
                json!({"id": id, "title": "", "outcome": outcome, "severity": severity, "message": message,
                    "hint": "mend it", "blocked_by": "a.door"})
            })
            .collect();
        let value = json!({
            "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z", "versions": {"oxmox": "0"},
            "summary": verify::Summary::default(), "deselected": [],
            "steps": [{"id": "api", "number": 1, "title": "", "asks": "", "not_yet": false, "checks": checks}],
        });
        serde_json::from_value(value).unwrap()
    }

    fn wanted(check: &str, is: Is, says: &str) -> Vec<Wanted> {
        vec![Wanted { check: check.into(), is, says: says.into() }]
    }

    fn health() -> Report {
        report(&[("a.door", "passed", "info", "open"), ("a.roof", "passed", "info", "dry")])
    }

    #[test]
    fn exactly_what_is_wanted_differs_in_nothing() {
        let now = report(&[("a.door", "failed", "error", "`oak` is shut"), ("a.roof", "passed", "info", "dry")]);
        assert_eq!(differences(&health(), &now, &wanted("a.door", Is::Failed, "`oak`")), Vec::<String>::new());
        assert_eq!(differences(&health(), &now, &wanted("a.door", Is::Told, "`oak`")), Vec::<String>::new());
        assert_eq!(differences(&health(), &health(), &[]), Vec::<String>::new());
    }

    #[test]
    fn one_more_failing_check_is_told() {
        let now = report(&[("a.door", "failed", "error", "`oak` is shut"), ("a.roof", "failed", "warning", "leaks")]);
        let all = differences(&health(), &now, &wanted("a.door", Is::Failed, "`oak`"));
        assert_eq!(all, ["a.roof should be passed, and is a warning: leaks"]);
    }

    #[test]
    fn a_check_that_should_fail_and_passes_is_told() {
        let all = differences(&health(), &health(), &wanted("a.door", Is::Failed, "`oak`"));
        assert_eq!(all, ["a.door should be failed, and is passed: open"]);
    }

    #[test]
    fn an_error_that_should_be_a_warning_is_told_and_the_other_way_round() {
        let now = report(&[("a.door", "failed", "error", "shut"), ("a.roof", "passed", "info", "dry")]);
        assert_eq!(differences(&health(), &now, &wanted("a.door", Is::Warned, "shut")).len(), 1);
        let now = report(&[("a.door", "failed", "warning", "shut"), ("a.roof", "passed", "info", "dry")]);
        assert_eq!(differences(&health(), &now, &wanted("a.door", Is::Failed, "shut")).len(), 1);
    }

    #[test]
    fn an_explanation_that_lacks_the_text_is_told() {
        let now = report(&[("a.door", "failed", "error", "shut"), ("a.roof", "passed", "info", "dry")]);
        let all = differences(&health(), &now, &wanted("a.door", Is::Failed, "`oak`"));
        assert_eq!(
            all,
            ["a.door should say `oak`, and says: shut; a.door; mend it"].map(|line| line.replace("`oak`", "``oak``"))
        );
    }

    #[test]
    fn what_could_not_be_seen_and_passes_is_told() {
        let all = differences(&health(), &health(), &wanted("a.roof", Is::Unread, "fog"));
        assert_eq!(all, ["a.roof should be unread, and is passed: dry"]);
        let now = report(&[("a.door", "passed", "info", "open"), ("a.roof", "unread", "warning", "fog")]);
        assert_eq!(differences(&health(), &now, &wanted("a.roof", Is::Unread, "fog")), Vec::<String>::new());
        assert_eq!(differences(&health(), &now, &[]).len(), 1, "unread is not as in health");
    }

    #[test]
    fn a_failure_without_a_next_move_is_told() {
        let mut now = report(&[("a.door", "failed", "error", "shut"), ("a.roof", "passed", "info", "dry")]);
        now.steps[0].checks[0].hint = None;
        let all = differences(&health(), &now, &wanted("a.door", Is::Failed, "shut"));
        assert_eq!(all, ["a.door names no next move"]);
    }

    #[test]
    fn checks_that_are_missing_new_or_unknown_are_told() {
        let one = report(&[("a.door", "passed", "info", "open")]);
        assert_eq!(differences(&health(), &one, &[]), ["a.roof is not in the report"]);
        assert_eq!(differences(&one, &health(), &[]), ["a.roof is new"]);
        let all = differences(&one, &one, &wanted("a.dor", Is::Failed, ""));
        assert_eq!(all, ["a.dor is no check of this report"]);
    }
}
