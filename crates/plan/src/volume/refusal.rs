//! Why something is not done, in the words that the interface of storage has for it.

/// The kinds of refusals that a CO acts on; each is the gRPC code of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A field of the request is wrong: the same request will never do.
    InvalidArgument,
    /// There is no such volume, node or snapshot.
    NotFound,
    /// The name is taken by something else.
    AlreadyExists,
    /// The state of the world forbids it; somebody has to change that first.
    FailedPrecondition,
    /// A limit: slots, space.
    ResourceExhausted,
    /// A size that cannot be.
    OutOfRange,
    /// Another operation on the same volume is under way, or this one still is: ask again.
    Aborted,
    /// Proxmox VE, or the guest, could not be asked or did not let go: ask again.
    Unavailable,
    /// We may not.
    PermissionDenied,
    /// What should not be.
    Internal,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What the CO is to make of it.
    pub kind: Kind,
    /// What a person reads: the field or thing, what was found, the next move.
    pub why: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}
