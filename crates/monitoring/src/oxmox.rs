//! "oxmox": our own roles, and which guest is which Machine, Node and PersistentVolume.

use crate::dashboard::{Dashboard, Kind, Row, Unit};
use crate::proxmox::{may_be_empty, panel};

/// The dashboard.
pub(crate) const DASHBOARD: Dashboard = Dashboard {
    uid: "oxmox-own",
    title: "oxmox",
    instances_of: "up{job=~\"oxmox.*\"}",
    rows: &[ROLES, RECONCILES, CALLS, TASKS, WHO, EXPORTER],
};

const ROLES: Row = Row {
    title: "Roles",
    panels: &[
        panel("Roles that answer", Kind::Stat, Unit::Count, &[(r#"sum(up{job="oxmox",instance=~"$instance"})"#, "")]),
        panel(
            "Memory",
            Kind::Lines,
            Unit::Bytes,
            &[(r#"process_resident_memory_bytes{job="oxmox",instance=~"$instance"}"#, "{{component}} {{instance}}")],
        ),
        panel(
            "CPU",
            Kind::Lines,
            Unit::Ratio,
            &[(
                r#"rate(process_cpu_seconds_total{job="oxmox",instance=~"$instance"}[$__rate_interval])"#,
                "{{component}} {{instance}}",
            )],
        ),
        panel(
            "Open files",
            Kind::Lines,
            Unit::Count,
            &[(r#"process_open_fds{job="oxmox",instance=~"$instance"}"#, "{{component}} {{instance}}")],
        ),
        panel(
            "Uptime",
            Kind::Lines,
            Unit::Seconds,
            &[(
                r#"time() - process_start_time_seconds{job="oxmox",instance=~"$instance"}"#,
                "{{component}} {{instance}}",
            )],
        ),
    ],
};

const RECONCILES: Row = Row {
    title: "Reconciles",
    panels: &[
        panel(
            "Reconciles",
            Kind::Lines,
            Unit::PerSecond,
            &[(
                r#"sum by (controller, outcome) (rate(controller_reconciles_total{instance=~"$instance"}[$__rate_interval]))"#,
                "{{controller}} {{outcome}}",
            )],
        ),
        panel(
            "How long reconciles take, 95 of 100",
            Kind::Lines,
            Unit::Seconds,
            &[(
                r#"histogram_quantile(0.95, sum by (controller, le) (rate(controller_reconcile_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                "{{controller}}",
            )],
        ),
        may_be_empty(
            panel(
                "Part of reconciles that fail",
                Kind::Lines,
                Unit::Ratio,
                &[(
                    r#"sum by (controller) (rate(controller_reconciles_total{outcome="Failed",instance=~"$instance"}[$__rate_interval])) / sum by (controller) (rate(controller_reconciles_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{controller}}",
                )],
            ),
            "no reconcile has failed since the start",
        ),
    ],
};

const CALLS: Row = Row {
    title: "Calls to Proxmox VE",
    panels: &[
        panel(
            "Calls, the ten most frequent",
            Kind::Lines,
            Unit::PerSecond,
            &[(
                r#"topk(10, sum by (call) (rate(oxmox_pve_calls_total{instance=~"$instance"}[$__rate_interval])))"#,
                "{{call}}",
            )],
        ),
        panel(
            "Calls by role",
            Kind::Lines,
            Unit::PerSecond,
            &[(
                r#"sum by (component) (rate(oxmox_pve_calls_total{job="oxmox",instance=~"$instance"}[$__rate_interval]))"#,
                "{{component}}",
            )],
        ),
        panel(
            "How long answers take, on average",
            Kind::Lines,
            Unit::Seconds,
            &[(
                r#"sum by (call) (rate(oxmox_pve_call_seconds_total{instance=~"$instance"}[$__rate_interval])) / (sum by (call) (rate(oxmox_pve_calls_total{instance=~"$instance"}[$__rate_interval])) > 0)"#,
                "{{call}}",
            )],
        ),
        may_be_empty(
            panel(
                "Calls that fail",
                Kind::Lines,
                Unit::PerSecond,
                &[(
                    r#"sum by (call, category) (rate(oxmox_pve_call_errors_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{call}} {{category}}",
                )],
            ),
            "no call has failed since the start",
        ),
    ],
};

const TASKS: Row = Row {
    title: "Tasks of Proxmox VE",
    panels: &[
        panel(
            "Tasks by kind and end",
            Kind::Lines,
            Unit::Count,
            &[(r#"sum by (type, result) (oxmox_pve_tasks_total{instance=~"$instance"})"#, "{{type}} {{result}}")],
        ),
        panel(
            "How long tasks take, on average",
            Kind::Lines,
            Unit::Seconds,
            &[(
                r#"sum by (type) (oxmox_pve_task_seconds_total{instance=~"$instance"}) / sum by (type) (oxmox_pve_tasks_total{instance=~"$instance"})"#,
                "{{type}}",
            )],
        ),
        panel(
            "Tasks that failed",
            Kind::Lines,
            Unit::Count,
            &[(r#"sum by (type) (oxmox_pve_tasks_total{result="failed",instance=~"$instance"})"#, "{{type}}")],
        ),
    ],
};

const WHO: Row = Row {
    title: "Who is who",
    panels: &[
        panel(
            "Guests, Machines and Nodes",
            Kind::Table,
            Unit::Count,
            &[(r#"oxmox_machine_info{instance=~"$instance"}"#, "")],
        ),
        may_be_empty(
            panel(
                "Volumes and PersistentVolumes",
                Kind::Table,
                Unit::Count,
                &[(r#"oxmox_volume_info{instance=~"$instance"}"#, "")],
            ),
            "no PersistentVolume of this driver is there",
        ),
        panel(
            "Machines whose VM runs",
            Kind::Lines,
            Unit::Count,
            &[(
                r#"sum by (cluster) (pve_up{instance=~"$instance"} * on (id, instance) group_left (cluster) oxmox_machine_info{machine!="",instance=~"$instance"})"#,
                "{{cluster}}",
            )],
        ),
        may_be_empty(
            panel(
                "Machines without Node",
                Kind::Table,
                Unit::Count,
                &[(r#"oxmox_machine_info{machine!="",node="",instance=~"$instance"}"#, "")],
            ),
            "each Machine is a Node",
        ),
    ],
};

const EXPORTER: Row = Row {
    title: "The exporter",
    panels: &[
        panel(
            "Collectors that read all",
            Kind::Lines,
            Unit::Count,
            &[(r#"oxmox_exporter_collector_success{instance=~"$instance"}"#, "{{collector}}")],
        ),
        panel(
            "How long scrapes take",
            Kind::Lines,
            Unit::Seconds,
            &[(
                r#"rate(pve_collection_duration_seconds_sum{instance=~"$instance"}[$__rate_interval]) / (rate(pve_collection_duration_seconds_count{instance=~"$instance"}[$__rate_interval]) > 0)"#,
                "{{module}}",
            )],
        ),
        panel(
            "Scrapes that failed",
            Kind::Lines,
            Unit::Count,
            &[(r#"pve_request_errors_total{instance=~"$instance"}"#, "{{module}}")],
        ),
    ],
};
