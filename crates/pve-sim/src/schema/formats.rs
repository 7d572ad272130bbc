//! The word-shaped formats: ids, names, addresses.
//!
//! Promises the texts that Proxmox VE gives when a word does not fit its format. Formats that nobody
//! needs yet accept everything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use regex_lite::Regex;

/// `Err` is the text after `invalid format - `.
pub(crate) fn check(format: &str, value: &str) -> Result<(), String> {
    if let Some(one) = format.strip_suffix("-list") {
        return split_list(value).try_for_each(|word| check(one, word));
    }
    let elsewhere = super::addresses::check(format, value).or_else(|| super::sdn::check(format, value));
    if let Some(answer) = elsewhere {
        return answer;
    }
    let said = super::cluster_formats::check(format, value).or_else(|| super::guest_formats::check(format, value));
    if let Some(said) = said {
        return said;
    }
    let ok = match format {
        "pve-vmid" => return ensure(is_vmid(value), "value does not look like a valid VM ID"),
        "pve-node" => return ensure(is_node_name(value), "value does not look like a valid node name"),
        "pve-storage-id" => is_storage_id(value),
        "pve-configid" => is_configid(value),
        "pve-poolid" => value.split('/').count() <= 3 && value.split('/').all(|p| matches(p, "^[A-Za-z0-9._-]+$")),
        "pve-userid" => is_userid(value),
        "dns-name" => return ensure(is_dns_name(value), "value does not look like a valid DNS name"),
        "pve-tag" => {
            return ensure(matches(value, r"^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*$"), "invalid characters in tag");
        }
        "pve-volume-id" => is_volume_id(value),
        "pve-volume-id-or-qm-path" => {
            value == "none" || value == "cdrom" || value.starts_with('/') || is_volume_like(value)
        }
        "mac-addr" => {
            return ensure(is_unicast_mac(value), "value does not look like a valid unicast MAC address");
        }
        "address" => {
            let ok = value.parse::<Ipv4Addr>().is_ok() || value.parse::<Ipv6Addr>().is_ok();
            return ensure(ok, "value does not look like a valid IP address");
        }
        "ipv4-config" => {
            let ok = value == "dhcp" || is_cidr::<Ipv4Addr>(value, 32);
            return ensure(ok, "value does not look like a valid ipv4 network configuration");
        }
        "ipv6-config" => {
            let ok = value == "dhcp" || value == "auto" || is_cidr::<Ipv6Addr>(value, 128);
            return ensure(ok, "value does not look like a valid ipv6 network configuration");
        }
        "ipv4" => return ensure(value.parse::<Ipv4Addr>().is_ok(), "value does not look like a valid IPv4 address"),
        "ipv6" => return ensure(value.parse::<Ipv6Addr>().is_ok(), "value does not look like a valid IPv6 address"),
        "urlencoded" => matches(value, r"^[-%a-zA-Z0-9_.!~*'()]*$"),
        "pve-storage-content" => {
            ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"].contains(&value)
        }
        "pve-groupid" | "pve-roleid" => matches(value, r"^[A-Za-z0-9._-]+$"),
        "pve-tokenid" => matches(value, r"^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$"),
        "pve-iface" => matches(value, r"^[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?$"),
        _ => true,
    };
    if ok { Ok(()) } else { Err(complaint(format, value)) }
}

fn complaint(format: &str, value: &str) -> String {
    match format {
        "pve-storage-id" => format!("storage ID '{value}' contains illegal characters\n"),
        "pve-configid" => format!("invalid configuration ID '{value}'\n"),
        "pve-poolid" => format!("value '{value}' does not look like a valid pool name\n"),
        "pve-userid" => format!("value '{value}' does not look like a valid user name\n"),
        "urlencoded" => format!("invalid urlencoded string: {value}\n"),
        "pve-storage-content" => format!("invalid content type '{value}'\n"),
        "pve-groupid" => format!("group name '{value}' contains invalid characters\n"),
        "pve-roleid" => format!("role name '{value}' contains invalid characters\n"),
        "pve-tokenid" => format!("value '{value}' does not look like a valid token ID\n"),
        "pve-iface" => format!("invalid network interface name '{value}'\n"),
        _ => format!("unable to parse volume ID '{value}'\n"),
    }
}

fn ensure(ok: bool, text: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{text}\n")) }
}

/// Splits as Proxmox VE splits lists: comma, semicolon, white space and NUL.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace()).filter(|w| !w.is_empty())
}

/// Whether the whole of `value` matches a pattern of the table.
pub(crate) fn matches_whole(value: &str, pattern: &str) -> bool {
    matches(value, &format!("^(?:{pattern})$"))
}

thread_local! {
    /// Patterns are few and come again and again.
    static COMPILED: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::new(HashMap::new());
}

fn matches(value: &str, pattern: &str) -> bool {
    let compiled = COMPILED.with_borrow_mut(|all| match all.get(pattern) {
        Some(known) => known.clone(),
        None => all.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok().map(Rc::new)).clone(),
    });
    compiled.is_some_and(|re| re.is_match(value))
}

fn is_vmid(value: &str) -> bool {
    (3..=9).contains(&value.len()) && !value.starts_with('0') && value.bytes().all(|b| b.is_ascii_digit())
}

/// A node's name as a parameter.
pub(crate) fn is_node_name(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with('-')
        && !value.ends_with('-')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A storage's id.
fn is_storage_id(value: &str) -> bool {
    value.len() >= 2
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The name of a configuration key or of a snapshot.
fn is_configid(value: &str) -> bool {
    value.len() >= 2
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn is_userid(value: &str) -> bool {
    value.len() <= 64 && matches(value, r"^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$")
}

fn is_dns_name(value: &str) -> bool {
    !value.is_empty()
        && value.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_volume_id(value: &str) -> bool {
    value.split_once(':').is_some_and(|(storage, name)| is_storage_id(storage) && !name.is_empty())
}

fn is_volume_like(value: &str) -> bool {
    is_volume_id(value) || matches(value, r"^\d+(\.\d+)?$")
}

fn is_unicast_mac(value: &str) -> bool {
    let parts: Vec<&str> = value.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok())
        && u8::from_str_radix(parts[0], 16).is_ok_and(|first| first & 1 == 0)
}

fn is_cidr<A: std::str::FromStr>(value: &str, longest: u8) -> bool {
    value.split_once('/').is_some_and(|(address, length)| {
        address.parse::<A>().is_ok() && length.parse::<u8>().is_ok_and(|l| l <= longest)
    })
}
