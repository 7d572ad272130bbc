//! The name of a task that Proxmox started: `UPID:node:pid:pstart:starttime:kind:id:user:`.

use std::fmt;
use std::str::FromStr;

use crate::invalid::serde_as_text;
use crate::{Invalid, NodeName, Vmid};

/// A task's name. The node in it is the one that runs the task, which may differ from the one asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upid {
    /// The node that runs the task: ask this one about it.
    pub node: NodeName,
    /// The process on that node.
    pub pid: u32,
    /// When the process started, in the node's ticks since boot.
    pub pstart: u64,
    /// When the task started, in Unix seconds.
    pub starttime: u32,
    /// What it does: `qmclone`, `qmstart`, …
    pub kind: String,
    /// On what; for a clone the number of the *source*; may be empty.
    pub id: String,
    /// Who started it: `user@realm`, or `user@realm!token`.
    pub user: String,
}

const WHAT: &str = "a task id (UPID)";
const SHAPE: &str = "it should read `UPID:node:pid:pstart:starttime:kind:id:user:`";

impl Upid {
    /// The guest it works on, when its id is a guest's number.
    pub fn vmid(&self) -> Option<Vmid> {
        self.id.parse().ok()
    }
}

impl FromStr for Upid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new(WHAT, text, SHAPE);
        let parts: Vec<&str> = text.split(':').collect();
        let ["UPID", node, pid, pstart, starttime, kind, id, user, ""] = parts[..] else {
            return Err(bad());
        };
        let hex = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
            if !lengths.contains(&part.len()) || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            u64::from_str_radix(part, 16).map_err(|_| bad())
        };
        let short = |part: &str| u32::try_from(hex(part, 8..=8)?).map_err(|_| bad());
        let plain = |part: &str| !part.contains(|c: char| c.is_whitespace() || c == '/');
        if kind.is_empty() || user.is_empty() || ![kind, id, user].into_iter().all(plain) {
            return Err(bad());
        }
        Ok(Self {
            node: node.parse().map_err(|_| bad())?,
            pid: short(pid)?,
            pstart: hex(pstart, 8..=9)?,
            starttime: short(starttime)?,
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
        })
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, pid, pstart, starttime, kind, id, user } = self;
        write!(f, "UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{user}:")
    }
}

serde_as_text!(Upid);
