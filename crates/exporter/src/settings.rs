//! What the exporter needs to know before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use pve::{Auth, Trust};

/// Settings of the exporter.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Credentials by module, as the scrape's parameter `module` names them.
    pub modules: BTreeMap<String, Module>,
    /// What is collected.
    pub collectors: BTreeSet<Collector>,
    /// Targets that may be asked for, as `host`, `host:port` or `*.suffix`; empty: any.
    pub allowed_targets: Vec<String>,
    /// The target that `/metrics` tells of as well.
    pub default_target: Option<String>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How old what is known of a guest's configuration may become.
    pub config_refresh: Duration,
    /// Whether `/pve` answers in OpenMetrics to who prefers it.
    pub negotiate: bool,
    /// Whether calls and scrapes are measured (`--collector.pve-api-metrics`, `--collector.target-metrics`).
    pub measure: Measure,
}

/// What of itself the exporter measures beside the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// The duration of each call of Proxmox VE.
    pub api: bool,
    /// The duration of each scrape by target.
    pub targets: bool,
}

/// Credentials, and how they are used.
#[derive(Debug, Clone)]
pub struct Module {
    /// Who we are.
    pub auth: Auth,
    /// Whose certificate we believe.
    pub trust: Trust,
    /// The port of targets that name none.
    pub port: u16,
    /// How long one answer may take; `None`: as long as the scrape.
    pub timeout: Option<Duration>,
}

/// A part of what is collected, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collector {
    /// What is up.
    Status,
    /// The version.
    Version,
    /// Nodes.
    Node,
    /// The cluster.
    Cluster,
    /// Figures of everything.
    Resources,
    /// Guests without a backup job.
    BackupInfo,
    /// The quorum device.
    Qdevice,
    /// Guests' configurations.
    Config,
    /// Replication jobs.
    Replication,
    /// The subscription.
    Subscription,
}

impl Collector {
    /// All of them, those of the cluster first.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Resources,
        Self::Node,
        Self::Cluster,
        Self::Version,
        Self::BackupInfo,
        Self::Qdevice,
        Self::Subscription,
        Self::Config,
        Self::Replication,
    ];

    /// As flags and labels name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Version => "version",
            Self::Node => "node",
            Self::Cluster => "cluster",
            Self::Resources => "resources",
            Self::BackupInfo => "backup-info",
            Self::Qdevice => "qdevice",
            Self::Config => "config",
            Self::Replication => "replication",
            Self::Subscription => "subscription",
        }
    }

    /// Whether it is about the node that is asked, and not about the cluster.
    pub fn of_node(self) -> bool {
        matches!(self, Self::Config | Self::Replication | Self::Subscription)
    }
}

/// What one scrape asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    collectors: BTreeSet<Collector>,
    nodes: Nodes,
}

/// Of which nodes a scrape asks what is about nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// None (`node=0`).
    None,
    /// The one that answers (`node=1`).
    Local,
    /// The one that answers; and of all, which of their guests start with them (`node=all`, ours).
    All,
}

impl Selection {
    /// Of these collectors, those of the cluster, those of the node, or both.
    pub fn new(of: &BTreeSet<Collector>, cluster: bool, nodes: Nodes) -> Self {
        let wanted = |one: &Collector| if one.of_node() { nodes != Nodes::None } else { cluster };
        Self { collectors: of.iter().copied().filter(wanted).collect(), nodes }
    }

    /// Of which nodes.
    pub fn nodes(&self) -> Nodes {
        self.nodes
    }

    /// Whether the scrape asks for it.
    pub fn has(&self, collector: Collector) -> bool {
        self.collectors.contains(&collector)
    }

    /// Whether it asks for any of these.
    pub fn any(&self, of: &[Collector]) -> bool {
        of.iter().any(|one| self.has(*one))
    }

    /// All that it asks for.
    pub fn iter(&self) -> impl Iterator<Item = Collector> + '_ {
        Collector::ALL.into_iter().filter(|one| self.has(*one))
    }
}
