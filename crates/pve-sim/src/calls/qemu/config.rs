//! Reading and changing a VM's configuration over the API.

use serde_json::{Map, Value, json};

use crate::calls::qemu::config_change::{self, apply, early};
use crate::calls::qemu::hotplug;
use crate::calls::qemu::rights::{self, Wish};
use crate::calls::{Call, Done, Outcome, Stop, now, snapshots};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::schema::{Kind, Schema};
use crate::state::World;
use crate::state::flock::Hold;
use crate::state::guest::{Config, Pending};

/// A stored text as JSON shows it: numbers for what the schema calls integer or boolean.
pub(crate) fn shown(schema: &Schema, key: &str, value: &str) -> Value {
    if key == "cipassword" {
        return json!("**********");
    }
    let method = schema.methods.iter().find(|m| m.verb == "PUT" && m.path.ends_with("/qemu/{vmid}/config"));
    let kind = method.and_then(|m| m.params.get(key)).map(|p| p.kind);
    match kind {
        Some(Kind::Integer | Kind::Boolean) => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
        Some(Kind::Number | Kind::String | Kind::Array) | None => json!(value),
    }
}

/// A configuration as JSON shows it.
pub(crate) fn object(schema: &Schema, config: &Config) -> Map<String, Value> {
    config.iter().map(|(k, v)| (k.clone(), shown(schema, k, v))).collect()
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    if let Some(name) = call.get("snapshot") {
        if call.flag("current") {
            return Err(Fail::param("snapshot", "cannot use 'snapshot' parameter with 'current'").into());
        }
        let snapshot = guest.snapshots.get(name);
        let snapshot = snapshot.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?;
        let mut data = snapshots::object(call.schema, call.kind(), snapshot);
        data.insert("digest".to_owned(), json!(guest.digest()));
        return now(Value::Object(data));
    }
    let config = if call.flag("current") { guest.config.clone() } else { guest.future() };
    let mut data = object(call.schema, &config);
    data.insert("digest".to_owned(), json!(guest.digest()));
    if let Some(parent) = &guest.parent {
        data.insert("parent".to_owned(), json!(parent));
    }
    now(Value::Object(data))
}

pub(crate) fn pending(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let mut rows = Vec::new();
    for (key, value) in &guest.config {
        let mut row = json!({"key": key, "value": shown(call.schema, key, value)});
        match guest.pending.get(key) {
            Some(Pending::Set(new)) => row["pending"] = shown(call.schema, key, new),
            Some(Pending::Delete { force }) => row["delete"] = json!(if *force { 2 } else { 1 }),
            None => {}
        }
        rows.push(row);
    }
    for (key, change) in guest.pending.iter().filter(|(k, _)| !guest.config.contains_key(*k)) {
        if let Pending::Set(new) = change {
            rows.push(json!({"key": key, "pending": shown(call.schema, key, new)}));
        }
    }
    rows.push(json!({"key": "digest", "value": guest.digest()}));
    now(Value::Array(rows))
}

/// A call waits for the lock file for ten seconds.
pub(crate) fn lock(world: &World, vmid: u32) -> Result<(), Stop> {
    if world.is_flocked(vmid, None, Hold::Exclusive) {
        return Err(Stop::Retry(10.0, world.lock_failure(vmid)));
    }
    Ok(())
}

pub(crate) fn put(world: &mut World, call: &Call<'_>) -> Outcome {
    let params = defined(call)?;
    if is_nothing(call, &params) {
        return now(Value::Null);
    }
    change(world, call, &params)
}

/// Changes a VM while the caller waits: what takes QEMU time is done when that time has passed, and until then the lock
/// file is held.
fn change(world: &mut World, call: &Call<'_>, params: &Config) -> Outcome {
    let wish = wish(call, params);
    if call.turn > 0 {
        hotplug::go_on(world, wish.node, wish.vmid)?;
        return now(Value::Null);
    }
    config_change::shape(call.schema, call.who, params)?;
    rights::check(world, call.schema, wish)?;
    world.guest(wish.node, wish.vmid)?;
    lock(world, wish.vmid)?;
    let changed = config_change::write(world, call.schema, wish, None)?;
    if let Some(seconds) = hotplug::begin(world, wish.vmid, &changed) {
        return Err(Stop::Again(seconds));
    }
    config_change::settle_all(world, wish.vmid, &changed)?;
    now(Value::Null)
}

/// The parameters of a change. Tags without a value are no tags; a description without one is left alone; in all other
/// keys there is nothing to parse.
fn defined(call: &Call<'_>) -> Result<Config, Fail> {
    if let Some(key) = call.undefined.iter().find(|k| *k != "description" && *k != "tags") {
        return Err(Fail::die(format!("unable to parse value of '{key}' - got undefined value")));
    }
    let mut params = call.params.clone();
    if call.undefined.iter().any(|k| k == "tags") {
        params.insert("tags".to_owned(), String::new());
    }
    Ok(params)
}

/// Nothing is left to do of what was asked for.
fn is_nothing(call: &Call<'_>, params: &Config) -> bool {
    let steering = ["delete", "revert"].iter().any(|k| params.contains_key(*k));
    config_change::configuration(params).is_empty() && !steering && !call.undefined.is_empty()
}

fn wish<'a>(call: &'a Call<'_>, params: &'a Config) -> Wish<'a> {
    Wish { who: call.who, node: call.node(), vmid: call.vmid(), params, pool: None }
}

pub(crate) fn post(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let mut change = defined(call)?;
    if is_nothing(call, &change) {
        return now(Value::Null);
    }
    config_change::shape(call.schema, call.who, &change)?;
    rights::check(world, call.schema, wish(call, &change))?;
    early(world, node, vmid, &change)?;
    let waits = change.remove("background_delay").and_then(|s| s.parse::<f64>().ok());
    change.remove("node");
    change.remove("vmid");
    let words: Vec<String> = change
        .iter()
        .map(|(k, v)| if k == "cipassword" { format!("-{k} <hidden>") } else { format!("-{k} {v}") })
        .collect();
    let after = world.pace.of("config");
    if waits.is_some_and(|seconds| seconds >= after) && !world.is_flocked(vmid, None, Hold::Exclusive) {
        return match apply(world, call.schema, wish(call, &change), None) {
            Ok(()) => Ok(Done::After(after, Box::new(Ok(Value::Null)))),
            Err(fail) => Err(Fail::die(format!("failed to update VM {vmid}: {}", fail.line())).into()),
        };
    }
    let job = Job::Configure { vmid, node: node.to_owned(), change };
    let upid = world.spawn(node, "qmconfig", &vmid.to_string(), call.who, job, after);
    world.log(&upid, format!("update VM {vmid}: {}", words.join(" ")));
    now(json!(upid))
}

pub(crate) fn unlink(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut change = Config::from([("delete".to_owned(), call.str("idlist").to_owned())]);
    if call.flag("force") {
        change.insert("force".to_owned(), "1".to_owned());
    }
    self::change(world, call, &change)
}
