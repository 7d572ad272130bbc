//! The line between a guest's PID 1 and the outside: JSON lines on standard input and output.
//!
//! Promises: one message a line, written whole. Assumes that nothing else writes to that standard output: everything a
//! guest runs gets files instead.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// From the inside.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said {
    /// Namespaces are there; waits for cards.
    Born {
        /// PID 1 as the outside sees it.
        pid: i32,
    },
    /// Processes run and cards are set up: a guest agent would answer now.
    Userland,
    /// For the log.
    Note {
        /// Seconds since the supervisor began, as text.
        seconds: String,
        /// What happened.
        text: String,
    },
    /// The Node got its pod network.
    Pods {
        /// Prefixes of its pods.
        cidrs: Vec<String>,
        /// Addresses it is reached at.
        addresses: Vec<String>,
    },
    /// It is about to end.
    Ended {
        /// Why.
        why: String,
    },
}

/// From the outside.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Cards are laid.
    Go,
    /// End orderly.
    Shutdown,
}

/// Says it.
pub fn say(said: &Said) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush()
}
