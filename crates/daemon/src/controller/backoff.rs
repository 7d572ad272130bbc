//! How long a failing object waits.
//!
//! * What it is: a count of failures in a row for each object.
//! * What it promises: 1 s, 2 s, 4 s, … and never more than 60 s; a success forgets.
//! * What it assumes: an object that is gone is reported by [`Failures::forget`].

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Namespace and name: within one controller that is an identity.
pub(super) type Key = (Option<String>, String);

#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<Key, u32>>);

/// One more failure of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) times: u32,
    pub(super) again: Duration,
}

impl Failures {
    pub(super) fn failed(&self, key: &Key) -> Failed {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = counts.entry(key.clone()).or_insert(0);
        *times = times.saturating_add(1);
        Failed { times: *times, again: wait(*times) }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The wait after so many failures in a row.
fn wait(times: u32) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1));
    FIRST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_stays_there() {
        let waits: Vec<u64> = (1..=9).map(|times| wait(times).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }

    #[test]
    fn a_success_forgets_and_objects_do_not_share_a_count() {
        let failures = Failures::default();
        let (a, b) = ((Some("dev".to_owned()), "a".to_owned()), (None, "a".to_owned()));
        assert_eq!(failures.failed(&a), Failed { times: 1, again: FIRST });
        assert_eq!(failures.failed(&a), Failed { times: 2, again: 2 * FIRST });
        assert_eq!(failures.failed(&b), Failed { times: 1, again: FIRST });
        failures.forget(&a);
        assert_eq!(failures.failed(&a), Failed { times: 1, again: FIRST });
    }
}
