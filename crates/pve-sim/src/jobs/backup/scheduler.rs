//! The scheduler: backup jobs and replication jobs run when their time has come.
//!
//! It looks at every round of the statistics daemon. A job whose time came more than once between two looks, as after
//! a jump of the clock, runs once.

use super::vzdump::{Stage, Vzdump};
use super::{Backup, replicate};
use crate::calendar::Event;
use crate::calls::backup::{selection, vzdump};
use crate::jobs::Job;
use crate::perm::Who;
use crate::state::World;
use crate::state::guest::Config;

/// Options of a job that are no options of a backup.
const OF_JOBS: [&str; 6] = ["schedule", "enabled", "comment", "repeat-missed", "next-run", "node"];

/// When a schedule is due next after a time.
pub(crate) fn next(schedule: &str, after: i64) -> Option<i64> {
    Event::parse(schedule)?.next(after)
}

/// Starts what has become due since the last look.
pub(crate) fn look(world: &mut World) {
    let now = world.seconds();
    let last = std::mem::replace(&mut world.backup.looked, now);
    if last == 0 || last >= now {
        return;
    }
    let due = |job: &Config| {
        let enabled = job.get("enabled").is_none_or(|e| e != "0");
        enabled && job.get("schedule").and_then(|s| next(s, last)).is_some_and(|at| at <= now)
    };
    let jobs: Vec<(String, Config)> =
        world.backup.jobs.iter().filter(|(_, job)| due(job)).map(|(id, job)| (id.clone(), job.clone())).collect();
    for (id, job) in jobs {
        back_up(world, &id, &job);
    }
    let due = replicate::due(world, last, now);
    for (node, id) in due {
        let vmid = id.split('-').next().unwrap_or_default().to_owned();
        let after = world.pace.of("replicate");
        let job = Job::Backup(Box::new(Backup::Replicate { id }));
        world.spawn(&node, "vzreplicate", &vmid, &Who("root@pam".to_owned()), job, after);
    }
}

/// One backup task on each node that has guests of the job.
fn back_up(world: &mut World, id: &str, job: &Config) {
    let all = selection::guests(world, job).unwrap_or_default();
    let only = job.get("node");
    let nodes: Vec<String> =
        world.nodes.iter().filter(|n| n.online && only.is_none_or(|o| *o == n.name)).map(|n| n.name.clone()).collect();
    for node in nodes {
        let here = |v: &u32| world.guests.get(v).is_none_or(|g| g.node == node);
        let (guests, skipped): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(here);
        if guests.is_empty() {
            continue;
        }
        let mut options: Config =
            job.iter().filter(|(k, _)| !OF_JOBS.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
        options.insert("job-id".to_owned(), id.to_owned());
        let name = match guests.as_slice() {
            [one] => one.to_string(),
            _ => String::new(),
        };
        let command = vzdump::command(&options);
        let stage = Stage::Queued { waiting: false };
        let work = Vzdump { node: node.clone(), options, command, guests, skipped, stage, errors: 0 };
        let job = Job::Backup(Box::new(Backup::Vzdump(work)));
        world.spawn(&node, "vzdump", &name, &Who("root@pam".to_owned()), job, 0.001);
    }
}
