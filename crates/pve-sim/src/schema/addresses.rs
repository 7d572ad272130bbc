//! Addresses and networks, alone and in lists.
//!
//! Promises the texts of Proxmox VE and of the Perl library that reads addresses for it: of those the most usual ones.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::formats::split_list;
use super::ports::{self, End};

/// The version of an address.
pub(crate) fn version(word: &str) -> Option<u8> {
    if word.parse::<Ipv4Addr>().is_ok() {
        Some(4)
    } else if word.parse::<Ipv6Addr>().is_ok() {
        Some(6)
    } else {
        None
    }
}

/// Version, address and length of a network.
pub(crate) fn network(word: &str) -> Option<(u8, &str, u8)> {
    let (address, length) = word.split_once('/')?;
    let version = version(address)?;
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse::<u8>().ok().filter(|l| digits && *l <= if version == 4 { 32 } else { 128 })?;
    Some((version, address, length))
}

/// A network as Proxmox VE calls it: the length is more than 7.
fn is_cidr(word: &str, wanted: Option<u8>) -> bool {
    network(word).is_some_and(|(version, _, length)| length > 7 && wanted.is_none_or(|w| w == version))
}

/// Bits of a dotted or plain mask.
pub(crate) fn mask_bits(mask: &str) -> Option<u8> {
    if let Ok(bits) = mask.parse::<u8>() {
        return Some(bits).filter(|b| (8..=32).contains(b));
    }
    let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
    let bits = u8::try_from(mask.leading_ones()).ok()?;
    (mask.count_ones() == mask.leading_ones() && bits >= 8).then_some(bits)
}

/// Whether a word is the name of an alias or a set.
pub(crate) fn is_name(word: &str) -> bool {
    word.len() >= 2
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_scoped_name(word: &str) -> bool {
    is_name(word.strip_prefix("dc/").or_else(|| word.strip_prefix("guest/")).unwrap_or(word))
}

/// The answer of a format of this file; none if it is of another.
pub(super) fn check(format: &str, value: &str) -> Option<Result<(), String>> {
    let ensure = |ok: bool, text: &str| if ok { Ok(()) } else { Err(format!("{text}\n")) };
    Some(match format {
        "ip" => ensure(version(value).is_some(), "value does not look like a valid IP address"),
        "ipv4mask" => ensure(mask_bits(value).is_some(), "value does not look like a valid IP netmask"),
        "CIDR" => ensure(is_cidr(value, None), "value does not look like a valid CIDR network"),
        "CIDRv4" => ensure(is_cidr(value, Some(4)), "value does not look like a valid IPv4 CIDR network"),
        "CIDRv6" => ensure(is_cidr(value, Some(6)), "value does not look like a valid IPv6 CIDR network"),
        "IPorCIDRorAlias" if is_scoped_name(value) => Ok(()),
        "IPorCIDR" | "IPorCIDRorAlias" => ip_or_cidr(value),
        "pve-fw-addr-spec" => addresses(value).map(|_| ()),
        "pve-fw-protocol-spec" => ports::protocol(value),
        "pve-fw-icmp-type-spec" => ports::icmp_type(value),
        "pve-fw-sport-spec" => ports::ports(value, End::Source),
        "pve-fw-dport-spec" => ports::ports(value, End::Destination),
        "pve-fw-conntrack-helper" => conntrack_helper(value),
        "pve-vlan-id-or-range" => vlans(value),
        _ => return None,
    })
}

fn ip_or_cidr(value: &str) -> Result<(), String> {
    if version(value).is_some() || network(value).is_some() {
        return Ok(());
    }
    if let Some((address, length)) = value.split_once('/')
        && version(address).is_some()
        && let Ok(length) = length.parse::<u32>()
    {
        let bits = if address.contains(':') { 128 } else { 32 };
        return Err(format!("Prefix length {length} is longer than IP address ({bits})\n"));
    }
    Err("value does not look like a valid IP address or CIDR network\n".to_owned())
}

fn conntrack_helper(value: &str) -> Result<(), String> {
    let known = ["amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp"];
    match split_list(value).find(|word| !known.contains(word)) {
        None => Ok(()),
        Some(word) => Err(format!("unknown conntrack helper '{word}'\n")),
    }
}

fn vlans(value: &str) -> Result<(), String> {
    let number = |digits: &str| digits.parse::<u32>().ok();
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    let (Some(from_number), Some(to_number)) = (number(from), number(to)) else {
        return Err(format!("invalid VLAN configuration '{value}'\n"));
    };
    for tag in [from_number, to_number] {
        if !(2..=4094).contains(&tag) {
            return Err(format!("invalid VLAN tag '{tag}'\n"));
        }
    }
    if value.contains('-') && from_number >= to_number {
        return Err(format!("VLAN range must go from lower to higher tag '{value}'\n"));
    }
    Ok(())
}

/// A list of a rule: addresses, networks, one range, one set (`+name`), one alias. Its version, if it shows.
pub(crate) fn addresses(list: &str) -> Result<Option<u8>, String> {
    if let Some(name) = list.strip_prefix('+').filter(|n| !n.is_empty() && !n.contains(char::is_whitespace)) {
        return if name.len() > 64 { Err("ipset name too long\n".to_owned()) } else { Ok(None) };
    }
    if is_scoped_name(list) {
        return if list.len() > 64 { Err("alias name too long\n".to_owned()) } else { Ok(None) };
    }
    if list.ends_with(',') {
        return Err("extraneous commas in list\n".to_owned());
    }
    let (mut count, mut ranges, mut seen) = (0, false, None);
    for word in list.split(',') {
        count += 1;
        ranges |= word.contains('-');
        let version = element(word).map_err(|text| format!("invalid IP address: {text}\n"))?;
        if seen.is_some_and(|v| v != version) {
            return Err("detected mixed ipv4/ipv6 addresses in address list\n".to_owned());
        }
        seen = Some(version);
    }
    if ranges && count > 1 {
        return Err("you can't use a range in a list\n".to_owned());
    }
    Ok(seen)
}

/// One address, network or range.
fn element(word: &str) -> Result<u8, String> {
    if let Some((address, length)) = word.split_once('/') {
        let version = single(address)?;
        let whole = if version == 4 { 32 } else { 128 };
        let Ok(length) = length.parse::<usize>() else { return Err(format!("Invalid prefix length /{length}")) };
        if length > whole {
            return Err(format!("Prefix length {length} is longer than IP address ({whole})"));
        }
        let bits = bits(address, version);
        if bits[length..].contains('1') {
            return Err(format!("Invalid prefix {bits}/{length}"));
        }
        return Ok(version);
    }
    if let Some((from, to)) = word.split_once('-') {
        let version = single(from)?;
        single(to)?;
        if bits(from, version) > bits(to, version) {
            return Err(format!("begin address is greater than end address {from} - {to}"));
        }
        return Ok(version);
    }
    single(word)
}

fn bits(address: &str, version: u8) -> String {
    let mut out = String::new();
    if version == 4 {
        let _ = write!(out, "{:032b}", u32::from(short_ipv4(address).unwrap_or(Ipv4Addr::UNSPECIFIED)));
    } else {
        let _ = write!(out, "{:0128b}", u128::from(address.parse::<Ipv6Addr>().unwrap_or(Ipv6Addr::UNSPECIFIED)));
    }
    out
}

/// `10.1` is `10.1.0.0` to the library.
fn short_ipv4(address: &str) -> Option<Ipv4Addr> {
    let mut quads = [0u8; 4];
    for (at, quad) in address.split('.').enumerate() {
        *quads.get_mut(at)? = quad.parse().ok()?;
    }
    Some(Ipv4Addr::from(quads))
}

fn single(word: &str) -> Result<u8, String> {
    if word.contains(':') {
        if word.parse::<Ipv6Addr>().is_ok() {
            return Ok(6);
        }
        return Err(format!("Invalid IP address {word}"));
    }
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(format!("Invalid chars in IP {word}"));
    }
    if word.starts_with('.') {
        return Err(format!("Invalid IP {word} - starts with a dot"));
    }
    if word.ends_with('.') {
        return Err(format!("Invalid IP {word} - ends with a dot"));
    }
    if word.matches('.').count() > 3 {
        return Err(format!("Invalid IP address {word}"));
    }
    if word.contains("..") {
        return Err(format!("Empty quad in IP address {word}"));
    }
    match word.split('.').find(|quad| quad.parse::<u8>().is_err()) {
        Some(quad) => Err(format!("Invalid quad in IP address {word} - {quad}")),
        None => Ok(4),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_network_of_a_rule_has_no_bits_behind_its_length() {
        assert_eq!(addresses("10.2.0.0/16"), Ok(Some(4)));
        let text = addresses("10.2.0.1/16").unwrap_err();
        assert_eq!(text, "invalid IP address: Invalid prefix 00001010000000100000000000000001/16\n");
    }

    #[test]
    fn a_list_is_of_one_version_and_a_range_stands_alone() {
        assert_eq!(addresses("10.0.0.1,10.0.0.2"), Ok(Some(4)));
        assert_eq!(addresses("fd00::1"), Ok(Some(6)));
        assert!(addresses("10.0.0.1,fd00::1").unwrap_err().starts_with("detected mixed"));
        assert_eq!(addresses("10.0.0.1-10.0.0.9"), Ok(Some(4)));
        assert!(addresses("10.0.0.1-10.0.0.9,10.0.0.11").unwrap_err().starts_with("you can't use a range"));
    }

    #[test]
    fn names_of_sets_and_aliases_are_no_addresses() {
        assert_eq!(addresses("+dc/office"), Ok(None));
        assert_eq!(addresses("guest/printer"), Ok(None));
        assert_eq!(
            addresses("300.1.1.1").unwrap_err().trim(),
            "invalid IP address: Invalid quad in IP address 300.1.1.1 - 300"
        );
    }

    #[test]
    fn a_network_by_its_own_format_may_have_bits_behind_its_length() {
        assert!(check("IPorCIDR", "10.2.0.1/16").unwrap().is_ok());
        assert!(check("IPorCIDR", "10.2.0.1/40").unwrap().is_err());
        assert!(check("CIDRv4", "10.2.0.1/7").unwrap().is_err());
        assert!(
            check("ipv4mask", "255.255.0.0").unwrap().is_ok() && check("ipv4mask", "255.0.255.0").unwrap().is_err()
        );
        assert_eq!(check("no-such-format", "x"), None);
    }
}
