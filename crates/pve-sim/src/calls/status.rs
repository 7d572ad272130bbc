//! The state of guests: the list of a node and the state of one. Half of all calls ask for it, so it is written at once.

use super::object::{Object, list as listed, written};
use super::{Call, Outcome, lxc, qemu};
use crate::calls::sight::Sight;
use crate::state::World;
use crate::state::guest::{Guest, GuestKind, Run};

/// What the kernel says of waiting, since 9.
const PRESSURES: [&str; 6] = [
    "pressurecpusome",
    "pressurecpufull",
    "pressureiosome",
    "pressureiofull",
    "pressurememorysome",
    "pressurememoryfull",
];

#[expect(clippy::cast_possible_truncation, reason = "seconds")]
fn uptime(world: &World, run: Option<&Run>) -> i64 {
    run.map_or(0, |r| (world.now - r.since) as i64)
}

/// What lists say of a guest.
fn fill(row: &mut Object, world: &World, guest: &Guest) {
    let run = guest.run.as_ref();
    let (memory, disk) = (guest.memory(), guest.max_disk());
    row.put("vmid", guest.vmid).put("name", guest.name());
    row.put("status", if run.is_some() { "running" } else { "stopped" });
    row.put("maxmem", memory).put("maxdisk", disk).put("uptime", uptime(world, run));
    row.all(&["cpu", "netin", "netout"], 0);
    match guest.kind {
        GuestKind::Qemu => {
            row.put("cpus", guest.cpus()).all(&["mem", "memhost", "disk"], 0);
            if guest.config.keys().any(|k| k.starts_with("serial")) {
                row.put("serial", 1);
            }
        }
        GuestKind::Lxc => {
            // One that runs uses some of what it has.
            let used = |all: u64| if run.is_some() { all / 8 } else { 0 };
            row.put("type", "lxc")
                .put("cpus", lxc::status::cpus(world, guest))
                .put("maxswap", lxc::status::swap(guest));
            row.put("mem", used(memory)).put("disk", used(disk)).all(&["swap", "diskread", "diskwrite"], 0);
        }
    }
    if let Some(run) = run {
        row.put("pid", run.pid).all(&PRESSURES, 0);
    }
    row.maybe("lock", guest.get("lock")).maybe("tags", guest.get("tags"));
    row.maybe("template", guest.is_template().then_some(1));
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let (world, kind, full) = (&*world, call.kind(), call.flag("full"));
    let sight = Sight::new(world, call.who, "VM.Audit");
    let guests = world.guests.values().filter(|g| g.is(kind) && g.node == call.node() && sight.sees(g.vmid));
    written(listed(guests, |row, guest| {
        fill(row, world, guest);
        if full && kind == GuestKind::Qemu {
            qemu::status::details(world, row, guest);
        }
    }))
}

pub(crate) fn current(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest_of(call.kind(), call.node(), call.vmid())?;
    let mut row = Object::new();
    fill(&mut row, world, guest);
    let managed = world.cluster.ha.get(&format!("{}:{}", guest.kind.ha(), guest.vmid));
    match managed {
        Some(resource) => row.put("ha", serde_json::json!({"managed": 1, "state": resource.state})),
        None => row.raw("ha", r#"{"managed":0}"#),
    };
    if guest.is(GuestKind::Qemu) {
        qemu::status::details(world, &mut row, guest);
        qemu::status::screen(&mut row, guest);
    }
    written(row.text())
}
