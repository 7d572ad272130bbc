//! The work of a call: it takes a worker of its node, and whoever waits for it may lose patience.
//!
//! ```text
//! a worker is free, the handler is done at once ──► answer
//! else: wait for a worker ──► wait as the handler says, and do it ──► answer
//!       └─ the proxy waits so long and no longer: 596; the work goes on
//! ```
//!
//! Promises that work which has begun ends, whether anybody waits for it or not, and that it is written down once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use super::envelope::Beside;
use super::fail::Fail;
use super::note::{Note, said};
use super::struck::Ordered;
use super::workers::Daemon;
use crate::calls::qemu::agent;
use crate::calls::{self, Call, Done, Stop};
use crate::perm::Who;
use crate::record::Witness;
use crate::schema::Method;
use crate::shared::{Shared, pause};
use crate::state::World;
use crate::state::orders::Orders;

/// How long a guest's agent may take to answer.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

/// Seconds that a lock file is waited for.
const LOCK_LIMIT: f64 = 10.0;

/// How often a lock file is tried.
const LOCK_ROUND: Duration = Duration::from_millis(50);

/// What a call comes to.
pub(super) type Result<T = (Value, Beside)> = std::result::Result<T, Fail>;

/// A call that has been checked and is to be done.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) method: &'static Method,
    pub(super) handler: calls::Handler,
    pub(super) who: Who,
    pub(super) params: BTreeMap<String, String>,
    pub(super) undefined: Vec<String>,
    pub(super) file: Option<Bytes>,
    pub(super) ordered: Ordered,
    /// The node that does it.
    pub(super) node: String,
    /// Whether it is done where it was asked for, without a proxy in between.
    pub(super) local: bool,
    /// How often the handler has asked to be called again.
    pub(super) turn: u32,
}

impl Work {
    fn daemon(&self) -> Daemon {
        if self.method.protected { Daemon::Privileged } else { Daemon::Proxy }
    }

    /// How long the proxy waits; none where there is no proxy.
    fn patience(&self) -> Option<Duration> {
        (self.method.protected || !self.local).then_some(self.shared.patience)
    }

    /// Does it; what takes time takes the note with it.
    pub(super) async fn done(mut self, note: &mut Option<Note>) -> Result {
        let worker = self.shared.workers.enter(&self.node, self.daemon());
        let mut begun = None;
        let worker = match worker {
            Ok(worker) if self.ordered.takes.is_zero() && self.ordered.locked.is_none() => {
                let outcome = self.next(note.as_mut().map(|note| &mut note.witness));
                match outcome {
                    Ok(done) if !done.waits() => return finish(&self.shared, done).await,
                    Err(Stop::Fail(fail)) => return Err(fail),
                    other => begun = Some(other),
                }
                Ok(worker)
            }
            other => other,
        };
        let (patience, stop) = (self.patience(), self.shared.stop.clone());
        let (tell, mut told) = oneshot::channel();
        // What whoever called was told instead; nothing if they went away.
        let instead = Arc::new(AtomicU16::new(0));
        let (mut note, said_instead) = (note.take(), Arc::clone(&instead));
        tokio::spawn(async move {
            let work = async {
                let worker = match worker {
                    Ok(worker) => Some(worker),
                    Err(turn) => turn.await.ok(),
                };
                (worker, self.through(begun, note.as_mut().map(|note| &mut note.witness)).await)
            };
            let Some((_worker, result)) = stop.run_until_cancelled(work).await else { return };
            if let Some(note) = note {
                let (status, upid) = said(&result);
                note.write(if tell.is_closed() { said_instead.load(Ordering::Relaxed) } else { status }, upid);
            }
            // Nobody waits any longer; the work is done.
            let _ = tell.send(result);
        });
        let lost = || Err(Fail::die("the worker died"));
        let Some(patience) = patience else { return told.await.unwrap_or_else(|_| lost()) };
        if let Ok(result) = tokio::time::timeout(patience, &mut told).await {
            return result.unwrap_or_else(|_| lost());
        }
        instead.store(596, Ordering::Relaxed);
        Err(Fail::bare(596, "Connection timed out"))
    }

    /// Does all of it, with all the waiting.
    async fn through(mut self, mut begun: Option<calls::Outcome>, mut witness: Option<&mut Witness>) -> Result {
        if !self.ordered.takes.is_zero() {
            pause(self.ordered.takes).await;
        }
        if let Some(fail) = self.ordered.locked.take() {
            pause(self.shared.scaled(LOCK_LIMIT)).await;
            return Err(fail);
        }
        let started = Instant::now();
        loop {
            let outcome = match begun.take() {
                Some(outcome) => outcome,
                None => self.next(witness.as_deref_mut()),
            };
            match outcome {
                Ok(done) => return finish(&self.shared, done).await,
                Err(Stop::Fail(fail)) => return Err(fail),
                Err(Stop::Retry(limit, fail)) => {
                    if started.elapsed() >= self.shared.scaled(limit) {
                        return Err(fail);
                    }
                    pause(LOCK_ROUND).await;
                }
                Err(Stop::Again(seconds)) => {
                    self.turn += 1;
                    pause(self.shared.real(seconds)).await;
                }
            }
        }
    }

    /// Calls the handler.
    fn next(&mut self, witness: Option<&mut Witness>) -> calls::Outcome {
        let call = Call {
            schema: self.shared.schema,
            method: self.method,
            who: &self.who,
            params: std::mem::take(&mut self.params),
            undefined: std::mem::take(&mut self.undefined),
            file: self.file.clone(),
            turn: self.turn,
        };
        let reads = self.method.verb == "GET";
        let mut world = self.shared.world();
        let before = world.changes;
        world.advance(self.shared.now());
        let outcome = ordered_call(&mut world, self.handler, &call, &self.ordered);
        if !reads || world.changes != before {
            self.shared.touched(&world);
        }
        if let Some(witness) = witness.filter(|_| !reads) {
            witness.ran = Some((world.now, self.shared.record().number()));
        }
        drop(world);
        (self.params, self.undefined) = (call.params, call.undefined);
        outcome
    }
}

/// Does a call as faults ordered it.
fn ordered_call(world: &mut World, handler: calls::Handler, call: &Call<'_>, ordered: &Ordered) -> calls::Outcome {
    if ordered.orders.vmid_taken && call.turn == 0 {
        world.beaten(call.get("newid").or_else(|| call.get("vmid")), call.get("node").unwrap_or_default());
    }
    world.orders.clone_from(&ordered.orders);
    let outcome = handler(world, call);
    if ordered.twice && outcome.is_ok() {
        world.orders.clone_from(&ordered.orders);
        // Nobody hears the second answer.
        drop(handler(world, call));
    }
    world.orders = Orders::default();
    outcome
}

/// Does the waiting that a handler asked for.
async fn finish(shared: &Shared, done: Done) -> Result {
    match done {
        Done::Now(value) => Ok((value, Beside::Nothing)),
        Done::Written(text) => Ok((Value::Null, Beside::Written(text))),
        Done::Total(value, total) => Ok((value, Beside::Total(total))),
        Done::Changes(value, changes) => Ok((value, Beside::Changes(changes))),
        Done::File(text, name) => Ok((Value::String(text), Beside::File(name))),
        Done::After(seconds, result) => {
            pause(shared.real(seconds)).await;
            result.map(|value| (value, Beside::Nothing))
        }
        Done::Agent(receiver, asked) => {
            if let Ok(Ok(answer)) = tokio::time::timeout(AGENT_LIMIT, receiver).await {
                return agent::finish(&answer, asked.shape).map(|value| (value, Beside::Nothing));
            }
            Err(Fail::die(format!("VM {} qga command '{}' failed - got timeout", asked.vmid, asked.command)))
        }
    }
}
