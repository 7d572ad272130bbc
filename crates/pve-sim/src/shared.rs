//! What the listeners share: the world behind a lock, rules, records, the clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::faults::Faults;
use crate::record::Record;
use crate::schema::Schema;
use crate::state::World;

/// Shared by the listeners and the clockwork.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) record: Mutex<Record>,
    pub(crate) schema: &'static Schema,
    /// Something happened that a waiter may want to see.
    pub(crate) changed: Notify,
    /// Added to every answer.
    pub(crate) latency: Duration,
    /// Added to refused logins.
    pub(crate) login_delay: Duration,
    pub(crate) speed: f64,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A handler that panicked has left the world as it was; that is good enough for a simulator.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the epoch: the only clock.
    #[expect(clippy::unused_self, reason = "a settable clock will live here")]
    pub(crate) fn now(&self) -> f64 {
        clock()
    }

    pub(crate) fn scaled(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds / self.speed)
    }

    /// What a refused login costs.
    pub(crate) async fn punish(&self) {
        if !self.login_delay.is_zero() {
            pause(self.login_delay).await;
        }
    }
}

/// The time of day.
pub(crate) fn clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Waits as the server waits.
#[expect(clippy::disallowed_methods, reason = "a simulated server takes its time; nothing is waited for")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
