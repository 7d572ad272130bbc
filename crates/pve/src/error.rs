//! Failures, sorted by what Proxmox may have done.
//!
//! * `Unsent`: nothing reached it; try again anywhere.
//! * `Refused`: it said no; nothing changed.
//! * `Unanswered`: it may have happened: observe before trying again.
//! * `Garbled`: an answer we cannot read; our bug or a new version.
//! * `TaskFailed`: it happened and failed.

use std::collections::BTreeMap;
use std::fmt;

use pve_types::Upid;

use crate::refusal::Refusal;

/// A failed call or task.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing reached Proxmox.
    #[error(transparent)]
    Unsent(Box<Unsent>),
    /// Proxmox said no.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// No answer, or one that says only that the answer was lost. It may have happened.
    #[error(transparent)]
    Unanswered(Box<Unanswered>),
    /// An answer that we cannot read.
    #[error(transparent)]
    Garbled(Box<Garbled>),
    /// A task ended badly.
    #[error(transparent)]
    TaskFailed(Box<TaskFailed>),
}

/// See [`Error::Unsent`].
#[derive(Debug, thiserror::Error)]
#[error("could not send `{call}`")]
pub struct Unsent {
    /// The call, method and path.
    pub call: String,
    /// Why.
    #[source]
    pub cause: UnsentCause,
}

/// Why a call was not sent.
#[derive(Debug, thiserror::Error)]
pub enum UnsentCause {
    /// No URL could be reached.
    #[error("no Proxmox could be reached: {}", Tried::list(.tried))]
    NoConnection {
        /// Each URL with its reason.
        tried: Vec<Tried>,
    },
    /// A path segment would have been empty or a walk (`.`, `..`).
    #[error("the `{name}` in `{template}` is empty or not a name: `{value}`")]
    BadSegment {
        /// The path's shape.
        template: &'static str,
        /// Which part of it.
        name: String,
        /// The value.
        value: String,
    },
    /// A parameter's value is empty, which Proxmox reads as "not given".
    #[error("the value of `{key}` is empty, which Proxmox ignores; delete the key instead")]
    EmptyValue {
        /// Which.
        key: String,
    },
    /// The ticket could not be had first.
    #[error("no ticket could be had")]
    Login(#[source] Box<Error>),
    /// The first reading of the cluster has not come yet.
    #[error("the first reading of the cluster has not come yet")]
    NotYet,
}

/// One URL that was tried, and why it did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The URL.
    pub url: String,
    /// Why.
    pub why: String,
}

impl Tried {
    fn list(tried: &[Self]) -> String {
        let lines: Vec<String> = tried.iter().map(|Self { url, why }| format!("`{url}`: {why}")).collect();
        lines.join("; ")
    }
}

/// See [`Error::Refused`].
#[derive(Debug, thiserror::Error)]
#[error("Proxmox refused `{call}` ({status}): {message}{}", Params(.params))]
pub struct Refused {
    /// The call, method and path.
    pub call: String,
    /// The HTTP status.
    pub status: u16,
    /// Proxmox's words: from the body, else the HTTP reason phrase.
    pub message: String,
    /// What it said about single parameters.
    pub params: BTreeMap<String, String>,
    /// What we take it to mean.
    pub kind: Refusal,
}

struct Params<'a>(&'a BTreeMap<String, String>);

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, text)| write!(f, "; `{key}`: {}", text.trim()))
    }
}

/// See [`Error::Unanswered`].
#[derive(Debug, thiserror::Error)]
#[error("no answer to `{call}`, it may have happened: {why}")]
pub struct Unanswered {
    /// The call, method and path.
    pub call: String,
    /// The status, when a go-between answered in Proxmox's stead.
    pub status: Option<u16>,
    /// What we know.
    pub why: String,
}

/// See [`Error::Garbled`].
#[derive(Debug, thiserror::Error)]
#[error("cannot read the answer to `{call}`: {why}")]
pub struct Garbled {
    /// The call, method and path.
    pub call: String,
    /// What we stumbled over.
    pub why: String,
}

/// See [`Error::TaskFailed`].
#[derive(Debug, thiserror::Error)]
#[error("task `{upid}` failed: {exit_status}{}", Tail(.log_tail))]
pub struct TaskFailed {
    /// The task.
    pub upid: Upid,
    /// Its exit status: the error in one line.
    pub exit_status: String,
    /// What we take it to mean.
    pub kind: Refusal,
    /// The last lines of its log, oldest first.
    pub log_tail: Vec<String>,
}

struct Tail<'a>(&'a [String]);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (its log ends: {})", self.0.join(" | "))
    }
}

impl Error {
    /// The variant's name, for event reasons and metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unsent(_) => "Unsent",
            Self::Refused(_) => "Refused",
            Self::Unanswered(_) => "Unanswered",
            Self::Garbled(_) => "Garbled",
            Self::TaskFailed(_) => "TaskFailed",
        }
    }

    /// What a refusal or a task's failure means; `None` for the others.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refused) => Some(&refused.kind),
            Self::TaskFailed(failed) => Some(&failed.kind),
            Self::Unsent(_) | Self::Unanswered(_) | Self::Garbled(_) => None,
        }
    }

    /// The guest's configuration is not on that node.
    pub fn is_not_found(&self) -> bool {
        self.refusal() == Some(&Refusal::NotFound)
    }

    /// The next move, for people.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refused) => refused.kind.hint(),
            Self::TaskFailed(failed) => failed.kind.hint(),
            Self::Unanswered(_) => Some("look at Proxmox's task log before trying again".to_owned()),
            Self::Garbled(_) => {
                Some("check that the URL leads to a Proxmox VE API, version 8 or 9; else report this".to_owned())
            }
            Self::Unsent(unsent) => unsent.cause.hint(),
        }
    }

    pub(crate) fn unsent(call: impl Into<String>, cause: UnsentCause) -> Self {
        Self::Unsent(Box::new(Unsent { call: call.into(), cause }))
    }

    pub(crate) fn garbled(call: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Garbled(Box::new(Garbled { call: call.into(), why: why.into() }))
    }
}

impl UnsentCause {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoConnection { tried } => {
                let any = |word: &str| tried.iter().any(|t| t.why.contains(word));
                let hint = if any("fingerprint") {
                    "compare the fingerprint with the one in Proxmox (Node, System, Certificates); \
                     if it is yours, trust that fingerprint or Proxmox's CA (/etc/pve/pve-root-ca.pem)"
                } else if any("names no port") {
                    "name Proxmox's port in the URL: https://host:8006"
                } else {
                    "check the URL, the network between and that pveproxy runs (port 8006)"
                };
                Some(hint.to_owned())
            }
            Self::Login(error) => error.hint(),
            Self::BadSegment { .. } | Self::EmptyValue { .. } | Self::NotYet => None,
        }
    }
}
