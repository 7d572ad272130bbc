//! Broken worlds of step 7: metrics, alerts and logs, and the stores that have them.
//!
//! Not shown here, but on saved evidence: figures that are old (two minutes), and a store of logs that nobody ships to (a
//! quarter of an hour). An exporter that lost its rights in Proxmox VE or in Kubernetes was tried, and was not seen within
//! two minutes.

use super::world::{Do, World, blocked, fails, unread};

const UP: &str = "monitoring.scrape-up";
const FRESH: &str = "monitoring.scrape-fresh";
const TRUE: &str = "monitoring.metrics-true";
const INFO: &str = "monitoring.info-complete";
const RULES: &str = "monitoring.rules-loaded";
const FIRING: &str = "monitoring.alerts-none-firing";
const LOGS: &str = "monitoring.logs-arrive";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "monitoring.no-exporter",
        step: 7,
        from: 7,
        what: "the exporter was killed",
        breaks: &[Do::Kill("exporter")],
        with: &[],
        heals: &[Do::Start("exporter")],
        expects: &[
            fails(UP, "`exporter` at 127.0.0.1:9221 does not answer"),
            blocked(FRESH, UP),
            blocked(TRUE, UP),
            blocked(INFO, UP),
        ],
        seconds: 15,
    },
    World {
        id: "monitoring.role-down",
        step: 7,
        from: 7,
        what: "a role of oxmox was killed",
        breaks: &[Do::Kill("ccm")],
        with: &[],
        heals: &[Do::Start("ccm")],
        expects: &[
            fails(UP, "`ccm` at 127.0.0.1:8082 does not answer"),
            blocked(FRESH, UP),
            blocked(TRUE, UP),
            blocked(INFO, UP),
        ],
        seconds: 15,
    },
    World {
        id: "monitoring.no-alerts",
        step: 7,
        from: 7,
        what: "nobody evaluates alerts",
        breaks: &[Do::Stop("vmalert")],
        with: &[],
        heals: &[Do::Start("vmalert")],
        expects: &[unread(RULES, "the rules could not be read"), unread(FIRING, "the alerts could not be read")],
        seconds: 10,
    },
    World {
        id: "monitoring.missing-alert",
        step: 7,
        from: 7,
        what: "one of the shipped alerts is called otherwise",
        breaks: &[
            Do::Stop("vmalert"),
            Do::Rewrite("{dir}/rules.yaml", "ProxmoxNodeDown", "SomethingElse"),
            Do::Start("vmalert"),
        ],
        with: &[],
        heals: &[
            Do::Stop("vmalert"),
            Do::Rewrite("{dir}/rules.yaml", "SomethingElse", "ProxmoxNodeDown"),
            Do::Start("vmalert"),
        ],
        expects: &[fails(RULES, "the alert `ProxmoxNodeDown` is not loaded"), blocked(FIRING, RULES)],
        seconds: 15,
    },
    World {
        id: "monitoring.no-logs",
        step: 7,
        from: 7,
        what: "the store of logs was killed",
        breaks: &[Do::Stop("victoria-logs")],
        with: &[],
        heals: &[Do::Start("victoria-logs")],
        expects: &[unread(LOGS, "the store of logs could not be read")],
        seconds: 8,
    },
    World {
        id: "monitoring.no-metrics",
        step: 7,
        from: 7,
        what: "the store of metrics was killed",
        breaks: &[Do::Stop("victoria-metrics")],
        with: &[],
        heals: &[Do::Start("victoria-metrics")],
        expects: &[
            unread(UP, "the scraped targets could not be read"),
            unread(FRESH, "could not be read"),
            unread(TRUE, "could not be read"),
            unread(INFO, "could not be read"),
            unread(RULES, "could not be read"),
            unread(FIRING, "could not be read"),
        ],
        seconds: 20,
    },
    World {
        id: "monitoring.no-majority",
        step: 7,
        from: 7,
        what: "the Proxmox cluster has lost its majority, and its alert fires",
        breaks: &[Do::Door("POST", "/sim/quorum/off", "")],
        with: &[],
        heals: &[Do::Door("POST", "/sim/quorum/on", "")],
        expects: &[fails(FIRING, "`ProxmoxClusterNotQuorate` fires")],
        seconds: 60,
    },
];
