//! The work of tasks, one file a noun.
//!
//! A job is a value that is part of the world; [`step`] does its next due piece and says what follows.

pub(crate) mod backup;
pub(crate) mod bulk;
pub(crate) mod clone;
pub(crate) mod create;
mod date;
pub(crate) mod destroy;
pub(crate) mod disk;
pub(crate) mod image;
mod lock;
pub(crate) mod lxc;
pub(crate) mod migrate;
pub(crate) mod network;
pub(crate) mod power;
pub(crate) mod snapshot;
pub(crate) mod suspend;
pub(crate) mod volume;

use serde::{Deserialize, Serialize};

use self::power::Locks;
use crate::state::World;
use crate::state::guest::Config;

/// What a task does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Job {
    Create(create::Create),
    Clone(clone::Clone),
    Template {
        vmid: u32,
    },
    Destroy(destroy::Destroy),
    Move(disk::Move),
    Reassign(disk::Reassign),
    Start {
        vmid: u32,
    },
    /// A start that passes over the lock of the configuration.
    StartLocked {
        vmid: u32,
    },
    Stop(power::Stop),
    Shutdown(power::Shutdown),
    Reset(power::Reset),
    Pause(power::Pause),
    Suspend(suspend::Suspend),
    /// A console that nobody comes to look at.
    Console,
    Locked(lock::Locked),
    Resize(disk::Resize),
    Configure {
        vmid: u32,
        node: String,
        change: Config,
    },
    Upload(volume::Upload),
    DeleteVolume {
        node: String,
        volid: String,
    },
    CopyVolume(volume::Copy),
    /// Nothing more than waiting for so many copies of contents.
    Settle,
    Fetch(volume::Fetch),
    Pull(volume::Pull),
    Snapshot(snapshot::Snapshot),
    Migrate(migrate::Migrate),
    HaMigrate {
        vmid: u32,
        target: String,
    },
    Ha {
        vmid: u32,
        state: String,
    },
    Bulk(bulk::Bulk),
    /// Only the log says that it was done.
    Nothing {
        log: Vec<String>,
    },
    ReloadNetwork {
        node: String,
    },
    ReloadAllNetworks,
    Lxc(Box<lxc::Lxc>),
    Backup(Box<backup::Backup>),
}

/// What follows a step.
#[derive(Debug)]
pub(crate) enum Next {
    /// Go on with this job in so many seconds.
    Again(Box<Job>, f64),
    Done,
    Failed(String),
}

impl From<Result<(), String>> for Next {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(text) => Self::Failed(text),
        }
    }
}

/// Does the next piece of a task's work.
pub(crate) fn step(world: &mut World, upid: &str, job: Job) -> Next {
    let job = match lock::taken(world, upid, job) {
        Ok(job) => job,
        Err(next) => return next,
    };
    let doom = world.tasks.get(upid).and_then(|t| t.fails.clone());
    match job {
        Job::Create(create) => create::step(world, upid, &create, doom),
        Job::Clone(clone) => clone::step(world, upid, clone, doom),
        Job::Lxc(job) => lxc::step(world, upid, *job, doom),
        Job::Backup(job) => backup::step(world, upid, *job, doom),
        other => {
            if let Some(text) = doom {
                return Next::Failed(text);
            }
            match other {
                Job::Template { vmid } => disk::template(world, vmid).into(),
                Job::Destroy(destroy) => destroy::destroy(world, upid, &destroy).into(),
                Job::Move(relocate) => disk::relocate(world, upid, relocate),
                Job::Reassign(reassign) => disk::reassign(world, upid, &reassign).into(),
                Job::Start { vmid } => power::start(world, upid, vmid, Locks::Heed).into(),
                Job::StartLocked { vmid } => power::start(world, upid, vmid, Locks::Skip).into(),
                Job::Stop(stop) => power::stop(world, upid, stop),
                Job::Shutdown(shutdown) => power::shutdown(world, upid, shutdown),
                Job::Reset(reset) => power::reset(world, &reset).into(),
                Job::Pause(pause) => power::pause(world, &pause).into(),
                Job::Suspend(suspend) => suspend::step(world, upid, suspend),
                Job::Console => Next::Failed("connection timed out".to_owned()),
                Job::Resize(resize) => disk::resize(world, upid, &resize).into(),
                Job::Configure { vmid, node, change } => {
                    crate::calls::qemu::config_change::in_task(world, upid, &node, vmid, &change).into()
                }
                Job::Upload(upload) => volume::upload(world, upid, upload).into(),
                Job::DeleteVolume { node, volid } => volume::delete(world, upid, &node, &volid).into(),
                Job::CopyVolume(copy) => volume::copy(world, &copy).into(),
                Job::Fetch(fetch) => volume::fetch(world, upid, fetch).into(),
                Job::Pull(pull) => volume::pull(world, upid, pull).into(),
                Job::Snapshot(snapshot) => snapshot::step(world, upid, snapshot),
                Job::Migrate(migrate) => migrate::step(world, upid, migrate),
                Job::HaMigrate { vmid, target } => {
                    power::ha_migrate(world, vmid, &target);
                    Next::Done
                }
                Job::Ha { vmid, state } => {
                    power::ha(world, vmid, &state);
                    Next::Done
                }
                Job::ReloadAllNetworks => {
                    network::reload_all(world, upid);
                    Next::Done
                }
                Job::ReloadNetwork { node } => {
                    network::reload(world, &node);
                    Next::Done
                }
                Job::Bulk(bulk) => bulk::step(world, upid, bulk),
                Job::Nothing { log } => {
                    for line in log {
                        world.log(upid, line);
                    }
                    Next::Done
                }
                Job::Create(_) | Job::Clone(_) | Job::Locked(_) | Job::Lxc(_) | Job::Backup(_) | Job::Settle => {
                    Next::Done
                }
            }
        }
    }
}
