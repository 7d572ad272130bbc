//! From a network configuration to the commands that set the cards up.
//!
//! Promises: commands in an order that works (names, links, addresses, gateways), as values; nothing runs here.
//! Assumes cards that are there already, each with the VM's MAC address.

use std::fmt::Write as _;

use super::config::{Config, Ethernet};

/// A card as the guest sees it before it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The kernel's name.
    pub name: String,
    /// Its MAC address.
    pub mac: String,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Words of `ip`, one list a command.
    pub ip: Vec<Vec<String>>,
    /// Cards that want a lease.
    pub dhcp4: Vec<String>,
    /// Cards that want a DHCPv6 lease, which a guest of ours cannot ask for.
    pub dhcp6: Vec<String>,
    /// Cards that take no router advertisements.
    pub no_ra: Vec<String>,
    /// The text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Entries that match no card.
    pub unmatched: Vec<String>,
}

/// Plans the set-up.
pub fn plan(config: &Config, cards: &[Card]) -> Setup {
    let mut setup = Setup::default();
    let mut search = vec![];
    for (id, ethernet) in &config.ethernets {
        let Some(card) = cards.iter().find(|card| is_meant(id, ethernet, card)) else {
            setup.unmatched.push(id.clone());
            continue;
        };
        let name = one(&mut setup, ethernet, card);
        if ethernet.dhcp4 {
            setup.dhcp4.push(name.clone());
        }
        if ethernet.dhcp6 {
            setup.dhcp6.push(name.clone());
        }
        if ethernet.accept_ra == Some(false) {
            setup.no_ra.push(name);
        }
        for server in &ethernet.nameservers.addresses {
            let _ = writeln!(setup.resolv_conf, "nameserver {server}");
        }
        search.extend(ethernet.nameservers.search.iter().map(String::as_str));
    }
    if !search.is_empty() {
        let _ = writeln!(setup.resolv_conf, "search {}", search.join(" "));
    }
    setup
}

fn is_meant(id: &str, ethernet: &Ethernet, card: &Card) -> bool {
    match (&ethernet.matches.macaddress, &ethernet.matches.name) {
        (Some(mac), _) => mac.eq_ignore_ascii_case(&card.mac),
        (None, Some(name)) => match name.strip_suffix('*') {
            Some(start) => card.name.starts_with(start),
            None => *name == card.name,
        },
        (None, None) => id == card.name,
    }
}

fn one(setup: &mut Setup, ethernet: &Ethernet, card: &Card) -> String {
    let mut ip = |words: &[&str]| setup.ip.push(words.iter().map(|&word| word.to_owned()).collect());
    let name = ethernet.set_name.clone().unwrap_or_else(|| card.name.clone());
    if name != card.name {
        ip(&["link", "set", "dev", &card.name, "name", &name]);
    }
    if let Some(mtu) = ethernet.mtu {
        ip(&["link", "set", "dev", &name, "mtu", &mtu.to_string()]);
    }
    ip(&["link", "set", "dev", &name, "up"]);
    for address in &ethernet.addresses {
        // Nobody else holds it: a duplicate check would keep an IPv6 address unusable for a second.
        let mut words = vec!["address", "replace", address, "dev", &name];
        if address.contains(':') {
            words.push("nodad");
        }
        ip(&words);
    }
    for gateway in [&ethernet.gateway4, &ethernet.gateway6].into_iter().flatten() {
        ip(&["route", "replace", "default", "via", gateway, "dev", &name]);
    }
    for route in &ethernet.routes {
        let via = route.via.as_deref();
        let to = match route.to.as_deref() {
            None | Some("0.0.0.0/0" | "::/0") => "default",
            Some(to) => to,
        };
        let six = via.or(route.to.as_deref()).is_some_and(|word| word.contains(':'));
        let metric = route.metric.map(|metric| metric.to_string());
        let table = route.table.map(|table| table.to_string());
        let mut words = if six { vec!["-6"] } else { vec![] };
        words.extend(["route", "replace", to]);
        if let Some(via) = via {
            words.extend(["via", via]);
        }
        words.extend(["dev", &name]);
        if let Some(metric) = &metric {
            words.extend(["metric", metric]);
        }
        if let Some(table) = &table {
            words.extend(["table", table]);
        }
        if route.on_link {
            words.push("onlink");
        }
        ip(&words);
    }
    for rule in &ethernet.routing_policy {
        let table = rule.table.map(|table| table.to_string());
        let priority = rule.priority.map(|priority| priority.to_string());
        let six = rule.from.as_deref().or(rule.to.as_deref()).is_some_and(|word| word.contains(':'));
        let mut words = if six { vec!["-6"] } else { vec![] };
        words.extend(["rule", "add"]);
        for (key, value) in [("from", &rule.from), ("to", &rule.to), ("table", &table), ("priority", &priority)] {
            if let Some(value) = value {
                words.extend([key, value]);
            }
        }
        ip(&words);
    }
    name
}

#[cfg(test)]
mod test {
    use super::super::config::parse;
    use super::*;

    fn cards() -> [Card; 2] {
        [("ens18", "bc:24:11:00:00:01"), ("ens19", "bc:24:11:00:00:02")]
            .map(|(name, mac)| Card { name: name.to_owned(), mac: mac.to_owned() })
    }

    fn lines(setup: &Setup) -> Vec<String> {
        setup.ip.iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn a_card_is_found_by_mac_in_either_case_and_set_up_in_order() {
        let config = parse(
            "{version: 2, ethernets: {a: {match: {macaddress: 'BC:24:11:00:00:02'}, set-name: eth1, mtu: 1400,
             addresses: [10.0.0.5/24, 'fd00::5/64'], routes: [{to: 0.0.0.0/0, via: 10.0.0.1, metric: 100}, {to: '::/0', via: 'fd00::1'}],
             nameservers: {addresses: [10.0.0.1], search: [a.example]}}}}",
        )
        .unwrap();
        let setup = plan(&config, &cards());
        assert_eq!(
            lines(&setup),
            [
                "link set dev ens19 name eth1",
                "link set dev eth1 mtu 1400",
                "link set dev eth1 up",
                "address replace 10.0.0.5/24 dev eth1",
                "address replace fd00::5/64 dev eth1 nodad",
                "route replace default via 10.0.0.1 dev eth1 metric 100",
                "-6 route replace default via fd00::1 dev eth1",
            ]
        );
        assert_eq!(setup.resolv_conf, "nameserver 10.0.0.1\nsearch a.example\n");
    }

    #[test]
    fn dhcp_goes_to_the_card_under_its_new_name_and_strangers_are_named() {
        let config = parse(
            "{version: 2, ethernets: {n: {match: {macaddress: 'bc:24:11:00:00:01'}, set-name: eth0, dhcp4: true},
             ghost: {match: {macaddress: '00:00:00:00:00:09'}, dhcp4: true}}}",
        )
        .unwrap();
        let setup = plan(&config, &cards());
        assert_eq!(setup.dhcp4, ["eth0"]);
        assert_eq!(setup.unmatched, ["ghost"]);
    }
}
