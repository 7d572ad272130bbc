//! One reader for a whole cluster, however many controllers look.
//!
//! * Reads `/cluster/resources` every `idle`, or every `busy` while someone is at work.
//! * For each node on which a watched task runs, one list of tasks every `tasks`; a task that the list
//!   misses is asked for by itself.
//! * If somebody wants failures of others' tasks too, one list of failed tasks of each node, now and then.
//! * Promises: calls do not grow with the number of guests; what has changed is told once.
//! * Assumes: everybody who starts a task says so by [`Poller::watch_task`].

mod failures;
mod snapshot;
mod tasks;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pve_types::{Upid, Vmid};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::{Error, UnsentCause};
use crate::figures::Figures;
use crate::resources::Resources;
use crate::task::TaskRow;

pub use failures::Failure;
pub use snapshot::{Changed, Changes, Snapshot};
pub use tasks::TaskSeen;
use tasks::Tasks;

/// How often to look.
#[derive(Debug, Clone, Copy)]
pub struct PollerOptions {
    /// At the resources when nobody is at work.
    pub idle: Duration,
    /// At the resources while somebody is.
    pub busy: Duration,
    /// At the tasks of a node where one of ours runs; also the least time between two readings of the
    /// resources that were asked for.
    pub tasks: Duration,
}

impl Default for PollerOptions {
    fn default() -> Self {
        Self {
            // Proxmox itself gathers what it shows every ten seconds.
            idle: Duration::from_secs(10),
            busy: Duration::from_secs(1),
            tasks: Duration::from_millis(250),
        }
    }
}

/// A handle to the reader; clones share it.
#[derive(Clone)]
pub struct Poller {
    shared: Arc<Shared>,
}

/// While it lives, the resources are read at the busy pace.
#[must_use = "the poller goes back to its idle pace when this is dropped"]
pub struct Busy {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    options: PollerOptions,
    shutdown: CancellationToken,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changes: broadcast::Sender<Arc<Changes>>,
    failures: broadcast::Sender<Arc<Failure>>,
    /// The reading that was last begun.
    begun: AtomicU64,
    /// The reading that somebody waits for.
    wanted: AtomicU64,
    wake: Notify,
    at_work: Mutex<AtWork>,
    tasks: Mutex<Tasks>,
    tasks_wake: Notify,
}

#[derive(Default)]
struct AtWork {
    guards: usize,
    names: BTreeSet<String>,
}

/// A slow reader of changes that falls this far behind is told that it missed some.
const CHANGES_KEPT: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Poller {
    /// Starts reading, until `shutdown`. Must be called within a tokio runtime.
    pub fn spawn(client: Client, options: PollerOptions, shutdown: CancellationToken) -> Self {
        let nothing = Snapshot {
            resources: Err(Arc::new(Error::unsent("GET /cluster/resources", UnsentCause::NotYet))),
            asked_at: Instant::now(),
            taken_at: Timestamp::UNIX_EPOCH,
            sequence: 0,
        };
        let shared = Arc::new(Shared {
            client,
            options,
            shutdown,
            snapshot: watch::Sender::new(Arc::new(nothing)),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            failures: broadcast::Sender::new(CHANGES_KEPT),
            begun: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            wake: Notify::new(),
            at_work: Mutex::default(),
            tasks: Mutex::default(),
            tasks_wake: Notify::new(),
        });
        tokio::spawn(read_resources(shared.clone()));
        tokio::spawn(tasks::read_tasks(shared.clone()));
        Self { shared }
    }

    /// The client that the reader uses.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The last reading.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.borrow().clone()
    }

    /// Every reading as it comes; a slow watcher sees the last.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshot.subscribe()
    }

    /// What changes from now on. After `Lagged`, treat it as everything.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Changes>> {
        self.shared.changes.subscribe()
    }

    /// Asks for a reading soon. Returns the number of the first one begun after this call: the one that
    /// surely shows what was written before.
    pub fn refresh_now(&self) -> u64 {
        let next = self.shared.begun.load(Ordering::SeqCst) + 1;
        self.shared.wanted.fetch_max(next, Ordering::SeqCst);
        self.shared.wake.notify_one();
        next
    }

    /// Waits for the reading of this number or a later one; at shutdown, the last there is.
    pub async fn reading(&self, sequence: u64) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots();
        tokio::select! {
            _ = snapshots.wait_for(|s| s.sequence >= sequence) => {}
            () = self.shared.shutdown.cancelled() => {}
        }
        self.snapshot()
    }

    /// Reads at the busy pace while the guard lives.
    pub fn busy(&self) -> Busy {
        lock(&self.shared.at_work).guards += 1;
        self.shared.wake.notify_one();
        Busy { shared: self.shared.clone() }
    }

    /// Says whether the named one is at work; anyone at work makes the pace busy.
    pub fn set_busy(&self, name: &str, at_work: bool) {
        let changed = {
            let mut all = lock(&self.shared.at_work);
            if at_work { all.names.insert(name.to_owned()) } else { all.names.remove(name) }
        };
        if changed && at_work {
            self.shared.wake.notify_one();
        }
    }

    /// Watches a task that was started. Watching it again changes nothing.
    pub fn watch_task(&self, upid: Upid) {
        self.watch(upid, None);
    }

    /// Watches a task that was started for that object, which its failure then names ([`Failure::of`]).
    pub fn watch_task_of(&self, upid: Upid, object: &str) {
        self.watch(upid, Some(object));
    }

    fn watch(&self, upid: Upid, of: Option<&str>) {
        lock(&self.shared.tasks).watch(upid, of, Instant::now(), self.shared.options.tasks);
        self.shared.tasks_wake.notify_one();
    }

    /// How a watched task stands, as last seen.
    pub fn task(&self, upid: &Upid) -> TaskSeen {
        lock(&self.shared.tasks).seen(upid)
    }

    /// Tasks that fail from now on, each told once: those that are watched, and, after [`Poller::watch_failures`], all
    /// that our credentials may see.
    pub fn failures(&self) -> broadcast::Receiver<Arc<Failure>> {
        self.shared.failures.subscribe()
    }

    /// Looks for failed tasks that nobody here has started, on each node that is online, with one call every so often.
    pub fn watch_failures(&self, every: Duration) {
        tokio::spawn(failures::read(self.shared.clone(), every));
    }

    /// Calls so far, and the tasks that were waited for.
    pub fn figures(&self) -> Figures {
        let tasks = lock(&self.shared.tasks).figures.clone();
        Figures { tasks, ..self.shared.client.figures() }
    }

    /// Tasks of ours on the guest that were seen within the last quarter of an hour, newest first.
    /// A clone's task stands under the guest it was cloned *from*.
    pub fn recent_tasks(&self, vmid: Vmid) -> Vec<TaskRow> {
        lock(&self.shared.tasks).recent(vmid)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.shared.at_work).guards -= 1;
    }
}

impl Shared {
    fn is_busy(&self) -> bool {
        let at_work = lock(&self.at_work);
        at_work.guards > 0 || !at_work.names.is_empty()
    }

    fn tell(&self, changes: Changes) {
        // Nobody listening is no failure.
        let _ = self.changes.send(Arc::new(changes));
    }

    fn fail(&self, failure: Failure) {
        // Nobody listening is no failure.
        let _ = self.failures.send(Arc::new(failure));
    }

    /// When to read next, having begun the last reading then, with so many failures in a row.
    fn due(&self, begun_at: Instant, failures: u32) -> Instant {
        let PollerOptions { idle, busy, tasks } = self.options;
        let wanted = self.wanted.load(Ordering::SeqCst) > self.begun.load(Ordering::SeqCst);
        let pause = if failures > 0 {
            // Even on demand: a Proxmox in trouble is not helped by more calls.
            busy.saturating_mul(1 << failures.min(6)).min(idle)
        } else if wanted {
            tasks.min(busy)
        } else if self.is_busy() {
            busy
        } else {
            idle
        };
        begun_at + pause
    }
}

async fn read_resources(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let begun_at = Instant::now();
        let sequence = shared.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let read = tokio::select! {
            read = shared.client.resources() => read,
            () = shared.shutdown.cancelled() => return,
        };
        failures = if read.is_ok() { 0 } else { failures + 1 };
        publish(&shared, read, begun_at, sequence);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(shared.due(begun_at, failures)) => break,
                () = shared.wake.notified() => {}
                () = shared.shutdown.cancelled() => return,
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the reading is stamped where it is taken; everybody else gets the stamp as a value"
)]
fn publish(shared: &Shared, read: Result<Resources, Error>, asked_at: Instant, sequence: u64) {
    let before = shared.snapshot.borrow().clone();
    if let Err(error) = &read {
        // Said aloud once; Proxmox may stay away for hours.
        let said = before.sequence > 0 && before.resources.is_err();
        let cause: &dyn std::error::Error = error;
        if said {
            tracing::debug!(error = cause, category = error.category(), "still cannot read the cluster's resources");
        } else {
            tracing::warn!(error = cause, category = error.category(), "cannot read the cluster's resources");
        }
    }
    let after =
        Arc::new(Snapshot { resources: read.map_err(Arc::new), asked_at, taken_at: Timestamp::now(), sequence });
    let changed = snapshot::compare(&before, &after);
    shared.snapshot.send_replace(after);
    if let Some(what) = changed {
        shared.tell(Changes { sequence, what, tasks: BTreeSet::new() });
    }
}
