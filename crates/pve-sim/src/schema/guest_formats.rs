//! The word-shaped formats of containers, startup orders, sizes and replication jobs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::state::drive::parse_size;

/// What is wrong with a word, none if the format is none of these.
pub(super) fn check(format: &str, value: &str) -> Option<Result<(), String>> {
    let (ok, text) = match format {
        "pve-ipv4-config" => (
            ["dhcp", "manual"].contains(&value) || cidr::<Ipv4Addr>(value, 32),
            "value does not look like a valid ipv4 network configuration".to_owned(),
        ),
        "pve-ipv6-config" => (
            ["dhcp", "manual", "auto"].contains(&value) || cidr::<Ipv6Addr>(value, 128),
            "value does not look like a valid ipv6 network configuration".to_owned(),
        ),
        "lxc-ip-with-ll-iface" => {
            let (address, link) = value.split_once('%').map_or((value, true), |(a, link)| (a, !link.is_empty()));
            (address.parse::<IpAddr>().is_ok() && link, "value does not look like a valid IP address".to_owned())
        }
        "pve-lxc-mp-string" => {
            let wrong = value.starts_with("../") || value.split('/').skip(1).any(|part| part == "." || part == "..");
            (!wrong, format!("{value} contains illegal character sequences"))
        }
        "pve-lxc-dev-string" => {
            let wrong = value.split('/').any(|part| part == "." || part == "..");
            (value.starts_with("/dev/") && !wrong, format!("{value} is not a valid device path"))
        }
        "pve-startup-order" => (value.split(',').all(startup), "unable to parse startup options".to_owned()),
        "pve-ct-timezone" => {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
            (value == "host" || value.bytes().all(fits), format!("invalid time zone '{value}'"))
        }
        "disk-size" => (parse_size(value).is_some(), format!("value does not look like a valid disk size: {value}")),
        "pve-replication-job-id" => return Some(replication_job(value)),
        _ => return None,
    };
    Some(if ok { Ok(()) } else { Err(format!("{text}\n")) })
}

fn cidr<A: std::str::FromStr>(value: &str, longest: u8) -> bool {
    value.split_once('/').is_some_and(|(address, length)| {
        address.parse::<A>().is_ok() && length.parse::<u8>().is_ok_and(|l| l <= longest)
    })
}

fn startup(part: &str) -> bool {
    let number = ["order=", "up=", "down="].iter().find_map(|p| part.strip_prefix(p)).unwrap_or(part);
    part.trim().is_empty() || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn replication_job(value: &str) -> Result<(), String> {
    let numbers = value.split_once('-').and_then(|(guest, number)| Some((guest.parse().ok()?, number.parse().ok()?)));
    let found: Option<(u32, u32)> = numbers;
    match found {
        Some((guest, _)) if guest < 100 => {
            Err(format!("invalid replication job id '{value}' (guest IDs < 100 are reseved)\n"))
        }
        Some(_) => Ok(()),
        None => Err(format!("invalid replication job id '{value}'\n")),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn ok(format: &str, value: &str) -> bool {
        check(format, value).is_some_and(|said| said.is_ok())
    }

    #[test]
    fn addresses_of_containers_can_be_left_to_others() {
        assert!(ok("pve-ipv4-config", "manual") && ok("pve-ipv4-config", "192.0.2.4/24"));
        assert!(!ok("pve-ipv4-config", "auto") && !ok("pve-ipv4-config", "192.0.2.4"));
        assert!(ok("pve-ipv6-config", "auto") && !ok("pve-ipv6-config", "2001:db8::1"));
        assert!(ok("lxc-ip-with-ll-iface", "fe80::1%eth0") && !ok("lxc-ip-with-ll-iface", "host.example"));
    }

    #[test]
    fn paths_do_not_climb_and_orders_are_numbers() {
        assert!(ok("pve-lxc-mp-string", "/srv/a..b") && !ok("pve-lxc-mp-string", "/srv/../etc"));
        assert!(ok("pve-lxc-dev-string", "/dev/net/tun") && !ok("pve-lxc-dev-string", "/etc/shadow"));
        assert!(ok("pve-startup-order", "order=2,up=30,down=60") && ok("pve-startup-order", "7"));
        assert!(!ok("pve-startup-order", "first"));
        assert!(ok("disk-size", "4G") && !ok("disk-size", "4GiB"));
        assert!(ok("pve-replication-job-id", "300-0") && !ok("pve-replication-job-id", "99-0"));
    }
}
