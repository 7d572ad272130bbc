//! Seeds to test with, chained from the smallest valid thing.

use nocloud::{MetaData, NetworkConfig, Nic, Route, Rule, Vrf};

pub(crate) fn meta_data() -> MetaData {
    MetaData {
        instance_id: "6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e".into(),
        hostname: "dev-workers-abc12".into(),
        provider_id: Some("proxmox://6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e".into()),
        kubernetes_version: Some("v1.36.3".into()),
    }
}

/// A card without any settings.
pub(crate) fn nic(number: u8) -> Nic {
    Nic { name: format!("eth{number}"), mac: format!("BC:24:11:00:00:{number:02X}"), ..Nic::default() }
}

pub(crate) trait Chain: Sized {
    fn address(self, address: &str) -> Self;
    fn default_via(self, via: &str) -> Self;
    fn route(self, to: &str, via: &str, table: Option<u32>) -> Self;
    fn rule(self, from: &str, table: u32) -> Self;
    fn dns(self, server: &str) -> Self;
}

impl Chain for Nic {
    fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.parse().unwrap());
        self
    }

    fn default_via(self, via: &str) -> Self {
        self.route("default", via, None)
    }

    fn route(mut self, to: &str, via: &str, table: Option<u32>) -> Self {
        self.routes.push(Route { to: to.into(), via: Some(via.into()), metric: None, table });
        self
    }

    fn rule(mut self, from: &str, table: u32) -> Self {
        self.rules.push(Rule { from: Some(from.into()), to: None, table: Some(table), priority: Some(1000) });
        self
    }

    fn dns(mut self, server: &str) -> Self {
        self.dns.push(server.parse().unwrap());
        self
    }
}

fn network(nics: impl Into<Vec<Nic>>) -> NetworkConfig {
    NetworkConfig { nics: nics.into(), vrfs: Vec::new() }
}

pub(crate) fn fixed() -> NetworkConfig {
    network([nic(0).address("10.10.10.21/24").default_via("10.10.10.1").dns("10.10.10.1")])
}

pub(crate) fn dhcp() -> NetworkConfig {
    network([Nic { dhcp4: true, ..nic(0) }])
}

pub(crate) fn two_nics() -> NetworkConfig {
    let storage = nic(1).address("10.20.0.21/16").route("10.30.0.0/16", "10.20.0.1", None);
    let [first] = fixed().nics.try_into().unwrap();
    network([first, Nic { mtu: Some(9000), ..storage }])
}

/// A card whose frames Proxmox tags on the bridge: the guest knows nothing of the tag.
pub(crate) fn vlan() -> NetworkConfig {
    network([nic(0).address("10.42.0.5/24").default_via("10.42.0.1").dns("10.42.0.1")])
}

pub(crate) fn ipv6() -> NetworkConfig {
    network([nic(0).address("fd00:10::21/64").default_via("fd00:10::1").dns("fd00:10::53")])
}

pub(crate) fn dual_stack() -> NetworkConfig {
    network([nic(0)
        .address("10.10.10.21/24")
        .address("fd00:10::21/64")
        .default_via("10.10.10.1")
        .default_via("fd00:10::1")
        .dns("10.10.10.1")
        .dns("fd00:10::53")])
}

pub(crate) fn dhcp_both() -> NetworkConfig {
    network([Nic { dhcp4: true, dhcp6: true, ..nic(0) }])
}

pub(crate) fn policy() -> NetworkConfig {
    let second = nic(1).address("10.20.0.21/16").route("0.0.0.0/0", "10.20.0.1", Some(500)).rule("10.20.0.21/32", 500);
    let [first] = fixed().nics.try_into().unwrap();
    network([first, second])
}

pub(crate) fn on_link() -> NetworkConfig {
    let to_the_link = Route { to: "default".into(), ..Route::default() };
    network([
        Nic { routes: vec![to_the_link.clone()], ..nic(0).address("192.0.2.7/32") },
        Nic { routes: vec![to_the_link], ..nic(1).address("2001:db8::7/128") },
    ])
}

pub(crate) fn vrf() -> NetworkConfig {
    let [first, second] = two_nics().nics.try_into().unwrap();
    NetworkConfig {
        nics: vec![first, second],
        vrfs: vec![Vrf {
            name: "storage".into(),
            table: 500,
            interfaces: vec!["eth1".into()],
            routes: vec![Route { to: "default".into(), via: Some("10.20.0.1".into()), ..Route::default() }],
            rules: vec![Rule { from: Some("10.20.0.0/16".into()), table: Some(500), ..Rule::default() }],
        }],
    }
}
