//! Software-defined networks: what is written, what of it runs, and the addresses that were handed out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One object: its properties by name.
pub(crate) type Object = BTreeMap<String, String>;

/// Objects of one kind by their ids.
pub(crate) type Section = BTreeMap<String, Object>;

/// A configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) zones: Section,
    #[serde(default)]
    pub(crate) vnets: Section,
    #[serde(default)]
    pub(crate) subnets: Section,
    #[serde(default)]
    pub(crate) controllers: Section,
    #[serde(default)]
    pub(crate) fabrics: Section,
    /// By fabric and node, a slash between them.
    #[serde(default)]
    pub(crate) fabric_nodes: Section,
}

/// An address that somebody has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    #[serde(default)]
    pub(crate) gateway: bool,
    #[serde(default)]
    pub(crate) mac: Option<String>,
    #[serde(default)]
    pub(crate) vmid: Option<u32>,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sdn {
    /// As it is written.
    #[serde(default)]
    pub(crate) config: Config,
    /// As it was when it was last applied.
    #[serde(default)]
    pub(crate) running: Config,
    /// How often it was applied.
    #[serde(default)]
    pub(crate) version: u64,
    /// The version that each node has brought up.
    #[serde(default)]
    pub(crate) nodes: BTreeMap<String, u64>,
    /// Who has this token may write, nobody else.
    #[serde(default)]
    pub(crate) lock: Option<String>,
    #[serde(default)]
    pub(crate) ipams: Section,
    #[serde(default)]
    pub(crate) dns: Section,
    /// By zone, network and address.
    #[serde(default)]
    pub(crate) leases: BTreeMap<String, BTreeMap<String, BTreeMap<String, Lease>>>,
}

impl Sdn {
    /// The zone that a vnet is written to be in.
    pub(crate) fn zone_of_vnet(&self, vnet: &str) -> Option<&str> {
        self.config.vnets.get(vnet)?.get("zone").map(String::as_str)
    }

    /// The zone of a bridge: a vnet's, or that of all bridges.
    pub(crate) fn zone_of_bridge(&self, bridge: &str) -> &str {
        self.zone_of_vnet(bridge).unwrap_or("localnetwork")
    }

    /// The vnets that run on a node.
    pub(crate) fn vnets_on(&self, node: &str) -> Vec<String> {
        let here = |zone: &String| self.running.zones.get(zone).is_some_and(|z| is_on(z, node));
        let vnets = self.running.vnets.iter().filter(|(_, v)| v.get("zone").is_some_and(here));
        vnets.map(|(name, _)| name.clone()).collect()
    }

    /// What is written becomes what runs, as soon as nodes bring it up.
    pub(crate) fn commit(&mut self) {
        self.version += 1;
        self.running = self.config.clone();
    }
}

/// Whether a zone is on a node: on all of them if it doesn't say.
pub(crate) fn is_on(zone: &Object, node: &str) -> bool {
    zone.get("nodes").is_none_or(|nodes| nodes.split(',').any(|n| n == node))
}
