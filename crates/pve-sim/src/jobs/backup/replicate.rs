//! One run of a replication job.

use super::{dates, scheduler};
use crate::state::World;

pub(crate) fn step(world: &mut World, upid: &str, id: &str, doom: Option<String>) -> Result<(), String> {
    let now = world.seconds();
    let Some(job) = world.backup.replication.get(id).cloned() else {
        return Err(format!("no such replication job '{id}'"));
    };
    let stamp = dates::stamp(now);
    if let Some(how) = &job.removing {
        world.log(upid, format!("{stamp} {id}: start removing replication job ({how})"));
        world.backup.replication.remove(id);
        return Ok(());
    }
    let target = job.options.get("target").cloned().unwrap_or_default();
    let mut lines = vec![
        format!("{stamp} {id}: start replication job"),
        format!("{stamp} {id}: guest => {}, running => {}", job.guest, running(world, job.guest)),
    ];
    let result = match doom {
        Some(text) => Err(text),
        None if !world.guests.contains_key(&job.guest) => Err(format!("guest '{}' does not exist", job.guest)),
        None if world.node(&target).is_none_or(|n| !n.online) => Err(format!("node '{target}' is offline")),
        None => Ok(()),
    };
    lines.push(match &result {
        Ok(()) => format!("{stamp} {id}: end replication job"),
        Err(text) => format!("{stamp} {id}: end replication job with error: {text}"),
    });
    for line in &lines {
        world.log(upid, line.clone());
    }
    let schedule = job.options.get("schedule").map_or("*/15", String::as_str);
    let next = scheduler::next(schedule, now).unwrap_or(now + 900);
    if let Some(job) = world.backup.replication.get_mut(id) {
        job.log = lines;
        job.last_try = now;
        match &result {
            Ok(()) => {
                (job.last_sync, job.fail_count, job.error) = (now, 0, None);
                job.next_sync = next;
            }
            Err(text) => {
                job.fail_count += 1;
                job.error = Some(text.clone());
                // The first failures are tried again soon.
                job.next_sync = if job.fail_count < 3 { now + 300 * i64::from(job.fail_count) } else { now + 1800 };
            }
        }
    }
    result
}

fn running(world: &World, vmid: u32) -> u8 {
    u8::from(world.guests.get(&vmid).is_some_and(crate::state::guest::Guest::running))
}

/// The jobs whose time came between two moments, with the nodes that run them.
pub(crate) fn due(world: &World, last: i64, now: i64) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (id, job) in &world.backup.replication {
        let Some(guest) = world.guests.get(&job.guest) else { continue };
        let schedule = job.options.get("schedule").map_or("*/15", String::as_str);
        let at = if job.next_sync > last { Some(job.next_sync) } else { scheduler::next(schedule, last) };
        let enabled = job.options.get("disable").is_none_or(|d| d != "1") && job.removing.is_none();
        let away = job.options.get("target").is_some_and(|t| *t != guest.node);
        if enabled && away && world.node(&guest.node).is_some_and(|n| n.online) && at.is_some_and(|at| at <= now) {
            found.push((guest.node.clone(), id.clone()));
        }
    }
    found
}
