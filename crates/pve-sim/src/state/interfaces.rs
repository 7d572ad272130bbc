//! A node's network configuration: what is up, what its file says, and what the next file will say.
//!
//! Promises the order, the defaults and the guesses of Proxmox VE when it writes `/etc/network/interfaces` and reads it
//! again: what an interface is shows in its name and its options.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// One interface: its options by the names that the API gives them.
pub(crate) type Interface = BTreeMap<String, String>;

/// The interfaces of a file.
pub(crate) type Interfaces = BTreeMap<String, Interface>;

/// A node's network.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Network {
    /// The file.
    pub(crate) applied: Interfaces,
    /// The file that waits to be applied.
    #[serde(default)]
    pub(crate) pending: Option<Interfaces>,
    /// What is up.
    #[serde(default)]
    pub(crate) up: BTreeSet<String>,
}

impl Network {
    /// A card, a bridge on it with the node's address, and the node's other bridges.
    pub(crate) fn new(address: &str, bridges: &[String]) -> Self {
        let options = |of: &[(&str, &str)]| of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut applied = Interfaces::from([
            ("lo".to_owned(), options(&[("type", "loopback"), ("method", "loopback"), ("autostart", "1")])),
            ("eno1".to_owned(), options(&[("type", "eth")])),
        ]);
        for (at, bridge) in bridges.iter().enumerate() {
            let mut interface: Interface = options(&[("type", "bridge"), ("autostart", "1")]);
            if at == 0 {
                let more = [("method", "static"), ("address", address), ("netmask", "24"), ("bridge_ports", "eno1")];
                interface.extend(options(&more));
            }
            applied.insert(bridge.clone(), interface);
        }
        settle(&mut applied);
        let up = applied.keys().cloned().collect();
        Self { applied, pending: None, up }
    }

    /// As the API shows it: the file that waits, or the file.
    pub(crate) fn current(&self) -> &Interfaces {
        self.pending.as_ref().unwrap_or(&self.applied)
    }

    /// The file that waits becomes the file.
    pub(crate) fn apply(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.applied = pending;
        }
    }

    /// What starts by itself comes up, what is not in the file goes; the bridges that are up then.
    pub(crate) fn reload(&mut self) -> Vec<String> {
        let known = |name: &String| self.applied.contains_key(name);
        let mut up: BTreeSet<String> = self.up.iter().filter(|name| known(name)).cloned().collect();
        up.extend(self.applied.iter().filter(|(_, i)| is_set(i, "autostart")).map(|(name, _)| name.clone()));
        self.up = up;
        let is_bridge = |name: &&String| self.applied.get(*name).is_some_and(|i| is(i, "bridge") || is(i, "OVSBridge"));
        self.up.iter().filter(is_bridge).cloned().collect()
    }

    /// What would change, as `diff -u` says it; none if nothing waits.
    pub(crate) fn changes(&self) -> Option<String> {
        let (old, new) = (render(&self.applied), render(self.pending.as_ref()?));
        if old == new {
            return None;
        }
        let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
        let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let shorter = old.len().min(new.len()) - same;
        let tail = old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(3);
        let (old_to, new_to) = ((old.len() - tail + 3).min(old.len()), (new.len() - tail + 3).min(new.len()));
        let mut out = "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n".to_owned();
        let first = from + 1;
        let _ = writeln!(out, "@@ -{first},{} +{first},{} @@", old_to - from, new_to - from);
        let mut lines = |sign: char, of: &[&str]| {
            for line in of {
                let _ = writeln!(out, "{sign}{line}");
            }
        };
        lines(' ', &old[from..same]);
        lines('-', &old[same..old.len() - tail]);
        lines('+', &new[same..new.len() - tail]);
        lines(' ', &old[old.len() - tail..old_to]);
        Some(out)
    }
}

/// Whether an interface is of this type.
pub(crate) fn is(interface: &Interface, kind: &str) -> bool {
    interface.get("type").is_some_and(|t| t == kind)
}

/// Whether a switch is on.
fn is_set(interface: &Interface, key: &str) -> bool {
    interface.get(key).is_some_and(|v| !v.is_empty() && v != "0")
}

/// The interface that a VLAN or alias stands on, by its name, and its number.
pub(crate) fn parent(name: &str) -> Option<(&str, &str)> {
    let (parent, number) = name.rsplit_once(['.', ':'])?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some((parent, number))
}

fn is_physical(name: &str) -> bool {
    let plain = !name.contains(['.', ':']);
    let numbered = |stem: &str| name.strip_prefix(stem).is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
    plain && (name.starts_with("en") && name.len() > 2 || numbered("eth") || numbered("nic") || numbered("ib"))
}

/// What a file says of an interface when it is read again.
fn kind(name: &str, interface: &Interface) -> &'static str {
    let numbered = |stem: &str| name.strip_prefix(stem).is_some_and(|n| !n.is_empty() && n.parse::<u32>().is_ok());
    if name == "lo" {
        "loopback"
    } else if is(interface, "bridge") {
        "bridge"
    } else if numbered("bond") {
        "bond"
    } else if name.contains(':') && parent(name).is_some() {
        "alias"
    } else if parent(name).is_some() || interface.contains_key("vlan-raw-device") {
        "vlan"
    } else if is_physical(name) {
        "eth"
    } else {
        "unknown"
    }
}

/// Options that are only kept by interfaces of one type, under their own rules.
const OWNED: [(&str, &[&str]); 3] = [
    ("bridge", &["bridge_ports", "bridge_stp", "bridge_fd", "bridge_vlan_aware", "bridge_vids"]),
    ("bond", &["slaves", "bond_mode", "bond_miimon", "bond_xmit_hash_policy", "bond-primary"]),
    ("vlan", &["vlan-id", "vlan-raw-device"]),
];

fn sorted_words(text: &str) -> String {
    let mut words: Vec<&str> = text.split([' ', ',', ';']).filter(|w| !w.is_empty() && *w != "none").collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

/// Writes interfaces to a file and reads them again: types, defaults, order.
pub(crate) fn settle(interfaces: &mut Interfaces) {
    for (name, interface) in interfaces.iter_mut() {
        let kind = kind(name, interface);
        interface.insert("type".to_owned(), kind.to_owned());
        let foreign = OWNED.iter().filter(|(owner, _)| *owner != kind).flat_map(|(_, keys)| *keys);
        for key in foreign {
            interface.remove(*key);
        }
        interface.retain(|key, value| !value.is_empty() && (key != "autostart" || value != "0"));
        match kind {
            "bridge" => {
                let ports = sorted_words(interface.get("bridge_ports").map_or("", String::as_str));
                interface.insert("bridge_ports".to_owned(), ports);
                interface.entry("bridge_stp".to_owned()).or_insert_with(|| "off".to_owned());
                interface.entry("bridge_fd".to_owned()).or_insert_with(|| "0".to_owned());
                if interface.contains_key("bridge_vlan_aware") {
                    interface.insert("bridge_vlan_aware".to_owned(), "1".to_owned());
                    interface.entry("bridge_vids".to_owned()).or_insert_with(|| "2-4094".to_owned());
                } else {
                    interface.remove("bridge_vids");
                }
            }
            "bond" => {
                let slaves = sorted_words(interface.get("slaves").map_or("", String::as_str));
                interface.insert("slaves".to_owned(), slaves);
                interface.entry("bond_miimon".to_owned()).or_insert_with(|| "100".to_owned());
                let mode = interface.entry("bond_mode".to_owned()).or_insert_with(|| "balance-rr".to_owned()).clone();
                if !["balance-xor", "802.3ad"].contains(&mode.as_str()) {
                    interface.remove("bond_xmit_hash_policy");
                }
                if mode != "active-backup" {
                    interface.remove("bond-primary");
                }
            }
            "vlan" => {
                if let Some((device, number)) = parent(name) {
                    interface.insert("vlan-raw-device".to_owned(), device.to_owned());
                    interface.insert("vlan-id".to_owned(), number.to_owned());
                } else if let Some(number) = name.strip_prefix("vlan").filter(|n| n.parse::<u32>().is_ok()) {
                    interface.insert("vlan-id".to_owned(), number.to_owned());
                }
            }
            _ => {}
        }
        if let (Some(address), Some(mask)) = (interface.get("address"), interface.get("netmask")) {
            let bits = crate::schema::addresses::mask_bits(mask).map_or_else(|| mask.clone(), |b| b.to_string());
            let cidr = format!("{address}/{bits}");
            interface.insert("netmask".to_owned(), bits);
            interface.insert("cidr".to_owned(), cidr);
        } else {
            interface.remove("netmask");
            interface.remove("cidr");
        }
        if let (Some(address), Some(mask)) = (interface.get("address6"), interface.get("netmask6")) {
            let cidr = format!("{address}/{mask}");
            interface.insert("cidr6".to_owned(), cidr);
        } else {
            interface.remove("netmask6");
            interface.remove("cidr6");
        }
        if let Some(comments) = interface.get_mut("comments")
            && !comments.ends_with('\n')
        {
            comments.push('\n');
        }
        for method in ["method", "method6"] {
            interface.entry(method.to_owned()).or_insert_with(|| "manual".to_owned());
        }
    }
    for (at, name) in order(interfaces).into_iter().enumerate() {
        if let Some(interface) = interfaces.get_mut(&name) {
            // The first number is the loopback's if no file names it.
            interface.insert("priority".to_owned(), (at + 2).to_string());
        }
    }
}

/// The names in the order of the file.
fn order(interfaces: &Interfaces) -> Vec<String> {
    let mut names: Vec<(u32, String)> = interfaces
        .iter()
        .map(|(name, interface)| {
            let root = name.split(['.', ':']).next().unwrap_or_default();
            let depth = u32::try_from(name.matches(['.', ':']).count()).unwrap_or_default();
            let rank = match interfaces.get(root).and_then(|i| i.get("type")).map_or("", String::as_str) {
                "loopback" => 100_000,
                "eth" => 200_000,
                "bond" => 400_000,
                "bridge" => 500_000,
                "vlan" => 600_000,
                _ => 0,
            };
            let before = interface.get("priority").and_then(|p| p.parse::<u32>().ok()).unwrap_or(50_000);
            (rank + depth + before, name.clone())
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// The file.
fn render(interfaces: &Interfaces) -> String {
    let mut out = "# network interface settings; autogenerated\n\n".to_owned();
    let mut names: Vec<(&String, &Interface)> = interfaces.iter().collect();
    names.sort_by_key(|(_, i)| i.get("priority").and_then(|p| p.parse::<u32>().ok()).unwrap_or_default());
    for (name, interface) in names {
        let get = |key: &str| interface.get(key).filter(|v| !v.is_empty());
        if interface.contains_key("autostart") {
            let _ = writeln!(out, "auto {name}");
        }
        for (at, family) in families(interface).into_iter().enumerate() {
            let suffix = family.trim_start_matches("inet");
            let method = get(&format!("method{suffix}")).map_or("manual", String::as_str);
            let _ = writeln!(out, "iface {name} {family} {method}");
            for (key, word) in [("cidr", "address"), ("gateway", "gateway")] {
                if let Some(value) = get(&format!("{key}{suffix}")) {
                    let _ = writeln!(out, "\t{word} {value}");
                }
            }
            if at == 0 {
                options(&mut out, name, interface);
            }
            out.push('\n');
        }
    }
    out.push_str("source /etc/network/interfaces.d/*\n");
    out
}

fn options(out: &mut String, name: &str, interface: &Interface) {
    let plain = [
        "type",
        "priority",
        "method",
        "method6",
        "autostart",
        "address",
        "netmask",
        "cidr",
        "gateway",
        "address6",
        "netmask6",
        "cidr6",
        "gateway6",
        "families",
        "comments",
    ];
    for (key, value) in interface.iter().filter(|(key, _)| !plain.contains(&key.as_str())) {
        if parent(name).is_some() && key.starts_with("vlan-") {
            continue;
        }
        let value = match (key.as_str(), value.as_str()) {
            ("bridge_vlan_aware", _) => "yes",
            (_, "") => "none",
            (_, value) => value,
        };
        let key = match key.as_str() {
            "slaves" => "bond-slaves".to_owned(),
            key => key.replace('_', "-"),
        };
        let _ = writeln!(out, "\t{key} {value}");
    }
    for line in interface.get("comments").into_iter().flat_map(|c| c.lines()) {
        let _ = writeln!(out, "#{line}");
    }
}

/// `inet` and `inet6`, as they are configured.
pub(crate) fn families(interface: &Interface) -> Vec<&str> {
    match interface.get("families").map(|f| f.split(' ').collect::<Vec<_>>()) {
        Some(families) if !families.is_empty() => families,
        Some(_) | None => vec!["inet"],
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn interface(of: &[(&str, &str)]) -> Interface {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_file_is_ordered_by_type_and_children_follow_their_parents() {
        let mut network = Network::new("192.0.2.40", &["vmbr0".to_owned()]);
        network.applied.insert("vlan77".to_owned(), interface(&[("vlan-raw-device", "eno1")]));
        network.applied.insert("vmbr9".to_owned(), interface(&[("type", "bridge")]));
        network.applied.insert("eno1.5".to_owned(), interface(&[("type", "vlan")]));
        settle(&mut network.applied);
        let place = |name: &str| network.applied[name]["priority"].parse::<u32>().unwrap();
        let order = ["lo", "eno1", "eno1.5", "vmbr0", "vmbr9", "vlan77"];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{:?}", network.applied);
        assert_eq!(network.applied["eno1.5"]["vlan-id"], "5");
        assert_eq!(network.applied["vlan77"]["vlan-id"], "77");
    }

    #[test]
    fn what_waits_shows_as_a_diff_and_is_up_only_after_a_reload() {
        let mut network = Network::new("192.0.2.40", &["vmbr0".to_owned()]);
        assert_eq!(network.changes(), None);
        let mut next = network.applied.clone();
        next.insert("vmbr3".to_owned(), interface(&[("type", "bridge"), ("autostart", "1")]));
        next.insert("vmbr4".to_owned(), interface(&[("type", "bridge")]));
        settle(&mut next);
        network.pending = Some(next);
        let changes = network.changes().unwrap();
        assert!(changes.contains("\n+auto vmbr3\n") && !changes.contains("\n-"), "{changes}");
        network.apply();
        assert!(!network.up.contains("vmbr3"));
        assert_eq!(network.reload(), ["vmbr0", "vmbr3"]);
        assert_eq!(network.changes(), None);
    }
}
