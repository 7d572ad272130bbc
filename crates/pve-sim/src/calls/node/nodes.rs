//! Nodes: the list, status, version, network.

use serde_json::{Value, json};

use super::load::{self, Load, ROOT_DISK, ROOT_USED};
use crate::calls::{Call, Outcome, names, now};
use crate::perm::Who;
use crate::state::World;
use crate::state::node::Node;

pub(crate) fn version(world: &mut World, _: &Call<'_>) -> Outcome {
    let release = world.version.split('.').take(2).collect::<Vec<_>>().join(".");
    now(json!({"version": world.version, "release": release, "repoid": "5151515151515151"}))
}

/// A node's row in `/cluster/resources`.
pub(crate) fn resource(world: &World, who: &Who, node: &Node, load: Option<&Load>) -> Value {
    let mut row = json!({
        "id": format!("node/{}", node.name), "type": "node", "node": node.name, "level": "",
        "status": if node.online { "online" } else { "offline" }, "cgroup-mode": 2,
    });
    if let Some(load) = load.filter(|_| node.online && world.may(who, &format!("/nodes/{}", node.name), "Sys.Audit")) {
        statistics(node, load, &mut row);
    }
    row
}

fn statistics(node: &Node, load: &Load, row: &mut Value) {
    row["cpu"] = json!(load.cpu);
    row["maxcpu"] = json!(node.cores);
    row["mem"] = json!(load.memory);
    row["maxmem"] = json!(node.memory);
    row["disk"] = json!(ROOT_USED);
    row["maxdisk"] = json!(ROOT_DISK);
    row["uptime"] = json!(load.uptime);
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let loads = load::all(world);
    let rows: Vec<Value> = world
        .nodes
        .iter()
        .map(|node| {
            let mut row = json!({
                "id": format!("node/{}", node.name), "type": "node", "node": node.name, "level": "",
                "status": if node.online { "online" } else { "offline" }, "ssl_fingerprint": node.fingerprint,
            });
            let load = loads.get(node.name.as_str());
            let seen = node.online && world.may(call.who, &format!("/nodes/{}", node.name), "Sys.Audit");
            if let Some(load) = load.filter(|_| seen) {
                statistics(node, load, &mut row);
            }
            row
        })
        .collect();
    now(Value::Array(rows))
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "aplinfo",
        "apt",
        "capabilities",
        "ceph",
        "certificates",
        "config",
        "disks",
        "dns",
        "firewall",
        "hardware",
        "hosts",
        "journal",
        "lxc",
        "migrateall",
        "netstat",
        "network",
        "qemu",
        "query-oci-repo-tags",
        "query-url-metadata",
        "replication",
        "report",
        "rrd",
        "rrddata",
        "scan",
        "sdn",
        "services",
        "spiceshell",
        "startall",
        "status",
        "stopall",
        "storage",
        "subscription",
        "suspendall",
        "syslog",
        "tasks",
        "termproxy",
        "time",
        "version",
        "vncshell",
        "vzdump",
        "wakeonlan",
    ];
    now(names("name", &of))
}

pub(crate) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(Value::Null) };
    let load = load::of(world, node);
    let (memory, release) = (load.memory, kernel(world));
    let build = "#1 SMP PREEMPT_DYNAMIC PMX";
    let kernel = json!({"sysname": "Linux", "machine": "x86_64", "release": release, "version": build});
    let mut row = json!({
        "uptime": load.uptime, "idle": 0, "wait": 0, "cpu": load.cpu, "loadavg": ["0.10", "0.10", "0.10"],
        "pveversion": format!("pve-manager/{}/5151515151515151", world.version),
        "kversion": format!("Linux {release} {build}"), "current-kernel": kernel,
        "boot-info": {"mode": "legacy-bios"},
        "cpuinfo": {
            "cpus": node.cores, "cores": node.cores, "sockets": 1, "model": "Simulated CPU", "vendor": "GenuineSim",
            "mhz": "2600.000", "flags": "fpu vme de pse", "hvm": "1", "user_hz": 100, "family": "25",
        },
        "memory": {"total": node.memory, "used": memory, "free": node.memory - memory},
        "swap": {"total": 0, "used": 0, "free": 0}, "ksm": {"shared": 0},
        "rootfs": {
            "total": ROOT_DISK, "used": ROOT_USED, "avail": ROOT_DISK - ROOT_USED, "free": ROOT_DISK - ROOT_USED,
        },
    });
    if world.at_least(9, 0) {
        row["memory"]["available"] = json!(node.memory - memory);
    }
    now(row)
}

/// The kernel that comes with the release.
fn kernel(world: &World) -> &'static str {
    if world.at_least(9, 0) { "6.17.4-1-pve" } else { "6.8.12-10-pve" }
}
