//! The eight steps, in the order in which a platform is built.

use serde::{Deserialize, Serialize};

/// A step's name in ids and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepId {
    /// Proxmox VE's API.
    Api,
    /// Networks and storages of Proxmox VE.
    NetworkStorage,
    /// Virtual machines made for Cluster API.
    VmManagement,
    /// Machines that joined as workers.
    Worker,
    /// Volumes for pods.
    Csi,
    /// Network policies.
    Policies,
    /// Metrics, dashboards, alerts.
    Monitoring,
    /// A whole cluster from nothing to nothing.
    EndToEnd,
}

impl StepId {
    /// The step's name as ids begin: `network-storage`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::NetworkStorage => "network-storage",
            Self::VmManagement => "vm-management",
            Self::Worker => "worker",
            Self::Csi => "csi",
            Self::Policies => "policies",
            Self::Monitoring => "monitoring",
            Self::EndToEnd => "end-to-end",
        }
    }
}

/// What a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepInfo {
    /// Its name.
    pub id: StepId,
    /// Its place, 1 to 8.
    pub number: u8,
    /// Its title.
    pub title: &'static str,
    /// The question that it answers.
    pub asks: &'static str,
}

const fn step(id: StepId, number: u8, title: &'static str, asks: &'static str) -> StepInfo {
    StepInfo { id, number, title, asks }
}

/// The eight steps.
pub const STEPS: [StepInfo; 8] = [
    step(StepId::Api, 1, "Proxmox API", "Does Proxmox VE answer, know us, and let us do our work?"),
    step(StepId::NetworkStorage, 2, "Network and storage", "Can machines be stored, plugged in and reached?"),
    step(StepId::VmManagement, 3, "VM management", "Has each machine exactly its own VM, and does it work?"),
    step(StepId::Worker, 4, "Workers", "Do machines join as nodes, and leave without a trace?"),
    step(StepId::Csi, 5, "Volumes", "Do pods get volumes that follow them?"),
    step(StepId::Policies, 6, "Network policies", "Is what should be closed closed, and what should be open open?"),
    step(StepId::Monitoring, 7, "Monitoring", "Do metrics tell the truth, and do alerts arrive?"),
    step(StepId::EndToEnd, 8, "End to end", "Does a whole cluster come, work and go?"),
];
