//! Looking at the world, loading one, and meddling behind everybody's back.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Door, ok, refuse};
use crate::shared::Shared;
use crate::state::World;
use crate::state::storage::Volume;
use crate::state::task::Task;

/// The whole state.
pub(super) async fn state(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    match serde_json::to_value(&*world) {
        Ok(value) => ok(value),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Replaces the state by one that was saved; the bytes of uploads and the attached program stay.
pub(super) async fn load(State(shared): Door, Json(body): Json<Value>) -> Response {
    let loaded: World = match serde_json::from_value(body) {
        Ok(world) => world,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut world = shared.world();
    let old = std::mem::replace(&mut *world, loaded);
    world.contents = old.contents;
    world.hook = old.hook;
    world.reindex();
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
    shared.record().reset();
    ok(Value::Null)
}

pub(super) async fn trace(State(shared): Door) -> Response {
    ok(shared.record().entries())
}

/// The statistics daemon makes its round now.
pub(super) async fn tick(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    world.publish();
    ok(Value::Null)
}

/// A task does its next piece now.
pub(super) async fn step(State(shared): Door, Path(upid): Path<String>) -> Response {
    hurry(&shared, &upid, 1)
}

/// A task does all its pieces now; one that waits for a guest goes on waiting.
pub(super) async fn finish(State(shared): Door, Path(upid): Path<String>) -> Response {
    hurry(&shared, &upid, 10)
}

fn hurry(shared: &Shared, upid: &str, pieces: u32) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    for _ in 0..pieces {
        let now = world.now;
        match world.tasks.get(upid) {
            None => return refuse(StatusCode::NOT_FOUND, "no such task"),
            Some(task) if task.running() => world.schedule(upid, now),
            Some(_) => break,
        }
        world.advance(now);
    }
    shared.changed.notify_waiters();
    ok(json!({"running": world.tasks.get(upid).is_some_and(Task::running)}))
}

/// The VM is gone, with its disks, as if somebody else had destroyed it.
pub(super) async fn destroy(State(shared): Door, Path(vmid): Path<u32>) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    let Some(guest) = world.guests.get(&vmid) else {
        return refuse(StatusCode::NOT_FOUND, "no such VM");
    };
    let sid = format!("{}:{vmid}", guest.kind.ha());
    let (node, running) = (guest.node.clone(), guest.run.as_ref().map(|r| r.id.clone()));
    if let Some(run) = running {
        world.hook.send(&json!({"event": "power-off", "vmid": vmid, "run": run}));
    }
    let owned: Vec<String> = world.volumes.iter().filter(|v| v.vmid == Some(vmid)).map(Volume::volid).collect();
    for volid in owned {
        world.volumes.remove(&volid, &node);
    }
    world.cluster.ha.remove(&sid);
    world.forget(vmid);
    shared.changed.notify_waiters();
    ok(Value::Null)
}

/// The VM's process dies.
pub(super) async fn power_off(State(shared): Door, Path(vmid): Path<u32>) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    let Some(run) = world.guests.get(&vmid).and_then(|g| g.run.as_ref()).map(|r| r.id.clone()) else {
        return refuse(StatusCode::NOT_FOUND, "no such VM, or it is off");
    };
    world.hook.send(&json!({"event": "power-off", "vmid": vmid, "run": run}));
    world.powered_off(vmid);
    shared.changed.notify_waiters();
    ok(Value::Null)
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
