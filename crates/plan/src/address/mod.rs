//! Addresses for machines out of the ranges of a `ProxmoxCluster`, without another component.
//!
//! * What it promises: an address is given once; gateway, network and broadcast address and the API endpoint are
//!   never given; the same question has the same answer.
//! * What it assumes: who asks names all addresses that are taken. Allocations are recorded on the machine's status
//!   and on the VM (tag `ip_netN_ADDRESS`), and rebuilt from there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use api::IpConfig;
use ipnet::IpNet;

/// A range text, or a whole configuration, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Neither address, range nor CIDR.
    #[error("`{text}` is no address, range (a-b) or CIDR")]
    Range {
        /// The text.
        text: String,
    },
    /// Gateway is no address.
    #[error("gateway `{text}` is no address")]
    Gateway {
        /// The text.
        text: String,
    },
    /// Prefix does not fit the family.
    #[error("prefix {prefix} does not fit `{address}`")]
    Prefix {
        /// The prefix.
        prefix: i32,
        /// An address of the pool.
        address: IpAddr,
    },
    /// An address of the other family.
    #[error("`{text}` is not {family}")]
    Family {
        /// The text.
        text: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// A range whose end lies before its start.
    #[error("range `{text}` ends before it starts")]
    Backwards {
        /// The text.
        text: String,
    },
}

/// The addresses of one family that machines may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    ranges: Vec<RangeInclusive<u128>>,
    family: Family,
    /// Prefix length.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: IpAddr,
    /// Metric of the default route.
    pub metric: Option<u32>,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            Self::V6 => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl Pool {
    /// Reads the ranges of one family.
    pub fn read(config: &IpConfig, family: Family) -> Result<Self, Invalid> {
        let gateway: IpAddr = config.gateway.parse().map_err(|_| Invalid::Gateway { text: config.gateway.clone() })?;
        let check = |text: &str, address: IpAddr| {
            (Family::of(address) == family)
                .then_some(address)
                .ok_or_else(|| Invalid::Family { text: text.to_owned(), family: family.name() })
        };
        check(&config.gateway, gateway)?;
        let prefix = u8::try_from(config.prefix)
            .ok()
            .filter(|prefix| IpNet::new(gateway, *prefix).is_ok())
            .ok_or(Invalid::Prefix { prefix: config.prefix, address: gateway })?;
        let mut ranges = Vec::new();
        for text in &config.addresses {
            let (first, last) = ends(text)?;
            let (first, last) = (check(text, first)?, check(text, last)?);
            if number(first) > number(last) {
                return Err(Invalid::Backwards { text: text.clone() });
            }
            ranges.push(number(first)..=number(last));
        }
        let metric = config.metric.and_then(|metric| u32::try_from(metric).ok());
        Ok(Self { ranges, family, prefix, gateway, metric })
    }

    /// Whether the address lies in one of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && self.ranges.iter().any(|range| range.contains(&number(address)))
    }

    /// How many addresses the ranges hold, free or not.
    pub fn size(&self) -> u128 {
        self.ranges.iter().map(|range| (range.end() - range.start()).saturating_add(1)).fold(0, u128::saturating_add)
    }

    /// The first free address.
    pub fn first_free(&self, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        self.ranges
            .iter()
            .flat_map(Clone::clone)
            .map(|number| self.family.address(number))
            .find(|address| self.usable(*address) && !taken.contains(address))
    }

    fn usable(&self, address: IpAddr) -> bool {
        let edge = IpNet::new(address, self.prefix).is_ok_and(|net| match net {
            IpNet::V4(net) => net.prefix_len() < 31 && (address == net.network() || address == net.broadcast()),
            IpNet::V6(net) => net.prefix_len() < 127 && address == net.network(),
        });
        !edge && address != self.gateway
    }
}

fn ends(text: &str) -> Result<(IpAddr, IpAddr), Invalid> {
    let bad = || Invalid::Range { text: text.to_owned() };
    if let Some((first, last)) = text.split_once('-') {
        let parse = |part: &str| part.trim().parse().map_err(|_| bad());
        return Ok((parse(first)?, parse(last)?));
    }
    if text.contains('/') {
        let net: IpNet = text.trim().parse().map_err(|_| bad())?;
        return Ok((net.network(), net.broadcast()));
    }
    let one = text.trim().parse().map_err(|_| bad())?;
    Ok((one, one))
}

/// The addresses that a VM's tags say it has: `ip_net0_10.10.10.20`.
pub fn from_tags<'a>(tags: impl Iterator<Item = &'a str>) -> impl Iterator<Item = IpAddr> {
    tags.filter_map(|tag| {
        let (_, address) = tag.strip_prefix("ip_net")?.split_once('_')?;
        address.replace('-', ":").parse().ok().or_else(|| address.parse().ok())
    })
}

/// The tag that says which address a NIC has. A tag cannot hold `:`, so IPv6 is written with `-`.
pub fn tag(nic: u8, address: IpAddr) -> String {
    format!("ip_net{nic}_{address}").replace(':', "-")
}

#[cfg(test)]
mod test {
    use super::*;
    use proptest::prelude::*;

    fn config(addresses: &[&str], prefix: i32, gateway: &str) -> IpConfig {
        IpConfig {
            addresses: addresses.iter().map(|&text| text.into()).collect(),
            prefix,
            gateway: gateway.into(),
            metric: Some(100),
        }
    }

    fn pool(addresses: &[&str]) -> Pool {
        Pool::read(&config(addresses, 24, "10.0.0.1"), Family::V4).unwrap()
    }

    #[test]
    fn gateway_network_and_broadcast_are_never_given() {
        let pool = Pool::read(&config(&["10.0.0.0/30"], 30, "10.0.0.1"), Family::V4).unwrap();
        let first = pool.first_free(&BTreeSet::new()).unwrap();
        assert_eq!(first, "10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(pool.first_free(&BTreeSet::from([first])), None);
    }

    #[test]
    fn single_addresses_ranges_and_cidrs_all_count() {
        assert_eq!(pool(&["10.0.0.5", "10.0.0.10-10.0.0.12", "10.0.0.64/30"]).size(), 1 + 3 + 4);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let read = |text| Pool::read(&config(&[text], 24, "10.0.0.1"), Family::V4).unwrap_err().to_string();
        assert_eq!(read("10.0.0.x"), "`10.0.0.x` is no address, range (a-b) or CIDR");
        assert_eq!(read("10.0.0.9-10.0.0.8"), "range `10.0.0.9-10.0.0.8` ends before it starts");
        assert_eq!(read("fd00::1"), "`fd00::1` is not IPv4");
        let gateway = Pool::read(&config(&["10.0.0.5"], 24, "gw"), Family::V4).unwrap_err();
        assert_eq!(gateway.to_string(), "gateway `gw` is no address");
        let prefix = Pool::read(&config(&["10.0.0.5"], 64, "10.0.0.1"), Family::V4).unwrap_err();
        assert_eq!(prefix.to_string(), "prefix 64 does not fit `10.0.0.1`");
    }

    #[test]
    fn tags_tell_addresses_of_both_families() {
        let v4: IpAddr = "10.0.0.5".parse().unwrap();
        let v6: IpAddr = "fd00::5".parse().unwrap();
        let tags = [tag(0, v4), tag(1, v6), "kubernetes".into()];
        assert_eq!(from_tags(tags.iter().map(String::as_str)).collect::<Vec<_>>(), [v4, v6]);
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(count in 1usize..60) {
            let pool = pool(&["10.0.0.250-10.0.1.20"]);
            let mut taken = BTreeSet::new();
            for _ in 0..count {
                let Some(address) = pool.first_free(&taken) else { break };
                prop_assert!(pool.contains(address));
                prop_assert!(taken.insert(address));
            }
        }
    }
}
