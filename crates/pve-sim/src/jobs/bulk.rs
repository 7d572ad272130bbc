//! Many guests, one task: start, shut down, suspend or move them, so many at a time.

use serde::{Deserialize, Serialize};

use super::lxc::{self, Lxc, power::Down};
use super::migrate::Migrate;
use super::power::{Pause, Shutdown, Stop};
use super::{Job, Next};
use crate::perm::Who;
use crate::state::World;
use crate::state::drive::option_of;
use crate::state::guest::GuestKind;

/// What is done with each guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Start,
    Stop,
    Shutdown { force: bool, timeout: f64 },
    Suspend,
    Migrate { target: String },
}

/// A bulk action under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bulk {
    pub(crate) action: Action,
    /// Those that are still to do, the next one last.
    pub(crate) todo: Vec<u32>,
    pub(crate) workers: usize,
    /// Guests and their tasks.
    #[serde(default)]
    pub(crate) active: Vec<(u32, String)>,
    #[serde(default)]
    pub(crate) failed: Vec<u32>,
    /// The text that names those which failed; none if it goes well all the same.
    #[serde(default)]
    pub(crate) complains: bool,
}

/// How often a waiting job looks.
const LOOK: f64 = 0.1;

/// Guests in the order in which they are started: by `startup: order=N`, then by number.
pub(crate) fn in_order(world: &World, mut vmids: Vec<u32>) -> Vec<u32> {
    let order = |vmid: &u32| {
        let startup = world.guests.get(vmid).and_then(|g| g.get("startup"));
        startup
            .and_then(|s| option_of(s, "order").map(str::to_owned).or_else(|| s.split(',').next().map(str::to_owned)))
            .and_then(|o| o.parse::<u32>().ok())
            .unwrap_or(u32::MAX)
    };
    vmids.sort_by_key(|v| (order(v), *v));
    vmids
}

/// Starts the task that does an action with one guest; none if there is nothing to do.
pub(crate) fn launch(world: &mut World, vmid: u32, who: &Who, action: &Action) -> Option<String> {
    let guest = world.guests.get(&vmid)?;
    if guest.kind == GuestKind::Lxc {
        return container(world, vmid, who, action);
    }
    let (node, running, template) = (guest.node.clone(), guest.running(), guest.is_template());
    let prefix = if guest.kind == GuestKind::Lxc { "vz" } else { "qm" };
    let (kind, job, pace) = match action {
        Action::Start if !running && !template => ("start", Job::Start { vmid }, "start"),
        Action::Stop if running => {
            ("stop", Job::Stop(Stop { vmid, node: node.clone(), until: None, skiplock: false }), "stop")
        }
        Action::Shutdown { force, timeout } if running => {
            let shutdown = Shutdown {
                vmid,
                node: node.clone(),
                timeout: *timeout,
                force: *force,
                again: false,
                until: None,
                paper_done: None,
                skiplock: false,
            };
            ("shutdown", Job::Shutdown(shutdown), "")
        }
        Action::Suspend if running => ("suspend", Job::Pause(Pause { vmid, paused: true, skiplock: false }), "suspend"),
        Action::Migrate { target } if *target != node => {
            ("migrate", Job::Migrate(Migrate::new(vmid, &node, target, running)), "")
        }
        Action::Start | Action::Stop | Action::Shutdown { .. } | Action::Suspend | Action::Migrate { .. } => {
            return None;
        }
    };
    let kind = if kind == "migrate" && prefix == "qm" { "qmigrate".to_owned() } else { format!("{prefix}{kind}") };
    let after = if pace.is_empty() { 0.01 } else { world.pace.of(pace) };
    Some(world.spawn(&node, &kind, &vmid.to_string(), who, job, after))
}

/// The same with a container, which restarts when it moves.
fn container(world: &mut World, vmid: u32, who: &Who, action: &Action) -> Option<String> {
    let guest = world.guests.get(&vmid)?;
    let (node, running, template) = (guest.node.clone(), guest.running(), guest.is_template());
    let (kind, job, pace) = match action {
        Action::Start if !running && !template => {
            ("vzstart", Lxc::Start { vmid, node: node.clone(), skiplock: false }, world.pace.of("start"))
        }
        Action::Stop if running => {
            ("vzstop", Lxc::Stop { vmid, node: node.clone(), skiplock: false }, world.pace.of("stop"))
        }
        Action::Shutdown { force, timeout } if running => {
            let down = Down { vmid, node: node.clone(), timeout: *timeout, force: *force, again: false, begun: false };
            ("vzshutdown", Lxc::Down(down), 0.01)
        }
        Action::Suspend if running => {
            ("vzsuspend", Lxc::Freeze { vmid, node: node.clone(), frozen: true }, world.pace.of("suspend"))
        }
        Action::Migrate { target } if *target != node => {
            let migrate = lxc::migrate::Migrate {
                vmid,
                node: node.clone(),
                target: target.clone(),
                restart: running,
                map: Vec::new(),
                managed: false,
                locked: false,
                begun: world.now,
            };
            ("vzmigrate", Lxc::Migrate(migrate), 0.01)
        }
        Action::Start | Action::Stop | Action::Shutdown { .. } | Action::Suspend | Action::Migrate { .. } => {
            return None;
        }
    };
    Some(world.spawn(&node, kind, &vmid.to_string(), who, Job::Lxc(Box::new(job)), pace))
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Start => "Starting",
        Action::Stop => "Stopping",
        Action::Shutdown { .. } => "Shutting down",
        Action::Suspend => "Suspending",
        Action::Migrate { .. } => "Migrating",
    }
}

pub(crate) fn step(world: &mut World, upid: &str, mut bulk: Bulk) -> Next {
    let mut still = Vec::new();
    for (vmid, task) in std::mem::take(&mut bulk.active) {
        match world.tasks.get(&task) {
            Some(t) if t.running() => still.push((vmid, task)),
            Some(t) if t.exitstatus() == "OK" || t.exitstatus().starts_with("WARNINGS: ") => {}
            _ => bulk.failed.push(vmid),
        }
    }
    bulk.active = still;
    let who = world.tasks.get(upid).map_or_else(|| Who("root@pam".to_owned()), |t| t.who.clone());
    while bulk.active.len() < bulk.workers.max(1) {
        let Some(vmid) = bulk.todo.pop() else { break };
        let label = world.guests.get(&vmid).map_or("VM", |g| g.kind.label());
        if let Some(task) = launch(world, vmid, &who, &bulk.action) {
            world.log(upid, format!("{} {label} {vmid}", verb(&bulk.action)));
            bulk.active.push((vmid, task));
        }
    }
    if !bulk.active.is_empty() {
        let wait = world.pace.scaled(LOOK);
        return Next::Again(Box::new(Job::Bulk(bulk)), wait);
    }
    if bulk.failed.is_empty() || !bulk.complains {
        return Next::Done;
    }
    let failed: Vec<String> = bulk.failed.iter().map(u32::to_string).collect();
    let what = match bulk.action {
        Action::Start => "start",
        Action::Stop | Action::Shutdown { .. } => "shutdown",
        Action::Suspend => "suspend",
        Action::Migrate { .. } => "migrate",
    };
    Next::Failed(format!("Some guests failed to {what}: {}", failed.join(", ")))
}
