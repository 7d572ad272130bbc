//! `datacenter.cfg`: the options of the cluster, and which tags a user may use.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::calls::{Call, Outcome, now};
use crate::perm::Who;
use crate::schema::{Kind, Schema};
use crate::state::World;
use crate::state::drive::option_of;

/// Options that answers show taken apart.
const NESTED: [&str; 10] =
    ["tag-style", "next-id", "ha", "migration", "replication", "crs", "user-tag-access", "webauthn", "notify", "u2f"];

fn words(text: &str) -> Vec<&str> {
    text.split([';', ',', ' ']).filter(|w| !w.is_empty()).collect()
}

/// The tags that a user may give to guests.
pub(crate) fn allowed_tags(world: &World, who: &Who) -> BTreeSet<String> {
    let privileged = world.may(who, "/", "Sys.Modify");
    let options = &world.cluster.options;
    let access = options.get("user-tag-access").map_or("", String::as_str);
    let allow = option_of(access, "user-allow").unwrap_or("free");
    let mut tags = BTreeSet::new();
    if allow != "none" || privileged {
        let listed = option_of(access, "user-allow-list").unwrap_or_default();
        tags.extend(words(listed).into_iter().map(str::to_owned));
    }
    if allow == "free" || allow == "existing" || privileged {
        for guest in world.guests.values() {
            let Some(own) = guest.get("tags") else { continue };
            if privileged || world.may(who, &format!("/vms/{}", guest.vmid), "VM.Audit") {
                tags.extend(words(own).into_iter().map(str::to_owned));
            }
        }
    }
    for registered in words(options.get("registered-tags").map_or("", String::as_str)) {
        if privileged {
            tags.insert(registered.to_owned());
        } else {
            tags.remove(registered);
        }
    }
    tags
}

/// An option as answers show it.
fn shown(schema: &Schema, key: &str, value: &str) -> Value {
    match key {
        "registered-tags" => json!(words(value)),
        "max_workers" | "migration_unsecure" => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
        "description" => json!(format!("{}\n", value.trim_end_matches('\n'))),
        _ if NESTED.contains(&key) => nested(schema, key, value),
        _ => json!(value),
    }
}

fn nested(schema: &Schema, key: &str, value: &str) -> Value {
    let name = match key {
        "next-id" => "nextid".to_owned(),
        "replication" => "migration".to_owned(),
        _ => key.replace('-', ""),
    };
    let keys = schema.formats.get(&name).map(Vec::as_slice).unwrap_or_default();
    let default = keys.iter().find(|k| k.default_key).map_or("", |k| k.name.as_str());
    let pairs = value.split(',').map(|p| p.split_once('=').unwrap_or((default, p)));
    let object: Map<String, Value> = pairs
        .map(|(k, v)| {
            let boolean = keys.iter().any(|p| p.name == k && p.kind == Kind::Boolean);
            let shown = match v {
                _ if k == "user-allow-list" => json!(words(v)),
                "1" | "on" | "yes" | "true" if boolean => json!(1),
                "0" | "off" | "no" | "false" if boolean => json!(0),
                _ => json!(v),
            };
            (k.to_owned(), shown)
        })
        .collect();
    Value::Object(object)
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let whole = world.may(call.who, "/", "Sys.Audit");
    let mut data = Map::new();
    if whole {
        data.insert("mac_prefix".to_owned(), json!("BC:24:11"));
        data.insert("description".to_owned(), json!(""));
    }
    for (key, value) in &world.cluster.options {
        if whole || ["tag-style", "console"].contains(&key.as_str()) {
            data.insert(key.clone(), shown(call.schema, key, value));
        }
    }
    data.insert("allowed-tags".to_owned(), json!(allowed_tags(world, call.who)));
    now(Value::Object(data))
}

pub(crate) fn set(world: &mut World, call: &Call<'_>) -> Outcome {
    for (key, value) in call.params.iter().filter(|(k, _)| *k != "delete") {
        let value = if key == "registered-tags" {
            words(value).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(";")
        } else {
            value.clone()
        };
        world.cluster.options.insert(key.clone(), value);
    }
    for key in words(call.str("delete")) {
        world.cluster.options.remove(key);
    }
    now(Value::Null)
}
