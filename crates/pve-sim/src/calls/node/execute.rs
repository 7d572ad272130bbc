//! `execute`: many calls in one, in order, each with its own answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::calls::{Call, Done, Outcome, Stop, at_once, handler, now};
use crate::http::fail::Fail;
use crate::schema::verify;
use crate::state::World;

pub(crate) fn run(world: &mut World, call: &Call<'_>) -> Outcome {
    let wrong = || Fail::param("commands", "invalid format - value does not look like a valid command batch\n");
    let batch: Vec<Value> = serde_json::from_str(call.str("commands")).map_err(|_| wrong())?;
    let known = |one: &Value| {
        let verb = one["method"].as_str().unwrap_or_default();
        one["path"].is_string() && ["GET", "POST", "PUT", "DELETE"].contains(&verb)
    };
    if !batch.iter().all(known) {
        return Err(wrong().into());
    }
    let answers: Vec<Value> = batch
        .iter()
        .map(|one| match single(world, call, one) {
            Ok(data) => json!({"status": 200, "data": data}),
            Err(fail) if fail.errors.is_empty() => json!({"status": fail.status, "message": fail.message}),
            Err(fail) => json!({"status": fail.status, "message": fail.message, "errors": fail.errors}),
        })
        .collect();
    now(json!(answers))
}

fn single(world: &mut World, outer: &Call<'_>, one: &Value) -> Result<Value, Fail> {
    let verb = one["method"].as_str().unwrap_or_default();
    let path = one["path"].as_str().unwrap_or_default();
    let full = format!("/nodes/{}/{}", outer.node(), path.trim_start_matches('/'));
    let words: Vec<&str> = full.split('/').filter(|w| !w.is_empty()).collect();
    let unknown = || Fail::with(501, format!("no '{verb}' handler for '{path}'"));
    let found = outer.schema.find(verb, &words).ok_or_else(unknown)?;
    let mut given: BTreeMap<String, Value> =
        one["args"].as_object().map(|m| m.clone().into_iter().collect()).unwrap_or_default();
    given.extend(found.uri.into_iter().map(|(k, v)| (k, json!(v))));
    let params = verify(outer.schema, found.method, &given).map_err(Fail::params)?;
    let run = handler(&found.method.verb, &found.method.path).ok_or_else(unknown)?;
    let mut call = Call {
        schema: outer.schema,
        method: found.method,
        who: outer.who,
        params,
        undefined: Vec::new(),
        file: None,
        turn: 0,
    };
    match at_once(world, run, &mut call) {
        Ok(Done::Now(value) | Done::Total(value, _) | Done::Changes(value, _)) => Ok(value),
        Ok(Done::Written(text)) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        Ok(Done::File(text, _)) => Ok(json!(text)),
        Ok(Done::After(_, result)) => *result,
        Ok(Done::Agent(..)) => Err(Fail::die("a guest agent cannot be asked in a batch")),
        Err(Stop::Fail(fail) | Stop::Retry(_, fail)) => Err(fail),
        Err(Stop::Again(_)) => Ok(Value::Null),
    }
}
