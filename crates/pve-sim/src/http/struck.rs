//! What rules for faults do to a call: before it, to what it does, and to its answer.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;

use super::envelope::{self, Body};
use super::fail::Fail;
use super::serve::Dropped;
use crate::clock::Setting;
use crate::faults::{Down, Fired, Then};
use crate::record::Witness;
use crate::shared::{Shared, pause};
use crate::state::orders::Orders;
use crate::state::trouble::Planned;

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
            Then::TaskFails(text) => ordered.orders.task_fails = Some(text.clone()),
            Then::PlugFails(text) => ordered.orders.plug_fails = Some(text.clone()),
            Then::UnplugRefused => ordered.orders.unplug_refused = true,
            Then::LockHeld => {
                let text = format!("can't lock file '{}' - got timeout", lock_file(path));
                // Workers take locks for themselves; all else takes them before it answers.
                if verb == "PUT" || path.ends_with("/config") {
                    ordered.locked = Some(Fail::die(text));
                } else {
                    ordered.orders.task_fails = Some(text);
                }
            }
            Then::NodeDown(_) | Then::StorageFull(_) | Then::StaleResources(_) | Then::ClockJump(_) => {
                shake(shared, &fault.then);
            }
            Then::AnswerLost | Then::Hold | Then::Status(_) => {}
        }
    }
    Before::Go(ordered)
}

/// Faults that change the world; false if they name what isn't there.
pub(crate) fn shake(shared: &Shared, then: &Then) -> bool {
    let mut world = shared.world();
    world.advance(shared.now());
    let now = world.now;
    let done = match then {
        Then::NodeDown(Down::Now(node)) => world.node_down(node),
        Then::NodeDown(Down::Later { node, after }) => {
            world.trouble.plan(now + after.max(0.0), Planned::NodeDown(node.clone()));
            world.node(node).is_some()
        }
        Then::StorageFull(storage) => world.storage_full(storage),
        Then::StaleResources(seconds) => {
            world.next_tick = world.next_tick.max(now + seconds);
            true
        }
        Then::ClockJump(seconds) => {
            let jumped = shared.clock().set(&Setting::jump(*seconds)).is_ok();
            world.advance(shared.now());
            jumped
        }
        _ => false,
    };
    shared.record().meddled("fault", &json!(then), now);
    shared.changed.notify_waiters();
    done
}

/// The file that calls for this path lock.
fn lock_file(path: &str) -> String {
    let words: Vec<&str> = path.split('/').filter(|w| !w.is_empty()).collect();
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    if let Some(vmid) = after("qemu") {
        return format!("/var/lock/qemu-server/lock-{vmid}.conf");
    }
    if let Some(vmid) = after("lxc") {
        return format!("/run/lock/lxc/pve-config-{vmid}.lock");
    }
    match after("storage") {
        Some(storage) => format!("/var/lock/pve-manager/pve-storage-{storage}"),
        None => "/var/lock/pve-manager/pve-cluster".to_owned(),
    }
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

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_lock_file_is_that_of_the_guest_or_the_storage_in_the_path() {
        assert_eq!(lock_file("/nodes/n/qemu/104/config"), "/var/lock/qemu-server/lock-104.conf");
        assert_eq!(lock_file("/nodes/n/lxc/7/config"), "/run/lock/lxc/pve-config-7.lock");
        assert_eq!(lock_file("/nodes/n/storage/big/content"), "/var/lock/pve-manager/pve-storage-big");
    }
}
