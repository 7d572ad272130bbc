//! Snapshots over the API.

use serde_json::{Value, json};

use crate::calls::qemu::config::shown;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::snapshot::Snapshot;
use crate::state::World;

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let mut rows: Vec<Value> = guest
        .snapshots
        .iter()
        .map(|(name, s)| {
            let mut row = json!({
                "name": name, "snaptime": s.snaptime, "description": s.description, "vmstate": i32::from(s.vmstate),
            });
            if let Some(parent) = &s.parent {
                row["parent"] = json!(parent);
            }
            row
        })
        .collect();
    let mut current = json!({
        "name": "current", "digest": guest.digest(), "running": i32::from(guest.running()),
        "description": "You are here!",
    });
    if let Some(parent) = &guest.parent {
        current["parent"] = json!(parent);
    }
    rows.push(current);
    now(Value::Array(rows))
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("cmd", &["rollback", "config"]))
}

pub(crate) fn config(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let name = call.str("snapname");
    let Some(kept) = guest.snapshots.get(name) else {
        return Err(Fail::die(format!("snapshot '{name}' does not exist")).into());
    };
    now(kept
        .config
        .iter()
        .map(|(k, v)| (k.clone(), shown(call.schema, k, v)))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

fn task(world: &mut World, call: &Call<'_>, kind: &str, job: Snapshot) -> Outcome {
    let after = world.pace.of("snapshot");
    let id = call.vmid().to_string();
    now(json!(world.spawn(call.node(), kind, &id, call.who, Job::Snapshot(job), after)))
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("snapname");
    if name == "current" || name == "pending" {
        return Err(Fail::die(format!("unable to use snapshot name '{name}' (reserved name)")).into());
    }
    let job = Snapshot::Create {
        vmid: call.vmid(),
        name: name.to_owned(),
        description: call.str("description").to_owned(),
        vmstate: call.flag("vmstate"),
    };
    task(world, call, "qmsnapshot", job)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let job = Snapshot::Delete { vmid: call.vmid(), name: call.str("snapname").to_owned() };
    task(world, call, "qmdelsnapshot", job)
}

pub(crate) fn rollback(world: &mut World, call: &Call<'_>) -> Outcome {
    let job =
        Snapshot::Rollback { vmid: call.vmid(), name: call.str("snapname").to_owned(), start: call.flag("start") };
    task(world, call, "qmrollback", job)
}
