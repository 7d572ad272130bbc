//! Dashboards and alerts as code: what is shipped in the chart is printed from here.
//!
//! * What it is: two Grafana dashboards ([`dashboards`]), ten alerts ([`ALERTS`]), and what they ask ([`queries`]).
//! * What it promises: every panel's queries are known to tests, which run them against a real store; a panel that may be
//!   empty where all is well says why ([`Panel::empty`]).
//! * What it assumes: the names that `crates/exporter` and the roles give their metrics, and the jobs `oxmox` (roles) and
//!   `oxmox-pve` (a Proxmox VE through the exporter).

mod alert;
mod dashboard;
mod oxmox;
mod proxmox;
mod rules;

pub use alert::{ALERTS, Alert, Severity};
pub use dashboard::{Dashboard, Kind, Panel, Query, Row, Unit, VARIABLES};
pub use rules::rules;

/// Where a page about an alert is found; the chart can put an address before it.
pub const RUNBOOKS: &str = "docs/runbooks";

/// All dashboards.
pub const fn dashboards() -> [&'static Dashboard; 2] {
    [&proxmox::DASHBOARD, &oxmox::DASHBOARD]
}

/// What all panels ask.
pub fn queries() -> Vec<Query> {
    dashboards().into_iter().flat_map(Dashboard::queries).collect()
}
