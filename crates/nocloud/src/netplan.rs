//! Writes a network down as cloud-init's network config version 2, which is netplan's format.
//!
//! There is no `network:` around it: that is the form which NoCloud documents, and some readers
//! of it (older Talos) know no other.

use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::network::{NetworkConfig, Nic, Route, Rule, Vrf};
use crate::yaml::{self, Key};

#[derive(serde::Serialize)]
struct Document<'a> {
    version: u8,
    /// The default of netplan, said aloud for images with NetworkManager beside it.
    renderer: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    ethernets: Map<'a, Ethernet<'a>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    vrfs: Map<'a, Domain<'a>>,
}

/// A map that keeps the order in which things were given: it is what people read.
struct Map<'a, T>(Vec<(&'a str, T)>);

impl<T> Map<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Map<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(&Key(name), value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Ethernet<'a> {
    r#match: Match,
    set_name: &'a str,
    dhcp4: bool,
    dhcp6: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway6: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nameservers: Option<Nameservers>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Hop<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routing_policy: Vec<Policy<'a>>,
}

#[derive(serde::Serialize)]
struct Match {
    macaddress: String,
}

#[derive(serde::Serialize)]
struct Nameservers {
    addresses: Vec<String>,
}

#[derive(serde::Serialize)]
struct Hop<'a> {
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    /// netplan wants a route without a next hop to say that it means the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
}

#[derive(serde::Serialize)]
struct Policy<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Domain<'a> {
    table: u32,
    interfaces: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Hop<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routing_policy: Vec<Policy<'a>>,
}

impl NetworkConfig {
    /// The file `network-config`.
    pub fn to_yaml(&self) -> String {
        let Self { nics, vrfs } = self;
        yaml::document(&Document {
            version: 2,
            renderer: "networkd",
            ethernets: Map(nics.iter().map(|nic| (nic.name.as_str(), ethernet(nic))).collect()),
            vrfs: Map(vrfs.iter().map(|vrf| (vrf.name.as_str(), domain(vrf, nics))).collect()),
        })
    }
}

fn ethernet(nic: &Nic) -> Ethernet<'_> {
    let Nic { name, mac, addresses, dhcp4, dhcp6, routes, rules, dns, mtu } = nic;
    let gateway6 = routes.iter().position(|route| only_as_gateway6(route, addresses));
    let routes_left = routes.iter().enumerate().filter(|(number, _)| Some(*number) != gateway6);
    Ethernet {
        // Linux shows MACs in lower case, and not every reader compares them without case.
        r#match: Match { macaddress: mac.to_lowercase() },
        set_name: name,
        dhcp4: *dhcp4,
        dhcp6: *dhcp6,
        mtu: *mtu,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        gateway6: gateway6.and_then(|number| routes[number].via.as_deref()),
        nameservers: (!dns.is_empty())
            .then(|| Nameservers { addresses: dns.iter().map(ToString::to_string).collect() }),
        routes: routes_left.map(|(_, route)| hop(route, addresses)).collect(),
        routing_policy: rules.iter().map(policy).collect(),
    }
}

fn domain<'a>(vrf: &'a Vrf, nics: &[Nic]) -> Domain<'a> {
    let Vrf { name: _, table, interfaces, routes, rules } = vrf;
    let members = nics.iter().filter(|nic| interfaces.contains(&nic.name));
    let addresses: Vec<IpNet> = members.flat_map(|nic| &nic.addresses).copied().collect();
    Domain {
        table: *table,
        interfaces,
        routes: routes.iter().map(|route| hop(route, &addresses)).collect(),
        routing_policy: rules.iter().map(policy).collect(),
    }
}

fn hop<'a>(route: &'a Route, addresses: &[IpNet]) -> Hop<'a> {
    let Route { to, via, metric, table } = route;
    let via = via.as_deref();
    Hop {
        to: if to == "default" { everywhere(via, addresses) } else { to },
        via,
        scope: via.is_none().then_some("link"),
        metric: *metric,
        table: *table,
    }
}

/// Whether the key `gateway6` says it, which is deprecated but works.
///
/// Where it doesn't write for netplan, cloud-init (22.4 and later; its issue 4600) makes `::/64`
/// out of a route to `::/0`, so that the guest has no default route. The key has no room for a
/// metric or a table; routes with those are right with netplan only.
fn only_as_gateway6(route: &Route, addresses: &[IpNet]) -> bool {
    let Route { to, via, metric, table } = route;
    let Some(via) = via.as_deref() else {
        return false;
    };
    let everything = to == "::/0" || (to == "default" && everywhere(Some(via), &[]) == "::/0");
    let has_address = addresses.iter().any(|address| matches!(address, IpNet::V6(_)));
    everything && has_address && metric.is_none() && table.is_none()
}

/// The word `default` is netplan's; cloud-init refuses it where it writes for anything else
/// ("Address default is not a valid ip network"). The network is understood by both, but has a
/// family: that of the next hop, else that of the card's addresses.
fn everywhere(via: Option<&str>, addresses: &[IpNet]) -> &'static str {
    let six = match via {
        Some(via) => via.contains(':'),
        None => !addresses.is_empty() && addresses.iter().all(|address| matches!(address, IpNet::V6(_))),
    };
    if six { "::/0" } else { "0.0.0.0/0" }
}

fn policy(rule: &Rule) -> Policy<'_> {
    let Rule { from, to, table, priority } = rule;
    Policy { from: from.as_deref(), to: to.as_deref(), table: *table, priority: *priority }
}
