//! "Proxmox VE": nodes, guests, storages, from the exporter.

use crate::dashboard::{Dashboard, Kind, Panel, Row, Unit};

pub(crate) const fn panel(
    title: &'static str,
    kind: Kind,
    unit: Unit,
    asks: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind, unit, asks, empty: None }
}

pub(crate) const fn may_be_empty(panel: Panel, why: &'static str) -> Panel {
    Panel { empty: Some(why), ..panel }
}

/// The dashboard.
pub(crate) const DASHBOARD: Dashboard = Dashboard {
    uid: "oxmox-proxmox-ve",
    title: "Proxmox VE",
    instances_of: "pve_version_info",
    rows: &[OVERVIEW, NODES, GUESTS, STORAGES, CARE],
};

const OVERVIEW: Row = Row {
    title: "Overview",
    panels: &[
        panel(
            "Nodes online",
            Kind::Stat,
            Unit::Count,
            &[(r#"sum(pve_up{id=~"node/.*",instance=~"$instance"})"#, "online")],
        ),
        panel("Quorate", Kind::Stat, Unit::Count, &[(r#"min(pve_up{id=~"cluster/.*",instance=~"$instance"})"#, "")]),
        panel(
            "Guests running",
            Kind::Stat,
            Unit::Count,
            &[(r#"sum(pve_up{id=~"(qemu|lxc)/.*",instance=~"$instance"})"#, "running")],
        ),
        panel("Guests", Kind::Stat, Unit::Count, &[(r#"count(pve_guest_info{instance=~"$instance"})"#, "all")]),
        panel(
            "Storages available",
            Kind::Stat,
            Unit::Count,
            &[(r#"sum(pve_up{id=~"storage/.*",instance=~"$instance"})"#, "available")],
        ),
        panel(
            "Memory used",
            Kind::Stat,
            Unit::Ratio,
            &[(
                r#"sum(pve_memory_usage_bytes{id=~"node/.*",instance=~"$instance"}) / sum(pve_memory_size_bytes{id=~"node/.*",instance=~"$instance"})"#,
                "",
            )],
        ),
        panel("Versions", Kind::Table, Unit::Count, &[(r#"pve_version_info{instance=~"$instance"}"#, "")]),
        panel("Nodes", Kind::Table, Unit::Count, &[(r#"pve_node_info{instance=~"$instance"}"#, "")]),
    ],
};

const NODES: Row = Row {
    title: "Nodes",
    panels: &[
        panel(
            "CPU of nodes",
            Kind::Lines,
            Unit::Ratio,
            &[(r#"pve_cpu_usage_ratio{id=~"node/.*",instance=~"$instance"}"#, "{{id}}")],
        ),
        panel(
            "Memory of nodes",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"pve_memory_usage_bytes{id=~"node/.*",instance=~"$instance"} / pve_memory_size_bytes{id=~"node/.*",instance=~"$instance"}"#,
                "{{id}}",
            )],
        ),
        panel(
            "Root disk of nodes",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"pve_disk_usage_bytes{id=~"node/.*",instance=~"$instance"} / pve_disk_size_bytes{id=~"node/.*",instance=~"$instance"}"#,
                "{{id}}",
            )],
        ),
        panel(
            "Memory promised to guests",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"sum by (node) (pve_memory_size_bytes{id=~"(qemu|lxc)/.*",instance=~"$instance"} * on (id, instance) group_left (node) pve_guest_info{instance=~"$instance"} * on (id, instance) group_left () pve_up{instance=~"$instance"}) / sum by (node) (label_replace(pve_memory_size_bytes{id=~"node/.*",instance=~"$instance"}, "node", "$1", "id", "node/(.*)"))"#,
                "{{node}}",
            )],
        ),
        panel(
            "Guests running on nodes",
            Kind::Lines,
            Unit::Count,
            &[(
                r#"sum by (node) (pve_up{id=~"(qemu|lxc)/.*",instance=~"$instance"} * on (id, instance) group_left (node) pve_guest_info{instance=~"$instance"})"#,
                "{{node}}",
            )],
        ),
        panel(
            "Uptime of nodes",
            Kind::Lines,
            Unit::Seconds,
            &[(r#"pve_uptime_seconds{id=~"node/.*",instance=~"$instance"}"#, "{{id}}")],
        ),
    ],
};

const GUESTS: Row = Row {
    title: "Guests",
    panels: &[
        panel(
            "CPU of guests, the ten busiest",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"topk(10, pve_cpu_usage_ratio{id=~"(qemu|lxc)/.*",instance=~"$instance"} * on (id, instance) group_left (name) pve_guest_info{instance=~"$instance"})"#,
                "{{id}} {{name}}",
            )],
        ),
        panel(
            "Memory of guests, the ten fullest",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"topk(10, pve_memory_usage_bytes{id=~"(qemu|lxc)/.*",instance=~"$instance"} / pve_memory_size_bytes{id=~"(qemu|lxc)/.*",instance=~"$instance"})"#,
                "{{id}}",
            )],
        ),
        panel(
            "Network of guests",
            Kind::Lines,
            Unit::BytesPerSecond,
            &[
                (
                    r#"topk(10, rate(pve_network_receive_bytes_total{id=~"(qemu|lxc)/.*",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{id}} in",
                ),
                (
                    r#"topk(10, rate(pve_network_transmit_bytes_total{id=~"(qemu|lxc)/.*",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{id}} out",
                ),
            ],
        ),
        panel(
            "Disks of guests",
            Kind::Lines,
            Unit::BytesPerSecond,
            &[
                (
                    r#"topk(10, rate(pve_disk_read_bytes_total{id=~"(qemu|lxc)/.*",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{id}} read",
                ),
                (
                    r#"topk(10, rate(pve_disk_written_bytes_total{id=~"(qemu|lxc)/.*",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{id}} written",
                ),
            ],
        ),
        panel(
            "CPU of Machines",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"sum by (cluster, machine) (pve_cpu_usage_ratio{instance=~"$instance"} * on (id, instance) group_left (cluster, machine) oxmox_machine_info{machine!="",instance=~"$instance"})"#,
                "{{cluster}} {{machine}}",
            )],
        ),
        may_be_empty(
            panel(
                "Guests under a lock",
                Kind::Table,
                Unit::Count,
                &[(r#"pve_lock_state{instance=~"$instance"} == 1"#, "")],
            ),
            "no guest is being cloned, moved, saved or deleted",
        ),
        may_be_empty(
            panel(
                "Guests that should have been started with their node",
                Kind::Table,
                Unit::Count,
                &[(
                    r#"pve_onboot_status{instance=~"$instance"} == 1 and on (id, instance) pve_up{instance=~"$instance"} == 0"#,
                    "",
                )],
            ),
            "all of them run",
        ),
        panel("All guests", Kind::Table, Unit::Count, &[(r#"pve_guest_info{instance=~"$instance"}"#, "")]),
        may_be_empty(
            panel(
                "High availability",
                Kind::Table,
                Unit::Count,
                &[(r#"pve_ha_state{instance=~"$instance"} == 1"#, "")],
            ),
            "nothing is under high availability",
        ),
    ],
};

const STORAGES: Row = Row {
    title: "Storages",
    panels: &[
        panel(
            "Used part of storages",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"pve_disk_usage_bytes{id=~"storage/.*",instance=~"$instance"} / pve_disk_size_bytes{id=~"storage/.*",instance=~"$instance"}"#,
                "{{id}}",
            )],
        ),
        panel(
            "Size of storages",
            Kind::Lines,
            Unit::Bytes,
            &[(r#"pve_disk_size_bytes{id=~"storage/.*",instance=~"$instance"}"#, "{{id}}")],
        ),
        panel(
            "Availability of storages",
            Kind::Lines,
            Unit::Count,
            &[(r#"pve_up{id=~"storage/.*",instance=~"$instance"}"#, "{{id}}")],
        ),
        panel("All storages", Kind::Table, Unit::Count, &[(r#"pve_storage_info{instance=~"$instance"}"#, "")]),
        may_be_empty(
            panel(
                "Volumes that are PersistentVolumes",
                Kind::Table,
                Unit::Count,
                &[(r#"oxmox_volume_info{instance=~"$instance"}"#, "")],
            ),
            "no PersistentVolume of this driver is there",
        ),
    ],
};

const CARE: Row = Row {
    title: "Backups, replication, subscription",
    panels: &[
        panel(
            "Guests in no backup job",
            Kind::Stat,
            Unit::Count,
            &[(r#"sum(pve_not_backed_up_total{instance=~"$instance"})"#, "")],
        ),
        panel(
            "Subscription",
            Kind::Table,
            Unit::Count,
            &[(r#"pve_subscription_status{instance=~"$instance"} == 1"#, "")],
        ),
        may_be_empty(
            panel(
                "Age of the last replication",
                Kind::Lines,
                Unit::Seconds,
                &[(r#"time() - pve_replication_last_sync_timestamp_seconds{instance=~"$instance"}"#, "{{id}}")],
            ),
            "no replication job is there",
        ),
        may_be_empty(
            panel(
                "Failed replications in a row",
                Kind::Lines,
                Unit::Count,
                &[(r#"pve_replication_failed_syncs{instance=~"$instance"}"#, "{{id}}")],
            ),
            "no replication job is there",
        ),
    ],
};
