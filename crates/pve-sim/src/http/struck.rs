//! What rules for faults do to a call: before it, to what it does, and to its answer.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;

use super::envelope::{self, Body};
use super::fail::Fail;
use super::serve::Dropped;
use crate::clock::Setting;
use crate::faults::{Fired, Then};
use crate::record::Witness;
use crate::shared::{Shared, pause};
use crate::state::orders::{Orders, locks_itself, no_lock};

/// What becomes of a call.
pub(super) enum Before {
    /// It is done, in this way.
    Go(Ordered),
    /// The connection is closed.
    Drop,
    /// This is answered.
    Fail(Fail),
}

/// How a call is to be done.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    pub(super) orders: Orders,
    /// It is done twice.
    pub(super) twice: bool,
    /// It waits for a lock file and gives up so.
    pub(super) locked: Option<Fail>,
    /// How long it takes.
    pub(super) takes: Duration,
}

/// Does what comes before the call.
pub(super) async fn before(
    shared: &Arc<Shared>,
    fired: &[Fired],
    verb: &str,
    path: &str,
    witness: &mut Witness,
) -> Before {
    let mut ordered = Ordered::default();
    for fault in fired {
        witness.faults.push((fault.rule, json!(fault.then)));
        match &fault.then {
            Then::DropBefore => return Before::Drop,
            Then::Refuse { status, message } => return Before::Fail(Fail::with(*status, message.clone())),
            Then::Status(status @ 595) => return Before::Fail(Fail::bare(*status, "No route to host")),
            Then::TokenExpired => {
                shared.punish().await;
                return Before::Fail(Fail::bare(401, "Authentication failed!"));
            }
            Then::Delay(milliseconds) => pause(Duration::from_millis(*milliseconds)).await,
            Then::Duplicate => ordered.twice = true,
            Then::LockHeld if locks_itself(verb, path) => ordered.locked = Some(Fail::die(no_lock(path))),
            Then::NodeDown(_) | Then::StorageFull(_) | Then::StaleResources(_) | Then::ClockJump(_) => {
                shake(shared, &fault.then);
            }
            // Orders for what is done, or about the answer.
            Then::TaskFails(_)
            | Then::PlugFails(_)
            | Then::UnplugRefused
            | Then::LockHeld
            | Then::VmidTaken
            | Then::AnswerLost
            | Then::Hold
            | Then::Status(_) => {}
        }
    }
    let thens: Vec<Then> = fired.iter().map(|f| f.then.clone()).collect();
    ordered.orders = Orders::of(&thens, verb, path);
    Before::Go(ordered)
}

/// Faults that change the world.
fn shake(shared: &Shared, then: &Then) {
    let mut world = shared.world();
    world.advance(shared.now());
    shared.record().meddled("fault", &json!(then), world.now);
    if let Then::ClockJump(seconds) = then
        && shared.clock().set(&Setting::jump(*seconds)).is_err()
    {
        tracing::warn!(seconds, "the clock can't jump so far");
    }
    world.suffer(then);
    world.advance(shared.now());
    shared.changed.notify_waiters();
}

/// The faults that eat an answer which is there.
pub(super) async fn withhold(fired: Vec<Fired>) -> Result<Option<Response<Body>>, Dropped> {
    for fault in fired {
        match fault.then {
            Then::AnswerLost => return Err(Dropped),
            Then::Hold => {
                let mut gone = fault.gone;
                // Ends when the rule is removed, which drops the sender.
                while gone.changed().await.is_ok() {}
                return Err(Dropped);
            }
            Then::Status(status) => {
                let text = if status == 596 { "Connection timed out" } else { "Broken pipe" };
                return Ok(Some(envelope::failure(None, &Fail::bare(status, text))));
            }
            _ => {}
        }
    }
    Ok(None)
}
