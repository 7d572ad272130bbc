//! What one check says.

use crate::evidence::{Cause, Read};
use crate::report::Severity;

/// What one check says, and why.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(super) says: Says,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) evidence: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Says {
    Passed,
    Failed(Severity),
    Blocked(String),
    Unread,
}

impl Verdict {
    fn new(says: Says, message: impl Into<String>) -> Self {
        Self { says, message: message.into(), hint: None, evidence: Vec::new() }
    }

    pub(super) fn passed(message: impl Into<String>) -> Self {
        Self::new(Says::Passed, message)
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Says::Failed(Severity::Error), message)
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self::new(Says::Failed(Severity::Warning), message)
    }

    pub(super) fn blocked(by: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Says::Blocked(by.into()), message)
    }

    pub(super) fn unread(message: impl Into<String>) -> Self {
        Self::new(Says::Unread, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn evidence(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.evidence.extend(lines.into_iter().map(Into::into));
        self
    }
}

/// The part, or the verdict that it could not be had: blocked by the missing `part`, or unread.
pub(super) fn need<'a, T>(part: &str, read: &'a Read<T>) -> Result<&'a T, Verdict> {
    match read {
        Read::Known(value) => Ok(value),
        Read::Unread { cause: Cause::NotAsked | Cause::Missing, why } => Err(Verdict::blocked(part, why.clone())),
        Read::Unread { cause, why } => {
            let verdict = Verdict::unread(format!("{part} could not be read: {why}"));
            Err(match cause {
                Cause::Forbidden => verdict.hint("give the credentials the privilege to read it, then verify again"),
                Cause::NotAsked
                | Cause::Missing
                | Cause::NoConnection
                | Cause::Certificate
                | Cause::NoAnswer
                | Cause::NotKnown
                | Cause::Refused
                | Cause::Garbled => verdict,
            })
        }
    }
}

/// What several objects come to: complaints, doubts (what could not be read), and how many are fine.
#[derive(Debug, Default)]
pub(super) struct Tally {
    errors: Vec<String>,
    warnings: Vec<String>,
    unread: Vec<String>,
    fine: Vec<String>,
}

impl Tally {
    pub(super) fn error(&mut self, line: impl Into<String>) {
        self.errors.push(line.into());
    }

    pub(super) fn warning(&mut self, line: impl Into<String>) {
        self.warnings.push(line.into());
    }

    pub(super) fn unread(&mut self, line: impl Into<String>) {
        self.unread.push(line.into());
    }

    pub(super) fn fine(&mut self, line: impl Into<String>) {
        self.fine.push(line.into());
    }

    /// The worst wins; complaints come first in the evidence. `passed` is the message when all are fine.
    pub(super) fn verdict(self, passed: impl Into<String>, hint: &str) -> Verdict {
        let Self { errors, warnings, unread, fine } = self;
        let say = |make: fn(String) -> Verdict, lines: &[String]| match lines {
            [one] => make(one.clone()),
            [first, rest @ ..] => make(format!("{first} (and {} more)", rest.len())),
            [] => make(String::new()),
        };
        let verdict = if !errors.is_empty() {
            say(Verdict::failed, &errors).hint(hint)
        } else if !warnings.is_empty() {
            say(Verdict::warning, &warnings).hint(hint)
        } else if !unread.is_empty() {
            say(Verdict::unread, &unread)
        } else {
            Verdict::passed(passed)
        };
        verdict.evidence(errors).evidence(warnings).evidence(unread).evidence(fine)
    }
}
