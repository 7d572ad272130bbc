//! What was collected of one target.

use pve::{Fields, NotBackedUp, UsageRow};

use crate::settings::Selection;

/// What was collected of one target.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What was asked for.
    pub selection: Selection,
    /// The rows of `/cluster/status`.
    pub cluster: Read<Vec<Fields>>,
    /// The rows of `/cluster/resources`.
    pub resources: Read<Vec<UsageRow>>,
    /// `/version`.
    pub version: Read<Fields>,
    /// Guests without a backup job.
    pub not_backed_up: Read<Vec<NotBackedUp>>,
    /// The quorum device; empty without one.
    pub qdevice: Read<Fields>,
    /// The subscription of the node that was asked.
    pub subscription: Read<Fields>,
    /// The replication jobs of that node.
    pub replication: Read<Vec<Fields>>,
    /// What is known of guests' configurations, by node.
    pub onboot: Read<Vec<Onboot>>,
}

/// What is known of guests' configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Onboot {
    /// The node.
    pub node: String,
    /// Guests whose configuration has the key: `qemu/100`, `qemu`, its value.
    pub set: Vec<(String, &'static str, String)>,
    /// Guests whose configuration is known.
    pub known: usize,
    /// Guests of the node.
    pub all: usize,
}

/// One thing that was, or was not, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read<T> {
    /// It was.
    Got(T),
    /// It could not be; why.
    Failed(String),
    /// Nobody asked for it.
    NotAsked,
}

impl<T> Read<T> {
    /// The thing, where it was read.
    pub fn got(&self) -> Option<&T> {
        match self {
            Self::Got(thing) => Some(thing),
            Self::Failed(_) | Self::NotAsked => None,
        }
    }

    /// Why it could not be read.
    pub fn failed(&self) -> Option<&str> {
        match self {
            Self::Failed(why) => Some(why),
            Self::Got(_) | Self::NotAsked => None,
        }
    }
}

impl Snapshot {
    /// The node that was asked: the one that answers for the address.
    pub fn local_node(&self) -> Option<&str> {
        let is = |row: &&Fields| {
            row.get("type").is_some_and(|kind| kind == "node") && row.get("local").is_some_and(|l| l == "1")
        };
        self.cluster.got()?.iter().find(is)?.get("name").map(String::as_str)
    }

    /// Why nothing at all could be read, if so.
    pub fn all_failed(&self) -> Option<&str> {
        let Self {
            selection: _,
            cluster,
            resources,
            version,
            not_backed_up,
            qdevice,
            subscription,
            replication,
            onboot,
        } = self;
        let got = cluster.got().is_some()
            || resources.got().is_some()
            || version.got().is_some()
            || not_backed_up.got().is_some()
            || qdevice.got().is_some()
            || subscription.got().is_some()
            || replication.got().is_some()
            || onboot.got().is_some();
        if got {
            return None;
        }
        [
            cluster.failed(),
            resources.failed(),
            version.failed(),
            not_backed_up.failed(),
            qdevice.failed(),
            subscription.failed(),
            replication.failed(),
            onboot.failed(),
        ]
        .into_iter()
        .flatten()
        .next()
    }
}
