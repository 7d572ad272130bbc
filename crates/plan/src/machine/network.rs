//! The network of a guest: NICs by MAC, addresses, routes, DNS servers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use pve_types::MacAddr;
use sha2::{Digest, Sha256};

use super::Desired;
use crate::address::Pool;

/// A MAC for a NIC that the template has not, made of the machine's UID, so that a lost answer makes no second one.
/// The prefix is Proxmox Server Solutions' own.
pub fn mac(uid: &str, number: u8) -> MacAddr {
    let hash = Sha256::digest(format!("{uid}/net{number}"));
    MacAddr([0xBC, 0x24, 0x11, hash[0], hash[1], hash[2]])
}

/// What the guest is told of its network. NICs are named `eth0`, `eth1`, … in their order, found by MAC.
pub fn network_config(
    want: &Desired,
    addresses: &BTreeMap<u8, Vec<IpAddr>>,
    mac_of: impl Fn(u8) -> MacAddr,
) -> nocloud::NetworkConfig {
    let dhcp = want.ipv4.is_none() && want.ipv6.is_none();
    let nics = want
        .nics
        .iter()
        .enumerate()
        .map(|(position, nic)| {
            let own = addresses.get(&nic.number).map(Vec::as_slice).unwrap_or_default();
            let mut routes = Vec::new();
            let mut nets = Vec::new();
            for address in own {
                let pool = if address.is_ipv4() { &want.ipv4 } else { &want.ipv6 };
                let Some(pool) = pool else { continue };
                nets.extend(IpNet::new(*address, pool.prefix).ok());
                routes.push(default_route(pool));
            }
            routes.extend(nic.spec.routes.iter().filter_map(route));
            nocloud::Nic {
                name: format!("eth{position}"),
                mac: mac_of(nic.number).to_string(),
                addresses: nets,
                dhcp4: dhcp && nic.default_ipv4,
                dhcp6: false,
                routes,
                rules: nic.spec.routing_policy.iter().map(rule).collect(),
                dns: if nic.dns.is_empty() { want.dns.clone() } else { nic.dns.clone() },
                mtu: nic.spec.link_mtu.and_then(|mtu| u32::try_from(mtu).ok()).filter(|mtu| *mtu > 1),
            }
        })
        .collect();
    let vrfs = want.vrfs.iter().map(|vrf| self::vrf(want, vrf)).collect();
    nocloud::NetworkConfig { nics, vrfs }
}

fn default_route(pool: &Pool) -> nocloud::Route {
    nocloud::Route {
        to: "default".into(),
        via: Some(pool.gateway.to_string()),
        // cloud-init 22.4 turns an IPv6 default route that has a metric into one to ::/64
        metric: pool.metric.filter(|_| pool.gateway.is_ipv4()),
        table: None,
    }
}

fn route(route: &api::Route) -> Option<nocloud::Route> {
    let to = match route.to.as_deref()? {
        "default" if route.is6 == Some(true) => "::/0".to_owned(),
        "default" => "0.0.0.0/0".to_owned(),
        to => to.to_owned(),
    };
    Some(nocloud::Route {
        to,
        via: route.via.clone(),
        metric: route.metric.and_then(|n| u32::try_from(n).ok()),
        table: route.table.and_then(|n| u32::try_from(n).ok()),
    })
}

fn rule(rule: &api::RoutingPolicy) -> nocloud::Rule {
    let place = |text: &Option<String>| {
        text.as_deref().map(|text| match text {
            "default" | "all" if rule.is6 == Some(true) => "::/0".to_owned(),
            "default" | "all" => "0.0.0.0/0".to_owned(),
            text => text.to_owned(),
        })
    };
    nocloud::Rule {
        from: place(&rule.from),
        to: place(&rule.to),
        table: rule.table.and_then(|n| u32::try_from(n).ok()),
        priority: rule.priority.and_then(|n| u32::try_from(n).ok()),
    }
}

fn vrf(want: &Desired, vrf: &api::Vrf) -> nocloud::Vrf {
    let guest_name = |net: &String| {
        want.nics.iter().position(|nic| nic.spec.name == *net).map_or_else(|| net.clone(), |n| format!("eth{n}"))
    };
    nocloud::Vrf {
        name: vrf.name.clone(),
        table: u32::try_from(vrf.table).unwrap_or(u32::MAX),
        interfaces: vrf.interfaces.iter().map(guest_name).collect(),
        routes: vrf.routes.iter().filter_map(route).collect(),
        rules: vrf.routing_policy.iter().map(rule).collect(),
    }
}
