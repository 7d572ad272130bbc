//! What the state of a VM says that only QEMU knows.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::calls::object::Object;
use crate::calls::{Call, Outcome, names, now};
use crate::state::World;
use crate::state::drive::{is_drive_key, is_net_key, option_of};
use crate::state::guest::{Guest, Run};

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["current", "start", "stop", "reset", "shutdown", "suspend", "reboot"]))
}

/// What QEMU can do, and that of a card that nobody has sent anything through.
const SUPPORT: &str = r#"{"backup-access-api":true,"backup-fleecing":true,"backup-max-workers":true,"pbs-dirty-bitmap":true,"pbs-dirty-bitmap-migration":true,"pbs-dirty-bitmap-savevm":true,"pbs-library-version":"","pbs-masterkey":true,"query-bitmap-info":true}"#;
const NIC: &str = r#"{"netin":0,"netout":0}"#;

/// The state as QEMU tells it, and what else it tells of a VM that runs.
pub(crate) fn details(world: &World, row: &mut Object, guest: &Guest) {
    let Some(run) = &guest.run else {
        row.put("qmpstatus", "stopped");
        return;
    };
    row.put("qmpstatus", word(run)).all(&["diskread", "diskwrite"], 0);
    let memory = guest.memory();
    row.put("balloon", memory).put("running-machine", "pc-i440fx-10.0+pve1").put("running-qemu", "10.0.13");
    let mut balloon = Object::new();
    balloon.put("actual", memory).put("max_mem", memory);
    row.raw("ballooninfo", &balloon.text()).raw("proxmox-support", SUPPORT);
    let hardware;
    let devices = if let Some(devices) = &run.devices {
        devices
    } else {
        hardware = guest.hardware();
        &hardware
    };
    let mut nics = devices.keys().filter(|k| is_net_key(k)).peekable();
    if nics.peek().is_some() {
        let mut all = Object::new();
        for key in nics {
            all.raw(&format!("tap{}i{}", guest.vmid, &key[3..]), NIC);
        }
        row.raw("nics", &all.text());
    }
    // A system that boots reads from its disks first.
    let booted = world.now >= run.since + 2.0;
    let first = guest.boot_disk().unwrap_or_default();
    let mut blocks = Object::new();
    for key in devices.keys().filter(|k| is_drive_key(k) && !k.starts_with("tpmstate")) {
        blocks.raw(key, block_statistics(booted && key == first));
    }
    row.raw("blockstat", &blocks.text());
}

fn word(run: &Run) -> &'static str {
    if run.paused {
        "paused"
    } else if run.asleep {
        "suspended"
    } else {
        "running"
    }
}

/// QEMU's statistics of a drive; one that was used says how long ago.
fn block_statistics(used: bool) -> &'static str {
    static BOTH: OnceLock<[String; 2]> = OnceLock::new();
    let [idle, busy] = BOTH.get_or_init(|| [false, true].map(|used| statistics(used).to_string()));
    if used { busy } else { idle }
}

fn statistics(used: bool) -> Value {
    let mut row = json!({"account_failed": true, "account_invalid": true, "timed_stats": [], "wr_highest_offset": 0});
    for what in ["rd", "wr", "unmap", "zone_append"] {
        for counter in ["bytes", "operations", "merged", "total_time_ns"] {
            row[format!("{what}_{counter}")] = json!(0);
        }
    }
    row["flush_operations"] = json!(0);
    row["flush_total_time_ns"] = json!(0);
    for what in ["rd", "wr", "unmap", "zone_append", "flush"] {
        row[format!("failed_{what}_operations")] = json!(0);
        row[format!("invalid_{what}_operations")] = json!(0);
    }
    if used {
        row["idle_time_ns"] = json!(1_000_000_000);
    }
    row
}

/// The agent, and what can be seen of the screen.
pub(crate) fn screen(row: &mut Object, guest: &Guest) {
    row.maybe("agent", guest.agent_enabled().then_some(1));
    let Some(vga) = guest.get("vga") else { return };
    row.put("clipboard", option_of(vga, "clipboard"));
    let kind = vga.split(',').next().unwrap_or_default();
    if kind.trim_start_matches("type=").starts_with("qxl") || kind.contains("virtio") {
        row.put("spice", 1);
    }
}
