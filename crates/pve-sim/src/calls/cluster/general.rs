//! `/cluster`: status and free numbers.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::option_of;

pub(crate) fn index(world: &mut World, _: &Call<'_>) -> Outcome {
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
    // What came with 9.1 and 9.2.
    let there = |name: &&str| match *name {
        "bulk-action" => world.at_least(9, 1),
        "qemu" => world.at_least(9, 2),
        _ => true,
    };
    let of: Vec<&str> = of.into_iter().filter(there).collect();
    now(names("name", &of))
}

pub(crate) fn status(world: &mut World, _: &Call<'_>) -> Outcome {
    let local = world.local_node();
    let clustered = world.nodes.len() > 1;
    let mut rows = Vec::new();
    if clustered {
        rows.push(json!({
            "type": "cluster", "id": "cluster", "name": world.cluster.name, "nodes": world.nodes.len(),
            "version": world.nodes.len(), "quorate": i32::from(world.quorate()),
        }));
    }
    for node in &world.nodes {
        rows.push(json!({
            "type": "node", "id": format!("node/{}", node.name), "name": node.name, "ip": node.ip,
            "nodeid": if clustered { node.id } else { 0 }, "local": i32::from(node.name == local),
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
