//! Resources of the HA manager: which guests it looks after, and what it is asked to do with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::calls::cluster::sections;
use crate::calls::{Call, Outcome, now};
use crate::ha;
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::cluster::{HaResource, Section};
use crate::state::guest::GuestKind;

const PATH: &str = "/cluster/ha/resources";

/// The id of a resource; a number alone is looked up.
fn sid(world: &World, call: &Call<'_>) -> Result<String, Fail> {
    let sid = call.str("sid");
    if sid.contains(':') {
        return Ok(sid.to_owned());
    }
    match sid.parse::<u32>().ok().and_then(|v| world.guests.get(&v)) {
        Some(guest) => Ok(format!("{}:{}", guest.kind.ha(), guest.vmid)),
        None => Err(Fail::die(format!("unable do add resource - VM/CT {sid} does not exist"))),
    }
}

/// The digest of all resources.
fn digest(world: &World) -> String {
    let mut text = String::new();
    for (sid, resource) in &world.cluster.ha {
        let _ = writeln!(text, "{sid}: {} {:?}", resource.state, resource.more);
    }
    hex::encode(Sha1::digest(text.as_bytes()))
}

fn row(call: &Call<'_>, sid: &str, resource: &HaResource, digest: &str) -> Value {
    let mut row = sections::typed(call.schema, PATH, &resource.more);
    row.insert("sid".to_owned(), json!(sid));
    row.insert("type".to_owned(), json!(sid.split(':').next()));
    row.insert("digest".to_owned(), json!(digest));
    if !resource.unsaid {
        row.insert("state".to_owned(), json!(resource.state));
    }
    Value::Object(row)
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let digest = digest(world);
    let wanted = |sid: &str| call.get("type").is_none_or(|t| sid.split(':').next() == Some(t));
    let rows = world.cluster.ha.iter().filter(|(sid, _)| wanted(sid)).map(|(sid, r)| {
        let mut row = row(call, sid, r, &digest);
        if let Some(group) = r.more.get("group").filter(|g| !world.cluster.groups.contains_key(*g)) {
            row["errors"] = json!({"group": format!("group '{group}' does not exist")});
        }
        row
    });
    now(rows.collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(world, call)?;
    match world.cluster.ha.get(&sid) {
        Some(resource) => now(row(call, &sid, resource, &digest(world))),
        None => Err(Fail::die(format!("no such resource '{sid}'")).into()),
    }
}

/// The settings of a resource, but for its state.
fn settings(call: &Call<'_>) -> Section {
    sections::settings(call, &["sid", "type", "state", "purge"])
}

/// Groups are of 8.
fn check_group(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    match call.get("group") {
        Some(_) if world.at_least(9, 0) => {
            Err(Fail::die("invalid parameter 'group': ha groups have been migrated to rules"))
        }
        Some(group) if !world.cluster.groups.contains_key(group) => {
            Err(Fail::die(format!("HA group '{group}' does not exist")))
        }
        _ => Ok(()),
    }
}

fn check_name(world: &World, sid: &str) -> Result<(), Fail> {
    let (kind, name) = sid.split_once(':').unwrap_or_default();
    let wanted = match kind {
        "vm" => GuestKind::Qemu,
        "ct" => GuestKind::Lxc,
        _ => return Err(Fail::die(format!("unable to parse service id '{sid}'"))),
    };
    let number = !name.starts_with('0') && name.len() > 1 && name.bytes().all(|b| b.is_ascii_digit());
    if !number {
        return Err(Fail::die("invalid VMID"));
    }
    let guest = name.parse().ok().and_then(|v: u32| world.guests.get(&v));
    if guest.is_none_or(|g| g.kind != wanted) {
        return Err(Fail::die(format!("resource '{sid}' does not exist in cluster")));
    }
    Ok(())
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    check_group(world, call)?;
    let sid = sid(world, call)?;
    if call.get("type").is_some_and(|t| sid.split(':').next() != Some(t)) {
        return Err(Fail::die("types does not match").into());
    }
    check_name(world, &sid)?;
    if world.cluster.ha.contains_key(&sid) {
        return Err(Fail::die(format!("create resource failed: resource ID '{sid}' already defined")).into());
    }
    let state = call.get("state").unwrap_or("started").to_owned();
    let unsaid = call.get("state").is_none();
    world.cluster.ha.insert(sid, HaResource { state, more: settings(call), unsaid });
    ha::hurry(world);
    now(Value::Null)
}

/// A service in error must be disabled before anything else.
fn check_state(world: &World, sid: &str, asked: Option<&str>) -> Result<(), Fail> {
    let managed = world.cluster.ha.get(sid).is_some_and(|r| r.state != "ignored");
    let error = world.cluster.manager.services.get(sid).is_some_and(|s| s.state == "error");
    if managed && error && asked != Some("disabled") {
        return Err(Fail::die(format!("service '{sid}' in error state, must be disabled and fixed first")));
    }
    Ok(())
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(world, call)?;
    check_group(world, call)?;
    check_state(world, &sid, call.get("state"))?;
    let fail = |text: String| Fail::die(format!("update resource failed: {text}"));
    sections::unchanged(call, &digest(world)).map_err(|f| fail(f.line()))?;
    let Some(resource) = world.cluster.ha.get_mut(&sid) else {
        return Err(fail(format!("no such resource '{sid}'")).into());
    };
    let mut more: BTreeMap<String, String> = resource.more.clone();
    let mut set = settings(call);
    if let Some(state) = call.get("state") {
        set.insert("state".to_owned(), state.to_owned());
    }
    if !resource.unsaid {
        more.insert("state".to_owned(), resource.state.clone());
    }
    sections::change(call, PATH, &mut more, &set).map_err(fail)?;
    let state = more.remove("state");
    resource.unsaid = state.is_none();
    resource.state = state.unwrap_or_else(|| "started".to_owned());
    resource.more = more;
    ha::hurry(world);
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let sid = sid(world, call)?;
    if !world.cluster.ha.contains_key(&sid) {
        return Err(Fail::die(format!("cannot delete service '{sid}', not HA managed!")).into());
    }
    if call.get("purge") == Some("0") {
        world.cluster.ha.remove(&sid);
        world.cluster.manager.services.remove(&sid);
    } else {
        world.cluster.unmanage(&sid);
    }
    ha::hurry(world);
    now(Value::Null)
}

/// `migrate` and `relocate`: a request to the manager.
pub(crate) fn motion(world: &mut World, call: &Call<'_>, what: &str) -> Outcome {
    let sid = sid(world, call)?;
    let node = call.str("node").to_owned();
    if world.cluster.ha.get(&sid).is_none_or(|r| r.state == "ignored") {
        return Err(Fail::die(format!("resource '{sid}' is not HA managed")).into());
    }
    check_state(world, &sid, None)?;
    let (along, blocking) = ha::placement::motion(world, &sid, &node);
    if blocking.is_empty() {
        for one in std::iter::once(&sid).chain(&along) {
            ha::ask(world, what, one, &node);
        }
    }
    if !world.at_least(9, 0) {
        return now(Value::Null);
    }
    let mut data = json!({"sid": sid, "requested-node": node});
    if !along.is_empty() {
        data["comigrated-resources"] = json!(along);
    }
    if !blocking.is_empty() {
        data["blocking-resources"] = blocking.iter().map(|s| json!({"sid": s, "cause": "resource-affinity"})).collect();
    }
    now(data)
}
