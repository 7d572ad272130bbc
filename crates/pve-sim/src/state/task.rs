//! Tasks: what runs after a call has been answered.
//!
//! A task starts with a job, is stepped by [`super::World::advance`] whenever it is due, and ends with
//! a last line of its log. The jobs themselves live in [`crate::jobs`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::orders::Orders;
use crate::jobs::Job;
use crate::perm::Who;

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u64,
    pub(crate) starttime: i64,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) who: Who,
    pub(crate) log: Vec<String>,
    pub(crate) endtime: Option<i64>,
    /// None while it runs, and for ever if it was killed.
    pub(crate) exit: Option<String>,
    pub(crate) job: Option<Job>,
    /// When its next step is due; changed by [`super::World::schedule`] alone.
    pub(super) due: f64,
    /// A fault: it fails with this text instead of ending well.
    pub(crate) fails: Option<String>,
    /// Other faults, for its steps.
    #[serde(default, skip_serializing_if = "Orders::is_none")]
    pub(crate) orders: Orders,
    pub(crate) order: u64,
}

impl Task {
    pub(crate) fn running(&self) -> bool {
        self.endtime.is_none()
    }

    /// `OK`, the error's text, `WARNINGS: n` or `unexpected status`.
    pub(crate) fn exitstatus(&self) -> String {
        self.exit.clone().unwrap_or_else(|| "unexpected status".to_owned())
    }
}

/// How long tasks take, in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pace {
    pub(crate) seconds: BTreeMap<String, f64>,
    /// Everything is this many times faster.
    pub(crate) speed: f64,
}

/// Kinds of tasks, and the seconds that each takes unless told otherwise: small but never nothing, so that clients have
/// to wait for tasks.
const KINDS: [(&str, f64); 27] = [
    ("create", 0.5),
    ("clone", 0.5),
    ("clone-full", 2.0),
    ("template", 0.4),
    ("start", 1.0),
    ("stop", 0.7),
    ("shutdown", 1.5),
    ("reboot", 1.5),
    ("reset", 0.2),
    ("suspend", 0.3),
    ("resume", 0.2),
    ("destroy", 0.3),
    ("resize", 0.2),
    ("config", 0.1),
    ("upload", 0.15),
    ("delete-volume", 0.1),
    ("snapshot", 0.3),
    ("migrate", 2.0),
    ("ha", 0.3),
    ("vzdump", 3.0),
    ("restore", 1.0),
    ("replicate", 0.5),
    ("network", 0.2),
    // What callers wait for.
    ("allocate", 0.04),
    ("plug", 0.2),
    ("unplug", 2.1),
    ("unplug-refused", 8.0),
];

impl Pace {
    /// The kinds of tasks whose time can be told.
    pub(crate) fn kinds() -> Vec<&'static str> {
        KINDS.iter().map(|(kind, _)| *kind).collect()
    }

    /// The default times, but for those that are told.
    pub(crate) fn new(overrides: &BTreeMap<String, f64>, speed: f64) -> Self {
        let mut seconds: BTreeMap<String, f64> = KINDS.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        seconds.extend(overrides.clone());
        Self { seconds, speed }
    }

    pub(crate) fn of(&self, what: &str) -> f64 {
        self.scaled(self.seconds.get(what).copied().unwrap_or(0.2))
    }

    pub(crate) fn scaled(&self, seconds: f64) -> f64 {
        seconds / self.speed.max(0.001)
    }
}
