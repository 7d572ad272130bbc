//! How a guest's network cards are set up, as values. `netplan.rs` writes them down.
//!
//! VLAN tags are not here: Proxmox tags on the bridge's side, and the guest sees plain frames.

use std::net::IpAddr;

use ipnet::IpNet;

/// The whole network of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Network cards, first one first.
    pub nics: Vec<Nic>,
    /// Routing domains apart from the main one.
    ///
    /// Only netplan knows them: on a guest without netplan, cloud-init 22.4 refuses a
    /// configuration with one.
    pub vrfs: Vec<Vrf>,
}

/// One network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// The name it gets in the guest, e.g. `eth0`.
    pub name: String,
    /// The address by which the guest recognises it; upper or lower case.
    pub mac: String,
    /// Static addresses with their prefix lengths, of either family.
    pub addresses: Vec<IpNet>,
    /// Ask for an IPv4 address.
    pub dhcp4: bool,
    /// Ask for an IPv6 address.
    pub dhcp6: bool,
    /// Routes through this card.
    pub routes: Vec<Route>,
    /// Which traffic looks into which routing table.
    pub rules: Vec<Rule>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Largest packet; the card's own choice when `None`.
    pub mtu: Option<u32>,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Where to: `default` (of the family that `via` has), or a network such as `10.0.0.0/8`.
    pub to: String,
    /// The next hop. Without one the destination is on the link itself.
    pub via: Option<String>,
    /// The smaller one wins. Kept by guests with netplan only, as is `table`: cloud-init's other
    /// writers drop both. Leave it out where one default route a family is enough.
    pub metric: Option<u32>,
    /// Routing table, the main one when `None`.
    pub table: Option<u32>,
}

/// One routing policy rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Source network that it applies to.
    pub from: Option<String>,
    /// Destination network that it applies to.
    pub to: Option<String>,
    /// Routing table to look into.
    pub table: Option<u32>,
    /// The smaller one is asked first.
    pub priority: Option<u32>,
}

/// One routing domain with a table of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vrf {
    /// The name of its device.
    pub name: String,
    /// Its routing table.
    pub table: u32,
    /// Names of the network cards in it.
    pub interfaces: Vec<String>,
    /// Routes of the domain.
    pub routes: Vec<Route>,
    /// Which traffic looks into which routing table.
    pub rules: Vec<Rule>,
}
