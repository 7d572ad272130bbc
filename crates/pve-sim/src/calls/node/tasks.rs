//! Tasks: the lists, one task's state and log, stopping one.

use serde_json::{Value, json};

use crate::calls::{Call, Done, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{self, Job};
use crate::perm::Who;
use crate::schema::is_node_name;
use crate::state::World;
use crate::state::task::Task;

/// Whether a UPID has the right form.
fn well_formed(upid: &str) -> bool {
    let parts: Vec<&str> = upid.split(':').collect();
    let hex =
        |text: &str, lengths: &[usize]| lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    parts.len() == 9
        && parts[0] == "UPID"
        && is_node_name(parts[1])
        && hex(parts[2], &[8])
        && hex(parts[3], &[8, 9])
        && hex(parts[4], &[8])
        && !parts[5].is_empty()
        && !parts[7].is_empty()
        && parts[8].is_empty()
}

/// The task of a call, if it is still known and the caller may look.
fn seen<'w>(world: &'w World, call: &Call<'_>, privilege: &str) -> Result<Option<&'w Task>, Fail> {
    let upid = call.str("upid");
    if !well_formed(upid) {
        return Err(Fail::param("upid", "unable to parse worker upid"));
    }
    // Who may look is decided by the name in the UPID, so that it is decided for tasks that are gone, too.
    let owner = upid.split(':').nth(7).unwrap_or_default();
    if !owns(call.who, owner) {
        world.need(call.who, &format!("/nodes/{}", call.node()), &[privilege])?;
    }
    Ok(world.tasks.get(upid))
}

fn find<'w>(world: &'w World, call: &Call<'_>, privilege: &str) -> Result<&'w Task, Fail> {
    seen(world, call, privilege)?.ok_or_else(|| Fail::param("upid", "no such task"))
}

/// A user owns the tasks of its tokens; a token only its own.
fn owns(who: &Who, owner: &str) -> bool {
    who.0 == owner || (who.token().is_none() && owner.split('!').next() == Some(who.0.as_str()))
}

fn row(task: &Task) -> Value {
    let mut row = json!({
        "upid": task.upid, "node": task.node, "pid": task.pid, "pstart": task.pstart, "starttime": task.starttime,
        "type": task.kind, "id": task.id, "user": task.who.user(),
    });
    if let Some(token) = task.who.token() {
        row["tokenid"] = json!(token);
    }
    row
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let task = find(world, call, "Sys.Audit")?;
    let mut data = row(task);
    data["status"] = json!(if task.running() { "running" } else { "stopped" });
    if !task.running() {
        data["exitstatus"] = json!(task.exitstatus());
    }
    now(data)
}

pub(crate) fn log(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(task) = seen(world, call, "Sys.Audit")? else {
        let line = "unable to open file - No such file or directory";
        return Ok(Done::Total(json!([{"n": 1, "t": line}]), 1));
    };
    if call.flag("download") {
        return download(task, call);
    }
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(0);
    let limit = usize::try_from(call.number("limit").unwrap_or(50)).unwrap_or(50);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let total = task.log.len();
    if total == 0 {
        return Ok(Done::Total(json!([{"n": 1, "t": "no content"}]), 1));
    }
    let lines: Vec<Value> =
        task.log.iter().enumerate().skip(start).take(limit).map(|(n, line)| json!({"n": n + 1, "t": line})).collect();
    Ok(Done::Total(Value::Array(lines), total))
}

/// The whole log as a file.
fn download(task: &Task, call: &Call<'_>) -> Outcome {
    for key in ["start", "limit"] {
        if call.get(key).is_some() {
            return Err(Fail::param(key, "parameter 'download' can't be used with other parameters").into());
        }
    }
    let text = task.log.iter().fold(String::new(), |text, line| text + line + "\n");
    let time = jiff::Timestamp::from_second(task.starttime).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ");
    Ok(Done::File(text, format!("task-{}-{}-{time}.log", task.node, task.kind)))
}

fn class(exit: &str) -> &'static str {
    match exit {
        "OK" => "ok",
        "unexpected status" => "unknown",
        text if text.starts_with("WARNINGS: ") => "warning",
        _ => "error",
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    let all = world.may(call.who, &format!("/nodes/{node}"), "Sys.Audit");
    let source = call.get("source").unwrap_or("archive");
    let wanted: Vec<&str> = call.str("statusfilter").split(',').filter(|s| !s.is_empty()).collect();
    let user = call.get("userfilter").map(str::to_lowercase);
    let mut tasks: Vec<&Task> = world
        .tasks
        .values()
        .filter(|t| t.node == node)
        .filter(|t| all || owns(call.who, &t.who.0))
        .filter(|t| match source {
            "archive" => !t.running(),
            "active" => t.running(),
            _ => true,
        })
        .filter(|t| call.get("vmid").is_none_or(|v| t.id == v))
        .filter(|t| call.get("typefilter").is_none_or(|k| t.kind == k))
        .filter(|t| user.as_ref().is_none_or(|u| t.who.user().to_lowercase().contains(u)))
        .filter(|t| call.number("since").is_none_or(|s| t.starttime >= s))
        .filter(|t| call.number("until").is_none_or(|u| t.starttime <= u))
        .filter(|t| !call.flag("errors") || (!t.running() && t.exitstatus() != "OK"))
        .filter(|t| wanted.is_empty() || (!t.running() && wanted.contains(&class(&t.exitstatus()))))
        .collect();
    tasks.sort_by_key(|t| std::cmp::Reverse((t.running(), t.order)));
    let total = tasks.len();
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(0);
    let limit = usize::try_from(call.number("limit").unwrap_or(50)).unwrap_or(50);
    let rows: Vec<Value> = tasks
        .into_iter()
        .skip(start)
        .take(limit)
        .map(|task| {
            let mut row = row(task);
            if let Some(end) = task.endtime {
                row["endtime"] = json!(end);
                row["status"] = json!(task.exitstatus());
            } else {
                row["status"] = json!("RUNNING");
                row["saved"] = json!("0");
            }
            row
        })
        .collect();
    Ok(Done::Total(Value::Array(rows), total))
}

pub(crate) fn cluster(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = world.may(call.who, "/", "Sys.Audit");
    let mut rows = Vec::new();
    for node in &world.nodes {
        // Here a token is compared with the plain user of a task: it sees next to nothing.
        let mut tasks: Vec<&Task> =
            world.tasks.values().filter(|t| t.node == node.name && (all || t.who.user() == call.who.0)).collect();
        tasks.sort_by_key(|t| std::cmp::Reverse(t.order));
        let mut finished = 0;
        for task in tasks {
            let mut row = json!({
                "upid": task.upid, "node": task.node, "starttime": task.starttime, "type": task.kind,
                "id": task.id, "user": task.who.user(),
            });
            if let Some(token) = task.who.token() {
                row["tokenid"] = json!(token);
            }
            if task.running() {
                row["pid"] = json!(task.pid);
            }
            if let Some(end) = task.endtime {
                finished += 1;
                if finished > 25 {
                    continue;
                }
                row["endtime"] = json!(end);
                row["status"] = json!(task.exitstatus());
                row["saved"] = json!("1");
            }
            rows.push(row);
        }
    }
    now(Value::Array(rows))
}

pub(crate) fn stop(world: &mut World, call: &Call<'_>) -> Outcome {
    let task = find(world, call, "Sys.Modify")?;
    let upid = task.upid.clone();
    if !task.running() {
        return now(Value::Null);
    }
    match world.tasks.get_mut(&upid).and_then(|t| t.job.take()) {
        Some(Job::Clone(clone)) => {
            jobs::clone::abandon(world, &clone);
            world.end(&upid, Some("clone failed: interrupted by signal".to_owned()));
        }
        Some(Job::Create(create)) => {
            world.forget(create.vmid);
            world.end(&upid, Some("interrupted by signal".to_owned()));
        }
        Some(Job::Snapshot(work)) => {
            jobs::snapshot::stopped(world, &work);
            world.end(&upid, Some("received interrupt".to_owned()));
        }
        _ => world.end(&upid, Some("received interrupt".to_owned())),
    }
    now(Value::Null)
}
