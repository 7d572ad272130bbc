//! Power: start, stop, shutdown, reboot, reset, suspend, resume. All are tasks.

use serde_json::json;

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::power::{Shutdown, Stop};
use crate::state::World;

fn task(world: &mut World, call: &Call<'_>, kind: &str, job: Job, after: f64) -> Outcome {
    let id = call.vmid().to_string();
    now(json!(world.spawn(call.node(), kind, &id, call.who, job, after)))
}

/// Under the HA manager a request only changes the wanted state.
fn managed(world: &World, vmid: u32) -> bool {
    world.cluster.ha.get(&format!("vm:{vmid}")).is_some_and(|r| r.state != "ignored")
}

fn ha(world: &mut World, call: &Call<'_>, kind: &str, state: &str) -> Outcome {
    let job = Job::Ha { vmid: call.vmid(), state: state.to_owned() };
    let after = world.pace.of("ha");
    task(world, call, kind, job, after)
}

fn must_run(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    let running = world.guests.get(&call.vmid()).is_some_and(|g| g.node == call.node() && g.running());
    if running { Ok(()) } else { Err(Fail::die(format!("VM {} not running", call.vmid()))) }
}

pub(crate) fn start(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    if managed(world, vmid) {
        return ha(world, call, "hastart", "started");
    }
    let after = world.pace.of("start");
    task(world, call, "qmstart", Job::Start { vmid }, after)
}

pub(crate) fn stop(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    if managed(world, vmid) {
        return ha(world, call, "hastop", "stopped");
    }
    let after = world.pace.of("stop");
    task(world, call, "qmstop", Job::Stop(Stop { vmid, node: call.node().to_owned(), until: None }), after)
}

fn orderly(world: &World, call: &Call<'_>, again: bool) -> Shutdown {
    let guest = world.guests.get(&call.vmid());
    let down = guest
        .and_then(|g| g.get("startup"))
        .and_then(|s| crate::state::drive::option_of(s, "down"))
        .and_then(|d| d.parse().ok());
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
    }
}

pub(crate) fn shutdown(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    if managed(world, vmid) {
        return ha(world, call, "hastop", "stopped");
    }
    if world.guests.get(&vmid).and_then(|g| g.run.as_ref()).is_some_and(|r| r.paused) && !call.flag("forceStop") {
        return Err(Fail::die("VM is paused - cannot shutdown").into());
    }
    let job = Job::Shutdown(orderly(world, call, false));
    task(world, call, "qmshutdown", job, 0.01)
}

pub(crate) fn reboot(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call)?;
    let job = Job::Shutdown(orderly(world, call, true));
    task(world, call, "qmreboot", job, 0.01)
}

pub(crate) fn reset(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call)?;
    let after = world.pace.of("reset");
    task(world, call, "qmreset", Job::Reset { vmid: call.vmid() }, after)
}

pub(crate) fn suspend(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call)?;
    let after = world.pace.of("suspend");
    task(world, call, "qmpause", Job::Pause { vmid: call.vmid(), paused: true }, after)
}

pub(crate) fn resume(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call)?;
    let after = world.pace.of("resume");
    task(world, call, "qmresume", Job::Pause { vmid: call.vmid(), paused: false }, after)
}
