//! The services of a node.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::jobs::Job;
use crate::state::World;
use crate::state::node::Node;

/// Service, unit and description. Those without a unit's state `enabled` are marked.
const SERVICES: [(&str, &str); 22] = [
    ("chrony", "chrony, an NTP client/server"),
    ("corosync", "Corosync Cluster Engine"),
    ("cron", "Regular background program processing daemon"),
    ("ksmtuned", "Kernel Samepage Merging (KSM) Tuning Daemon"),
    ("lxcfs", "FUSE filesystem for LXC"),
    ("postfix", "Postfix Mail Transport Agent (main/default instance)"),
    ("proxmox-firewall", "Proxmox nftables firewall"),
    ("pve-cluster", "The Proxmox VE cluster filesystem"),
    ("pve-firewall", "Proxmox VE firewall"),
    ("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon"),
    ("pve-ha-lrm", "PVE Local HA Resource Manager Daemon"),
    ("pve-lxc-syscalld", "Proxmox VE LXC Syscall Daemon"),
    ("pvedaemon", "PVE API Daemon"),
    ("pvefw-logger", "Proxmox VE firewall logger"),
    ("pveproxy", "PVE API Proxy Server"),
    ("pvescheduler", "Proxmox VE scheduler"),
    ("pvestatd", "PVE Status Daemon"),
    ("qmeventd", "PVE Qemu Event Daemon"),
    ("spiceproxy", "PVE SPICE Proxy Server"),
    ("sshd", "OpenBSD Secure Shell server"),
    ("systemd-journald", "Journal Service"),
    ("systemd-timesyncd", "Network Time Synchronization"),
];

/// Not all of them run everywhere.
fn runs(world: &World, node: &Node, service: &str) -> bool {
    let there = match service {
        "corosync" => world.nodes.len() > 1,
        "systemd-timesyncd" | "proxmox-firewall" => false,
        _ => true,
    };
    there && node.setting(&format!("service-{service}"), "running") == "running"
}

fn row(world: &World, node: &Node, service: &str) -> Value {
    let desc = SERVICES.iter().find(|(name, _)| *name == service).map_or(service, |(_, desc)| desc);
    let on = runs(world, node, service);
    let unit = if service == "systemd-timesyncd" { "not-found" } else { "enabled" };
    json!({
        "service": service, "name": service, "desc": desc, "state": if on { "running" } else { "dead" },
        "active-state": if on { "active" } else { "inactive" }, "unit-state": unit,
    })
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(json!([])) };
    now(SERVICES.iter().map(|(name, _)| row(world, node, name)).collect())
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["state", "start", "stop", "restart", "reload"]))
}

pub(crate) fn state(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(Value::Null) };
    now(row(world, node, call.str("service")))
}

/// Starting, stopping and so on: tasks.
pub(crate) fn order(world: &mut World, call: &Call<'_>) -> Outcome {
    let service = call.str("service").to_owned();
    let verb = call.method.segments.last().map_or("", String::as_str);
    let state = if verb == "stop" { "dead" } else { "running" };
    if let Some(node) = world.node_mut(call.node()) {
        node.settings.insert(format!("service-{service}"), state.to_owned());
    }
    let job = Job::Nothing { log: vec![format!("{verb} service '{service}'")] };
    now(json!(world.spawn(call.node(), &format!("srv{verb}"), &service, call.who, job, 0.1)))
}
