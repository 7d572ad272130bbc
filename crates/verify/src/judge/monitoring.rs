//! Step 7: whether metrics are there, are young, tell what Proxmox VE tells, and whether alerts would come.

use std::collections::BTreeSet;

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::Evidence;
use crate::step::StepId;

/// Older than four usual rounds of scraping.
const FRESH_MS: i64 = 120_000;

/// The alerts that are shipped.
pub(crate) const ALERTS: [&str; 10] = [
    "ProxmoxTargetDown",
    "ProxmoxMetricsIncomplete",
    "ProxmoxNodeDown",
    "ProxmoxClusterNotQuorate",
    "ProxmoxStorageUnavailable",
    "ProxmoxStorageFillingUp",
    "OxmoxMachineVmDown",
    "OxmoxTasksFail",
    "OxmoxReconcilesFail",
    "OxmoxRoleDown",
];

const SCRAPE: &str = "scrape the roles with the job `oxmox`, and `/pve` of the exporter with `oxmox-pve` \
                      (docs/guide/monitoring.md)";

const UP: &str = "monitoring.scrape-up";
const FRESH: &str = "monitoring.scrape-fresh";
const RULES: &str = "monitoring.rules-loaded";

pub(super) const SCRAPE_UP: CheckInfo = CheckInfo {
    id: UP,
    step: StepId::Monitoring,
    title: "Each role, and Proxmox VE through the exporter, answers scrapes",
    looks_at: "`up` of the jobs `oxmox` and `oxmox-pve` in the store of `--prometheus-url`; there has to be a target of each.",
    matters: "What is not scraped raises no alert.",
    fix: "Look at the target's page in Prometheus (or /targets of VictoriaMetrics): it has the reason. Without any target, see \
          docs/guide/monitoring.md for what to scrape, or set `monitoring.scrape` in the chart.",
    of: Of::Metrics,
    needs: &[],
    judge: scrape_up,
};

pub(super) const SCRAPE_FRESH: CheckInfo = CheckInfo {
    id: FRESH,
    step: StepId::Monitoring,
    title: "Figures of Proxmox VE are not old",
    looks_at: "The age of the youngest `pve_up` of each instance: two minutes at most.",
    matters: "Old figures look like new ones in a dashboard.",
    fix: "Look at the scrape interval and at how long scrapes take (`scrape_duration_seconds`), and at the clocks of both sides.",
    of: Of::Metrics,
    needs: &[UP],
    judge: scrape_fresh,
};

pub(super) const METRICS_TRUE: CheckInfo = CheckInfo {
    id: "monitoring.metrics-true",
    step: StepId::Monitoring,
    title: "Metrics tell what Proxmox VE tells",
    looks_at: "Nodes and their state, VMs, storages of each node and their state, as Proxmox VE's API told them to this \
               verification, against `pve_up`. VMs that our credentials do not show are not missed here.",
    matters: "An alert about a node that is not in the metrics never comes.",
    fix: "Give the exporter's token `PVEAuditor` on `/`, and let it ask the same Proxmox VE.",
    of: Of::Metrics,
    needs: &["api.authenticated", UP, FRESH],
    judge: metrics_true,
};

pub(super) const INFO_COMPLETE: CheckInfo = CheckInfo {
    id: "monitoring.info-complete",
    step: StepId::Monitoring,
    title: "Metrics know which guest is which Machine and Node",
    looks_at: "`oxmox_machine_info` of each machine that has a VM, and of each Node with a provider ID of Proxmox VE.",
    matters: "Without it an alert names a number, and not the Machine or the Node.",
    fix: "Run the exporter with `--kubernetes`, and name the workload cluster with `--also-kubeconfig`; its log says what it \
          may not read.",
    of: Of::Metrics,
    needs: &[UP],
    judge: info_complete,
};

pub(super) const RULES_LOADED: CheckInfo = CheckInfo {
    id: RULES,
    step: StepId::Monitoring,
    title: "The ten shipped alerts are evaluated",
    looks_at: "`/api/v1/rules` of the store (VictoriaMetrics: with `-vmalert.proxyURL`), against the names of charts/oxmox/files/rules.yaml.",
    matters: "An alert that nobody evaluates never comes.",
    fix: "Load charts/oxmox/files/rules.yaml, or set `monitoring.rules` in the chart, with the labels that your operator selects \
          (`monitoring.labels`).",
    of: Of::Metrics,
    needs: &[],
    judge: rules_loaded,
};

pub(super) const NONE_FIRING: CheckInfo = CheckInfo {
    id: "monitoring.alerts-none-firing",
    step: StepId::Monitoring,
    title: "None of the shipped alerts fires",
    looks_at: "`/api/v1/alerts` of the store. Alerts of others are not looked at.",
    matters: "Something is wrong now, or an alert cries wolf and nobody listens any more.",
    fix: "Each alert has a page in docs/runbooks.",
    of: Of::Metrics,
    needs: &[RULES],
    judge: none_firing,
};

pub(super) const LOGS_ARRIVE: CheckInfo = CheckInfo {
    id: "monitoring.logs-arrive",
    step: StepId::Monitoring,
    title: "Logs arrive in their store",
    looks_at: "How many lines of the last quarter of an hour the VictoriaLogs of `--logs-url` holds.",
    matters: "A task of Proxmox VE that fails is told by a line of the log.",
    fix: "Look at the agent that ships logs, and at its way to the store.",
    of: Of::Logs,
    needs: &[],
    judge: logs_arrive,
};

fn scrape_up(evidence: &Evidence) -> Verdict {
    let targets = match need("the scraped targets", &evidence.monitoring.targets) {
        Ok(targets) => targets,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for job in ["oxmox", "oxmox-pve"] {
        if targets.iter().all(|target| target.job != job) {
            tally.error(format!("no target has the job `{job}`"));
        }
    }
    for target in targets {
        let name = if target.component.is_empty() { &target.job } else { &target.component };
        let line = format!("`{name}` at {}", target.instance);
        if target.up { tally.fine(line) } else { tally.error(format!("{line} does not answer")) }
    }
    tally.verdict(format!("{} targets answer", targets.len()), SCRAPE)
}

fn scrape_fresh(evidence: &Evidence) -> Verdict {
    let ages = match need("the ages of metrics", &evidence.monitoring.ages) {
        Ok(ages) => ages,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    if ages.is_empty() {
        tally.error("there is no `pve_up` at all");
    }
    for (instance, age) in ages {
        let line = format!("figures of {instance} are {} s old", age / 1000);
        if *age > FRESH_MS { tally.error(line) } else { tally.fine(line) }
    }
    tally.verdict(format!("figures of {} instances are young", ages.len()), "look at the scrape interval")
}

fn metrics_true(evidence: &Evidence) -> Verdict {
    let needed = || {
        let proxmox = &evidence.proxmox;
        Ok((
            need("`pve_up`", &evidence.monitoring.up)?,
            need("the nodes", &proxmox.nodes)?,
            need("the VMs", &proxmox.guests)?,
            need("the storages", &proxmox.storages)?,
        ))
    };
    let (up, nodes, guests, storages) = match needed() {
        Ok(all) => all,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut compare = |id: String, is: Option<bool>| match (up.get(&id), is) {
        (None, _) => tally.error(format!("`{id}` is not in the metrics")),
        (Some(told), Some(is)) if *told != is => {
            tally.error(format!("`{id}` is {}, and the metrics say otherwise", if is { "up" } else { "down" }));
        }
        (Some(_), _) => {}
    };
    for node in nodes {
        compare(format!("node/{}", node.name), Some(node.status == "online"));
    }
    // Whether a VM runs changes from one reading to the next: only that it is told counts.
    for vmid in guests.keys() {
        compare(format!("qemu/{vmid}"), None);
    }
    for row in storages {
        compare(format!("storage/{}/{}", row.node, row.storage), Some(row.available));
    }
    let known: BTreeSet<String> = nodes.iter().map(|node| format!("node/{}", node.name)).collect();
    for id in up.keys().filter(|id| id.starts_with("node/") && !known.contains(*id)) {
        tally.error(format!("`{id}` is in the metrics, and Proxmox VE has no such node"));
    }
    let passed =
        format!("{} nodes, {} VMs and {} storages are told as they are", nodes.len(), guests.len(), storages.len());
    tally.verdict(passed, "let the exporter ask this Proxmox VE, with a token that has `PVEAuditor` on `/`")
}

fn info_complete(evidence: &Evidence) -> Verdict {
    let needed = || {
        Ok((
            need("`oxmox_machine_info`", &evidence.monitoring.machines)?,
            need("the machines", &evidence.management.machines)?,
            need("the workload cluster's nodes", &evidence.workload.nodes)?,
        ))
    };
    let (info, machines, nodes) = match needed() {
        Ok(all) => all,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for machine in machines.iter().filter(|machine| !machine.deleting) {
        let Some(vmid) = machine.spec.virtual_machine_id else { continue };
        match info.get(&format!("qemu/{vmid}")) {
            Some(row) if !row.machine.is_empty() => tally.fine(format!("VM {vmid} is Machine `{}`", row.machine)),
            Some(_) | None => {
                tally.error(format!(
                    "no metric says that VM {vmid} is the machine `{}/{}`",
                    machine.namespace, machine.name
                ));
            }
        }
    }
    let told: BTreeSet<&str> = info.values().map(|row| row.node.as_str()).collect();
    let ours = |id: &Option<String>| id.as_ref().is_some_and(|id| id.starts_with("proxmox://"));
    for node in nodes.iter().filter(|node| ours(&node.provider_id)) {
        if !told.contains(node.name.as_str()) {
            tally.error(format!("no metric says which guest the Node `{}` is", node.name));
        }
    }
    let next = "run the exporter with `--kubernetes`, and `--also-kubeconfig` for the workload cluster";
    tally.verdict("each machine and each Node has its guest in the metrics", next)
}

fn rules_loaded(evidence: &Evidence) -> Verdict {
    let rules = match need("the rules", &evidence.monitoring.rules) {
        Ok(rules) => rules,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for name in ALERTS {
        match rules.get(name).map(String::as_str) {
            None => tally.error(format!("the alert `{name}` is not loaded")),
            Some("") => tally.fine(format!("`{name}`")),
            Some(wrong) => tally.error(format!("the alert `{name}`: {wrong}")),
        }
    }
    tally.verdict("all ten are evaluated", "load charts/oxmox/files/rules.yaml, or set `monitoring.rules` in the chart")
}

fn none_firing(evidence: &Evidence) -> Verdict {
    let firing = match need("the alerts", &evidence.monitoring.firing) {
        Ok(firing) => firing,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for alert in firing.iter().filter(|alert| ALERTS.contains(&alert.name.as_str())) {
        let line = format!("`{}` fires: {}", alert.name, alert.summary);
        if alert.severity == "warning" { tally.warning(line) } else { tally.error(line) }
    }
    tally.verdict("none fires", "its page in docs/runbooks says what to look at")
}

fn logs_arrive(evidence: &Evidence) -> Verdict {
    match need("the store of logs", &evidence.monitoring.lines) {
        Err(verdict) => verdict,
        Ok(0) => {
            Verdict::failed("no line has come within a quarter of an hour").hint("look at the agent that ships logs")
        }
        Ok(lines) => Verdict::passed(format!("{lines} lines have come within a quarter of an hour")),
    }
}
