//! Storages: their configuration and their state on a node.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;
use crate::state::storage::Storage;

pub(crate) fn visible(world: &World, who: &Who, id: &str) -> bool {
    let path = format!("/storage/{id}");
    world.may(who, &path, "Datastore.Audit") || world.may(who, &path, "Datastore.AllocateSpace")
}

fn state(world: &World, storage: &Storage, node: &str) -> Value {
    let used = world.used(storage, node);
    #[expect(clippy::cast_precision_loss, reason = "a fraction")]
    let fraction = used as f64 / storage.total as f64;
    json!({
        "type": storage.kind, "content": storage.content_text(), "active": 1, "enabled": 1,
        "shared": i32::from(storage.shared), "total": storage.total, "used": used, "avail": storage.total - used,
        "used_fraction": fraction,
    })
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    let wanted: Vec<&str> = call.str("content").split([',', ' ', ';']).filter(|c| !c.is_empty()).collect();
    let mut rows = Vec::new();
    for storage in world.storages.values() {
        if !visible(world, call.who, &storage.id) || call.get("storage").is_some_and(|s| s != storage.id) {
            continue;
        }
        if !wanted.is_empty() && !wanted.iter().any(|c| storage.content.contains(*c)) {
            continue;
        }
        if call.get("target").is_some_and(|t| t != node && (!storage.shared || !storage.on(t))) {
            continue;
        }
        let usable = storage.on(node) && !storage.disabled;
        if !usable && (!wanted.is_empty() || call.flag("enabled")) {
            continue;
        }
        let mut row = if usable {
            state(world, storage, node)
        } else {
            json!({
                "type": storage.kind, "content": storage.content_text(), "active": 0, "enabled": 0,
                "shared": i32::from(storage.shared), "total": 0, "used": 0, "avail": 0,
            })
        };
        row["storage"] = json!(storage.id);
        rows.push(row);
    }
    now(Value::Array(rows))
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(storage) = world.storages.get(call.str("storage")) else {
        return Err(Fail::param("storage", "No such storage.").into());
    };
    let mut data = state(world, storage, call.node());
    if let Some(map) = data.as_object_mut() {
        map.remove("used_fraction");
    }
    now(data)
}

fn configuration(storage: &Storage) -> Value {
    let mut row = json!({
        "storage": storage.id, "type": storage.kind, "content": storage.content_text(), "path": storage.path,
        "digest": "0000000000000000000000000000000000000000",
    });
    if storage.shared {
        row["shared"] = json!(1);
    }
    if storage.disabled {
        row["disable"] = json!(1);
    }
    if let Some(nodes) = &storage.nodes {
        row["nodes"] = json!(nodes.iter().cloned().collect::<Vec<_>>().join(","));
    }
    for (key, value) in &storage.more {
        row[key] = json!(value);
    }
    row
}

pub(crate) fn configs(world: &mut World, call: &Call<'_>) -> Outcome {
    let rows: Vec<Value> = world
        .storages
        .values()
        .filter(|s| visible(world, call.who, &s.id) && call.get("type").is_none_or(|t| t == s.kind))
        .map(configuration)
        .collect();
    now(Value::Array(rows))
}

pub(crate) fn config(world: &mut World, call: &Call<'_>) -> Outcome {
    now(configuration(world.storage(call.str("storage"))?))
}
