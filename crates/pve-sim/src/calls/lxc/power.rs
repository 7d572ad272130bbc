//! Power: start, stop, shutdown, reboot, suspend, resume. All are tasks; what is off already is refused at once.

use serde_json::json;

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::Lxc;
use crate::jobs::lxc::power::Down;
use crate::state::World;
use crate::state::drive::option_of;
use crate::state::guest::GuestKind;

fn task(world: &mut World, call: &Call<'_>, kind: &str, job: Lxc, after: f64) -> Outcome {
    let id = call.vmid().to_string();
    now(json!(world.spawn(call.node(), kind, &id, call.who, Job::Lxc(Box::new(job)), after)))
}

fn running(world: &World, call: &Call<'_>) -> bool {
    let guest = world.guests.get(&call.vmid());
    guest.is_some_and(|g| g.is(GuestKind::Lxc) && g.node == call.node() && g.running())
}

fn must_run(world: &World, call: &Call<'_>, label: &str) -> Result<(), Fail> {
    if running(world, call) { Ok(()) } else { Err(Fail::die(format!("{label} {} not running", call.vmid()))) }
}

fn skiplock(call: &Call<'_>) -> Result<bool, Fail> {
    if call.get("skiplock").is_some() && !call.who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option."));
    }
    Ok(call.flag("skiplock"))
}

/// Under the HA manager a request only changes the wanted state.
fn managed(world: &World, vmid: u32) -> bool {
    world.cluster.ha.get(&format!("ct:{vmid}")).is_some_and(|r| r.state != "ignored")
}

fn ha(world: &mut World, call: &Call<'_>, kind: &str, state: &str) -> Outcome {
    let after = world.pace.of("ha");
    task(world, call, kind, Lxc::Ha { vmid: call.vmid(), state: state.to_owned() }, after)
}

pub(crate) fn start(world: &mut World, call: &Call<'_>) -> Outcome {
    let vmid = call.vmid();
    let skiplock = skiplock(call)?;
    if running(world, call) {
        return Err(Fail::die(format!("CT {vmid} already running")).into());
    }
    if managed(world, vmid) {
        return ha(world, call, "hastart", "started");
    }
    let after = world.pace.of("start");
    task(world, call, "vzstart", Lxc::Start { vmid, node: call.node().to_owned(), skiplock }, after)
}

pub(crate) fn stop(world: &mut World, call: &Call<'_>) -> Outcome {
    let skiplock = skiplock(call)?;
    must_run(world, call, "CT")?;
    if managed(world, call.vmid()) {
        return ha(world, call, "hastop", "stopped");
    }
    if call.flag("overrule-shutdown") {
        overrule(world, call);
    }
    let after = world.pace.of("stop");
    task(world, call, "vzstop", Lxc::Stop { vmid: call.vmid(), node: call.node().to_owned(), skiplock }, after)
}

/// Ends the shutdowns of this container that are under way.
fn overrule(world: &mut World, call: &Call<'_>) {
    let id = call.vmid().to_string();
    let mine: Vec<String> = world
        .active
        .iter()
        .filter(|u| world.tasks.get(*u).is_some_and(|t| t.kind == "vzshutdown" && t.id == id))
        .cloned()
        .collect();
    for upid in mine {
        world.end(&upid, None);
    }
}

fn down(world: &World, call: &Call<'_>, again: bool) -> Down {
    let guest = world.guests.get(&call.vmid());
    let startup = guest.and_then(|g| g.get("startup")).and_then(|s| option_of(s, "down")).and_then(|d| d.parse().ok());
    let seconds = call.number("timeout").or(startup).unwrap_or(60);
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let timeout = seconds as f64;
    Down {
        vmid: call.vmid(),
        node: call.node().to_owned(),
        timeout,
        force: call.flag("forceStop") || again,
        again,
        begun: false,
    }
}

pub(crate) fn shutdown(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call, "CT")?;
    if managed(world, call.vmid()) {
        return ha(world, call, "hastop", "stopped");
    }
    let job = Lxc::Down(down(world, call, false));
    task(world, call, "vzshutdown", job, 0.01)
}

pub(crate) fn reboot(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call, "VM")?;
    let job = Lxc::Down(down(world, call, true));
    task(world, call, "vzreboot", job, 0.01)
}

pub(crate) fn suspend(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call, "CT")?;
    let after = world.pace.of("suspend");
    let job = Lxc::Freeze { vmid: call.vmid(), node: call.node().to_owned(), frozen: true };
    task(world, call, "vzsuspend", job, after)
}

pub(crate) fn resume(world: &mut World, call: &Call<'_>) -> Outcome {
    must_run(world, call, "CT")?;
    let after = world.pace.of("resume");
    let job = Lxc::Freeze { vmid: call.vmid(), node: call.node().to_owned(), frozen: false };
    task(world, call, "vzresume", job, after)
}
