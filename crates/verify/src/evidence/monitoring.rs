//! What was read of stores of metrics and logs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Read;

/// What stores of metrics and logs tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitoring {
    /// Targets of the jobs `oxmox` and `oxmox-pve`.
    pub targets: Read<Vec<ScrapeTarget>>,
    /// Age of the youngest figure of Proxmox VE in milliseconds, by the instance that it comes from.
    pub ages: Read<BTreeMap<String, i64>>,
    /// Whether nodes, guests and storages are up, by id (`node/pve1`, `qemu/100`, `storage/pve1/local`).
    pub up: Read<BTreeMap<String, bool>>,
    /// Which Machine and Node a guest is, by id.
    pub machines: Read<BTreeMap<String, MachineInfo>>,
    /// Alerts that are evaluated, with what is wrong with each (empty: nothing).
    pub rules: Read<BTreeMap<String, String>>,
    /// Alerts that fire.
    pub firing: Read<Vec<FiringAlert>>,
    /// Lines of the last quarter of an hour in the store of logs.
    pub lines: Read<u64>,
}

/// Something that is scraped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrapeTarget {
    /// `oxmox`: a role; `oxmox-pve`: a Proxmox VE through the exporter.
    pub job: String,
    /// Where.
    pub instance: String,
    /// The role.
    pub component: String,
    /// Whether it answered the last time.
    pub up: bool,
}

/// What the metric `oxmox_machine_info` says of a guest; what it does not know is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// The Machine.
    pub machine: String,
    /// The Node.
    pub node: String,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringAlert {
    /// Its name.
    pub name: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What it says.
    pub summary: String,
}

impl Monitoring {
    /// Nothing, and why.
    pub(crate) fn not_asked(why: &str) -> Self {
        Self {
            targets: Read::not_asked(why),
            ages: Read::not_asked(why),
            up: Read::not_asked(why),
            machines: Read::not_asked(why),
            rules: Read::not_asked(why),
            firing: Read::not_asked(why),
            lines: Read::not_asked(why),
        }
    }
}

/// Of evidence that was saved before there was this step.
pub(super) fn older() -> Monitoring {
    Monitoring::not_asked("that evidence is older than the checks of monitoring")
}
