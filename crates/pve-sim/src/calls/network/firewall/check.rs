//! Whether a rule makes sense where it stands.
//!
//! Promises the complaints in the order of Proxmox VE, which tells the first when a rule is written and all of them
//! when it is read.

use super::macros;
use super::place::Place;
use crate::schema::addresses::{addresses, is_name};
use crate::schema::ports::{has_ports, is_icmp_type};
use crate::state::firewall::{Firewall, Rule};

/// What a rule can see of the world.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    pub(super) place: &'a Place,
    pub(super) cluster: &'a Firewall,
    pub(super) own: &'a Firewall,
}

/// Parameter and complaint.
type Wrong = Vec<(String, String)>;

/// The version of addresses that a rule is about, and what is wrong with it.
pub(super) fn rule(rule: &Rule, sight: &Sight<'_>) -> (Option<u8>, Wrong) {
    let mut wrong = Wrong::new();
    let mut version = None;
    kind(rule, sight.place, &mut wrong);
    interface(rule, sight.place, &mut wrong);
    if let Some(name) = rule.get("macro")
        && macros::preferred(name).is_none()
    {
        wrong.push(("macro".to_owned(), format!("unknown macro '{name}'")));
    }
    match rule.get("proto").map(String::as_str) {
        Some("icmp") => version = Some(4),
        Some("icmpv6" | "ipv6-icmp") => version = Some(6),
        Some(_) | None => {}
    }
    ports(rule, &mut wrong);
    for end in ["source", "dest"] {
        address(rule, end, sight, &mut version, &mut wrong);
    }
    if wrong.is_empty() {
        wrong.extend(macros::conflict(rule, version));
    }
    (version, wrong)
}

fn kind(rule: &Rule, place: &Place, wrong: &mut Wrong) {
    let mut complain = |name: &str, text: String| wrong.push((name.to_owned(), text));
    let action = rule.get("action").map_or("", String::as_str);
    match rule.get("type").map_or("", String::as_str) {
        kind @ ("in" | "out") => {
            if matches!(place, Place::Vnet(_)) {
                complain("type", format!("rule type '{kind}' is not allowed for this rule environment"));
            }
            if !["ACCEPT", "DROP", "REJECT"].contains(&action) {
                complain("action", format!("unknown action '{action}'"));
            }
        }
        "forward" => {
            if matches!(place, Place::Guest(_)) {
                complain("type", "rule type 'forward' is not allowed for this rule environment".to_owned());
            }
            if !["ACCEPT", "DROP"].contains(&action) {
                complain("action", format!("unknown action '{action}'"));
            }
        }
        "group" => {
            if matches!(place, Place::Group(_)) {
                complain("type", "security groups not allowed".to_owned());
            }
            if !is_name(action) {
                complain("action", "invalid characters in security group name".to_owned());
            }
        }
        other => complain("type", format!("unknown rule type '{other}'")),
    }
}

fn interface(rule: &Rule, place: &Place, wrong: &mut Wrong) {
    let Some(name) = rule.get("iface") else { return };
    match place {
        Place::Group(_) | Place::Vnet(_) => {
            wrong.push(("type".to_owned(), "parameter -i not allowed for this rule type".to_owned()));
        }
        Place::Guest(_) => {
            let number =
                name.strip_prefix("net").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if !number {
                wrong.push(("iface".to_owned(), "value does not match the regex pattern 'net\\d+'".to_owned()));
            }
        }
        Place::Cluster | Place::Node(_) => {}
    }
}

fn ports(rule: &Rule, wrong: &mut Wrong) {
    let mut complain = |name: &str, text: String| wrong.push((name.to_owned(), text));
    let protocol = rule.get("proto").map_or("", String::as_str);
    let is_icmp = ["icmp", "icmpv6", "ipv6-icmp"].contains(&protocol);
    if rule.contains_key("dport") {
        if protocol.is_empty() {
            complain("proto", "missing property - 'dport' requires this property".to_owned());
        } else if !has_ports(protocol) && !["icmp", "icmpv6"].contains(&protocol) {
            complain("dport", format!("protocol '{protocol}' does not support ports"));
        }
    }
    if let Some(kind) = rule.get("icmp-type") {
        if !is_icmp {
            complain("proto", "missing property - 'icmp-type' requires this property".to_owned());
        }
        if rule.contains_key("dport") {
            complain("icmp-type", "'icmp-type' cannot be specified together with 'dport'".to_owned());
        }
        let version = if protocol == "icmp" { 4 } else { 6 };
        if is_icmp && !is_icmp_type(kind, version) {
            complain("icmp-type", format!("invalid icmp-type '{kind}' for proto '{protocol}'"));
        }
    }
    if rule.contains_key("sport") {
        if protocol.is_empty() {
            complain("proto", "missing property - 'sport' requires this property".to_owned());
        } else if !has_ports(protocol) {
            complain("sport", format!("protocol '{protocol}' does not support ports"));
        }
    }
}

fn address(rule: &Rule, end: &str, sight: &Sight<'_>, version: &mut Option<u8>, wrong: &mut Wrong) {
    let Some(value) = rule.get(end) else { return };
    let mut complain = |text: String| wrong.push((end.to_owned(), text));
    let mut agree = |found: Option<u8>| match (*version, found) {
        (Some(before), Some(now)) if before != now => Err("detected mixed ipv4/ipv6 addresses in rule".to_owned()),
        (_, Some(now)) => {
            *version = Some(now);
            Ok(())
        }
        (_, None) => Ok(()),
    };
    if let Some(name) = value.strip_prefix('+') {
        let (scope, bare) = name.split_once('/').unwrap_or(("", name));
        if !["", "dc", "guest", "sdn"].contains(&scope) || !is_name(bare) {
            complain(format!("invalid ipset name '{value}'"));
        } else if scope != "sdn" && !sight.own.ipsets.contains_key(bare) && !sight.cluster.ipsets.contains_key(bare) {
            complain(format!("no such ipset '{bare}'"));
        }
        return;
    }
    let bare = value.strip_prefix("dc/").or_else(|| value.strip_prefix("guest/")).unwrap_or(value);
    if is_name(bare) {
        let name = bare.to_lowercase();
        let found = match sight.own.aliases.get(&name).or_else(|| sight.cluster.aliases.get(&name)) {
            None => return complain(format!("no such alias '{value}'")),
            Some(alias) => {
                if alias.cidr.contains(':') {
                    6
                } else {
                    4
                }
            }
        };
        if let Err(text) = agree(Some(found)) {
            complain(text);
        }
        return;
    }
    if let Err(text) = addresses(value).and_then(&mut agree) {
        complain(text.trim_end().to_owned());
    }
}
