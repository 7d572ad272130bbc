//! What somebody who waits for tools is told.

use std::fmt;
use std::time::Duration;

use super::tool::Tool;

/// Where the work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Another run builds the same; we wait for it.
    WaitingForAnotherRun,
    /// No Go, or too old a one: fetching it.
    FetchingGo,
    /// Building. The last line of Go's own words, if it said any.
    Building {
        /// What Go last said.
        says: Option<String>,
    },
    /// Done.
    Built,
}

/// A report, every few seconds and at each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is worked on.
    pub tool: Tool,
    /// Which of those that were missing: 1 is the first.
    pub number: usize,
    /// How many were missing.
    pub total: usize,
    /// Since this tool was begun.
    pub elapsed: Duration,
    /// What is happening.
    pub stage: Stage,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, number, total, elapsed, stage } = self;
        let (seconds, left) = (elapsed.as_secs(), total.saturating_sub(*number));
        match stage {
            Stage::WaitingForAnotherRun => {
                write!(f, "waiting for another run that builds tools ({tool}, {number} of {total}), {seconds} s")
            }
            Stage::FetchingGo => write!(f, "fetching Go, which builds {tool} ({number} of {total}), {seconds} s"),
            Stage::Building { says: None } => write!(f, "building {tool} ({number} of {total}), {seconds} s"),
            Stage::Building { says: Some(words) } => {
                write!(f, "building {tool} ({number} of {total}), {seconds} s; {words}")
            }
            Stage::Built => write!(f, "built {tool} ({number} of {total}) in {seconds} s, {left} left"),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn progress_says_what_how_many_and_how_long() {
        let progress = Progress {
            tool: Tool::KubeApiserver,
            number: 2,
            total: 9,
            elapsed: Duration::from_secs(35),
            stage: Stage::Built,
        };
        assert_eq!(progress.to_string(), "built kube-apiserver (2 of 9) in 35 s, 7 left");
    }
}
