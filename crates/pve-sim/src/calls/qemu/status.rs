//! The state of VMs: the list of a node and the state of one.

use serde_json::{Map, Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::state::World;
use crate::state::drive::{is_drive_key, is_net_key, option_of};
use crate::state::guest::{Guest, GuestKind, Run};

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["current", "start", "stop", "reset", "shutdown", "suspend", "reboot"]))
}

#[expect(clippy::cast_possible_truncation, reason = "seconds")]
fn uptime(world: &World, run: Option<&Run>) -> i64 {
    run.map_or(0, |r| (world.now - r.since) as i64)
}

/// What the list of a node says of a VM.
fn row(world: &World, guest: &Guest) -> Map<String, Value> {
    let run = guest.run.as_ref();
    let mut row = json!({
        "vmid": guest.vmid, "name": guest.name(), "status": if run.is_some() { "running" } else { "stopped" },
        "cpus": guest.cpus(), "maxmem": guest.memory(), "maxdisk": guest.max_disk(), "cpu": 0, "mem": 0,
        "memhost": 0, "disk": 0, "netin": 0, "netout": 0, "uptime": uptime(world, run),
    });
    if let Some(run) = run {
        row["pid"] = json!(run.pid);
        for key in ["cpu", "io", "memory"] {
            row[format!("pressure{key}some")] = json!(0);
            row[format!("pressure{key}full")] = json!(0);
        }
    }
    for key in ["lock", "tags"] {
        if let Some(value) = guest.get(key) {
            row[key] = json!(value);
        }
    }
    if guest.is_template() {
        row["template"] = json!(1);
    }
    if guest.config.keys().any(|k| k.starts_with("serial")) {
        row["serial"] = json!(1);
    }
    match row {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let rows: Vec<Value> = world
        .guests
        .values()
        .filter(|g| g.is(GuestKind::Qemu) && g.node == call.node())
        .filter(|g| world.may(call.who, &format!("/vms/{}", g.vmid), "VM.Audit"))
        .map(|g| {
            let mut row = row(world, g);
            if call.flag("full") {
                row.insert("qmpstatus".to_owned(), json!("stopped"));
                running_details(world, &mut row, g);
            }
            Value::Object(row)
        })
        .collect();
    now(Value::Array(rows))
}

fn running_details(world: &World, row: &mut Map<String, Value>, guest: &Guest) {
    let Some(run) = &guest.run else { return };
    row.insert("diskread".to_owned(), json!(0));
    row.insert("diskwrite".to_owned(), json!(0));
    row.insert(
        "qmpstatus".to_owned(),
        json!(if run.paused {
            "paused"
        } else if run.asleep {
            "suspended"
        } else {
            "running"
        }),
    );
    let memory = guest.memory();
    row.insert("balloon".to_owned(), json!(memory));
    row.insert("ballooninfo".to_owned(), json!({"actual": memory, "max_mem": memory}));
    row.insert("running-machine".to_owned(), json!("pc-i440fx-10.0+pve1"));
    row.insert("running-qemu".to_owned(), json!("10.0.13"));
    let support = json!({
        "backup-access-api": true, "backup-fleecing": true, "backup-max-workers": true, "pbs-dirty-bitmap": true,
        "pbs-dirty-bitmap-migration": true, "pbs-dirty-bitmap-savevm": true, "pbs-library-version": "",
        "pbs-masterkey": true, "query-bitmap-info": true,
    });
    row.insert("proxmox-support".to_owned(), support);
    let hardware = guest.hardware();
    let devices = run.devices.as_ref().unwrap_or(&hardware);
    let nics: Map<String, Value> = devices
        .keys()
        .filter(|k| is_net_key(k))
        .map(|k| (format!("tap{}i{}", guest.vmid, &k[3..]), json!({"netin": 0, "netout": 0})))
        .collect();
    if !nics.is_empty() {
        row.insert("nics".to_owned(), Value::Object(nics));
    }
    // A system that boots reads from its disks first.
    let booted = world.now >= run.since + 2.0;
    let first = guest.boot_disk().unwrap_or_default();
    let blocks: Map<String, Value> = devices
        .keys()
        .filter(|k| is_drive_key(k) && !k.starts_with("tpmstate"))
        .map(|k| (k.clone(), block_statistics(booted && k == first)))
        .collect();
    row.insert("blockstat".to_owned(), Value::Object(blocks));
}

/// QEMU's statistics of a drive; one that was used says how long ago.
fn block_statistics(used: bool) -> Value {
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

pub(crate) fn current(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let mut row = row(world, guest);
    row.entry("qmpstatus").or_insert_with(|| json!("stopped"));
    running_details(world, &mut row, guest);
    let ha = match world.cluster.ha.get(&format!("vm:{}", guest.vmid)) {
        Some(resource) => json!({"managed": 1, "state": resource.state}),
        None => json!({"managed": 0}),
    };
    row.insert("ha".to_owned(), ha);
    if guest.agent_enabled() {
        row.insert("agent".to_owned(), json!(1));
    }
    if let Some(vga) = guest.get("vga") {
        row.insert("clipboard".to_owned(), json!(option_of(vga, "clipboard")));
        let kind = vga.split(',').next().unwrap_or_default();
        if kind.trim_start_matches("type=").starts_with("qxl") || kind.contains("virtio") {
            row.insert("spice".to_owned(), json!(1));
        }
    }
    now(Value::Object(row))
}
