//! When to take a lease, and when to let it go: pure.
//!
//! * What it is: the two decisions of an election, as functions of values.
//! * What it promises: what the holder wrote is only ever compared with what it wrote before; all
//!   times are our own monotonic clock's.
//! * What it assumes: `tried` and `renewed` are taken *before* a request leaves, `since` *after* an
//!   answer came: both errors make us less sure of leading and slower to take.
//!
//! ```text
//! waiting ──take succeeded──▶ leading ──no renewal for `renew_deadline`, or another holder──▶ lost
//!    ▲ └─wait: held by another, changed less than its duration ago        └─renew every `retry_period`
//! ```

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;

use super::Settings;

/// A moment of our own monotonic clock.
pub(super) type Moment = Duration;

/// A lease as read, and since when it reads so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    spec: LeaseSpec,
    since: Moment,
}

impl Seen {
    /// What was just read, at `now`; `before` is what the last look saw.
    pub(super) fn next(before: Option<Self>, spec: LeaseSpec, now: Moment) -> Self {
        match before {
            Some(same) if same.spec == spec => same,
            Some(_) | None => Self { spec, since: now },
        }
    }
}

/// What one who waits does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Write ourselves into the lease.
    Take,
    /// Look again after this long.
    Wait(Duration),
}

/// What one who leads does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leading {
    /// Write the renewal.
    Renew,
    /// Nothing for this long.
    Wait(Duration),
    /// Stop leading now.
    Lose,
}

/// Waiting: take it if it is free, ours from before, or has not changed for its holder's duration.
pub(super) fn waiting(me: &str, settings: Settings, seen: Option<&Seen>, now: Moment) -> Waiting {
    let Some(Seen { spec, since }) = seen else { return Waiting::Take };
    match holder(spec) {
        None => Waiting::Take,
        // Ours, though we do not lead: our last write was not answered, or we are its next life.
        Some(name) if name == me => Waiting::Take,
        Some(_) => {
            let stale_at = *since + duration(spec, settings);
            match stale_at.checked_sub(now) {
                None | Some(Duration::ZERO) => Waiting::Take,
                Some(left) => Waiting::Wait(left.min(settings.retry_period)),
            }
        }
    }
}

/// Leading: `renewed` is when the last successful write left, `tried` when the last one did.
pub(super) fn leading(
    me: &str,
    settings: Settings,
    spec: &LeaseSpec,
    renewed: Moment,
    tried: Moment,
    now: Moment,
) -> Leading {
    let ends = renewed + settings.renew_deadline;
    if holder(spec) != Some(me) || now >= ends {
        return Leading::Lose;
    }
    match (tried + settings.retry_period).checked_sub(now) {
        None | Some(Duration::ZERO) => Leading::Renew,
        Some(left) => Leading::Wait(left.min(ends.saturating_sub(now))),
    }
}

/// Who holds it; an empty name is nobody, as other clients write it.
pub(super) fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity.as_deref().filter(|name| !name.is_empty())
}

fn duration(spec: &LeaseSpec, settings: Settings) -> Duration {
    spec.lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map_or(settings.duration, Duration::from_secs)
}
