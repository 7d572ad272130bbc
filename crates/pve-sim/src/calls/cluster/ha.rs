//! Resources of the HA manager.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::cluster::HaResource;

fn sid(call: &Call<'_>) -> String {
    let sid = call.str("sid");
    if sid.contains(':') { sid.to_owned() } else { format!("vm:{sid}") }
}

fn row(sid: &str, resource: &HaResource) -> Value {
    let mut row = json!({
        "sid": sid, "type": sid.split(':').next(), "state": resource.state,
        "digest": "0000000000000000000000000000000000000000",
    });
    for (key, value) in &resource.more {
        row[key] = value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n));
    }
    row
}

pub(crate) fn list(world: &mut World, _: &Call<'_>) -> Outcome {
    now(world.cluster.ha.iter().map(|(sid, r)| row(sid, r)).collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(call);
    match world.cluster.ha.get(&sid) {
        Some(resource) => now(row(&sid, resource)),
        None => Err(Fail::die(format!("no such resource '{sid}'")).into()),
    }
}

fn more(call: &Call<'_>) -> BTreeMap<String, String> {
    let kept = ["comment", "max_relocate", "max_restart", "failback", "group"];
    call.params.iter().filter(|(k, _)| kept.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(call);
    if world.cluster.ha.contains_key(&sid) {
        return Err(Fail::die(format!("create resource failed: resource ID '{sid}' already defined")).into());
    }
    let guest = sid.split_once(':').and_then(|(_, v)| v.parse().ok()).and_then(|v: u32| world.guests.get(&v));
    let there = guest.is_some_and(|g| sid.starts_with(g.kind.ha()));
    if !there {
        return Err(Fail::die(format!("create resource failed: unable to add unknown VM '{sid}'")).into());
    }
    let state = call.get("state").unwrap_or("started").to_owned();
    world.cluster.ha.insert(sid, HaResource { state, more: more(call) });
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(call);
    let Some(resource) = world.cluster.ha.get_mut(&sid) else {
        return Err(Fail::die(format!("no such resource '{sid}'")).into());
    };
    if let Some(state) = call.get("state") {
        state.clone_into(&mut resource.state);
    }
    resource.more.extend(more(call));
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(call);
    if world.cluster.ha.remove(&sid).is_none() {
        return Err(Fail::die(format!("delete resource failed: no such resource '{sid}'")).into());
    }
    now(Value::Null)
}

pub(crate) fn status(world: &mut World, _: &Call<'_>) -> Outcome {
    let node = world.nodes.first().map_or("", |n| n.name.as_str());
    let mut rows = vec![json!({"id": "quorum", "type": "quorum", "node": node, "quorate": 1, "status": "OK"})];
    for (sid, resource) in &world.cluster.ha {
        rows.push(json!({
            "id": format!("service:{sid}"), "type": "service", "sid": sid, "state": resource.state,
            "request_state": resource.state, "node": node, "status": format!("{sid} ({node}, {})", resource.state),
        }));
    }
    now(Value::Array(rows))
}
