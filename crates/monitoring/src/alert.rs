//! The ten alerts.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody should look during the day.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// As the label `severity` says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An alert.
#[derive(Debug)]
pub struct Alert {
    /// Its name, and its page's.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How long it must have been so.
    pub after: &'static str,
    /// What is so.
    pub expr: &'static str,
    /// In one line, with the series' labels.
    pub summary: &'static str,
    /// What it means.
    pub description: &'static str,
}

/// All of them.
pub const ALERTS: [Alert; 10] = [
    Alert {
        name: "ProxmoxTargetDown",
        severity: Severity::Critical,
        after: "5m",
        expr: r#"up{job="oxmox-pve"} == 0 or absent(up{job="oxmox-pve"})"#,
        summary: "Proxmox VE is not seen through `{{ $labels.instance }}`",
        description: "The exporter cannot be reached, or Proxmox VE did not answer it at all, for five minutes. All other alerts about Proxmox VE are blind.",
    },
    Alert {
        name: "ProxmoxMetricsIncomplete",
        severity: Severity::Warning,
        after: "10m",
        expr: "oxmox_exporter_collector_success == 0",
        summary: "Collector `{{ $labels.collector }}` does not read all of `{{ $labels.instance }}`",
        description: "What this collector tells has been missing for ten minutes; alerts that need it are blind.",
    },
    Alert {
        name: "ProxmoxNodeDown",
        severity: Severity::Critical,
        after: "2m",
        expr: r#"pve_up{id=~"node/.*"} == 0"#,
        summary: "{{ $labels.id }} is offline",
        description: "Proxmox VE has reported the node as offline for two minutes.",
    },
    Alert {
        name: "ProxmoxClusterNotQuorate",
        severity: Severity::Critical,
        after: "30s",
        expr: r#"pve_up{id=~"cluster/.*"} == 0"#,
        summary: "{{ $labels.id }} has no quorum",
        description: "Nothing can be changed on Proxmox VE: no VM started, no disk attached.",
    },
    Alert {
        name: "ProxmoxStorageUnavailable",
        severity: Severity::Critical,
        after: "2m",
        expr: r#"label_replace(pve_up{id=~"storage/.*"} == 0, "node", "$1", "id", "storage/([^/]+)/.*") unless on (node, instance) label_replace(pve_up{id=~"node/.*"} == 0, "node", "$1", "id", "node/(.*)")"#,
        summary: "{{ $labels.id }} is not available",
        description: "The node is online and does not reach this storage for two minutes. Disks on it cannot be used there.",
    },
    Alert {
        name: "ProxmoxStorageFillingUp",
        severity: Severity::Warning,
        after: "10m",
        expr: r#"pve_disk_usage_bytes{id=~"storage/.*"} / pve_disk_size_bytes{id=~"storage/.*"} > 0.85"#,
        summary: "{{ $labels.id }} is {{ $value | humanizePercentage }} full",
        description: "Clones, volumes and snapshots will fail when it is full; VMs with thin disks stop.",
    },
    Alert {
        name: "OxmoxMachineVmDown",
        severity: Severity::Critical,
        after: "5m",
        expr: r#"pve_up{id=~"qemu/.*"} * on (id, instance) group_left (namespace, cluster, machine, node) oxmox_machine_info{machine!=""} == 0"#,
        summary: "The VM {{ $labels.id }} of Machine {{ $labels.namespace }}/{{ $labels.machine }} does not run",
        description: "The Machine has been without a running VM for five minutes.",
    },
    Alert {
        name: "OxmoxTasksFail",
        severity: Severity::Warning,
        after: "1m",
        expr: r#"sum by (type) (increase(oxmox_pve_tasks_total{result="failed"}[15m])) >= 3"#,
        summary: "{{ $value | humanize }} tasks `{{ $labels.type }}` of Proxmox VE failed within 15 minutes",
        description: "Machines or volumes wait for them. The log has a line for each, with its object.",
    },
    Alert {
        name: "OxmoxReconcilesFail",
        severity: Severity::Warning,
        after: "15m",
        expr: r#"sum by (controller) (rate(controller_reconciles_total{outcome="Failed"}[10m])) / sum by (controller) (rate(controller_reconciles_total[10m])) > 0.5"#,
        summary: "Most reconciles of `{{ $labels.controller }}` fail",
        description: "More than half of its reconciles have failed for a quarter of an hour.",
    },
    Alert {
        name: "OxmoxRoleDown",
        severity: Severity::Critical,
        after: "5m",
        expr: r#"up{job="oxmox"} == 0"#,
        summary: "{{ $labels.component }} at {{ $labels.instance }} does not answer",
        description: "Its metrics could not be scraped for five minutes: it is down, or cannot be reached.",
    },
];

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_alert_has_a_page_that_says_what_it_means_what_to_look_at_and_the_next_move() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
        for Alert { name, .. } in &ALERTS {
            let page = std::fs::read_to_string(pages.join(format!("{name}.md"))).unwrap_or_default();
            let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
            let title = format!("# {name}");
            assert_eq!(headings, [&title, "## What it means", "## What to look at", "## Next move"], "{name}");
        }
    }
}
