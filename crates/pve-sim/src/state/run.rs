//! One power-on of one VM: what its QEMU has, and what a guest of paper does inside.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What boots in a VM while no program is attached at the hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// Ends when it is asked, lets go of its drives; its agent answers after `--agent-after`.
    #[default]
    Paper,
    /// Nothing: no power button, no agent, lets go of nothing.
    Empty,
    /// As paper, but its agent answers from the first moment on.
    Linux,
}

/// One power-on of one VM.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `VMID-N`.
    pub(crate) id: String,
    pub(crate) since: f64,
    pub(crate) pid: u32,
    pub(crate) paused: bool,
    /// Set by an attached guest; none means that the paper guest's rule holds.
    pub(crate) agent_up: Option<bool>,
    /// The drives and network cards that QEMU has, as their texts; none for what the configuration says.
    #[serde(default)]
    pub(crate) devices: Option<BTreeMap<String, String>>,
    /// Slots that a failed hot-plug has left unusable until QEMU starts anew.
    #[serde(default)]
    pub(crate) poisoned: BTreeSet<String>,
    /// Volumes whose snapshots others have changed since QEMU read of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) stale: BTreeSet<String>,
    /// Drives that an attached guest has said it does not let go.
    #[serde(default)]
    pub(crate) held: BTreeSet<String>,
    /// The guest has suspended itself to its memory.
    #[serde(default)]
    pub(crate) asleep: bool,
    #[serde(default)]
    pub(crate) inside: Inside,
}

/// What goes on in a guest of paper.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Inside {
    /// Its file systems are frozen.
    #[serde(default)]
    pub(crate) frozen: bool,
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// What `guest-exec` has started and nobody has asked after yet.
    #[serde(default)]
    pub(crate) processes: BTreeMap<i64, Process>,
    #[serde(default)]
    pub(crate) last_pid: i64,
}

/// A process in a guest of paper.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i64,
    /// When it ends.
    pub(crate) until: f64,
}
