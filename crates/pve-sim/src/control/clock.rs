//! The clock, latencies and what Prometheus asks for.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Door, ok, refuse};
use crate::clock::Setting;
use crate::record::Row;

pub(super) async fn show(State(shared): Door) -> Response {
    ok(shared.clock().show())
}

/// Changes the clock; what falls due by a jump happens before the answer.
pub(super) async fn set(State(shared): Door, Json(body): Json<Value>) -> Response {
    let setting: Setting = match serde_json::from_value(body.clone()) {
        Ok(setting) => setting,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut world = shared.world();
    world.advance(shared.now());
    let before = world.now;
    if let Err(wrong) = shared.clock().set(&setting) {
        return refuse(StatusCode::BAD_REQUEST, wrong);
    }
    world.advance(shared.now());
    shared.record().meddled("POST /sim/clock", &body, before);
    drop(world);
    shared.changed.notify_waiters();
    ok(shared.clock().show())
}

/// Other latencies: a list of texts.
pub(super) async fn latencies(State(shared): Door, Json(body): Json<Vec<String>>) -> Response {
    match body.iter().map(|text| text.parse()).collect() {
        Ok(entries) => {
            shared.latencies().replace(entries);
            ok(Value::Null)
        }
        Err(wrong) => {
            let wrong: String = wrong;
            refuse(StatusCode::BAD_REQUEST, &wrong)
        }
    }
}

/// Counters and gauges as Prometheus reads them.
pub(super) async fn metrics(State(shared): Door) -> Response {
    let mut text = String::new();
    let mut last = "";
    let rows = shared.record().rows();
    for Row { name, labels, count } in rows {
        if name != last {
            let _ = writeln!(text, "# TYPE {name} counter");
            last = name;
        }
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
        let _ = writeln!(text, "{name}{{{}}} {count}", labels.join(","));
    }
    let gauges = {
        let world = shared.world();
        let running = world.guests.values().filter(|g| g.running()).count();
        let online = world.nodes.iter().filter(|n| n.online).count();
        [
            ("pve_sim_guests", json!(world.guests.len())),
            ("pve_sim_guests_running", json!(running)),
            ("pve_sim_nodes_online", json!(online)),
            ("pve_sim_tasks_running", json!(world.active.len())),
            ("pve_sim_clock_seconds", json!(world.now)),
        ]
    };
    for (name, value) in gauges {
        let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
    }
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
