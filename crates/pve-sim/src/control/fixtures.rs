//! What only the outside knows: answers to downloads and scans, storages that fill up or can't be reached.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, ok, refuse};
use crate::state::fixtures::Fixtures;

pub(super) async fn get(State(shared): Door) -> Response {
    ok(json!(shared.world().fixtures))
}

/// Replaces the parts that are named; the others stay.
pub(super) async fn set(State(shared): Door, Json(body): Json<Value>) -> Response {
    let mut world = shared.world();
    let mut all = json!(world.fixtures);
    let (Some(all_parts), Value::Object(parts)) = (all.as_object_mut(), body) else {
        return refuse(StatusCode::BAD_REQUEST, "fixtures are an object");
    };
    for (name, part) in parts {
        if all_parts.insert(name.clone(), part).is_none() {
            return refuse(StatusCode::BAD_REQUEST, &format!("no such fixture: {name}"));
        }
    }
    match serde_json::from_value::<Fixtures>(all) {
        Ok(fixtures) => world.fixtures = fixtures,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
    ok(json!(world.fixtures))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Its size in bytes.
    total: Option<u64>,
    /// Bytes that others than its volumes take.
    foreign: Option<u64>,
    /// Nodes that can't reach it, `*` for all.
    offline: Option<BTreeSet<String>>,
}

pub(super) async fn storage(State(shared): Door, Path(id): Path<String>, Json(change): Json<Change>) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    let Some(storage) = world.storages.get_mut(&id) else { return refuse(StatusCode::NOT_FOUND, "no such storage") };
    if let Some(total) = change.total {
        storage.total = total;
    }
    if let Some(foreign) = change.foreign {
        storage.foreign = Some(foreign);
    }
    if let Some(offline) = change.offline {
        storage.offline = offline;
    }
    ok(Value::Null)
}
