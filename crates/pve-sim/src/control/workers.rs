//! The workers of the nodes' daemons.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{Door, ok, refuse};

/// How many there shall be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    /// Of each daemon of each node; 0 for any number.
    count: u32,
}

/// How many there are, which of them are busy, and who waits.
pub(super) async fn show(State(shared): Door) -> Response {
    ok(shared.workers.show())
}

/// From now on there are so many.
pub(super) async fn set(State(shared): Door, Json(body): Json<Value>) -> Response {
    let Setting { count } = match serde_json::from_value(body) {
        Ok(setting) => setting,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut world = shared.world();
    world.advance(shared.now());
    world.workers = count;
    shared.workers.set_count(count);
    shared.record().meddled(&format!("PUT /sim/workers/{count}"), &Value::Null, world.now);
    drop(world);
    ok(shared.workers.show())
}
