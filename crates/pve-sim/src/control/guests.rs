//! The guest hook.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Door, ok, refuse};
use crate::hook;
use crate::state::drive::file_of;

/// Attaches: a stream of events that never ends.
pub(super) async fn events(State(shared): Door) -> Response {
    let (greeting, receiver) = {
        let mut world = shared.world();
        world.advance(shared.now());
        let Some(receiver) = world.hook.attach() else {
            return refuse(StatusCode::CONFLICT, "a program is attached already");
        };
        // What an earlier program said of its guests' agents is over.
        for run in world.guests.values_mut().filter_map(|g| g.run.as_mut()) {
            run.agent_up = None;
        }
        (hook::greeting(&world), receiver)
    };
    let lines = tokio_stream::once(greeting).chain(UnboundedReceiverStream::new(receiver));
    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(Bytes::from(line))));
    let headers = [("content-type", "application/x-ndjson")];
    (headers, Body::new(StreamBody::new(frames))).into_response()
}

pub(super) async fn content(State(shared): Door, Path((vmid, key)): Path<(u32, String)>) -> Response {
    let world = shared.world();
    let found = world.guests.get(&vmid).and_then(|guest| {
        let volid = file_of(guest.get(&key)?);
        let volume = world.volumes.find(volid, &guest.node)?;
        world.contents.get(volume)
    });
    match found {
        Some(bytes) => ([("content-type", "application/octet-stream")], bytes).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "nothing was ever written there"),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Off {
    run: String,
    #[serde(default)]
    why: String,
}

fn current(world: &crate::state::World, vmid: u32, run: &str) -> bool {
    world.guests.get(&vmid).and_then(|g| g.run.as_ref()).is_some_and(|r| r.id == run)
}

pub(super) async fn off(State(shared): Door, Path(vmid): Path<u32>, Json(body): Json<Off>) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    if !current(&world, vmid, &body.run) {
        return refuse(StatusCode::CONFLICT, "that run is over");
    }
    tracing::info!(vmid, run = %body.run, why = %body.why, "guest ended");
    world.powered_off(vmid);
    shared.record().meddled(&format!("POST /sim/guests/{vmid}/off"), &Value::Null, world.now);
    shared.changed.notify_waiters();
    ok(Value::Null)
}

#[derive(Debug, Deserialize)]
pub(super) struct Keep {
    run: String,
    keep: bool,
}

/// The guest says whether it lets go of a drive when it is unplugged.
pub(super) async fn keep(
    State(shared): Door,
    Path((vmid, key)): Path<(u32, String)>,
    Json(body): Json<Keep>,
) -> Response {
    let mut world = shared.world();
    if !current(&world, vmid, &body.run) {
        return refuse(StatusCode::CONFLICT, "that run is over");
    }
    if let Some(run) = world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut()) {
        if body.keep {
            run.held.insert(key)
        } else {
            run.held.remove(&key)
        };
    }
    ok(Value::Null)
}

#[derive(Debug, Deserialize)]
pub(super) struct Agent {
    run: String,
    up: bool,
}

pub(super) async fn agent(State(shared): Door, Path(vmid): Path<u32>, Json(body): Json<Agent>) -> Response {
    let mut world = shared.world();
    if !current(&world, vmid, &body.run) {
        return refuse(StatusCode::CONFLICT, "that run is over");
    }
    if let Some(run) = world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut()) {
        run.agent_up = Some(body.up);
    }
    ok(Value::Null)
}

pub(super) async fn answer(State(shared): Door, Path(call): Path<String>, Json(body): Json<Value>) -> Response {
    if body.get("return").is_none() && body.get("error").is_none() {
        return refuse(StatusCode::BAD_REQUEST, "an answer has `return` or `error`");
    }
    let answered = shared.world().hook.answer(&call, body);
    if answered { ok(json!(null)) } else { refuse(StatusCode::CONFLICT, "nobody waits for that answer") }
}
