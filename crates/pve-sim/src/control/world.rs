//! Looking at the world, loading one, and meddling behind everybody's back.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Door, ok, refuse};
use crate::record::Start;
use crate::shared::Shared;
use crate::state::World;
use crate::state::task::Task;

/// Guests of a state that a reset keeps for the trace that starts with it.
const KEPT: usize = 1000;

/// The whole state.
pub(super) async fn state(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    match world.dump() {
        Ok(value) => ok(value),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Replaces the state by one that was saved; the bytes of uploads and the attached program stay.
pub(super) async fn load(State(shared): Door, Json(body): Json<Value>) -> Response {
    let loaded = match World::restore(&body) {
        Ok(world) => world,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut world = shared.world();
    let old = std::mem::replace(&mut *world, loaded);
    world.keep_in(old.contents);
    world.hook = old.hook;
    shared.workers.set_count(world.workers);
    shared.record().starts_from(body);
    // Time goes on where it was when the state was saved.
    shared.clock().show_time(world.now);
    shared.changed.notify_waiters();
    ok(json!({"guests": world.guests.len()}))
}

pub(super) async fn counters(State(shared): Door) -> Response {
    ok(shared.record().counters())
}

/// Forgets counters and trace.
pub(super) async fn reset(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    // A large state isn't kept unasked: POST /sim/recording does.
    let start = match world.dump() {
        Ok(state) if world.guests.len() <= KEPT => Start::Dump(state, 0),
        _ => Start::Lost,
    };
    shared.record().reset(start);
    ok(Value::Null)
}

pub(super) async fn trace(State(shared): Door) -> Response {
    ok(shared.record().entries())
}

/// The statistics daemon makes its round now.
pub(super) async fn tick(State(shared): Door) -> Response {
    meddle(&shared, "POST /sim/tick", "", |world| {
        world.publish();
        true
    })
}

/// A task does its next piece now.
pub(super) async fn step(State(shared): Door, Path(upid): Path<String>) -> Response {
    hurry(&shared, &upid, "step")
}

/// A task does all its pieces now; one that waits for a guest goes on waiting.
pub(super) async fn finish(State(shared): Door, Path(upid): Path<String>) -> Response {
    hurry(&shared, &upid, "finish")
}

fn hurry(shared: &Shared, upid: &str, what: &str) -> Response {
    let done = meddle(shared, &format!("POST /sim/tasks/{upid}/{what}"), "no such task", |world| {
        world.hurry(upid, pieces(what))
    });
    if !done.status().is_success() {
        return done;
    }
    ok(json!({"running": shared.world().tasks.get(upid).is_some_and(Task::running)}))
}

/// How many pieces of a task are done.
fn pieces(what: &str) -> u32 {
    if what == "step" { 1 } else { 10 }
}

/// The VM is gone, with its disks, as if somebody else had destroyed it.
pub(super) async fn destroy(State(shared): Door, Path(vmid): Path<u32>) -> Response {
    meddle(&shared, &format!("POST /sim/vms/{vmid}/destroy"), "no such VM", |world| world.vanish(vmid))
}

/// The VM's process dies.
pub(super) async fn power_off(State(shared): Door, Path(vmid): Path<u32>) -> Response {
    let what = format!("POST /sim/vms/{vmid}/power-off");
    meddle(&shared, &what, "no such VM, or it is off", |world| world.power_cut(vmid))
}

/// Does again what the trace says that the control door did.
pub(super) fn again(world: &mut World, door: &str) -> Result<(), String> {
    let words: Vec<&str> = door.split('/').collect();
    let done = match words.as_slice() {
        ["POST ", "sim", "tick"] => {
            world.publish();
            true
        }
        // Time has passed by what follows.
        ["POST ", "sim", "clock"] => true,
        ["PUT ", "sim", "workers", count] => count.parse().map(|count| world.workers = count).is_ok(),
        ["POST ", "sim", "tasks", upid, what] => world.hurry(upid, pieces(what)),
        ["POST ", "sim", "vms", vmid, "destroy"] => vmid.parse().is_ok_and(|vmid| world.vanish(vmid)),
        ["POST ", "sim", "vms" | "guests", vmid, "power-off" | "off"] => {
            vmid.parse().is_ok_and(|vmid| world.power_cut(vmid))
        }
        ["POST ", "sim", "nodes", node, "down"] => world.node_down(node),
        ["POST ", "sim", "nodes", node, "up"] => world.node_up(node),
        ["POST ", "sim", "storages", storage, "full"] => world.storage_full(storage),
        ["POST ", "sim", "storages", storage, "free"] => world.storage_freed(storage),
        _ => false,
    };
    if done { Ok(()) } else { Err(format!("`{door}` cannot be done again")) }
}

/// The node loses its power, and with it its VMs.
pub(super) async fn node_down(State(shared): Door, Path(node): Path<String>) -> Response {
    meddle(&shared, &format!("POST /sim/nodes/{node}/down"), "no such node", |world| world.node_down(&node))
}

pub(super) async fn node_up(State(shared): Door, Path(node): Path<String>) -> Response {
    meddle(&shared, &format!("POST /sim/nodes/{node}/up"), "no such node", |world| world.node_up(&node))
}

/// Nothing more fits on the storage.
pub(super) async fn storage_full(State(shared): Door, Path(storage): Path<String>) -> Response {
    let what = format!("POST /sim/storages/{storage}/full");
    meddle(&shared, &what, "no such storage", |world| world.storage_full(&storage))
}

/// The storage has the size that it had.
pub(super) async fn storage_free(State(shared): Door, Path(storage): Path<String>) -> Response {
    let what = format!("POST /sim/storages/{storage}/free");
    meddle(&shared, &what, "no such storage, or it was not made full", |world| world.storage_freed(&storage))
}

/// Changes the world, which the trace remembers; what to say if there is nothing to change.
fn meddle(shared: &Shared, what: &str, absent: &str, change: impl FnOnce(&mut World) -> bool) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    if !change(&mut world) {
        return refuse(StatusCode::NOT_FOUND, absent);
    }
    shared.record().meddled(what, &Value::Null, world.now);
    shared.changed.notify_waiters();
    ok(Value::Null)
}

/// The HA manager takes guests away from a node (`on`), or may use it again (`off`).
pub(super) async fn maintenance(State(shared): Door, Path((node, word)): Path<(String, String)>) -> Response {
    let what = format!("POST /sim/nodes/{node}/maintenance/{word}");
    meddle(&shared, &what, "no such node, or neither `on` nor `off`", |world| world.maintain(&node, &word))
}

/// Takes the majority away (`off`), or gives it back (`on`), whatever the nodes look like.
pub(super) async fn quorum(State(shared): Door, Path(word): Path<String>) -> Response {
    meddle(&shared, &format!("POST /sim/quorum/{word}"), "`on` or `off`", |world| world.set_quorum(&word))
}
