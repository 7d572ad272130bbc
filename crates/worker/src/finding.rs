//! What a look at the machine came to.

use std::fmt::Write as _;

use serde::Serialize;

/// How one look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is as it must be.
    Passed,
    /// A join may work all the same.
    Warning,
    /// It stops a join.
    Failed,
    /// It could not be looked at.
    Unread,
}

impl Outcome {
    /// The word of reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unread => "unread",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its id, `host.NAME`; never renamed.
    pub id: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub saw: String,
    /// What to do, when it has not passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// It failed, and was told not to matter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignored: bool,
}

impl Finding {
    pub(crate) fn new(id: &'static str, outcome: Outcome, saw: impl Into<String>, next: Option<&str>) -> Self {
        Self { id, outcome, saw: saw.into(), next: next.map(str::to_owned), ignored: false }
    }

    pub(crate) fn passed(id: &'static str, saw: impl Into<String>) -> Self {
        Self::new(id, Outcome::Passed, saw, None)
    }

    pub(crate) fn warning(id: &'static str, saw: impl Into<String>, next: &str) -> Self {
        Self::new(id, Outcome::Warning, saw, Some(next))
    }

    pub(crate) fn failed(id: &'static str, saw: impl Into<String>, next: &str) -> Self {
        Self::new(id, Outcome::Failed, saw, Some(next))
    }

    pub(crate) fn unread(id: &'static str, saw: impl Into<String>) -> Self {
        Self::new(id, Outcome::Unread, saw, Some("look why that could not be read, then check again"))
    }
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "a report that nobody reads helps no one"]
pub struct Report {
    /// Each thing that was looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Failures of these ids are only warnings. The error names an id that there is not.
    pub fn ignoring(mut self, ids: &[String]) -> Result<Self, String> {
        for id in ids {
            let found: Vec<&mut Finding> = self.findings.iter_mut().filter(|one| one.id == id).collect();
            if found.is_empty() {
                let known: Vec<&str> = self.findings.iter().map(|one| one.id).collect();
                return Err(format!("nothing is called `{id}`; there are: {}", known.join(", ")));
            }
            for one in found.into_iter().filter(|one| one.outcome == Outcome::Failed) {
                (one.outcome, one.ignored) = (Outcome::Warning, true);
            }
        }
        Ok(self)
    }

    /// What stops a join: failures, and what could not be looked at.
    pub fn stops(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|one| matches!(one.outcome, Outcome::Failed | Outcome::Unread)).collect()
    }

    /// 0 all passed, 1 warnings or something unread, 2 something failed.
    pub fn exit_code(&self) -> u8 {
        let any = |outcome| self.findings.iter().any(|one| one.outcome == outcome);
        match () {
            () if any(Outcome::Failed) => 2,
            () if any(Outcome::Warning) || any(Outcome::Unread) => 1,
            () => 0,
        }
    }

    /// Lines for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let wide = self.findings.iter().map(|one| one.id.len()).max().unwrap_or_default();
        for Finding { id, outcome, saw, next, ignored } in &self.findings {
            let sign = match outcome {
                Outcome::Passed => '✓',
                Outcome::Warning => '!',
                Outcome::Failed => '✗',
                Outcome::Unread => '?',
            };
            let word = if *ignored { "ignored" } else { outcome.as_str() };
            // a String takes everything
            let _ = writeln!(text, "{sign} {word:<7}  {id:<wide$}  {saw}");
            if let Some(next) = next {
                let _ = writeln!(text, "           {:<wide$}  → {next}", "");
            }
        }
        text
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn report() -> Report {
        let findings = vec![Finding::passed("host.root", "root"), Finding::failed("host.swap", "/dev/sda2", "off")];
        Report { findings }
    }

    #[test]
    fn what_is_ignored_warns_and_stops_nothing() {
        assert_eq!((report().exit_code(), report().stops().len()), (2, 1));
        let ignoring = report().ignoring(&["host.swap".into()]).unwrap();
        assert_eq!((ignoring.exit_code(), ignoring.stops().len()), (1, 0));
        assert!(ignoring.text().contains("! ignored  host.swap  /dev/sda2"), "{}", ignoring.text());
    }

    #[test]
    fn an_unknown_id_is_refused_with_the_known_ones() {
        let why = report().ignoring(&["host.swpa".into()]).unwrap_err();
        assert_eq!(why, "nothing is called `host.swpa`; there are: host.root, host.swap");
    }
}
