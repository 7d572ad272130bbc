//! Snapshots over the API.

use serde_json::{Map, Value, json};

use super::{config, the};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::Lxc;
use crate::jobs::lxc::snapshot::Snapshot as Work;
use crate::state::World;
use crate::state::guest::{GuestKind, Snapshot};

/// A snapshot's configuration as JSON shows it.
pub(crate) fn object(kept: &Snapshot) -> Map<String, Value> {
    let mut data = config::object(&kept.config);
    data.insert("snaptime".to_owned(), json!(kept.snaptime));
    if !kept.description.is_empty() {
        data.insert("description".to_owned(), json!(kept.description));
    }
    if let Some(parent) = &kept.parent {
        data.insert("parent".to_owned(), json!(parent));
    }
    data
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let mut rows: Vec<Value> = guest
        .snapshots
        .iter()
        .map(|(name, kept)| {
            let mut row = json!({"name": name, "snaptime": kept.snaptime, "description": kept.description});
            if let Some(parent) = &kept.parent {
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

fn missing(name: &str) -> Fail {
    Fail::die(format!("snapshot '{name}' does not exist"))
}

pub(crate) fn config(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("snapname");
    let kept = the(world, call)?.snapshots.get(name).ok_or_else(|| missing(name))?;
    now(Value::Object(object(kept)))
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    super::unlocked(the(world, call)?)?;
    let name = call.str("snapname");
    let guest = world.guest_of_mut(GuestKind::Lxc, call.node(), call.vmid())?;
    let kept = guest.snapshots.get_mut(name).ok_or_else(|| missing(name))?;
    if let Some(description) = call.get("description") {
        description.clone_into(&mut kept.description);
    }
    now(Value::Null)
}

fn task(world: &mut World, call: &Call<'_>, kind: &str, work: Work) -> Outcome {
    let after = world.pace.of("snapshot");
    let id = call.vmid().to_string();
    now(json!(world.spawn(call.node(), kind, &id, call.who, Job::Lxc(Box::new(Lxc::Snapshot(work))), after)))
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("snapname");
    if ["current", "vzdump"].contains(&name) {
        return Err(Fail::die(format!("unable to use snapshot name '{name}' (reserved name)")).into());
    }
    let work = Work::Create {
        vmid: call.vmid(),
        node: call.node().to_owned(),
        name: name.to_owned(),
        description: call.str("description").to_owned(),
    };
    task(world, call, "vzsnapshot", work)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let work = Work::Delete {
        vmid: call.vmid(),
        node: call.node().to_owned(),
        name: call.str("snapname").to_owned(),
        force: call.flag("force"),
    };
    task(world, call, "vzdelsnapshot", work)
}

pub(crate) fn rollback(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.flag("start") {
        world.need(call.who, &format!("/vms/{}", call.vmid()), &["VM.PowerMgmt"])?;
    }
    let work = Work::Rollback {
        vmid: call.vmid(),
        node: call.node().to_owned(),
        name: call.str("snapname").to_owned(),
        start: call.flag("start"),
    };
    task(world, call, "vzrollback", work)
}
