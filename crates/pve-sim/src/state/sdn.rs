//! Software-defined networks: what is configured, and what of it runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One object: its properties by name.
pub(crate) type Object = BTreeMap<String, String>;

/// A configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) zones: BTreeMap<String, Object>,
    #[serde(default)]
    pub(crate) vnets: BTreeMap<String, Object>,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sdn {
    /// As it is written.
    #[serde(default)]
    pub(crate) config: Config,
}

impl Sdn {
    /// The zone that a vnet is in.
    pub(crate) fn zone_of_vnet(&self, vnet: &str) -> Option<&str> {
        self.config.vnets.get(vnet)?.get("zone").map(String::as_str)
    }
}
