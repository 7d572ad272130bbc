//! Routes to pods: the bridge's side is the router between this little datacenter's nodes.
//!
//! Promises: marked as ours by their protocol number, so that those of a killed run can be told apart and removed.
//! Assumes the bridges' addresses are in our own network namespace, and that it is nobody else's.

use std::net::IpAddr;

use anyhow::Result;
use tracing::warn;

use crate::tool;

/// Any number that no routing daemon claims.
const PROTOCOL: &str = "154";

/// Prefixes with the address of the same family behind which they are.
pub(super) fn pair(cidrs: &[String], addresses: &[String]) -> Vec<(String, String)> {
    let six = |text: &str| text.contains(':');
    cidrs
        .iter()
        .filter_map(|cidr| {
            let address = addresses.iter().find(|address| six(address) == six(cidr))?;
            address.parse::<IpAddr>().ok()?;
            Some((cidr.clone(), address.clone()))
        })
        .collect()
}

/// Makes this network namespace a router, without routes of a former run.
pub fn begin() {
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
    ] {
        if let Err(err) = std::fs::write(format!("/proc/sys/net/{name}"), value) {
            warn!("setting `{name}`: {err}");
        }
    }
    for family in ["-4", "-6"] {
        let _ = tool::ip(&[family, "route", "flush", "protocol", PROTOCOL]);
    }
}

/// Adds them.
pub fn add(routes: &[(String, String)]) -> Result<()> {
    for (cidr, via) in routes {
        tool::ip(&["route", "replace", cidr, "via", via, "protocol", PROTOCOL])?;
    }
    Ok(())
}

/// Removes them; those already gone are no loss.
pub fn remove(routes: &[(String, String)]) {
    for (cidr, via) in routes {
        let _ = tool::ip(&["route", "delete", cidr, "via", via, "protocol", PROTOCOL]);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_prefix_is_reached_by_an_address_of_its_family() {
        let cidrs = ["10.244.1.0/24".to_owned(), "fd00:1::/64".to_owned(), "10.9.0.0/24".to_owned()];
        let both = ["fd01::5".to_owned(), "10.10.10.21".to_owned()];
        assert_eq!(pair(&cidrs, &both)[1], ("fd00:1::/64".to_owned(), "fd01::5".to_owned()));
        assert_eq!(pair(&cidrs[1..2], &both[1..]), vec![]);
    }
}
