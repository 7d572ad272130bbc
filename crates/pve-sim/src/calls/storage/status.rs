//! Storages as a node sees them: state, statistics over time.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::split_list;
use crate::state::World;
use crate::state::storage::space::Fill;
use crate::state::storage::{Layout, Storage};

pub(crate) fn visible(world: &World, who: &Who, id: &str) -> bool {
    let path = format!("/storage/{id}");
    world.may(who, &path, "Datastore.Audit") || world.may(who, &path, "Datastore.AllocateSpace")
}

fn state(world: &World, storage: &Storage, node: &str) -> Value {
    let enabled = storage.on(node) && !storage.disabled;
    let active = enabled && storage.reachable(node);
    let fill = if active { storage.fill(&world.volumes, node) } else { Fill::default() };
    json!({
        "type": storage.kind, "content": storage.content_text(), "active": i32::from(active),
        "enabled": i32::from(enabled), "shared": i32::from(storage.shared), "total": fill.total, "used": fill.used,
        "avail": fill.avail,
    })
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    let wanted: Vec<&str> = split_list(call.str("content")).collect();
    let filtered = call.get("content").is_some();
    let shown = |s: &Storage| !filtered || (s.on(node) && !s.disabled && wanted.iter().any(|c| s.content.contains(*c)));
    if let Some(one) = call.get("storage")
        && !world.storages.get(one).is_some_and(shown)
    {
        return Err(Fail::param("storage", "No such storage.").into());
    }
    let target = call.get("target").filter(|t| *t != node && *t != "localhost");
    let mut rows = Vec::new();
    for storage in world.storages.values().filter(|s| shown(s)) {
        if !visible(world, call.who, &storage.id)
            || call.get("storage").is_some_and(|s| s != storage.id)
            || (call.flag("enabled") && storage.disabled)
            || target.is_some_and(|t| !storage.shared || !storage.on(node) || !storage.on(t))
        {
            continue;
        }
        let mut row = state(world, storage, node);
        row["storage"] = json!(storage.id);
        if let (Some(used), Some(total)) = (row["used"].as_f64(), row["total"].as_f64().filter(|t| *t > 0.0)) {
            row["used_fraction"] = json!(used / total);
        }
        if call.flag("format") && row["enabled"] == 1 {
            formats(&mut row, storage);
        }
        rows.push(row);
    }
    now(Value::Array(rows))
}

/// What images of the storage may be.
fn formats(row: &mut Value, storage: &Storage) {
    let default = storage.formats()[0];
    let mut supported = storage.formats();
    supported.sort_unstable();
    row["formats"] = json!({"supported": supported, "default": default});
    if storage.kind().files() || storage.kind().layout == Layout::Zfs {
        let all: Value =
            supported.iter().map(|f| ((*f).to_owned(), json!(1))).collect::<serde_json::Map<_, _>>().into();
        row["format"] = json!([all, default]);
    }
    if storage.kind().select_existing {
        row["select_existing"] = json!(1);
    }
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "content",
        "download-url",
        "file-restore",
        "import-metadata",
        "identity",
        "oci-registry-pull",
        "prunebackups",
        "rrd",
        "rrddata",
        "status",
        "upload",
    ];
    now(names("subdir", &of))
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(storage) = world.storages.get(call.str("storage")) else {
        return Err(Fail::param("storage", "No such storage.").into());
    };
    now(state(world, storage, call.node()))
}

/// Seconds between two points, and how many there are.
fn frame(timeframe: &str) -> (i64, i64) {
    match timeframe {
        "hour" => (60, 60),
        "day" => (60, 1440),
        "week" => (1800, 336),
        "month" => (1800, 1440),
        _ => (21_600, 1440),
    }
}

/// A point for each step; those from before the node's start have a time and nothing else.
pub(crate) fn statistics(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    let (step, count) = frame(call.str("timeframe"));
    let last = world.seconds() / step * step - step;
    let since = world.node(node).map_or(0.0, |n| n.booted);
    let storage = world.storages.get(call.str("storage")).filter(|s| s.on(node) && !s.disabled && s.reachable(node));
    let fill = storage.map(|s| s.fill(&world.volumes, node));
    #[expect(clippy::cast_precision_loss, reason = "the measure of a statistic")]
    let rows: Vec<Value> = (0..count)
        .map(|n| last - (count - 1 - n) * step)
        .map(|time| match fill.filter(|_| time as f64 > since) {
            Some(fill) => json!({"time": time, "total": fill.total, "used": fill.used as f64}),
            None => json!({"time": time}),
        })
        .collect();
    now(Value::Array(rows))
}

/// The picture of the statistics: only its name.
pub(crate) fn picture(_: &mut World, call: &Call<'_>) -> Outcome {
    let (node, id) = (call.node(), call.str("storage"));
    let file = format!("pve-storage-9.0/{node}/{id}_{}_{}.png", call.str("timeframe"), call.str("ds"));
    now(json!({"filename": format!("/var/lib/rrdcached/db/{file}")}))
}
