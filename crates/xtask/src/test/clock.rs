//! The day, for seeds and for the page about the last full run. The only place of xtask that asks what time it is.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the edge: a seed that changes daily has to ask for the day")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// `20261125`, in UTC.
pub(super) fn day() -> u64 {
    now().strftime("%Y%m%d").to_string().parse().unwrap_or_default()
}

/// `2026-11-25`, in UTC.
pub(super) fn date() -> String {
    now().strftime("%Y-%m-%d").to_string()
}
