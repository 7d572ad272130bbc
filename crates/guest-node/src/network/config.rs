//! cloud-init's network configuration, version 2, as far as a guest of ours can have it.
//!
//! Promises: parsed once here; YAML 1.1 words for booleans are taken, as netplan takes them; what is not supported is
//! named in an error. Assumes that cards are told apart by MAC address.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// Why a configuration was not taken.
#[derive(Debug, Error)]
pub enum Error {
    /// Not YAML, or not of the shape.
    #[error("network-config is not understood")]
    Yaml(#[from] serde_saphyr::Error),
    /// Another version than 2.
    #[error("network-config has version `{0}`; only version 2 is applied")]
    Version(u32),
}

/// The whole of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Config {
    version: u32,
    /// Cards, by netplan's id.
    #[serde(default)]
    pub ethernets: BTreeMap<String, Ethernet>,
}

/// One card.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ethernet {
    /// Which card is meant.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Its new name.
    pub set_name: Option<String>,
    /// Whether to ask a DHCP server.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub dhcp4: bool,
    /// Whether to ask a DHCPv6 server (router advertisements are taken either way, unless refused).
    #[serde(default, deserialize_with = "lenient_bool")]
    pub dhcp6: bool,
    /// Whether router advertisements are taken.
    #[serde(default, deserialize_with = "lenient_option")]
    pub accept_ra: Option<bool>,
    /// Addresses with prefix length.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The old word for a default route.
    pub gateway4: Option<String>,
    /// The same for IPv6.
    pub gateway6: Option<String>,
    /// Routes.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Policy rules.
    #[serde(default)]
    pub routing_policy: Vec<Rule>,
    /// DNS.
    #[serde(default)]
    pub nameservers: Nameservers,
    /// MTU.
    pub mtu: Option<u32>,
}

/// How a card is recognised.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Match {
    /// By MAC address.
    pub macaddress: Option<String>,
    /// By name.
    pub name: Option<String>,
}

/// One route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// Where to; `default` or a prefix.
    pub to: Option<String>,
    /// The gateway.
    pub via: Option<String>,
    /// Lower wins.
    pub metric: Option<u32>,
    /// Another table than main.
    pub table: Option<u32>,
    /// Whether the gateway is taken to be on the link.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub on_link: bool,
}

/// One policy rule.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rule {
    /// Destination prefix.
    pub to: Option<String>,
    /// Source prefix.
    pub from: Option<String>,
    /// The table to look in.
    pub table: Option<u32>,
    /// The rule's place.
    pub priority: Option<u32>,
}

/// Where names are resolved.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Nameservers {
    /// Servers.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<String>,
}

/// Parses `network-config`, with or without the `network:` around it.
pub fn parse(text: &str) -> Result<Config, Error> {
    #[derive(Deserialize)]
    struct Wrapped {
        network: Option<Config>,
    }
    let wrapped: Wrapped = serde_saphyr::from_str(text)?;
    let config = match wrapped.network {
        Some(config) => config,
        None => serde_saphyr::from_str(text)?,
    };
    match config.version {
        2 => Ok(config),
        other => Err(Error::Version(other)),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Bool(bool),
    Text(String),
}

impl Word {
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Text(word) => match word.to_lowercase().as_str() {
                "true" | "yes" | "on" | "y" => Some(true),
                "false" | "no" | "off" | "n" => Some(false),
                _ => None,
            },
        }
    }
}

fn lenient_bool<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    lenient_option(from).map(Option::unwrap_or_default)
}

fn lenient_option<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    let word = Word::deserialize(from)?;
    word.truth().map(Some).ok_or_else(|| serde::de::Error::custom("neither yes nor no"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_static_card_with_all_its_fields_is_read() {
        let config = parse(
            "network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      match: {macaddress: 'BC:24:11:2E:C5:4A'}
      set-name: eth0
      dhcp4: 'no'
      dhcp6: no
      addresses: [10.10.10.21/24, 'fd00::21/64']
      routes:
        - {to: default, via: 10.10.10.1, metric: 100}
        - {to: '::/0', via: 'fd00::1'}
      nameservers: {addresses: [10.10.10.1], search: [lab.example]}
      mtu: 1400
",
        )
        .unwrap();
        let card = &config.ethernets["eth0"];
        assert_eq!(card.matches.macaddress.as_deref(), Some("BC:24:11:2E:C5:4A"));
        assert_eq!(card.addresses, ["10.10.10.21/24", "fd00::21/64"]);
        assert!(!card.dhcp4 && !card.dhcp6);
        assert_eq!(card.routes[0].metric, Some(100));
        assert_eq!(card.mtu, Some(1400));
    }

    #[test]
    fn the_network_key_may_be_left_out_and_dhcp_may_say_yes() {
        let config = parse("version: 2\nethernets:\n  nic0:\n    dhcp4: yes\n").unwrap();
        assert!(config.ethernets["nic0"].dhcp4);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let err = parse("network: {version: 1, config: []}").unwrap_err();
        assert!(err.to_string().contains("`1`"), "{err}");
    }
}
