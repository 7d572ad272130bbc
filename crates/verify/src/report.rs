//! What judging comes to: a report, as it is written to JSON and rendered for people.
//!
//! Promises: the exit code is a function of the report alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::step::StepId;

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use = "a report that nobody renders helps no one"]
pub struct Report {
    /// When reading began.
    pub started: Timestamp,
    /// When reading ended.
    pub finished: Timestamp,
    /// The cluster that was judged: `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Who spoke to whom.
    pub versions: Versions,
    /// Counts over all steps.
    pub summary: Summary,
    /// All eight steps, those without checks too.
    pub steps: Vec<StepReport>,
    /// Checks that were not asked for.
    pub deselected: Vec<Deselected>,
}

/// Who spoke to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Ours.
    pub oxmox: String,
    /// Proxmox VE's, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxmox: Option<String>,
    /// The management cluster's, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<String>,
    /// The workload cluster's, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
}

/// One step with its checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step.
    pub id: StepId,
    /// Its place, 1 to 8.
    pub number: u8,
    /// Its title.
    pub title: String,
    /// The question that it answers.
    pub asks: String,
    /// Whether any check of it exists: a step that has none was not run, and has not passed.
    pub not_yet: bool,
    /// Its checks that were asked for.
    pub checks: Vec<Check>,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its id: `api.tls-chain`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How much that matters.
    pub severity: Severity,
    /// What was found, in a line.
    pub message: String,
    /// The next move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What the judgement rests on, short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// For blocked checks: the earlier check that failed, or the part that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was looked at and is as it should be.
    Passed,
    /// It was looked at and is not.
    Failed,
    /// An earlier failure or a missing part makes it meaningless.
    Blocked,
    /// It could not be looked at.
    Unread,
}

/// How much an outcome matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// To be seen to.
    Warning,
    /// It does not work, or will not.
    Error,
}

/// A check that was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deselected {
    /// Its id.
    pub id: String,
    /// Which wish left it out.
    pub why: String,
}

/// Counts over all steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed, but only worth a warning.
    pub warnings: usize,
    /// Failed.
    pub failed: usize,
    /// Blocked.
    pub blocked: usize,
    /// Unread.
    pub unread: usize,
    /// Not asked for.
    pub deselected: usize,
    /// Steps that have no checks yet.
    pub steps_not_yet: usize,
    /// Parts of the evidence that could be read.
    pub parts_read: usize,
    /// Parts of the evidence that could not.
    pub parts_unread: usize,
}

impl Report {
    /// All checks of all steps.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.steps.iter().flat_map(|step| &step.checks)
    }

    /// 0: all passed; 1: something to see to, or something that could not be judged; 2: something failed;
    /// 3: nothing could be read at all, or nothing was asked for.
    pub fn exit_code(&self) -> u8 {
        let mut checks = self.checks().peekable();
        if self.summary.parts_read == 0 || checks.peek().is_none() {
            return 3;
        }
        checks
            .map(|check| match (check.outcome, check.severity) {
                (Outcome::Passed, _) => 0,
                (Outcome::Failed, Severity::Error) => 2,
                (Outcome::Failed, Severity::Info | Severity::Warning) | (Outcome::Blocked | Outcome::Unread, _) => 1,
            })
            .max()
            .unwrap_or(3)
    }
}

impl Check {
    /// Whether it failed in a way that is only worth a warning.
    pub fn is_warning(&self) -> bool {
        self.outcome == Outcome::Failed && self.severity != Severity::Error
    }

    /// The word for people: `passed`, `warning`, `failed`, `blocked`, `unread`.
    pub fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed if self.is_warning() => "warning",
            Outcome::Failed => "failed",
            Outcome::Blocked => "blocked",
            Outcome::Unread => "unread",
        }
    }

    /// The sign for people; each outcome has its own, so that nothing hangs on colour.
    pub fn sign(&self) -> char {
        match self.outcome {
            Outcome::Passed => '✓',
            Outcome::Failed if self.is_warning() => '!',
            Outcome::Failed => '✗',
            Outcome::Blocked => '–',
            Outcome::Unread => '?',
        }
    }

    /// Whether a reader should see its details at once.
    pub(crate) fn opens(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}
