//! Reading and changing a container's configuration over the API.

use serde_json::{Map, Value, json};

use super::{change, rights, the, unlocked, unmodified};
use crate::calls::{Call, Outcome, now, snapshots};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::guest::{Config, Pending};

/// Options that JSON shows as numbers.
const NUMBERS: &[&str] = &[
    "console",
    "cores",
    "cpuunits",
    "debug",
    "memory",
    "onboot",
    "protection",
    "snaptime",
    "swap",
    "template",
    "tty",
    "unprivileged",
];

/// A stored text as JSON shows it.
pub(crate) fn shown(key: &str, value: &str) -> Value {
    match value.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => json!(number),
        _ => json!(value),
    }
}

/// A configuration as JSON shows it.
pub(crate) fn object(config: &Config) -> Map<String, Value> {
    config.iter().map(|(k, v)| (k.clone(), shown(k, v))).collect()
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    if let Some(name) = call.get("snapshot") {
        if call.flag("current") {
            return Err(Fail::param("snapshot", "cannot use 'snapshot' parameter with 'current'").into());
        }
        let kept = guest.snapshots.get(name);
        let kept = kept.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?;
        let mut data = snapshots::object(call.schema, call.kind(), kept);
        data.insert("digest".to_owned(), json!(guest.digest()));
        return now(Value::Object(data));
    }
    let mut data = if call.flag("current") { object(&guest.config) } else { object(&guest.future()) };
    data.insert("digest".to_owned(), json!(guest.digest()));
    if let Some(parent) = &guest.parent {
        data.insert("parent".to_owned(), json!(parent));
    }
    now(Value::Object(data))
}

pub(crate) fn pending(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let mut rows = Vec::new();
    for (key, value) in &guest.config {
        let mut row = json!({"key": key, "value": shown(key, value)});
        match guest.pending.get(key) {
            Some(Pending::Set(new)) => row["pending"] = shown(key, new),
            Some(Pending::Delete { force }) => row["delete"] = json!(if *force { 2 } else { 1 }),
            None => {}
        }
        rows.push(row);
    }
    for (key, change) in guest.pending.iter().filter(|(k, _)| !guest.config.contains_key(*k)) {
        if let Pending::Set(new) = change {
            rows.push(json!({"key": key, "pending": shown(key, new)}));
        }
    }
    if let Some(parent) = &guest.parent {
        rows.push(json!({"key": "parent", "value": parent}));
    }
    rows.push(json!({"key": "digest", "value": guest.digest()}));
    now(Value::Array(rows))
}

fn words(call: &Call<'_>, name: &str) -> Vec<String> {
    call.str(name).split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn put(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let steering = ["node", "vmid", "digest"];
    if call.params.keys().all(|k| steering.contains(&k.as_str())) {
        return Err(Fail::die("no options specified").into());
    }
    let (delete, revert) = (words(call, "delete"), words(call, "revert"));
    let other = ["node", "vmid", "digest", "delete", "revert"];
    let set: Config =
        call.params.iter().filter(|(k, _)| !other.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    for key in &revert {
        if !change::is_option(call.schema, key) {
            return Err(Fail::param("revert", format!("unknown option '{key}'")).into());
        }
        if set.contains_key(key) {
            let text = format!("you can't use '-{key}' and '-revert {key}' at the same time");
            return Err(Fail::param("revert", text).into());
        }
    }
    for key in &delete {
        if set.contains_key(key) {
            let text = format!("you can't use '-{key}' and -delete {key}' at the same time");
            return Err(Fail::param("delete", text).into());
        }
        if !change::is_option(call.schema, key) {
            return Err(Fail::param("delete", format!("unknown option '{key}'")).into());
        }
    }
    let guest = the(world, call)?;
    unlocked(guest)?;
    unmodified(guest, call.get("digest"))?;
    let asked = rights::Asked {
        vmid,
        pool: None,
        old: Some(&guest.config),
        set: &set,
        delete: &delete,
        unprivileged: guest.get("unprivileged") == Some("1"),
    };
    rights::check(world, call.schema, call.who, asked)?;
    let errors = change::apply(world, call.schema, node, vmid, &change::Change { set, delete, revert })?;
    if errors.is_empty() { now(Value::Null) } else { Err(Fail::params(errors).into()) }
}
