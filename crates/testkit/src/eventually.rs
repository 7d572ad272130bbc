//! Waiting on facts, with a reason. The only waiting that tests may do.
//!
//! Promises: the fact is looked at at least once; a time-out says what the last look saw; a look that can never
//! succeed ends the wait at once; a look that hangs counts against the limit.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

/// Short enough that a test loses no time; long enough that looking is not the load.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What a look saw instead of the fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotYet {
    /// It may still come: look again.
    Waiting(String),
    /// It cannot come any more: give up now.
    Never(String),
}

impl NotYet {
    /// Not yet, because of this (`2 of 3 machines Ready`).
    pub fn because(reason: impl fmt::Display) -> Self {
        Self::Waiting(reason.to_string())
    }

    /// Never, because of this (the process we wait for has died).
    pub fn never(reason: impl fmt::Display) -> Self {
        Self::Never(reason.to_string())
    }
}

impl From<String> for NotYet {
    fn from(reason: String) -> Self {
        Self::Waiting(reason)
    }
}

impl From<&str> for NotYet {
    fn from(reason: &str) -> Self {
        Self::Waiting(reason.to_owned())
    }
}

impl From<anyhow::Error> for NotYet {
    fn from(error: anyhow::Error) -> Self {
        Self::Waiting(format!("{error:#}"))
    }
}

/// The fact did not come.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TimedOut {
    /// The limit passed.
    #[error("waited {limit:?}; last seen: {last}")]
    Limit {
        /// How long was waited.
        limit: Duration,
        /// What the last look saw.
        last: String,
    },
    /// A look said that waiting is pointless.
    #[error("gave up waiting: {0}")]
    Never(String),
}

/// Looks until the fact is there: `eventually(limit, || async { Ok(..) or Err(NotYet::because("2 of 3 Ready")) })`.
pub async fn eventually<T, F, Fut>(limit: Duration, mut look: F) -> Result<T, TimedOut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, NotYet>>,
{
    let end = tokio::time::Instant::now() + limit;
    let mut last = String::from("nothing: the first look did not come back");
    let mut pause = PAUSE;
    loop {
        match tokio::time::timeout_at(end, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(NotYet::Never(why))) => return Err(TimedOut::Never(why)),
            Ok(Err(NotYet::Waiting(why))) => last = why,
            Err(_) => return Err(TimedOut::Limit { limit, last }),
        }
        if tokio::time::Instant::now() + pause >= end {
            return Err(TimedOut::Limit { limit, last });
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}

/// The same for code without a runtime (clearing up, drop).
pub fn eventually_blocking<T>(limit: Duration, mut look: impl FnMut() -> Result<T, NotYet>) -> Result<T, TimedOut> {
    let end = Instant::now() + limit;
    loop {
        let last = match look() {
            Ok(found) => return Ok(found),
            Err(NotYet::Never(why)) => return Err(TimedOut::Never(why)),
            Err(NotYet::Waiting(why)) => why,
        };
        if Instant::now() + PAUSE >= end {
            return Err(TimedOut::Limit { limit, last });
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn a_fact_that_comes_is_returned() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), || {
            looks += 1;
            let seen = looks;
            async move { if seen < 3 { Err(NotYet::because(format!("{seen} of 3"))) } else { Ok(seen) } }
        })
        .await
        .unwrap();
        assert_eq!(found, 3);
    }

    #[tokio::test]
    async fn a_time_out_prints_the_last_thing_seen() {
        let error = eventually(Duration::from_millis(120), || async { Err::<(), _>(NotYet::because("2 of 3 Ready")) })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "waited 120ms; last seen: 2 of 3 Ready");
    }

    #[tokio::test]
    async fn a_hopeless_look_ends_the_wait_at_once() {
        let error = eventually(Duration::from_mins(1), || async { Err::<(), _>(NotYet::never("etcd has died")) })
            .await
            .unwrap_err();
        assert!(matches!(error, TimedOut::Never(_)), "{error}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_counts_against_the_limit() {
        let error =
            eventually(Duration::from_millis(50), std::future::pending::<Result<(), NotYet>>).await.unwrap_err();
        assert!(error.to_string().contains("did not come back"), "{error}");
    }
}
