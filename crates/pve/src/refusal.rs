//! What a "no" of Proxmox means, read from its words.
//!
//! Proxmox answers 500 to nearly everything, so the text decides. The same texts come as the exit
//! status of tasks, so the same table reads both. Texts were collected from Proxmox VE 7 to 9.

use std::collections::BTreeMap;

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The guest's configuration is not on the node that was asked; it may be on another.
    NotFound,
    /// The task is unknown to its node.
    NoSuchTask,
    /// The node is unknown to the cluster.
    NoSuchNode,
    /// The pool does not exist.
    NoSuchPool,
    /// The number is another guest's.
    VmidTaken,
    /// The guest is locked for: `backup`, `clone`, `migrate`, …
    Locked(String),
    /// Another call held a lock for too long.
    LockTimeout,
    /// The cluster has no majority and takes no writes.
    NoQuorum,
    /// We may not.
    Forbidden {
        /// Where a privilege is missing.
        path: Option<String>,
        /// Which (of several, separated by `|`, any would do).
        privilege: Option<String>,
    },
    /// Proxmox does not know us.
    AuthFailed,
    /// The guest is under high availability or replication; destroying needs `purge`.
    NeedsPurge,
    /// The guest must be stopped first.
    StillRunning,
    /// The guest runs already.
    AlreadyRunning,
    /// The guest does not run.
    NotRunning,
    /// The guest is protected from removal.
    Protected,
    /// The guest's agent is not configured, or does not answer.
    AgentUnavailable,
    /// The configuration has changed since it was read.
    DigestConflict,
    /// The storage does not exist, is off, or takes no such content.
    StorageInvalid,
    /// The storage is full.
    NoSpace,
    /// The volume does not exist.
    NoSuchVolume,
    /// The volume exists already.
    VolumeExists,
    /// The volume is in use.
    VolumeInUse,
    /// The size is not possible (smaller than it is).
    InvalidSize,
    /// The guest would not let go of the device.
    DetachBusy,
    /// The change was written but could not be applied to the running guest.
    HotplugFailed,
    /// A parameter is wrong.
    Validation,
    /// This version does not know the call.
    Unsupported,
    /// The task was ended from outside.
    Aborted,
    /// Something else: see the message.
    Other,
}

impl Refusal {
    /// Reads a refused call.
    pub(crate) fn of_answer(status: u16, message: &str, params: &BTreeMap<String, String>) -> Self {
        match status {
            401 => return Self::AuthFailed,
            403 => return forbidden(message),
            501 if message.contains("not implemented") || message.contains("no such uri") => {
                return Self::Unsupported;
            }
            _ => {}
        }
        let by_params = params.iter().map(|(key, text)| Self::of_param(key, text)).find(|kind| *kind != Self::Other);
        match by_params.unwrap_or_else(|| Self::of_text(message)) {
            Self::Other if status == 400 => Self::Validation,
            kind => kind,
        }
    }

    fn of_param(key: &str, text: &str) -> Self {
        match key {
            "vmid" | "newid" if text.contains("already exists") => Self::VmidTaken,
            "upid" if text.contains("no such task") => Self::NoSuchTask,
            "storage" if text.contains("No such storage") => Self::StorageInvalid,
            _ => Self::of_text(text),
        }
    }

    /// Reads a text: a message, or a task's exit status.
    pub(crate) fn of_text(text: &str) -> Self {
        let text = text.trim();
        if let Some(lock) = lock_kind(text) {
            return Self::Locked(lock);
        }
        if text.contains("Permission check failed") {
            return forbidden(text);
        }
        let said = |words: &[&str]| words.iter().all(|word| text.contains(word));
        if let Some((kind, _)) = TABLE.iter().find(|(_, any)| any.iter().any(|w| said(w))) {
            return kind.clone();
        }
        if text.ends_with("not running") {
            Self::NotRunning
        } else if text == "unexpected status" {
            Self::Aborted
        } else {
            Self::Other
        }
    }

    /// The kind's name, for logs and metric labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::NoSuchTask => "NoSuchTask",
            Self::NoSuchNode => "NoSuchNode",
            Self::NoSuchPool => "NoSuchPool",
            Self::VmidTaken => "VmidTaken",
            Self::Locked(_) => "Locked",
            Self::LockTimeout => "LockTimeout",
            Self::NoQuorum => "NoQuorum",
            Self::Forbidden { .. } => "Forbidden",
            Self::AuthFailed => "AuthFailed",
            Self::NeedsPurge => "NeedsPurge",
            Self::StillRunning => "StillRunning",
            Self::AlreadyRunning => "AlreadyRunning",
            Self::NotRunning => "NotRunning",
            Self::Protected => "Protected",
            Self::AgentUnavailable => "AgentUnavailable",
            Self::DigestConflict => "DigestConflict",
            Self::StorageInvalid => "StorageInvalid",
            Self::NoSpace => "NoSpace",
            Self::NoSuchVolume => "NoSuchVolume",
            Self::VolumeExists => "VolumeExists",
            Self::VolumeInUse => "VolumeInUse",
            Self::InvalidSize => "InvalidSize",
            Self::DetachBusy => "DetachBusy",
            Self::HotplugFailed => "HotplugFailed",
            Self::Validation => "Validation",
            Self::Unsupported => "Unsupported",
            Self::Aborted => "Aborted",
            Self::Other => "Other",
        }
    }

    /// The next move, for people.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Forbidden { path: Some(path), privilege: Some(privilege) } => {
                return Some(format!(
                    "give the token (and its user) the privilege {} on {path}",
                    privilege.replace('|', " or ")
                ));
            }
            Self::Locked(lock) => {
                return Some(format!("wait until the `{lock}` is over; if none runs, `qm unlock` on the node"));
            }
            Self::Forbidden { .. } => "give the token (and its user) the missing privilege",
            Self::AuthFailed => "check the token's id and secret, that it has not expired and its user is enabled",
            Self::NoQuorum => "bring nodes back until the cluster has a majority (`pvecm status`)",
            Self::NoSpace => "free space on the storage or choose another",
            Self::StorageInvalid => "check the storage's name, that it is enabled on that node, and its content types",
            Self::NoSuchNode => "check the node's name: `pvesh get /nodes` lists them",
            Self::NoSuchPool => "create the pool in Proxmox or name another",
            Self::Protected => "switch off the guest's protection, if it may really go",
            Self::AgentUnavailable => "install and start qemu-guest-agent in the guest, and enable it in its options",
            Self::InvalidSize => "disks only grow: ask for at least the present size",
            Self::Unsupported => "check Proxmox's version: 8 or 9 is needed",
            Self::NotFound
            | Self::NoSuchTask
            | Self::VmidTaken
            | Self::LockTimeout
            | Self::NeedsPurge
            | Self::StillRunning
            | Self::AlreadyRunning
            | Self::NotRunning
            | Self::DigestConflict
            | Self::NoSuchVolume
            | Self::VolumeExists
            | Self::VolumeInUse
            | Self::DetachBusy
            | Self::HotplugFailed
            | Self::Validation
            | Self::Aborted
            | Self::Other => return None,
        };
        Some(text.to_owned())
    }
}

/// A text means this when it holds all words of any one line. Where one text holds another's words, the
/// more special comes first.
static TABLE: &[(Refusal, &[&[&str]])] = &[
    (Refusal::NotFound, &[&["Configuration file '", "' does not exist"], &["unable to find configuration file for"]]),
    (Refusal::VmidTaken, &[&["already exists on node"], &["config file already exists"], &["failed: File exists"]]),
    (
        Refusal::LockTimeout,
        &[&["can't lock file", "got timeout"], &["got lock request timeout"], &["locked command timed out"]],
    ),
    (Refusal::NoQuorum, &[&["no quorum"], &["cluster not ready"]]),
    (Refusal::StillRunning, &[&["is running - destroy failed"], &["container is running"]]),
    (Refusal::AlreadyRunning, &[&["already running"]]),
    (Refusal::Protected, &[&["protection mode enabled"]]),
    (Refusal::NeedsPurge, &[&["used in HA resources and purge"], &["There is a replication job"]]),
    (
        Refusal::AgentUnavailable,
        &[&["QEMU guest agent is not running"], &["No QEMU guest agent configured"], &["qga command", "failed"]],
    ),
    (Refusal::DetachBusy, &[&["hotplug problem", "still busy in guest"]]),
    (Refusal::HotplugFailed, &[&["hotplug problem"]]),
    (Refusal::DigestConflict, &[&["checksum mismatch (file change"], &["detected modified configuration"]]),
    (
        Refusal::StorageInvalid,
        &[
            &["does not support vm images"],
            &["No such storage"],
            &["storage '", "' does not support"],
            &["storage '", "' does not exist"],
            &["storage '", "' is disabled"],
            &["storage '", "' is not available on node"],
            &["storage '", "' is not online"],
        ],
    ),
    (Refusal::NoSpace, &[&["not enough free space"], &["No space left"], &["out of space"]]),
    (
        Refusal::VolumeExists,
        &[
            &["disk image '", "already exists"],
            &["Logical Volume", "already exists"],
            &["(17) File exists"],
            &["dataset already exists"],
        ],
    ),
    (Refusal::InvalidSize, &[&["shrinking disks is not supported"], &["unable to shrink"]]),
    (
        Refusal::VolumeInUse,
        &[
            &["still in use"],
            &["has watchers"],
            &["dataset is busy"],
            &["is in use"],
            &["in use by"],
            &["ogical volume", " in use"],
        ],
    ),
    (
        Refusal::NoSuchVolume,
        &[
            &["volume '", "' does not exist"],
            &["volume_size_info on '", "failed - no format"],
            &["Failed to find logical volume"],
            &["dataset does not exist"],
            &["error opening image", "No such file or directory"],
        ],
    ),
    (Refusal::NoSuchPool, &[&["pool '", "' does not exist"]]),
    (Refusal::NoSuchNode, &[&["no such cluster node"], &["hostname lookup '"]]),
    (Refusal::NoSuchTask, &[&["no such task"]]),
    (Refusal::Aborted, &[&["received interrupt"], &["interrupted by signal"]]),
    (Refusal::Validation, &[&["Parameter verification failed"]]),
];

/// `… VM is locked (backup)`, `CT is locked (clone)`.
fn lock_kind(text: &str) -> Option<String> {
    let (before, after) = text.split_once(" is locked (")?;
    let (lock, _) = after.split_once(')')?;
    (before.ends_with("VM") || before.ends_with("CT")).then(|| lock.to_owned())
}

/// `Permission check failed (/vms/100, VM.Audit)`; the part in parentheses may be missing or prose.
fn forbidden(text: &str) -> Refusal {
    let inside = text
        .split_once("Permission check failed (")
        .and_then(|(_, rest)| rest.rsplit_once(')'))
        .map(|(inside, _)| inside);
    if inside.is_some_and(|i| i.starts_with("pool '") && i.ends_with("does not exist")) {
        return Refusal::NoSuchPool;
    }
    let (path, privilege) = match inside.and_then(|i| i.split_once(", ")) {
        Some((path, privilege)) if path.starts_with('/') => (Some(path.to_owned()), Some(privilege.to_owned())),
        _ => (None, None),
    };
    Refusal::Forbidden { path, privilege }
}
