//! The ids of software-defined networks, and what their protocols call themselves.

use super::addresses::network;

/// Letters first, letters and digits at the end, `also` in between.
fn is_id(value: &str, also: &str) -> bool {
    value.len() >= 2
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

fn id(value: &str, word: &str, also: &str, longest: usize) -> Result<(), String> {
    if !is_id(value, also) {
        return Err(format!("{word} ID '{value}' contains illegal characters\n"));
    }
    if value.len() > longest {
        return Err(format!("{word} ID '{value}' can't be more length than {longest} characters\n"));
    }
    Ok(())
}

/// The answer of a format of this file; none if it is of another.
pub(super) fn check(format: &str, value: &str) -> Option<Result<(), String>> {
    Some(match format {
        "pve-sdn-zone-id" => id(value, "zone", "", 8),
        "pve-sdn-vnet-id" => id(value, "vnet", "", 8),
        "pve-sdn-controller-id" => id(value, "controller", "-_", 64),
        "pve-sdn-ipam-id" => id(value, "ipam", "", usize::MAX),
        "pve-sdn-dns-id" => id(value, "dns", "", usize::MAX),
        "pve-sdn-fabric-id" => id(value, "fabric", "", 8),
        "pve-sdn-subnet-id" => subnet(value),
        "pve-sdn-bgp-rt" => route_target(value),
        "pve-sdn-isis-net" => isis(value),
        _ => return None,
    })
}

/// `10.0.0.0/24`, or with its zone `blue-10.0.0.0-24`.
fn subnet(value: &str) -> Result<(), String> {
    let cidr = match value.split_once('-') {
        Some((_, rest)) if !value.contains('/') => rest.replacen('-', "/", 1),
        Some(_) | None => value.to_owned(),
    };
    if network(&cidr).is_some_and(|(_, _, length)| length > 7) {
        return Ok(());
    }
    Err("value does not look like a valid CIDR network\n".to_owned())
}

fn route_target(value: &str) -> Result<(), String> {
    let ok = value.split_once(':').is_some_and(|(asn, id)| asn.parse::<u32>().is_ok() && id.parse::<u32>().is_ok());
    if ok { Ok(()) } else { Err("value does not look like a valid bgp route-target\n".to_owned()) }
}

fn isis(value: &str) -> Result<(), String> {
    let groups: Vec<&str> = value.split('.').collect();
    let hex = |group: &str, long: usize| group.len() == long && group.bytes().all(|b| b.is_ascii_hexdigit());
    let ok = groups.len() >= 3
        && groups.first().is_some_and(|g| hex(g, 2))
        && groups.last().is_some_and(|g| hex(g, 2))
        && groups[1..groups.len() - 1].iter().all(|g| hex(g, 4));
    if ok { Ok(()) } else { Err("value does not look like a valid isis net\n".to_owned()) }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        let of = |format: &str, value: &str| check(format, value).unwrap().map_err(|text| text.trim().to_owned());
        assert_eq!(of("pve-sdn-zone-id", "blue7"), Ok(()));
        assert_eq!(of("pve-sdn-zone-id", "blue-7").unwrap_err(), "zone ID 'blue-7' contains illegal characters");
        let long = of("pve-sdn-vnet-id", "ninechars").unwrap_err();
        assert_eq!(long, "vnet ID 'ninechars' can't be more length than 8 characters");
        assert_eq!(of("pve-sdn-controller-id", "top-of_rack"), Ok(()));
        assert!(of("pve-sdn-subnet-id", "10.3.0.0/16").is_ok() && of("pve-sdn-subnet-id", "blue-10.3.0.0-16").is_ok());
        assert!(of("pve-sdn-subnet-id", "blue-10.3.0.0").is_err());
        assert!(of("pve-sdn-bgp-rt", "65000:7").is_ok() && of("pve-sdn-bgp-rt", "65000").is_err());
    }
}
