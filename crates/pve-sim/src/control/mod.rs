//! The control door: what only a simulator has. Plain HTTP, JSON, loopback.
//!
//! `docs/reference/pve-sim.md` lists the calls.

mod clock;
mod faults;
mod fixtures;
mod guests;
mod replay;
mod workers;
mod world;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, response::IntoResponse, response::Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// What handlers get.
type Door = axum::extract::State<Arc<Shared>>;

/// Serves the control door until it is told to stop.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let halted = stop.clone();
    let serving = axum::serve(listener, router(shared)).with_graceful_shutdown(async move { halted.cancelled().await });
    tokio::select! {
        _ = serving => {}
        // Streams of events never end by themselves.
        () = stop.cancelled() => {}
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/sim/state", get(world::state))
        .route("/sim/load", post(world::load).layer(axum::extract::DefaultBodyLimit::disable()))
        .route("/sim/counters", get(world::counters).delete(world::reset))
        .route("/sim/trace", get(world::trace))
        .route("/sim/recording", get(replay::recording).post(replay::start))
        .route("/sim/replay", post(replay::replay).layer(axum::extract::DefaultBodyLimit::disable()))
        .route("/metrics", get(clock::metrics))
        .route("/sim/clock", get(clock::show).post(clock::set))
        .route("/sim/latencies", axum::routing::put(clock::latencies))
        .route("/sim/workers", get(workers::show).put(workers::set))
        .route("/sim/storages/{storage}/full", post(world::storage_full))
        .route("/sim/storages/{storage}/free", post(world::storage_free))
        .route("/sim/vms/{vmid}/destroy", post(world::destroy))
        .route("/sim/vms/{vmid}/power-off", post(world::power_off))
        .route("/sim/nodes/{node}/down", post(world::node_down))
        .route("/sim/nodes/{node}/up", post(world::node_up))
        .route("/sim/nodes/{node}/maintenance/{word}", post(world::maintenance))
        .route("/sim/quorum/{word}", post(world::quorum))
        .route("/sim/tick", post(world::tick))
        .route("/sim/fixtures", get(fixtures::get).put(fixtures::set))
        .route("/sim/storages/{id}", post(fixtures::storage))
        .route("/sim/tasks/{upid}/step", post(world::step))
        .route("/sim/tasks/{upid}/finish", post(world::finish))
        .route("/sim/faults", get(faults::list).post(faults::add).delete(faults::clear))
        .route("/sim/faults/{id}", axum::routing::delete(faults::remove))
        .route("/sim/faults/{id}/wait", get(faults::wait))
        .route("/sim/guests/events", get(guests::events))
        .route("/sim/guests/{vmid}/drives/{key}/content", get(guests::content))
        .route("/sim/guests/{vmid}/drives/{key}/keep", post(guests::keep))
        .route("/sim/guests/{vmid}/off", post(guests::off))
        .route("/sim/guests/{vmid}/agent", post(guests::agent))
        .route("/sim/guests/agent-calls/{call}", post(guests::answer))
        .with_state(shared)
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"error": text}))).into_response()
}

fn ok(value: Value) -> Response {
    Json(value).into_response()
}
