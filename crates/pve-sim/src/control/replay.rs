//! A trace done again: the same calls at the same times of the world, without anybody calling.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Door, ok, refuse, world as meddling};
use crate::calls::{self, Call, Done, Stop};
use crate::clock::Setting;
use crate::faults::Then;
use crate::perm::Who;
use crate::record::Start;
use crate::schema::{Schema, verify};
use crate::state::World;
use crate::state::orders::Orders;

/// The trace with the state that it starts from.
pub(super) async fn recording(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    let record = shared.record();
    let (start, trace) = record.recording();
    let state = match start {
        Start::Dump(state, _) => state.clone(),
        Start::Origin => match shared.origin.world().and_then(|w| Ok(w.dump()?)) {
            Ok(state) => state,
            Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Start::Lost => {
            let text = "the state that the trace starts from was not kept: POST /sim/recording starts one";
            return refuse(StatusCode::CONFLICT, text);
        }
    };
    ok(json!({"seed": shared.origin.options.seed, "state": state, "trace": trace, "end": world.now}))
}

/// From here on the trace starts from the state that is now.
pub(super) async fn start(State(shared): Door) -> Response {
    let mut world = shared.world();
    world.advance(shared.now());
    match world.dump() {
        Ok(state) => shared.record().starts_from(state),
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    ok(Value::Null)
}

/// Does a recording again; afterwards the clock stands at its end.
pub(super) async fn replay(State(shared): Door, Json(body): Json<Value>) -> Response {
    let (Some(trace), Some(end)) = (body["trace"].as_array(), body["end"].as_f64()) else {
        return refuse(StatusCode::BAD_REQUEST, "a recording has `state`, `trace` and `end`");
    };
    let mut again = match World::restore(&body["state"]) {
        Ok(world) => world,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("read the state: {error}")),
    };
    let mut entries: Vec<&Value> = trace.iter().filter(|e| e["at"].is_f64() || e["at"].is_u64()).collect();
    entries.sort_by_key(|e| e["number"].as_u64());
    let mut world = shared.world();
    again.keep_in(world.contents.clone());
    again.hook = std::mem::take(&mut world.hook);
    *world = again;
    let mut differences = Vec::new();
    for entry in &entries {
        world.advance(entry["at"].as_f64().unwrap_or_default());
        if let Err(text) = repeat(&mut world, shared.schema, entry) {
            differences.push(json!({"n": entry["n"], "what": text}));
        }
    }
    world.advance(end);
    shared.workers.set_count(world.workers);
    {
        let mut clock = shared.clock();
        // Standing still is always allowed.
        let _ = clock.set(&Setting::frozen());
        clock.show_time(world.now);
    }
    shared.record().reset(Start::Lost);
    shared.changed.notify_waiters();
    ok(json!({"replayed": entries.len(), "differences": differences}))
}

/// Does one entry again; the error says how it went differently.
fn repeat(world: &mut World, schema: &Schema, entry: &Value) -> Result<(), String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    if let Some(door) = entry["door"].as_str() {
        if door == "fault" {
            let then: Then = serde_json::from_value(entry["values"].clone()).map_err(|e| e.to_string())?;
            world.suffer(&then);
            return Ok(());
        }
        return meddling::again(world, door);
    }
    let words: Vec<&str> = text("path").split('/').filter(|s| !s.is_empty()).collect();
    let found = schema.find(text("method"), &words).ok_or("no such method")?;
    let mut raw: BTreeMap<String, Value> =
        entry["values"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    for (key, value) in found.uri {
        let local = key == "node" && value == "localhost";
        let value = world.nodes.first().filter(|_| local).map_or(value, |n| n.name.clone());
        raw.insert(key, json!(value));
    }
    let params = verify(schema, found.method, &raw).map_err(|_| "its parameters are refused")?;
    let handler = calls::handler_of(found.method).ok_or("it is not simulated")?;
    let file = entry["file"].as_str().and_then(|t| STANDARD.decode(t).ok()).map(Bytes::from);
    let who = Who(text("user").to_owned());
    let mut call = Call { schema, method: found.method, who: &who, params, undefined: Vec::new(), file, turn: 0 };
    let thens: Vec<Then> = entry["faults"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|f| serde_json::from_value(f["then"].clone()).ok())
        .collect();
    let orders = Orders::of(&thens, text("method"), text("path"));
    if orders.vmid_taken {
        world.beaten(call.get("newid").or_else(|| call.get("vmid")), call.get("node").unwrap_or_default());
    }
    world.orders.clone_from(&orders);
    let outcome = calls::at_once(world, handler, &mut call);
    if thens.contains(&Then::Duplicate) && outcome.is_ok() {
        world.orders = orders;
        drop(handler(world, &call));
    }
    world.orders = Orders::default();
    compare(entry, &outcome)
}

/// What the call answered then and now.
fn compare(entry: &Value, outcome: &calls::Outcome) -> Result<(), String> {
    let (status, upid) = match outcome {
        Ok(Done::Now(Value::String(text))) if text.starts_with("UPID:") => (200, Some(text.as_str())),
        Ok(Done::After(_, result)) => (result.as_ref().as_ref().map_or_else(|f| f.status, |_| 200), None),
        // Nobody is there to answer for a guest.
        Ok(Done::Agent(..)) => return Ok(()),
        Ok(_) | Err(Stop::Again(_)) => (200, None),
        Err(Stop::Fail(fail) | Stop::Retry(_, fail)) => (fail.status, None),
    };
    let recorded = entry["status"].as_u64().unwrap_or_default();
    // A call that was left without an answer was done all the same.
    if recorded != 0 && recorded < 595 && recorded != u64::from(status) {
        return Err(format!("answered {status}, not {recorded}"));
    }
    match (entry["upid"].as_str(), upid) {
        (Some(old), Some(new)) if old != new => Err(format!("started {new}, not {old}")),
        _ => Ok(()),
    }
}
