//! Replication jobs: `/cluster/replication`, and how they go: `/nodes/{node}/replication`.

use serde_json::{Map, Value, json};

use crate::calls::lxc::mountpoint::{self, is_mountpoint_key};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::backup::{Backup, scheduler};
use crate::state::World;
use crate::state::backup::Replication;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, option_of};
use crate::state::guest::Guest;

fn row(id: &str, job: &Replication) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("id".to_owned(), json!(id));
    row.insert("guest".to_owned(), json!(job.guest));
    row.insert("jobnum".to_owned(), json!(job.number));
    for (key, value) in &job.options {
        let shown = match (key.as_str(), value.parse::<f64>()) {
            ("disable", _) => json!(i32::from(value == "1")),
            ("rate", Ok(rate)) => json!(rate),
            _ => json!(value),
        };
        row.insert(key.clone(), shown);
    }
    row
}

fn may_see(world: &World, call: &Call<'_>, job: &Replication) -> bool {
    world.may(call.who, &format!("/vms/{}", job.guest), "VM.Audit")
}

fn missing(id: &str) -> Fail {
    Fail::die(format!("no such replication job '{id}'"))
}

fn the<'a>(world: &'a World, call: &Call<'_>) -> Result<&'a Replication, Fail> {
    let id = call.str("id");
    world.backup.replication.get(id).ok_or_else(|| missing(id))
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let jobs = world.backup.replication.iter().filter(|(_, job)| may_see(world, call, job));
    now(jobs.map(|(id, job)| Value::Object(row(id, job))).collect::<Value>())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (guest, _) = numbers(call.str("id"))?;
    world.need(call.who, &format!("/vms/{guest}"), &["VM.Audit"])?;
    let mut row = row(call.str("id"), the(world, call)?);
    row.insert("digest".to_owned(), json!(digest(world)));
    now(Value::Object(row))
}

/// The digest of all jobs.
fn digest(world: &World) -> String {
    use sha1::Digest as _;
    let text: Vec<String> = world.backup.replication.iter().map(|(id, r)| format!("{id} {:?}", r.options)).collect();
    hex::encode(sha1::Sha1::digest(text.join("\n").as_bytes()))
}

/// Guest and number of `GUEST-NUMBER`.
fn numbers(id: &str) -> Result<(u32, u32), Fail> {
    let parts = id.split_once('-').and_then(|(guest, number)| Some((guest.parse().ok()?, number.parse().ok()?)));
    parts.ok_or_else(|| Fail::die(format!("invalid replication job id '{id}'")))
}

/// The volumes that a job would take, or why it can't.
fn replicatable(world: &World, guest: &Guest) -> Result<usize, Fail> {
    let mut count = 0;
    for (key, text) in &guest.config {
        let volid = if is_drive_key(key) && !is_cdrom(text) {
            file_of(text)
        } else if is_mountpoint_key(key) {
            mountpoint::volume(text)
        } else {
            continue;
        };
        if option_of(text, "replicate") == Some("0") {
            continue;
        }
        let storage = volid.split_once(':').and_then(|(id, _)| world.storages.get(id));
        match storage {
            Some(storage) if storage.shared => {}
            Some(storage) if storage.kind == "zfspool" => count += 1,
            Some(_) => return Err(Fail::die(format!("missing replicate feature on volume '{volid}'"))),
            None => return Err(Fail::die("missing replicate feature on a volume that is no storage's")),
        }
    }
    Ok(count)
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let (vmid, number) = numbers(id)?;
    world.need(call.who, &format!("/vms/{vmid}"), &["VM.Replicate"])?;
    let target = call.str("target");
    let guest = world.guests.get(&vmid);
    let guest = guest.ok_or_else(|| Fail::die(format!("Guest '{vmid}' does not exist.")))?;
    if world.node(target).is_none() {
        return Err(Fail::die(format!("Target '{target}' does not exist.")).into());
    }
    if target == guest.node {
        return Err(Fail::die("Source and target must not be identical").into());
    }
    if replicatable(world, guest)? == 0 {
        return Err(Fail::die("No replicatable volumes found").into());
    }
    if world.backup.replication.contains_key(id) {
        return Err(Fail::die(format!("replication job '{id}' already exists")).into());
    }
    let twin = world.backup.replication_of(vmid).find(|other| {
        world.backup.replication.get(*other).and_then(|r| r.options.get("target")).is_some_and(|t| t == target)
    });
    if twin.is_some() {
        return Err(Fail::die(format!("replication job for guest '{vmid}' to target '{target}' already exists")).into());
    }
    let mut options = call.params.clone();
    options.remove("id");
    options.insert("source".to_owned(), guest.node.clone());
    let job = Replication { guest: vmid, number, options, ..Replication::default() };
    world.backup.replication.insert(id.to_owned(), job);
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let (vmid, _) = numbers(id)?;
    world.need(call.who, &format!("/vms/{vmid}"), &["VM.Replicate"])?;
    if call.get("digest").is_some_and(|d| d != digest(world)) {
        return Err(Fail::die("detected modified configuration - file changed by other user? Try again.").into());
    }
    let job = world.backup.replication.get_mut(id).ok_or_else(|| missing(id))?;
    for key in call.str("delete").split([',', ';', ' ']).filter(|k| !k.is_empty()) {
        if ["id", "type", "target", "guest", "jobnum"].contains(&key) {
            return Err(Fail::param("delete", format!("unable to delete required property '{key}'")).into());
        }
        if !call.method.params.contains_key(key) {
            return Err(Fail::die(format!("no such option '{key}'")).into());
        }
        job.options.remove(key);
    }
    for (key, value) in call.params.iter().filter(|(k, _)| !["id", "delete", "digest"].contains(&k.as_str())) {
        job.options.insert(key.clone(), value.clone());
    }
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let (vmid, _) = numbers(id)?;
    world.need(call.who, &format!("/vms/{vmid}"), &["VM.Replicate"])?;
    if call.flag("keep") && call.flag("force") {
        return Err(Fail::param("keep", "conflicts with parameter 'force'").into());
    }
    if call.flag("force") {
        world.backup.replication.remove(id).ok_or_else(|| missing(id))?;
        return now(Value::Null);
    }
    let job = world.backup.replication.get_mut(id).ok_or_else(|| missing(id))?;
    let how = if call.flag("keep") { "local" } else { "full" };
    job.removing = Some(how.to_owned());
    job.options.insert("remove_job".to_owned(), how.to_owned());
    let node = world.guests.get(&vmid).map(|g| g.node.clone()).unwrap_or_default();
    spawn(world, call, &node, id);
    now(Value::Null)
}

/// The scheduler of the guest's node takes the job up.
fn spawn(world: &mut World, call: &Call<'_>, node: &str, id: &str) -> String {
    let job = Job::Backup(Box::new(Backup::Replicate { id: id.to_owned() }));
    let after = world.pace.of("replicate");
    let vmid = id.split('-').next().unwrap_or_default().to_owned();
    world.spawn(node, "vzreplicate", &vmid, call.who, job, after)
}

fn state(world: &World, id: &str, job: &Replication) -> Value {
    let mut row = row(id, job);
    let kind = world.guests.get(&job.guest).map_or("qemu", |g| g.kind.word());
    row.insert("vmtype".to_owned(), json!(kind));
    let schedule = job.options.get("schedule").map_or("*/15", String::as_str);
    row.entry("schedule").or_insert_with(|| json!(schedule));
    let next = if job.next_sync > 0 { Some(job.next_sync) } else { scheduler::next(schedule, world.seconds()) };
    for (key, value) in [
        ("last_sync", json!(job.last_sync)),
        ("last_try", json!(job.last_try)),
        ("fail_count", json!(job.fail_count)),
        ("duration", json!(job.duration)),
        ("next_sync", json!(next)),
    ] {
        row.insert(key.to_owned(), value);
    }
    if let Some(error) = &job.error {
        row.insert("error".to_owned(), json!(error));
    }
    Value::Object(row)
}

fn of_node(world: &World, job: &Replication, node: &str) -> bool {
    world.guests.get(&job.guest).is_some_and(|g| g.node == node)
}

pub(crate) fn states(world: &mut World, call: &Call<'_>) -> Outcome {
    let rows = world
        .backup
        .replication
        .iter()
        .filter(|(_, job)| of_node(world, job, call.node()) && may_see(world, call, job))
        .filter(|(_, job)| call.number("guest").is_none_or(|g| g == i64::from(job.guest)))
        .map(|(id, job)| state(world, id, job));
    now(rows.collect::<Value>())
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let (guest, _) = numbers(call.str("id"))?;
    world.need(call.who, &format!("/vms/{guest}"), &["VM.Audit"])?;
    let job = the(world, call).ok().filter(|job| of_node(world, job, call.node()));
    let job = job.ok_or_else(|| missing(call.str("id")))?;
    now(state(world, call.str("id"), job))
}

pub(crate) fn log(world: &mut World, call: &Call<'_>) -> Outcome {
    let (guest, _) = numbers(call.str("id"))?;
    let node = format!("/nodes/{}", call.node());
    if !world.may(call.who, &format!("/vms/{guest}"), "VM.Audit") {
        world.need(call.who, &node, &["Sys.Audit"])?;
    }
    let lines = the(world, call).map(|job| job.log.clone()).unwrap_or_default();
    let start = call.number("start").and_then(|s| usize::try_from(s).ok()).unwrap_or_default();
    let limit = call.number("limit").and_then(|l| usize::try_from(l).ok()).filter(|l| *l > 0).unwrap_or(50);
    let rows = lines.iter().enumerate().skip(start).take(limit).map(|(n, t)| json!({"n": n + 1, "t": t}));
    let total = lines.len();
    Ok(crate::calls::Done::Total(rows.collect::<Value>(), total))
}

pub(crate) fn schedule_now(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let (vmid, _) = numbers(id)?;
    world.need(call.who, &format!("/vms/{vmid}"), &["VM.Replicate"])?;
    the(world, call)?;
    let upid = spawn(world, call, call.node(), id);
    now(json!(upid))
}
