//! Rules that make calls go wrong.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Door, ok, refuse};
use crate::faults::Rule;

/// One rule, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Posted {
    Many { rules: Vec<Rule> },
    One(Rule),
}

pub(super) async fn add(State(shared): Door, Json(body): Json<Value>) -> Response {
    // Read in two steps, so that a mistake in a single rule is told as what it is.
    let many = body.get("rules").is_some();
    let posted =
        if many { serde_json::from_value(body) } else { serde_json::from_value::<Rule>(body).map(Posted::One) };
    let rules = match posted {
        Ok(Posted::Many { rules }) => rules,
        Ok(Posted::One(rule)) => vec![rule],
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if let Some(why) = rules.iter().find_map(|rule| rule.check().err()) {
        return refuse(StatusCode::BAD_REQUEST, &why);
    }
    let mut faults = shared.faults();
    let ids: Vec<u64> = rules.into_iter().map(|rule| faults.add(rule)).collect();
    ok(json!({"ids": ids, "id": ids.first()}))
}

pub(super) async fn list(State(shared): Door) -> Response {
    ok(shared.faults().show())
}

pub(super) async fn clear(State(shared): Door) -> Response {
    shared.faults().remove(None);
    ok(Value::Null)
}

pub(super) async fn remove(State(shared): Door, Path(id): Path<u64>) -> Response {
    if shared.faults().remove(Some(id)) { ok(Value::Null) } else { refuse(StatusCode::NOT_FOUND, "no such rule") }
}

/// How long a wait may take, and for how many strikes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default = "minute")]
    seconds: u64,
    #[serde(default = "one")]
    count: usize,
}

fn minute() -> u64 {
    60
}

fn one() -> usize {
    1
}

/// Answers when the rule has fired; 408 if it does not in time, 404 if it is not there (any longer).
pub(super) async fn wait(State(shared): Door, Path(id): Path<u64>, Query(limit): Query<Wait>) -> Response {
    let Some(mut fired) = shared.faults().watch(id) else {
        return refuse(StatusCode::NOT_FOUND, "no such rule");
    };
    let waiting = fired.wait_for(|marks| marks.len() >= limit.count);
    match tokio::time::timeout(Duration::from_secs(limit.seconds), waiting).await {
        Ok(Ok(marks)) => ok(json!({"fired": *marks})),
        Ok(Err(_)) => refuse(StatusCode::NOT_FOUND, "the rule was removed"),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the rule has not fired"),
    }
}
