//! Jobs of the scheduler: the synchronisation of realms; what a schedule would do.

use serde_json::{Value, json};

use super::sections;
use crate::calendar::{self, Event};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::cluster::Section;

const FILE: &str = "jobs/realm-sync";
const PATH: &str = "/cluster/jobs/realm-sync/{id}";

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["schedule-analyze", "realm-sync"]))
}

/// The next moments of a schedule.
pub(crate) fn analyze(world: &mut World, call: &Call<'_>) -> Outcome {
    let schedule = call.str("schedule");
    let Some(event) = Event::parse(schedule) else {
        return Err(Fail::param("schedule", format!("invalid calendar event '{schedule}'")).into());
    };
    let mut at = call.number("starttime").unwrap_or_else(|| world.seconds());
    let mut rows = Vec::new();
    for _ in 0..call.number("iterations").unwrap_or(10) {
        let Some(next) = event.next(at) else { break };
        rows.push(json!({"timestamp": next, "utc": calendar::print("%Y-%m-%d %H:%M:%S", next)}));
        at = next;
    }
    now(Value::Array(rows))
}

fn row(world: &World, call: &Call<'_>, id: &str, section: &Section) -> Value {
    let mut row = sections::typed(call.schema, PATH, section);
    row.insert("id".to_owned(), json!(id));
    row.insert("type".to_owned(), json!("realm-sync"));
    row.entry("enabled").or_insert(json!(1));
    let due = section.get("schedule").and_then(|s| Event::parse(s)).and_then(|e| e.next(world.seconds()));
    if let Some(due) = due {
        row.insert("next-run".to_owned(), json!(due));
    }
    Value::Object(row)
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let entries = world.cluster.file(FILE).cloned().unwrap_or_default();
    now(entries.iter().map(|(id, section)| row(world, call, id, section)).collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    match world.cluster.file(FILE).and_then(|f| f.get(id)).cloned() {
        Some(section) => {
            let mut data = row(world, call, id, &section);
            if let Some(map) = data.as_object_mut() {
                map.remove("next-run");
            }
            now(data)
        }
        None => Err(Fail::die(format!("No such job '{id}'")).into()),
    }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let realm = call.str("realm");
    let entries = world.cluster.file_mut(FILE);
    if entries.contains_key(id) {
        return Err(Fail::die(format!("Job '{id}' already exists")).into());
    }
    if ["pam", "pve"].contains(&realm) {
        return Err(Fail::die(format!("cannot sync realm '{realm}', it does not support sync")).into());
    }
    entries.insert(id.to_owned(), sections::settings(call, &["id"]));
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let Some(section) = world.cluster.file_mut(FILE).get_mut(id) else {
        return Err(Fail::die(format!("no such realm-sync job '{id}'")).into());
    };
    sections::change(call, PATH, section, &sections::settings(call, &["id"])).map_err(Fail::die)?;
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    if world.cluster.file_mut(FILE).remove(id).is_none() {
        return Err(Fail::param("id", format!("No such job '{id}'")).into());
    }
    now(Value::Null)
}
