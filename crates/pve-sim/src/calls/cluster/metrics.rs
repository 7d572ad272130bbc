//! Metric servers, and the metrics that exporters fetch.

use serde_json::{Value, json};

use super::sections;
use crate::calls::node::load;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;

const FILE: &str = "status.cfg";
const PATH: &str = "/cluster/metrics/server/{id}";

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["server", "export"]))
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let entries = world.cluster.file_mut(FILE);
    let rows = entries.iter().map(|(id, section)| {
        let of = sections::typed(call.schema, PATH, section);
        json!({
            "id": id, "disable": of.get("disable").cloned().unwrap_or(json!(0)), "type": of.get("type"),
            "server": of.get("server"), "port": of.get("port"),
        })
    });
    now(rows.collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    match world.cluster.file_mut(FILE).get(id) {
        Some(section) => now(Value::Object(sections::typed(call.schema, PATH, section))),
        None => Err(Fail::die(format!("status server entry '{id}' does not exist")).into()),
    }
}

/// Settings that only this type of server has.
fn own(kind: &str, key: &str) -> bool {
    match key {
        "path" | "proto" => kind == "graphite",
        "timeout" | "mtu" => kind != "opentelemetry",
        "influxdbproto" | "organization" | "bucket" | "token" | "api-path-prefix" | "max-body-size"
        | "verify-certificate" => kind == "influxdb",
        _ => !key.starts_with("otel-") || kind == "opentelemetry",
    }
}

fn foreign(kind: &str, set: &crate::state::cluster::Section) -> Result<(), Fail> {
    match set.keys().find(|k| !own(kind, k)) {
        Some(key) => Err(Fail::die(format!("unexpected property '{key}'"))),
        None => Ok(()),
    }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let entries = world.cluster.file_mut(FILE);
    if entries.contains_key(id) {
        return Err(Fail::die(format!("Metric server '{id}' already exists")).into());
    }
    // The token is a secret: it is kept elsewhere and never shown.
    let set = sections::settings(call, &["id", "token"]);
    foreign(call.str("type"), &set)?;
    entries.insert(id.to_owned(), set);
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let entries = world.cluster.file_mut(FILE);
    sections::unchanged(call, &sections::digest(entries))?;
    let Some(section) = entries.get_mut(id) else {
        return Err(Fail::die(format!("no such server '{id}'")).into());
    };
    let set = sections::settings(call, &["id", "token"]);
    foreign(section.get("type").map_or("", String::as_str), &set)?;
    let mut changed = section.clone();
    sections::change(call, PATH, &mut changed, &set).map_err(Fail::die)?;
    *section = changed;
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    if world.cluster.file_mut(FILE).remove(call.str("id")).is_none() {
        let text = "cannot lookup undefined type! at /usr/share/perl5/PVE/API2/Cluster/MetricServer.pm line 1.";
        return Err(Fail::die(text).into());
    }
    now(Value::Null)
}

/// How many samples of the past there are.
const GENERATIONS: i64 = 180;

/// The metrics of now, or also those of the last half hour, by time.
pub(crate) fn export(world: &mut World, call: &Call<'_>) -> Outcome {
    let start = call.number("start-time");
    let step = 10;
    let last = world.seconds() / step * step;
    let generations = match (call.flag("history"), start) {
        (false, _) => 0,
        (true, None) => GENERATIONS,
        (true, Some(start)) => ((last - start) / step).clamp(0, GENERATIONS),
    };
    let wanted: Option<Vec<&str>> = call.get("node-list").map(|l| l.split(',').map(str::trim).collect());
    let local = world.local_node();
    let mut rows = Vec::new();
    for at in (0..=generations).rev().map(|n| last - n * step).filter(|t| start.is_none_or(|s| *t > s)) {
        for node in &world.nodes {
            let named = wanted.as_ref().is_none_or(|w| w.contains(&node.name.as_str()));
            if node.online && named && (!call.flag("local-only") || node.name == local) {
                samples(world, &node.name, at, &mut rows);
            }
        }
    }
    now(json!({"data": rows}))
}

fn samples(world: &World, node: &str, at: i64, rows: &mut Vec<Value>) {
    let mut add = |id: &str, metric: &str, kind: &str, value: Value| {
        rows.push(json!({"id": id, "metric": metric, "timestamp": at, "type": kind, "value": value}));
    };
    let age = world.seconds() - at;
    let Some(of) = world.node(node) else { return };
    let seen = load::of(world, of);
    let id = format!("node/{node}");
    for (metric, value) in [
        ("uptime", json!((seen.uptime - age).max(0))),
        ("cpu_avg1", json!(0.1)),
        ("cpu_avg5", json!(0.1)),
        ("cpu_avg15", json!(0.1)),
        ("cpu_max", json!(of.cores)),
        ("cpu_current", json!(seen.cpu)),
        ("cpu_iowait", json!(0)),
        ("mem_total", json!(of.memory)),
        ("mem_used", json!(seen.memory)),
        ("swap_total", json!(0)),
        ("swap_used", json!(0)),
        ("disk_total", json!(load::ROOT_DISK)),
        ("disk_used", json!(load::ROOT_USED)),
    ] {
        add(&id, metric, "gauge", value);
    }
    add(&id, "net_in", "derive", json!(0));
    add(&id, "net_out", "derive", json!(0));
    for guest in world.guests.values().filter(|g| g.node == node) {
        let id = format!("{}/{}", guest.kind.word(), guest.vmid);
        let up = world.published.get(&guest.vmid).map_or(0, |p| (p.uptime - age).max(0));
        add(&id, "uptime", "gauge", json!(up));
        add(&id, "disk_total", "gauge", json!(guest.max_disk()));
        add(&id, "mem_total", "gauge", json!(guest.memory()));
        add(&id, "cpu_max", "gauge", json!(guest.cpus()));
        for metric in ["cpu_current", "mem_used", "disk_used"] {
            add(&id, metric, "gauge", json!(0));
        }
        for metric in ["disk_read", "disk_write", "net_in", "net_out"] {
            add(&id, metric, "derive", json!(0));
        }
    }
    for storage in world.storages.values().filter(|s| s.on(node) && !s.disabled) {
        let id = format!("storage/{node}/{}", storage.id);
        add(&id, "disk_total", "gauge", json!(storage.total));
        add(&id, "disk_used", "gauge", json!(world.used(storage, node)));
    }
}
