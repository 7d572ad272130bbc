//! A node of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::interfaces::Network;

/// A node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) ip: String,
    pub(crate) online: bool,
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    /// Seconds since the epoch.
    pub(crate) booted: f64,
    pub(crate) next_pid: u32,
    pub(crate) fingerprint: String,
    /// Those that are up.
    pub(crate) bridges: Vec<String>,
    /// None until somebody changes something.
    #[serde(default)]
    pub(crate) network: Option<Network>,
    /// When it was last heard of, if it is down.
    #[serde(default)]
    pub(crate) lost: f64,
    /// The HA manager keeps guests away from it.
    #[serde(default)]
    pub(crate) maintenance: bool,
    /// What was set on it (`dns1`, `search`, `timezone`, `hosts`, `subscription`, stopped services …).
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// Its own configuration file.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, String>,
}

impl Node {
    /// A process number that nobody had yet.
    pub(crate) fn pid(&mut self) -> u32 {
        self.next_pid += 13;
        self.next_pid
    }

    /// Its network configuration.
    pub(crate) fn network(&self) -> Network {
        self.network.clone().unwrap_or_else(|| Network::new(&self.ip, &self.bridges))
    }

    /// Its network configuration, to change it.
    pub(crate) fn network_mut(&mut self) -> &mut Network {
        let (ip, bridges) = (&self.ip, &self.bridges);
        self.network.get_or_insert_with(|| Network::new(ip, bridges))
    }

    /// A setting, or what it is if nobody set it.
    pub(crate) fn setting<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.settings.get(name).map_or(otherwise, String::as_str)
    }
}
