//! Tasks that have to wait for a guest's lock file.
//!
//! A task whose guest is locked says so in its log, waits ten seconds and fails. Those that have the lock are named in
//! [`crate::state::flock`].

use serde::{Deserialize, Serialize};

use super::{Job, Next};
use crate::state::World;
use crate::state::flock::Hold;

/// A task that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Locked {
    job: Box<Job>,
    vmid: u32,
    /// Then it gives up.
    until: f64,
}

/// How long a task waits.
const PATIENCE: f64 = 10.0;
/// How often it looks.
const LOOK: f64 = 0.05;

/// The guest whose lock file a job needs before it does anything.
fn wanted(job: &Job) -> Option<u32> {
    Some(match job {
        Job::Start { vmid } | Job::StartLocked { vmid } | Job::Template { vmid } | Job::Configure { vmid, .. } => *vmid,
        Job::Stop(stop) => stop.vmid,
        Job::Destroy(destroy) => destroy.vmid,
        Job::Move(relocate) => relocate.vmid,
        Job::Reassign(reassign) => reassign.vmid,
        Job::Migrate(migrate) => migrate.vmid,
        Job::Reset(reset) => reset.vmid,
        Job::Pause(pause) => pause.vmid,
        Job::Shutdown(shutdown) => shutdown.vmid,
        Job::Suspend(suspend) => suspend.vmid,
        Job::Resize(resize) => resize.vmid,
        Job::Snapshot(snapshot) => snapshot.vmid,
        Job::Lxc(job) => return job.locks(),
        _ => return None,
    })
}

/// The job, if its lock is to be had; else what follows.
pub(super) fn taken(world: &mut World, upid: &str, job: Job) -> Result<Job, Next> {
    let (job, vmid, until) = match job {
        Job::Locked(Locked { job, vmid, until }) => (*job, vmid, Some(until)),
        job => match wanted(&job) {
            Some(vmid) => (job, vmid, None),
            None => return Ok(job),
        },
    };
    if !world.is_flocked(vmid, Some(upid), Hold::Exclusive) {
        if until.is_some() {
            world.log(upid, " OK");
        }
        world.hold(vmid, upid, Hold::Exclusive);
        return Ok(job);
    }
    let Some(until) = until else {
        world.log(upid, "trying to acquire lock...");
        let until = world.now + world.pace.scaled(PATIENCE);
        return Err(Next::Again(Box::new(Job::Locked(Locked { job: Box::new(job), vmid, until })), LOOK));
    };
    if world.now >= until {
        return Err(Next::Failed(world.lock_timeout(vmid)));
    }
    Err(Next::Again(Box::new(Job::Locked(Locked { job: Box::new(job), vmid, until })), LOOK))
}
