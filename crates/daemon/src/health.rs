//! Whether this process is alive and ready.
//!
//! * What it is: a flag that says ready, and named checks that a loop beats to say it still turns.
//! * What it promises: a check that was not beaten for its maximum age makes the process unhealthy
//!   (a restart helps); not being ready only takes it out of traffic.
//! * What it assumes: a check means "my loop turns", not "the other side answers": an unreachable
//!   Proxmox is no reason to restart us.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The process's health; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ready: bool,
    checks: BTreeMap<String, Check>,
}

#[derive(Debug)]
struct Check {
    max_age: Duration,
    beaten: Instant,
}

/// A check that was not beaten in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The check's name.
    pub name: String,
    /// How long ago it was beaten.
    pub age: Duration,
    /// How long ago it may be.
    pub max_age: Duration,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, age, max_age } = self;
        write!(f, "{name}: last beat {} s ago, at most {} s allowed", age.as_secs(), max_age.as_secs())
    }
}

impl Health {
    /// Not ready yet, no checks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether traffic may come.
    pub fn set_ready(&self, ready: bool) {
        self.with(|state| state.ready = ready);
    }

    /// Expects a beat of `name` at least every `max_age`, from now on.
    pub fn expect(&self, name: &str, max_age: Duration) {
        self.with(|state| {
            state.checks.insert(name.to_owned(), Check { max_age, beaten: Instant::now() });
        });
    }

    /// The loop `name` has turned once more. A name that nobody expects is no error.
    pub fn beat(&self, name: &str) {
        self.with(|state| {
            if let Some(check) = state.checks.get_mut(name) {
                check.beaten = Instant::now();
            }
        });
    }

    /// Stops expecting beats of `name`, because its loop ended as it should.
    pub fn forget(&self, name: &str) {
        self.with(|state| {
            state.checks.remove(name);
        });
    }

    /// The checks that were not beaten in time; empty means alive.
    pub fn stale(&self) -> Vec<Stale> {
        self.with(|state| {
            state
                .checks
                .iter()
                .map(|(name, check)| Stale { name: name.clone(), age: check.beaten.elapsed(), max_age: check.max_age })
                .filter(|check| check.age > check.max_age)
                .collect()
        })
    }

    /// Whether traffic may come: said to be ready, and alive.
    pub fn is_ready(&self) -> bool {
        self.with(|state| state.ready) && self.stale().is_empty()
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // Every change above is a single assignment: a panic elsewhere leaves it whole.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stops_beating_makes_the_process_unhealthy_until_it_beats_again() {
        let health = Health::new();
        health.expect("poller", MINUTE);
        health.set_ready(true);
        tokio::time::advance(MINUTE).await;
        assert!(health.is_ready(), "not older than allowed");
        tokio::time::advance(Duration::from_secs(5)).await;
        let [stale] = health.stale().try_into().unwrap();
        assert_eq!(stale.to_string(), "poller: last beat 65 s ago, at most 60 s allowed");
        assert!(!health.is_ready());
        health.clone().beat("poller");
        assert!(health.is_ready(), "clones share it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_forgotten_or_unknown_counts_for_nothing() {
        let health = Health::new();
        health.expect("poller", MINUTE);
        health.forget("poller");
        health.beat("nobody");
        tokio::time::advance(MINUTE * 5).await;
        assert_eq!(health.stale(), []);
    }
}
