//! HA groups: of 8. On 9 they have become rules, and every call says so.

use serde_json::{Value, json};

use crate::calls::cluster::sections;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;

const PATH: &str = "/cluster/ha/groups";

/// On 9 nothing of this is left.
fn there(world: &World, doing: &str) -> Result<(), Fail> {
    if world.at_least(9, 0) {
        return Err(Fail::die(format!("cannot {doing}: ha groups have been migrated to rules")));
    }
    Ok(())
}

fn row(call: &Call<'_>, id: &str, section: &crate::state::cluster::Section, digest: &str) -> Value {
    let mut row = sections::typed(call.schema, PATH, section);
    row.insert("group".to_owned(), json!(id));
    row.insert("type".to_owned(), json!("group"));
    row.insert("digest".to_owned(), json!(digest));
    Value::Object(row)
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    there(world, "index groups")?;
    let digest = sections::digest(&world.cluster.groups);
    now(world.cluster.groups.iter().map(|(id, section)| row(call, id, section, &digest)).collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    there(world, "read group")?;
    let id = call.str("group");
    let digest = sections::digest(&world.cluster.groups);
    match world.cluster.groups.get(id) {
        Some(section) => now(row(call, id, section, &digest)),
        None => Err(Fail::die(format!("no such ha group '{id}'")).into()),
    }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    there(world, "create group")?;
    let id = call.str("group").to_owned();
    if world.cluster.groups.contains_key(&id) {
        return Err(Fail::die(format!("create ha group failed: group ID '{id}' already defined")).into());
    }
    world.cluster.groups.insert(id, sections::settings(call, &["group", "type"]));
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    there(world, "update group")?;
    let id = call.str("group");
    let fail = |text: String| Fail::die(format!("update ha group failed: {text}"));
    sections::unchanged(call, &sections::digest(&world.cluster.groups))?;
    let Some(section) = world.cluster.groups.get_mut(id) else {
        return Err(fail(format!("no such ha group '{id}'")).into());
    };
    sections::change(call, PATH, section, &sections::settings(call, &["group"])).map_err(fail)?;
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    there(world, "delete group")?;
    let id = call.str("group");
    if world.cluster.ha.values().any(|r| r.more.get("group").is_some_and(|g| g == id)) {
        return Err(Fail::die("delete ha group failed: group is used by resources").into());
    }
    world.cluster.groups.remove(id);
    now(Value::Null)
}
