//! Makes families of a snapshot. Pure.
//!
//! Names, labels and values are those of prometheus-pve-exporter 3.10, in its order; where one of its collectors would
//! have failed the whole scrape, here that collector's families are missing and `oxmox_exporter_collector_success` is 0.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use pve::{Fields, UsageRow};

use crate::family::{Family, Kind};
use crate::settings::Collector;
use crate::snapshot::{Read, Snapshot};

const GUEST_HA: [&str; 11] = [
    "stopped",
    "request_stop",
    "request_start",
    "request_start_balance",
    "started",
    "fence",
    "recovery",
    "migrate",
    "relocate",
    "freeze",
    "error",
];
const NODE_HA: [&str; 5] = ["online", "maintenance", "unknown", "fence", "gone"];
const LOCKS: [&str; 9] =
    ["backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspended", "suspending"];
const SUBSCRIPTIONS: [&str; 6] = ["new", "notfound", "active", "invalid", "expired", "suspended"];

/// The families of a snapshot.
pub fn families(of: &Snapshot) -> Vec<Family<'_>> {
    let mut all = Vec::new();
    for collector in of.selection.iter() {
        match collector {
            Collector::Status => all.extend(status(of)),
            Collector::Resources => all.extend(of.resources.got().map(|rows| resources(rows)).into_iter().flatten()),
            Collector::Node => all.extend(nodes(of)),
            Collector::Cluster => all.extend(clusters(of)),
            Collector::Version => all.extend(of.version.got().map(version)),
            Collector::BackupInfo => all.extend(backups(of).into_iter().flatten()),
            Collector::Qdevice => all.extend(qdevice(of).into_iter().flatten()),
            Collector::Subscription => all.extend(subscription(of).into_iter().flatten()),
            Collector::Config => all.extend(onboot(of)),
            Collector::Replication => {
                all.extend(of.replication.got().map(|jobs| replication(jobs)).into_iter().flatten());
            }
        }
    }
    all.push(success(of));
    if let Some(nodes) = of.onboot.got() {
        let help = "Guests of the node whose configuration is known; as many as there are once all were read.";
        let mut known = Family::gauge("oxmox_exporter_guest_configs_known", help);
        let mut guests = Family::gauge("oxmox_exporter_guest_configs", "Guests of the node.");
        for node in nodes {
            known.push([("node", node.node.as_str())], count(node.known));
            guests.push([("node", node.node.as_str())], count(node.all));
        }
        all.extend([known, guests]);
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "a number of guests")]
fn count(of: usize) -> f64 {
    of as f64
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn number(fields: &Fields, key: &str) -> Option<f64> {
    fields.get(key)?.parse().ok()
}

fn is(row: &Fields, kind: &str) -> bool {
    row.get("type").is_some_and(|is| is == kind)
}

fn text<'a>(row: &'a Fields, key: &str) -> &'a str {
    row.get(key).map(String::as_str).unwrap_or_default()
}

fn status(of: &Snapshot) -> Option<Family<'_>> {
    let mut up =
        Family::gauge("pve_up", "Whether a node is online, a cluster quorate, a guest running, a storage available.");
    let (cluster, resources) = (of.cluster.got(), of.resources.got());
    if cluster.is_none() && resources.is_none() {
        return None;
    }
    for row in cluster.into_iter().flatten() {
        if is(row, "node") {
            up.id(text(row, "id"), number(row, "online").unwrap_or(0.0));
        } else if is(row, "cluster") {
            up.push([("id", format!("cluster/{}", text(row, "name")))], number(row, "quorate").unwrap_or(0.0));
        }
    }
    let rows = || resources.into_iter().flatten();
    for row in rows().filter(|row| guest(row)) {
        up.id(&row.id, flag(row.status.as_deref() == Some("running")));
    }
    for row in rows().filter(|row| row.kind == "storage") {
        up.id(&row.id, flag(row.status.as_deref() == Some("available")));
    }
    Some(up)
}

fn guest(row: &UsageRow) -> bool {
    matches!(row.kind.as_str(), "qemu" | "lxc")
}

type Figure = (&'static str, Kind, &'static str, fn(&UsageRow) -> Option<f64>);

/// Figures of a row, in the peer's order.
const FIGURES: [Figure; 16] = {
    use Kind::{Counter, Deprecated, Gauge};
    [
        ("pve_disk_size_bytes", Gauge, "Size of a storage, or of a guest's first disk.", |r| r.maxdisk),
        ("pve_disk_usage_bytes", Gauge, "Used part of a storage, or of a container's first disk.", |r| r.disk),
        ("pve_memory_size_bytes", Gauge, "Memory of a node or guest.", |r| r.maxmem),
        ("pve_memory_usage_bytes", Gauge, "Used memory of a node or guest.", |r| r.mem),
        ("pve_network_transmit_bytes", Deprecated, "Deprecated: use pve_network_transmit_bytes_total.", |r| r.netout),
        ("pve_network_receive_bytes", Deprecated, "Deprecated: use pve_network_receive_bytes_total.", |r| r.netin),
        ("pve_disk_write_bytes", Deprecated, "Deprecated: use pve_disk_written_bytes_total.", |r| r.diskwrite),
        ("pve_disk_read_bytes", Deprecated, "Deprecated: use pve_disk_read_bytes_total.", |r| r.diskread),
        ("pve_cpu_usage_ratio", Gauge, "Used part of the CPUs of a node or guest, 0 to 1.", |r| r.cpu),
        ("pve_cpu_usage_limit", Gauge, "CPUs of a node or guest.", |r| r.maxcpu),
        ("pve_uptime_seconds", Gauge, "Seconds since a node or guest was started.", |r| r.uptime),
        ("pve_storage_shared", Gauge, "Whether all nodes see the same storage.", |r| r.shared),
        ("pve_network_transmit_bytes_total", Counter, "Bytes that a guest sent since its start.", |r| r.netout),
        ("pve_network_receive_bytes_total", Counter, "Bytes that a guest received since its start.", |r| r.netin),
        ("pve_disk_written_bytes_total", Counter, "Bytes that a guest wrote since its start.", |r| r.diskwrite),
        ("pve_disk_read_bytes_total", Counter, "Bytes that a guest read since its start.", |r| r.diskread),
    ]
};

fn resources(rows: &[UsageRow]) -> Vec<Family<'_>> {
    let mut all: Vec<Family<'_>> = Vec::with_capacity(FIGURES.len() + 4);
    for (name, kind, help, figure) in FIGURES {
        let mut family = Family::new(name, kind, help);
        for row in rows {
            if let Some(value) = figure(row) {
                family.id(&row.id, value);
            }
        }
        all.push(family);
    }
    let mut ha = Family::gauge("pve_ha_state", "The state under high availability: 1 for the one that is.");
    let mut lock = Family::gauge("pve_lock_state", "What holds a guest: 1 for what does.");
    let mut guests = Family::gauge("pve_guest_info", "Guests.");
    let mut storages = Family::gauge("pve_storage_info", "Storages.");
    for row in rows {
        let text = |of: &Option<String>| Cow::<'_, str>::Owned(of.clone().unwrap_or_default());
        match row.kind.as_str() {
            "qemu" | "lxc" => {
                ha.states(&row.id, &GUEST_HA, row.hastate.as_deref());
                lock.states(&row.id, &LOCKS, row.lock.as_deref());
                let labels = [
                    ("id", Cow::Borrowed(row.id.as_str())),
                    ("node", text(&row.node)),
                    ("name", text(&row.name)),
                    ("type", Cow::Borrowed(row.kind.as_str())),
                    ("template", text(&row.template)),
                    ("tags", text(&row.tags)),
                ];
                guests.push(labels, 1.0);
            }
            "node" => ha.states(&row.id, &NODE_HA, row.hastate.as_deref()),
            "storage" => {
                // Proxmox VE gives no order
                let mut content: Vec<&str> = row.content.as_deref().unwrap_or_default().split(',').collect();
                content.sort_unstable();
                let labels = [
                    ("id", Cow::Borrowed(row.id.as_str())),
                    ("node", text(&row.node)),
                    ("storage", text(&row.storage)),
                    ("plugintype", text(&row.plugintype)),
                    ("content", Cow::Owned(content.join(","))),
                ];
                storages.push(labels, 1.0);
            }
            _ => {}
        }
    }
    all.extend([ha, lock, guests, storages]);
    all
}

fn nodes(of: &Snapshot) -> Option<Family<'_>> {
    let mut family = Family::gauge("pve_node_info", "Nodes.");
    for row in of.cluster.got()?.iter().filter(|row| is(row, "node")) {
        family.push(["id", "level", "name", "nodeid"].map(|key| (key, text(row, key))), 1.0);
    }
    (!family.samples.is_empty()).then_some(family)
}

fn clusters(of: &Snapshot) -> Option<Family<'_>> {
    let mut family = Family::gauge("pve_cluster_info", "The cluster.");
    for row in of.cluster.got()?.iter().filter(|row| is(row, "cluster")) {
        let others = row.iter().filter(|(key, _)| !matches!(key.as_str(), "type" | "id" | "name"));
        let others = others.map(|(key, value)| (Cow::Borrowed(key.as_str()), Cow::Borrowed(value.as_str())));
        let id = (Cow::Borrowed("id"), Cow::Owned(format!("cluster/{}", text(row, "name"))));
        family.push(std::iter::once(id).chain(others), 1.0);
    }
    (!family.samples.is_empty()).then_some(family)
}

fn version(of: &Fields) -> Family<'_> {
    let mut family = Family::gauge("pve_version_info", "The version of Proxmox VE.");
    let known = ["release", "repoid", "version"].into_iter().filter_map(|key| Some((key, of.get(key)?.as_str())));
    family.push(known, 1.0);
    family
}

fn backups(of: &Snapshot) -> Option<[Family<'_>; 2]> {
    let guests = of.not_backed_up.got()?;
    // As the peer: the first row, whatever it is.
    let name = of.cluster.got()?.first().map(|row| text(row, "name")).unwrap_or_default();
    let mut total = Family::gauge("pve_not_backed_up_total", "Guests that no backup job takes.");
    total.push([("id", format!("cluster/{name}"))], count(guests.len()));
    let mut each = Family::gauge("pve_not_backed_up_info", "A guest that no backup job takes.");
    for guest in guests {
        each.push([("id", format!("{}/{}", guest.kind, guest.vmid))], 1.0);
    }
    Some([total, each])
}

fn qdevice(of: &Snapshot) -> Option<[Family<'_>; 2]> {
    let device = of.qdevice.got().filter(|device| !device.is_empty())?;
    let name = text(of.cluster.got()?.iter().find(|row| is(row, "cluster"))?, "name");
    let id = format!("cluster/{name}");
    let mut up = Family::gauge("pve_qdevice_up", "Whether the quorum device is connected.");
    up.push([("id", id.clone())], flag(text(device, "State") == "Connected"));
    let mut info = Family::gauge("pve_qdevice_info", "The quorum device.");
    let keys = [
        ("model", "Model"),
        ("algorithm", "Algorithm"),
        ("qnetd_host", "QNetd host"),
        ("tie_breaker", "Tie-breaker"),
        ("state", "State"),
    ];
    let labels = keys.map(|(label, key)| (label, Cow::Borrowed(text(device, key))));
    info.push(std::iter::once(("id", Cow::Owned(id))).chain(labels), 1.0);
    Some([up, info])
}

fn subscription(of: &Snapshot) -> Option<[Family<'_>; 3]> {
    let fields = of.subscription.got()?;
    let id = format!("node/{}", of.local_node()?);
    let word = |key: &str| fields.get(key).map_or("unknown", String::as_str);
    let mut info = Family::gauge("pve_subscription_info", "The node's subscription.");
    info.push([("id", id.as_str()), ("level", word("level"))].map(|(key, value)| (key, value.to_owned())), 1.0);
    let mut status = Family::gauge("pve_subscription_status", "How the subscription stands: 1 for what is.");
    for one in SUBSCRIPTIONS {
        let labels = [("id", Cow::Owned(id.clone())), ("status", Cow::Borrowed(one))];
        status.push(labels, flag(word("status") == one));
    }
    let mut due = Family::gauge("pve_subscription_next_due_timestamp_seconds", "When it is due, at midnight UTC.");
    if let Some(at) = fields.get("nextduedate").and_then(|day| midnight(day)) {
        due.push([("id", id)], at);
    }
    Some([info, status, due])
}

fn midnight(day: &str) -> Option<f64> {
    let date: Date = day.parse().ok()?;
    let at = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    Some(at.as_second() as f64)
}

fn onboot(of: &Snapshot) -> Option<Family<'_>> {
    let nodes = of.onboot.got()?;
    let mut family = Family::gauge("pve_onboot_status", "Whether a guest is started when its node boots.");
    for node in nodes {
        for (id, kind, value) in &node.set {
            if let Ok(value) = value.parse() {
                family.push([("id", id.as_str()), ("node", &node.node), ("type", kind)], value);
            }
        }
    }
    Some(family)
}

fn replication(jobs: &[Fields]) -> Vec<Family<'_>> {
    let figures = [
        ("pve_replication_duration_seconds", "duration", "How long the last replication took."),
        ("pve_replication_last_sync_timestamp_seconds", "last_sync", "When it was last replicated."),
        ("pve_replication_last_try_timestamp_seconds", "last_try", "When that was last tried."),
        ("pve_replication_next_sync_timestamp_seconds", "next_sync", "When it is to be replicated next."),
        ("pve_replication_failed_syncs", "fail_count", "How often in a row it has failed."),
    ];
    let mut all: Vec<Family<'_>> = Vec::new();
    for (name, key, help) in figures {
        let mut family = Family::gauge(name, help);
        for job in jobs {
            if let Some(value) = number(job, key) {
                family.id(text(job, "id"), value);
            }
        }
        all.push(family);
    }
    let mut info = Family::gauge("pve_replication_info", "Replication jobs of the node's guests.");
    for job in jobs {
        let labels = [
            ("id", text(job, "id").to_owned()),
            ("type", text(job, "type").to_owned()),
            ("source", format!("node/{}", text(job, "source"))),
            ("target", format!("node/{}", text(job, "target"))),
            ("guest", format!("{}/{}", text(job, "vmtype"), text(job, "guest"))),
        ];
        info.push(labels, 1.0);
    }
    all.push(info);
    all
}

/// Whether each collector had all that it needs.
fn success(of: &Snapshot) -> Family<'_> {
    let help = "Whether a collector has read all that it needs.";
    let mut family = Family::gauge("oxmox_exporter_collector_success", help);
    for collector in of.selection.iter() {
        let all = match collector {
            Collector::Status => well(&of.cluster) && well(&of.resources),
            Collector::Resources => well(&of.resources),
            Collector::Node | Collector::Cluster => well(&of.cluster),
            Collector::Version => well(&of.version),
            Collector::BackupInfo => well(&of.not_backed_up) && well(&of.cluster),
            Collector::Qdevice => well(&of.qdevice) && well(&of.cluster),
            Collector::Subscription => well(&of.subscription),
            Collector::Config => well(&of.onboot),
            Collector::Replication => well(&of.replication),
        };
        family.push([("collector", collector.word())], flag(all));
    }
    family
}

fn well<T>(of: &Read<T>) -> bool {
    of.got().is_some()
}
