//! Nodes: the list, status, version, network.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::perm::Who;
use crate::state::World;
use crate::state::node::Node;

pub(crate) fn version(world: &mut World, _: &Call<'_>) -> Outcome {
    let release = world.version.split('.').take(2).collect::<Vec<_>>().join(".");
    now(json!({"version": world.version, "release": release, "repoid": "5151515151515151"}))
}

/// Memory and processors that running guests take.
fn load(world: &World, node: &Node) -> (u64, f64) {
    let running = world.guests.values().filter(|g| g.node == node.name && g.running());
    let (mut memory, mut cpus) = (2u64 << 30, 0.0);
    for guest in running {
        memory += guest.memory();
        cpus += f64::from(guest.cpus());
    }
    (memory.min(node.memory), (0.01 + cpus / f64::from(node.cores.max(1)) / 10.0).min(1.0))
}

#[expect(clippy::cast_possible_truncation, reason = "seconds")]
fn uptime(world: &World, node: &Node) -> i64 {
    (world.now - node.booted) as i64
}

const ROOT_DISK: u64 = 100 << 30;

/// A node's row in `/cluster/resources`.
pub(crate) fn resource(world: &World, who: &Who, node: &Node) -> Value {
    let mut row = json!({
        "id": format!("node/{}", node.name), "type": "node", "node": node.name, "level": "",
        "status": if node.online { "online" } else { "offline" }, "cgroup-mode": 2,
    });
    if node.online && world.may(who, &format!("/nodes/{}", node.name), "Sys.Audit") {
        statistics(world, node, &mut row);
    }
    row
}

fn statistics(world: &World, node: &Node, row: &mut Value) {
    let (memory, cpu) = load(world, node);
    row["cpu"] = json!(cpu);
    row["maxcpu"] = json!(node.cores);
    row["mem"] = json!(memory);
    row["maxmem"] = json!(node.memory);
    row["disk"] = json!(8u64 << 30);
    row["maxdisk"] = json!(ROOT_DISK);
    row["uptime"] = json!(uptime(world, node));
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let rows: Vec<Value> = world
        .nodes
        .iter()
        .map(|node| {
            let mut row = json!({
                "id": format!("node/{}", node.name), "type": "node", "node": node.name, "level": "",
                "status": if node.online { "online" } else { "offline" }, "ssl_fingerprint": node.fingerprint,
            });
            if node.online && world.may(call.who, &format!("/nodes/{}", node.name), "Sys.Audit") {
                statistics(world, node, &mut row);
            }
            row
        })
        .collect();
    now(Value::Array(rows))
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "qemu",
        "lxc",
        "ceph",
        "vzdump",
        "services",
        "subscription",
        "network",
        "tasks",
        "storage",
        "disks",
        "apt",
        "status",
        "version",
        "time",
        "dns",
        "hosts",
        "firewall",
        "replication",
        "certificates",
        "config",
        "rrddata",
    ];
    now(names("name", &of))
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(Value::Null) };
    let (memory, cpu) = load(world, node);
    let kernel = json!({
        "sysname": "Linux", "machine": "x86_64", "release": "6.17.4-1-pve",
        "version": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.4-1",
    });
    let used = 8u64 << 30;
    now(json!({
        "uptime": uptime(world, node), "idle": 0, "wait": 0, "cpu": cpu, "loadavg": ["0.10", "0.10", "0.10"],
        "pveversion": format!("pve-manager/{}/5151515151515151", world.version),
        "kversion": "Linux 6.17.4-1-pve #1 SMP PREEMPT_DYNAMIC PMX 6.17.4-1", "current-kernel": kernel,
        "boot-info": {"mode": "legacy-bios"},
        "cpuinfo": {
            "cpus": node.cores, "cores": node.cores, "sockets": 1, "model": "Simulated CPU", "vendor": "GenuineSim",
            "mhz": "2600.000", "flags": "fpu vme de pse", "hvm": "1", "user_hz": 100, "family": "25",
        },
        "memory": {
            "total": node.memory, "used": memory, "free": node.memory - memory, "available": node.memory - memory,
        },
        "swap": {"total": 0, "used": 0, "free": 0}, "ksm": {"shared": 0},
        "rootfs": {"total": ROOT_DISK, "used": used, "avail": ROOT_DISK - used, "free": ROOT_DISK - used},
    }))
}

pub(crate) fn time(world: &mut World, _: &Call<'_>) -> Outcome {
    now(json!({"time": world.seconds(), "localtime": world.seconds(), "timezone": "Etc/UTC"}))
}
