//! Whether trying again can help, and after how long: the one place that says so.

use std::time::Duration;

use crate::error::{Error, UnsentCause};
use crate::refusal::Refusal;

/// What happens when a call is made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// The same as once: reads, and writes that set a value.
    Repeatable,
    /// Perhaps two things: clones, creations, task starts.
    Once,
}

/// How long to wait before the same call may be made again.
///
/// `None`: repeating the call will not help by itself. Look at the world again first (it may have
/// happened), or wait for a person to change something.
pub fn retry_after(error: &Error, idempotency: Idempotency) -> Option<Duration> {
    match error {
        Error::Unsent(unsent) => match &unsent.cause {
            UnsentCause::NoConnection { .. } => Some(Duration::from_secs(5)),
            UnsentCause::NotYet => Some(Duration::from_secs(1)),
            UnsentCause::Login(login) => retry_after(login, Idempotency::Repeatable),
            UnsentCause::BadSegment { .. } | UnsentCause::EmptyValue { .. } => None,
        },
        Error::Unanswered(_) => match idempotency {
            Idempotency::Repeatable => Some(Duration::from_secs(5)),
            Idempotency::Once => None,
        },
        Error::Refused(refused) => after_refusal(&refused.kind),
        Error::TaskFailed(failed) => after_refusal(&failed.kind),
        Error::Garbled(_) => None,
    }
}

fn after_refusal(kind: &Refusal) -> Option<Duration> {
    let seconds = match kind {
        // These two may take hours.
        Refusal::Locked(lock) if lock == "backup" || lock == "migrate" => 30,
        // The other side has already waited up to ten seconds for it.
        Refusal::LockTimeout => 2,
        Refusal::NoQuorum => 30,
        Refusal::Locked(_) | Refusal::StillRunning | Refusal::VolumeInUse | Refusal::DetachBusy => 5,
        // Each such call costs Proxmox three seconds.
        Refusal::AgentUnavailable => 10,
        Refusal::NotFound
        | Refusal::NoSuchTask
        | Refusal::NoSuchNode
        | Refusal::NoSuchPool
        | Refusal::VmidTaken
        | Refusal::Forbidden { .. }
        | Refusal::AuthFailed
        | Refusal::NeedsPurge
        | Refusal::AlreadyRunning
        | Refusal::NotRunning
        | Refusal::Protected
        | Refusal::DigestConflict
        | Refusal::StorageInvalid
        | Refusal::NoSpace
        | Refusal::NoSuchVolume
        | Refusal::VolumeExists
        | Refusal::InvalidSize
        | Refusal::HotplugFailed
        | Refusal::Validation
        | Refusal::Unsupported
        | Refusal::Aborted
        | Refusal::Other => return None,
    };
    Some(Duration::from_secs(seconds))
}
