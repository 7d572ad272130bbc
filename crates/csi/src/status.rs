//! Refusals as gRPC tells them: the only file that names gRPC's codes.
//!
//! What Proxmox VE said no to is sorted here by what the CO is to make of it; the words are those of the error, with
//! its hint for people.

use plan::volume::{Kind, Refusal};
use pve::Error;
use tonic::{Code, Status};

/// The status of a refusal.
pub(crate) fn status(refusal: &Refusal) -> Status {
    let code = match refusal.kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Aborted => Code::Aborted,
        Kind::Unavailable => Code::Unavailable,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Internal => Code::Internal,
    };
    Status::new(code, refusal.why.clone())
}

/// A method that is not there.
pub(crate) fn unimplemented(what: &str) -> Status {
    Status::unimplemented(format!("{what} is not one of this driver's capabilities"))
}

/// What is asked for, and is missing.
pub(crate) fn missing(field: &str) -> Refusal {
    Refusal::new(Kind::InvalidArgument, format!("{field}: missing"))
}

/// What Proxmox VE's answer means to the CO. `doing` is what we were about to do.
pub(crate) fn refusal(doing: &str, error: &Error) -> Refusal {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Refusal::new(kind(error), format!("{doing}: {}{hint}", daemon::chain(error)))
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Unsent(_) | Error::Unanswered(_) => Kind::Unavailable,
        Error::Garbled(_) => Kind::Internal,
        Error::Refused(_) | Error::TaskFailed(_) => error.refusal().map_or(Kind::Internal, of),
    }
}

fn of(refusal: &pve::Refusal) -> Kind {
    use pve::Refusal as No;
    match refusal {
        No::Locked(_)
        | No::LockTimeout
        | No::NoQuorum
        | No::DetachBusy
        | No::StillRunning
        | No::VolumeInUse
        | No::AgentUnavailable
        | No::Aborted => Kind::Unavailable,
        No::DigestConflict => Kind::Aborted,
        No::Forbidden { .. } | No::AuthFailed => Kind::PermissionDenied,
        No::NotFound | No::NoSuchVolume | No::NoSuchTask => Kind::NotFound,
        No::NoSpace => Kind::ResourceExhausted,
        No::InvalidSize => Kind::OutOfRange,
        No::StorageInvalid | No::NoSuchNode | No::NoSuchPool | No::Protected | No::NeedsPurge => {
            Kind::FailedPrecondition
        }
        No::VmidTaken | No::VolumeExists => Kind::AlreadyExists,
        No::AlreadyRunning | No::NotRunning | No::HotplugFailed | No::Validation | No::Unsupported | No::Other => {
            Kind::Internal
        }
    }
}
