//! Backup jobs: `/cluster/backup`.

use serde_json::{Map, Value, json};

use super::selection;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::backup::scheduler;
use crate::state::World;
use crate::state::guest::Config;

const NUMBERS: &[&str] = &[
    "all",
    "bwlimit",
    "enabled",
    "ionice",
    "lockwait",
    "pigz",
    "protected",
    "quiet",
    "remove",
    "repeat-missed",
    "stdexcludes",
    "stop",
    "stopwait",
    "zstd",
];
/// Options that JSON shows taken apart.
const NESTED: &[&str] = &["prune-backups", "fleecing", "performance"];

fn row(world: &World, id: &str, job: &Config) -> Value {
    let mut row = Map::new();
    row.insert("id".to_owned(), json!(id));
    row.insert("type".to_owned(), json!("vzdump"));
    for (key, value) in job {
        let shown = if NESTED.contains(&key.as_str()) {
            let pair =
                |p: &str| p.split_once('=').map_or(("enabled".to_owned(), json!(p)), |(k, v)| (k.to_owned(), json!(v)));
            Value::Object(value.split(',').map(pair).collect())
        } else if key == "exclude-path" {
            serde_json::from_str(value).unwrap_or_else(|_| json!([value]))
        } else {
            match value.parse::<i64>() {
                Ok(number) if NUMBERS.contains(&key.as_str()) => json!(number),
                _ => json!(value),
            }
        };
        row.insert(key.clone(), shown);
    }
    let enabled = job.get("enabled").is_none_or(|e| e != "0");
    if let Some(next) = job.get("schedule").filter(|_| enabled).and_then(|s| scheduler::next(s, world.seconds())) {
        row.insert("next-run".to_owned(), json!(next));
    }
    Value::Object(row)
}

fn missing(id: &str) -> Fail {
    Fail::param("id", format!("No such job '{id}'"))
}

pub(crate) fn list(world: &mut World, _: &Call<'_>) -> Outcome {
    let rows: Vec<Value> = world.backup.jobs.iter().map(|(id, job)| row(world, id, job)).collect();
    now(Value::Array(rows))
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let job = world.backup.jobs.get(id).ok_or_else(|| missing(id))?;
    now(row(world, id, job))
}

/// The old way to say when, turned into the new one.
fn convert_time(options: &mut Config, required: bool) -> Result<(), Fail> {
    let days = options.remove("dow");
    let time = options.remove("starttime");
    match (options.contains_key("schedule"), time) {
        (true, Some(_)) => Err(Fail::param("starttime", "'starttime' and 'schedule' cannot both be set")),
        (false, Some(time)) => {
            let days = days.filter(|d| *d != "mon,tue,wed,thu,fri,sat,sun");
            let text = days.map_or_else(|| time.clone(), |d| format!("{d} {time}"));
            options.insert("schedule".to_owned(), text);
            Ok(())
        }
        (false, None) if required => Err(Fail::param("schedule", "neither 'starttime' nor 'schedule' were set")),
        (true | false, None) => Ok(()),
    }
}

fn check(world: &World, call: &Call<'_>, options: &Config) -> Result<(), Fail> {
    selection::rights(world, call.who, options)?;
    if let Some(pool) = options.get("pool").filter(|p| !p.is_empty()) {
        if !world.pools.contains_key(pool) {
            return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")));
        }
        world.need(call.who, &format!("/pool/{pool}"), &["VM.Backup"])?;
    }
    Ok(())
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut options = call.params.clone();
    check(world, call, &options)?;
    convert_time(&mut options, true)?;
    options.entry("enabled".to_owned()).or_insert_with(|| "1".to_owned());
    let id = options.remove("id").unwrap_or_else(|| world.chance.uuid());
    if world.backup.jobs.contains_key(&id) {
        return Err(Fail::die(format!("Job '{id}' already exists")).into());
    }
    selection::verify(&mut options)?;
    world.backup.jobs.insert(id, options);
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let mut set = call.params.clone();
    set.remove("id");
    let delete = set.remove("delete").unwrap_or_default();
    check(world, call, &set)?;
    convert_time(&mut set, false)?;
    let mut job = world.backup.jobs.get(id).cloned().ok_or_else(|| missing(id))?;
    for key in delete.split([',', ';', ' ']).filter(|k| !k.is_empty()) {
        if !call.method.params.contains_key(key) {
            return Err(Fail::param("delete", format!("unknown option '{key}'")).into());
        }
        if ["tmpdir", "dumpdir", "script"].contains(&key) && !call.who.is_root() {
            return Err(Fail::param(key, "Only root may set this option.").into());
        }
        job.remove(key);
    }
    // A new selection takes the place of the old one.
    let others: &[&str] = if set.contains_key("vmid") {
        &["all", "exclude", "pool"]
    } else if set.get("all").is_some_and(|a| a == "1") {
        &["vmid", "pool"]
    } else if set.contains_key("pool") {
        &["vmid", "all", "exclude"]
    } else {
        &[]
    };
    others.iter().filter(|o| !set.contains_key(**o)).for_each(|o| {
        job.remove(*o);
    });
    job.extend(set);
    selection::verify(&mut job)?;
    world.backup.jobs.insert(id.to_owned(), job);
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    if world.backup.jobs.remove(id).is_none() {
        return Err(missing(id).into());
    }
    now(Value::Null)
}
