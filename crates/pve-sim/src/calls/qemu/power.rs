//! Power: start, stop, shutdown, reboot, reset, suspend, resume. All are tasks.
//!
//! What is refused at once and what only in the task is Proxmox VE's choice, not a system: a reboot of a stopped VM
//! fails at once, its start while it runs fails in the task, its stop is no failure at all.

use serde_json::json;

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::power::{Pause, Reset, Shutdown, Stop};
use crate::jobs::suspend::Suspend;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, option_of};
use crate::state::flock::Hold;
use crate::state::guest::Guest;

/// Starts a task that holds the VM's lock file.
fn task(world: &mut World, call: &Call<'_>, kind: &str, job: Job, after: f64) -> Outcome {
    let vmid = call.vmid();
    let free = !world.is_flocked(vmid, None, Hold::Exclusive);
    let upid = world.spawn(call.node(), kind, &vmid.to_string(), call.who, job, after);
    if free && kind != "hastart" && kind != "hastop" {
        world.hold(vmid, &upid, Hold::Exclusive);
    }
    now(json!(upid))
}

/// Parameters that only root may give.
fn root_only(call: &Call<'_>, names: &[&str]) -> Result<(), Fail> {
    let given = |name: &&&str| call.get(name).is_some_and(|v| !v.is_empty() && v != "0");
    match names.iter().find(given) {
        Some(name) if !call.who.is_root() => Err(Fail::param(name, "Only root may use this option.")),
        _ => Ok(()),
    }
}

/// Under the HA manager a request only changes the wanted state.
fn managed(world: &World, vmid: u32) -> bool {
    world.cluster.ha.get(&format!("vm:{vmid}")).is_some_and(|r| r.state != "ignored")
}

fn ha(world: &mut World, call: &Call<'_>, kind: &str, state: &str) -> Outcome {
    let vmid = call.vmid();
    let job = Job::Ha { vmid, state: state.to_owned() };
    let after = world.pace.of("ha");
    let upid = world.spawn(call.node(), kind, &vmid.to_string(), call.who, job, after);
    let what = if state == "started" { "start" } else { "stop" };
    world.log(&upid, format!("Requesting HA {what} for VM {vmid}"));
    now(json!(upid))
}

fn here<'w>(world: &'w World, call: &Call<'_>) -> Option<&'w Guest> {
    world.guest(call.node(), call.vmid()).ok()
}

fn must_run(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    if here(world, call).is_some_and(Guest::running) {
        return Ok(());
    }
    Err(Fail::die(format!("VM {} not running", call.vmid())))
}

fn is_paused(world: &World, call: &Call<'_>) -> bool {
    here(world, call).and_then(|g| g.run.as_ref()).is_some_and(|r| r.paused || r.asleep)
}

pub(crate) fn start(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    let only = ["stateuri", "skiplock", "migratedfrom", "migration_type", "migration_network", "targetstorage"];
    root_only(call, &only)?;
    root_only(call, &["force-cpu", "nets-host-mtu", "with-conntrack-state"])?;
    if call.get("targetstorage").is_some() && call.get("migratedfrom").is_none() {
        return Err(Fail::param("targetstorage", "targetstorage can only by used with migratedfrom.").into());
    }
    if managed(world, vmid) && call.get("stateuri").is_none() {
        return ha(world, call, "hastart", "started");
    }
    let after = world.pace.of("start");
    let job = if call.flag("skiplock") { Job::StartLocked { vmid } } else { Job::Start { vmid } };
    task(world, call, "qmstart", job, after)
}

pub(crate) fn stop(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    root_only(call, &["skiplock", "keepActive", "migratedfrom"])?;
    if managed(world, vmid) {
        if call.flag("overrule-shutdown") {
            return Err(Fail::param("overrule-shutdown", "Not applicable for HA resources.").into());
        }
        return ha(world, call, "hastop", "stopped");
    }
    if call.flag("overrule-shutdown") {
        overrule(world, call);
    }
    let after = world.pace.of("stop");
    let job = Stop { vmid, node: call.node().to_owned(), until: None, skiplock: call.flag("skiplock") };
    task(world, call, "qmstop", Job::Stop(job), after)
}

/// Ends the shutdowns that wait for this VM.
fn overrule(world: &mut World, call: &Call<'_>) {
    let id = call.vmid().to_string();
    let is_one = |t: &&crate::state::task::Task| t.kind == "qmshutdown" && t.id == id && t.node == call.node();
    let waiting: Vec<String> =
        world.active.iter().filter_map(|u| world.tasks.get(u)).filter(is_one).map(|t| t.upid.clone()).collect();
    for upid in waiting {
        world.end(&upid, Some("received interrupt".to_owned()));
    }
}

fn orderly(world: &World, call: &Call<'_>, again: bool) -> Shutdown {
    let guest = world.guests.get(&call.vmid());
    let down = guest.and_then(|g| g.get("startup")).and_then(|s| option_of(s, "down")).and_then(|d| d.parse().ok());
    let timeout = call.number("timeout").or(down).unwrap_or(60);
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let timeout = timeout as f64;
    Shutdown {
        vmid: call.vmid(),
        node: call.node().to_owned(),
        timeout,
        force: call.flag("forceStop"),
        again,
        until: None,
        paper_done: None,
        skiplock: call.flag("skiplock"),
    }
}

pub(crate) fn shutdown(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    root_only(call, &["skiplock", "keepActive"])?;
    let paused = is_paused(world, call);
    if paused && !call.flag("forceStop") {
        return Err(Fail::die("VM is paused - cannot shutdown").into());
    }
    if managed(world, vmid) {
        return ha(world, call, "hastop", "stopped");
    }
    if paused {
        let job = Stop { vmid, node: call.node().to_owned(), until: None, skiplock: call.flag("skiplock") };
        let after = world.pace.of("stop");
        return task(world, call, "qmshutdown", Job::Stop(job), after);
    }
    let job = Job::Shutdown(orderly(world, call, false));
    task(world, call, "qmshutdown", job, 0.01)
}

pub(crate) fn reboot(world: &mut World, call: &Call<'_>) -> Outcome {
    if is_paused(world, call) {
        return Err(Fail::die("VM is paused - cannot shutdown").into());
    }
    must_run(world, call)?;
    let job = Job::Shutdown(orderly(world, call, true));
    task(world, call, "qmreboot", job, 0.01)
}

pub(crate) fn reset(world: &mut World, call: &Call<'_>) -> Outcome {
    root_only(call, &["skiplock"])?;
    must_run(world, call)?;
    let after = world.pace.of("reset");
    task(world, call, "qmreset", Job::Reset(Reset { vmid: call.vmid(), skiplock: call.flag("skiplock") }), after)
}

pub(crate) fn suspend(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    root_only(call, &["skiplock"])?;
    must_run(world, call)?;
    let after = world.pace.of("suspend");
    if !call.flag("todisk") {
        let job = Job::Pause(Pause { vmid, paused: true, skiplock: call.flag("skiplock") });
        return task(world, call, "qmpause", job, after);
    }
    if managed(world, vmid) {
        return Err(Fail::die("Cannot suspend HA managed VM to disk").into());
    }
    world.need(call.who, &format!("/vms/{vmid}"), &["VM.Config.Disk"])?;
    let guest = world.guest(call.node(), vmid)?;
    if guest.config.keys().any(|k| k.starts_with("hostpci")) {
        return Err(Fail::die("cannot suspend VM to disk due to passed-through PCI device(s)").into());
    }
    let storage = call.get("statestorage").map_or_else(|| state_storage(world, guest), str::to_owned);
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let job = Suspend { vmid, node: call.node().to_owned(), storage, saving: None };
    task(world, call, "qmsuspend", Job::Suspend(job), 0.01)
}

/// Where a VM's memory is kept: on a shared storage that its disks use, on any that they use, on `local`.
pub(crate) fn state_storage(world: &World, guest: &Guest) -> String {
    if let Some(asked) = guest.get("vmstatestorage") {
        return asked.to_owned();
    }
    let used: Vec<&str> = guest
        .drives()
        .filter(|(_, text)| !is_cdrom(text))
        .filter_map(|(_, text)| file_of(text).split_once(':').map(|(storage, _)| storage))
        .collect();
    let shared = used.iter().find(|id| world.storages.get(**id).is_some_and(|s| s.shared));
    shared.or(used.first()).map_or_else(|| "local".to_owned(), |id| (*id).to_owned())
}

pub(crate) fn resume(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    root_only(call, &["skiplock", "nocheck"])?;
    let after = world.pace.of("resume");
    if here(world, call).is_some_and(|g| g.get("lock") == Some("suspended")) {
        return task(world, call, "qmresume", Job::Start { vmid }, after);
    }
    must_run(world, call)?;
    let job = Job::Pause(Pause { vmid, paused: false, skiplock: call.flag("skiplock") });
    task(world, call, "qmresume", job, after)
}
