//! `/cluster`: status, free numbers, options.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::option_of;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "acme",
        "backup",
        "backup-info",
        "bulk-action",
        "ceph",
        "config",
        "firewall",
        "ha",
        "jobs",
        "log",
        "mapping",
        "metrics",
        "notifications",
        "nextid",
        "options",
        "qemu",
        "replication",
        "resources",
        "status",
        "tasks",
        "sdn",
    ];
    now(names("name", &of))
}

pub(crate) fn status(world: &mut World, _: &Call<'_>) -> Outcome {
    let online = world.nodes.iter().filter(|n| n.online).count();
    let clustered = world.nodes.len() > 1;
    let mut rows = Vec::new();
    if clustered {
        rows.push(json!({
            "type": "cluster", "id": "cluster", "name": world.cluster.name, "nodes": world.nodes.len(),
            "version": world.nodes.len(), "quorate": i32::from(online * 2 > world.nodes.len()),
        }));
    }
    for (at, node) in world.nodes.iter().enumerate() {
        rows.push(json!({
            "type": "node", "id": format!("node/{}", node.name), "name": node.name, "ip": node.ip,
            "nodeid": if clustered { node.id } else { 0 }, "local": i32::from(at == 0),
            "online": i32::from(node.online), "level": "",
        }));
    }
    now(Value::Array(rows))
}

pub(crate) fn nextid(world: &mut World, call: &Call<'_>) -> Outcome {
    if let Some(asked) = call.get("vmid") {
        let taken = asked.parse::<u32>().is_ok_and(|v| world.guests.contains_key(&v));
        if taken {
            return Err(Fail::param("vmid", format!("VM {asked} already exists")).into());
        }
        return now(json!(asked));
    }
    let range = world.cluster.options.get("next-id").cloned().unwrap_or_default();
    let bound = |name: &str, default: u32| option_of(&range, name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (lower, upper) = (bound("lower", 100), bound("upper", 1_000_000));
    if let Some(free) = (lower..upper).find(|v| !world.guests.contains_key(v)) {
        return now(json!(free.to_string()));
    }
    Err(Fail::die(format!("unable to get any free VMID in range [{lower}, {}]", upper - 1)).into())
}

pub(crate) fn options(world: &mut World, call: &Call<'_>) -> Outcome {
    let whole = world.may(call.who, "/", "Sys.Audit");
    let mut tags: BTreeSet<String> = world
        .guests
        .values()
        .filter_map(|g| g.get("tags"))
        .flat_map(|t| t.split(';'))
        .map(|t| t.trim().to_owned())
        .filter(|t| !t.is_empty())
        .collect();
    let mut data = json!({});
    for (key, value) in &world.cluster.options {
        if key == "registered-tags" {
            let registered: Vec<&str> = value.split(';').collect();
            tags.extend(registered.iter().map(|t| (*t).to_owned()));
            data[key] = json!(registered);
        } else if whole || key == "tag-style" {
            let nested = ["tag-style", "next-id", "ha", "migration", "crs", "user-tag-access", "webauthn", "notify"];
            data[key] = if nested.contains(&key.as_str()) {
                let pairs = value.split(',').filter_map(|p| p.split_once('='));
                pairs.map(|(k, v)| (k.to_owned(), json!(v))).collect::<serde_json::Map<_, _>>().into()
            } else {
                json!(value)
            };
        }
    }
    if whole {
        data["mac_prefix"] =
            json!(world.cluster.options.get("mac_prefix").cloned().unwrap_or_else(|| "BC:24:11".to_owned()));
        data["description"] = json!(world.cluster.options.get("description").cloned().unwrap_or_default());
    }
    data["allowed-tags"] = json!(tags);
    now(data)
}

pub(crate) fn update_options(world: &mut World, call: &Call<'_>) -> Outcome {
    for key in call.str("delete").split([',', ';', ' ']).filter(|k| !k.is_empty()) {
        world.cluster.options.remove(key);
    }
    for (key, value) in call.params.iter().filter(|(k, _)| *k != "delete") {
        world.cluster.options.insert(key.clone(), value.clone());
    }
    now(Value::Null)
}
