//! Snapshots of virtual machines and containers over the API; the work is in [`crate::jobs::snapshot`].

use serde_json::{Map, Value, json};

use super::{Call, Outcome, lxc, names, now, qemu};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::snapshot::{Snapshot as Work, Stage, What};
use crate::schema::Schema;
use crate::state::World;
use crate::state::guest::{Guest, GuestKind, Snapshot};

/// A snapshot's configuration as JSON shows it.
pub(crate) fn object(schema: &Schema, kind: GuestKind, kept: &Snapshot) -> Map<String, Value> {
    let mut data = match kind {
        GuestKind::Qemu => qemu::config::object(schema, &kept.config),
        GuestKind::Lxc => lxc::config::object(&kept.config),
    };
    data.insert("snaptime".to_owned(), json!(kept.snaptime));
    if !kept.description.is_empty() {
        data.insert("description".to_owned(), json!(kept.description));
    }
    for (key, value) in [("parent", &kept.parent), ("snapstate", &kept.snapstate)] {
        if let Some(value) = value {
            data.insert(key.to_owned(), json!(value));
        }
    }
    data
}

fn the<'w>(world: &'w World, call: &Call<'_>) -> Result<&'w Guest, Fail> {
    world.guest_of(call.kind(), call.node(), call.vmid())
}

fn missing(name: &str) -> Fail {
    Fail::die(format!("snapshot '{name}' does not exist"))
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let row = |(name, kept): (&String, &Snapshot)| {
        let mut row = json!({"name": name, "snaptime": kept.snaptime, "description": kept.description});
        if guest.is(GuestKind::Qemu) {
            row["vmstate"] = json!(i32::from(kept.vmstate));
        }
        for (key, value) in [("parent", &kept.parent), ("snapstate", &kept.snapstate)] {
            if let Some(value) = value {
                row[key] = json!(value);
            }
        }
        row
    };
    let mut rows: Vec<Value> = guest.snapshots.iter().map(row).collect();
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
    let name = call.str("snapname");
    let kept = the(world, call)?.snapshots.get(name).ok_or_else(|| missing(name))?;
    now(Value::Object(object(call.schema, call.kind(), kept)))
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("{} is locked ({lock})", guest.kind.label())).into());
    }
    let name = call.str("snapname");
    let guest = world.guest_of_mut(call.kind(), call.node(), call.vmid())?;
    let kept = guest.snapshots.get_mut(name).ok_or_else(|| missing(name))?;
    if let Some(description) = call.get("description") {
        description.clone_into(&mut kept.description);
    }
    now(Value::Null)
}

fn task(world: &mut World, call: &Call<'_>, what: What) -> Outcome {
    let (kind, vmid) = (call.kind(), call.vmid());
    let work = Work {
        kind,
        vmid,
        node: call.node().to_owned(),
        name: call.str("snapname").to_owned(),
        what,
        stage: Stage::Begun,
    };
    let prefix = if kind == GuestKind::Qemu { "qm" } else { "vz" };
    let word = format!("{prefix}{}", work.what.word());
    let after = world.pace.of("snapshot") / 2.0;
    now(json!(world.spawn(call.node(), &word, &vmid.to_string(), call.who, Job::Snapshot(work), after)))
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("snapname");
    let reserved = match call.kind() {
        GuestKind::Qemu => ["current", "pending"],
        GuestKind::Lxc => ["current", "vzdump"],
    };
    if reserved.contains(&name) {
        return Err(Fail::die(format!("unable to use snapshot name '{name}' (reserved name)")).into());
    }
    let what = What::Create { description: call.str("description").to_owned(), vmstate: call.flag("vmstate") };
    task(world, call, what)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    task(world, call, What::Delete { force: call.flag("force") })
}

pub(crate) fn rollback(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.flag("start") {
        world.need(call.who, &format!("/vms/{}", call.vmid()), &["VM.PowerMgmt"])?;
    }
    task(world, call, What::Rollback { start: call.flag("start") })
}
