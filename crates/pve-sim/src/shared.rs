//! What the listeners share: the world behind a lock, rules, records, the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::http::workers::Workers;
use crate::latency::Latencies;
use crate::options::Options;
use crate::record::Record;
use crate::schema::Schema;
use crate::state::World;

/// Shared by the listeners and the clockwork.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) record: Mutex<Record>,
    pub(crate) clock: Mutex<Clock>,
    pub(crate) latencies: Mutex<Latencies>,
    pub(crate) schema: &'static Schema,
    /// Something happened that the clockwork or the keeper of files wants to see.
    pub(crate) changed: Notify,
    /// When the clockwork looks next by itself, as the bits of the world's time.
    pub(crate) due: AtomicU64,
    /// Who does the calls.
    pub(crate) workers: Workers,
    /// How long the proxy waits for a daemon.
    pub(crate) patience: Duration,
    /// Everything is to end.
    pub(crate) stop: CancellationToken,
    /// Added to refused logins.
    pub(crate) login_delay: Duration,
    pub(crate) speed: f64,
    pub(crate) origin: Origin,
}

/// What the world was made from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) options: Options,
    pub(crate) fingerprint: String,
    pub(crate) now: f64,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has left things as they were; that is good enough for a simulator.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// The clock; never asked for the world while it is held.
    pub(crate) fn clock(&self) -> MutexGuard<'_, Clock> {
        lock(&self.clock)
    }

    pub(crate) fn latencies(&self) -> MutexGuard<'_, Latencies> {
        lock(&self.latencies)
    }

    /// Seconds since the epoch in the simulated world.
    pub(crate) fn now(&self) -> f64 {
        self.clock().now()
    }

    pub(crate) fn scaled(&self, seconds: f64) -> Duration {
        self.real(seconds / self.speed)
    }

    /// How long simulated seconds take in reality.
    pub(crate) fn real(&self, seconds: f64) -> Duration {
        let rate = self.clock().rate();
        Duration::from_secs_f64((seconds / rate).clamp(0.0, 1e6))
    }

    /// Something was done to the world: whoever waits for the next thing to happen is told, if it comes sooner now.
    pub(crate) fn touched(&self, world: &World) {
        let due = f64::from_bits(self.due.load(Ordering::Relaxed));
        if world.contents.has_files() || world.next_due() < due {
            self.changed.notify_waiters();
        }
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
