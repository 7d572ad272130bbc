//! Consoles: tickets are given, nobody listens at the port.

use serde_json::json;

use super::the;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::Lxc;
use crate::state::World;

/// How long a console waits for its client.
const WAITS: f64 = 10.0;

fn proxy(world: &mut World, call: &Call<'_>, kind: &str, graphical: bool) -> Outcome {
    the(world, call)?;
    let port = 5900 + world.task_count % 100;
    let ticket = format!("PVEVNC:{:08X}::{}==", world.seconds(), world.chance.hex(340));
    let after = world.pace.scaled(WAITS);
    let id = call.vmid().to_string();
    let upid = world.spawn(call.node(), kind, &id, call.who, Job::Lxc(Box::new(Lxc::Console)), after);
    let mut data = json!({"user": call.who.0, "ticket": ticket, "port": port.to_string(), "upid": upid});
    if graphical {
        let cert = world.node(call.node()).map(|n| n.fingerprint.clone()).unwrap_or_default();
        data["cert"] = json!(cert);
    }
    now(data)
}

pub(crate) fn termproxy(world: &mut World, call: &Call<'_>) -> Outcome {
    proxy(world, call, "vncproxy", false)
}

pub(crate) fn vncproxy(world: &mut World, call: &Call<'_>) -> Outcome {
    proxy(world, call, "vncproxy", true)
}

pub(crate) fn spiceproxy(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    if !guest.running() {
        return Err(Fail::die(format!("CT {} not running", call.vmid())).into());
    }
    Err(Fail::die("no spice port").into())
}
