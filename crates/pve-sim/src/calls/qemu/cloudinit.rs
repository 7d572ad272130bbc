//! The cloud-init drive: what goes into it, and what waits to.
//!
//! The texts are those that Proxmox VE writes for the `nocloud` type.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::calls::qemu::config::shown;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::{is_net_key, option_of};
use crate::state::guest::{Config, Guest, Pending};

/// Settings that are listed, by their stem.
pub(crate) const KEYS: &[&str] =
    &["cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys"];

/// The settings, and how they will be.
pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let listed = |key: &&&str| guest.config.contains_key(**key) || guest.pending.contains_key(**key);
    let mut rows = Vec::new();
    for key in KEYS.iter().filter(listed) {
        let mut row = json!({"key": key});
        if let Some(value) = guest.get(key) {
            row["value"] = shown(call.schema, key, value);
        }
        match guest.pending.get(*key) {
            Some(Pending::Set(new)) => row["pending"] = shown(call.schema, key, new),
            Some(Pending::Delete { .. }) => row["delete"] = json!(1),
            None => {}
        }
        rows.push(row);
    }
    now(Value::Array(rows))
}

/// The drive is made anew; without one that is refused.
pub(crate) fn regenerate(world: &mut World, call: &Call<'_>) -> Outcome {
    super::config::lock(world, call.vmid())?;
    let guest = world.guest(call.node(), call.vmid())?;
    if let Some(lock) = guest.get("lock") {
        return Err(Fail::die(format!("VM is locked ({lock})")).into());
    }
    if !guest.drives().any(|(_, text)| text.contains("-cloudinit")) {
        return Err(Fail::die("no cloud-init drive found").into());
    }
    now(Value::Null)
}

pub(crate) fn dump(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let config = guest.future();
    now(json!(match call.str("type") {
        "user" => user(guest, &config),
        "network" => network(&config),
        _ => meta(guest, &config),
    }))
}

/// The host's name, and with its domain.
fn names(guest: &Guest, config: &Config) -> (String, String) {
    let name = config.get("name").cloned().unwrap_or_else(|| format!("VM{}", guest.vmid));
    let host = name.split('.').next().unwrap_or_default().to_owned();
    let domain = config.get("searchdomain").and_then(|d| d.split(' ').next()).unwrap_or_default();
    if name.contains('.') {
        return (host, name);
    }
    let full = if domain.is_empty() { host.clone() } else { format!("{host}.{domain}") };
    (host, full)
}

fn user(guest: &Guest, config: &Config) -> String {
    let (host, full) = names(guest, config);
    let mut out = format!("#cloud-config\nhostname: {host}\nmanage_etc_hosts: true\n");
    if full != host {
        let _ = writeln!(out, "fqdn: {full}");
    }
    if let Some(name) = config.get("ciuser") {
        let _ = writeln!(out, "user: {name}");
    }
    match config.get("cipassword") {
        Some(password) => {
            let _ = writeln!(out, "password: {password}");
        }
        None => out.push_str("disable_root: False\n"),
    }
    if let Some(keys) = config.get("sshkeys") {
        let keys = percent_decode_str(keys).decode_utf8_lossy().into_owned();
        out.push_str("ssh_authorized_keys:\n");
        for key in keys.lines().filter(|k| !k.trim().is_empty()) {
            let _ = writeln!(out, "  - {key}");
        }
    }
    out.push_str("chpasswd:\n  expire: False\n");
    if config.get("ciuser").is_none_or(|name| name != "root") {
        out.push_str("users:\n  - default\n");
    }
    let upgrade = config.get("ciupgrade").is_none_or(|u| u != "0");
    let _ = writeln!(out, "package_upgrade: {upgrade}");
    out
}

/// The mask of so many bits.
fn mask(bits: &str) -> String {
    let bits: u32 = bits.parse().unwrap_or(24);
    Ipv4Addr::from(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)).to_string()
}

fn network(config: &Config) -> String {
    let mut out = "version: 1\nconfig:\n".to_owned();
    for (key, text) in config.iter().filter(|(k, _)| is_net_key(k)) {
        let number = &key[3..];
        let Some(ipconfig) = config.get(&format!("ipconfig{number}")) else { continue };
        let mac = text.split(',').next().and_then(|f| f.split_once('=')).map_or("", |(_, mac)| mac).to_lowercase();
        let _ =
            write!(out, "    - type: physical\n      name: eth{number}\n      mac_address: '{mac}'\n      subnets:\n");
        match option_of(ipconfig, "ip") {
            Some("dhcp") => out.push_str("      - type: dhcp4\n"),
            Some(cidr) => {
                let (address, bits) = cidr.split_once('/').unwrap_or((cidr, "24"));
                let mask = mask(bits);
                let _ = write!(out, "      - type: static\n        address: '{address}'\n        netmask: '{mask}'\n");
                if let Some(gateway) = option_of(ipconfig, "gw") {
                    let _ = writeln!(out, "        gateway: '{gateway}'");
                }
            }
            None => {}
        }
        match option_of(ipconfig, "ip6") {
            Some("dhcp") => out.push_str("      - type: dhcp6\n"),
            Some("auto") => out.push_str("      - type: ipv6_slaac\n"),
            Some(cidr) => {
                let _ = write!(out, "      - type: static6\n        address: '{cidr}'\n");
                if let Some(gateway) = option_of(ipconfig, "gw6") {
                    let _ = writeln!(out, "        gateway: '{gateway}'");
                }
            }
            None => {}
        }
    }
    let words = |key: &str| -> Vec<String> {
        config
            .get(key)
            .map_or_else(Vec::new, |v| v.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect())
    };
    let (servers, domains) = (words("nameserver"), words("searchdomain"));
    if !servers.is_empty() || !domains.is_empty() {
        out.push_str("    - type: nameserver\n");
        for (title, list) in [("address", servers), ("search", domains)] {
            if !list.is_empty() {
                let _ = writeln!(out, "      {title}:");
                for word in list {
                    let _ = writeln!(out, "      - '{word}'");
                }
            }
        }
    }
    out
}

/// The instance is another one when its data is.
fn meta(guest: &Guest, config: &Config) -> String {
    let text = user(guest, config) + &network(config);
    format!("instance-id: {}\n", hex::encode(Sha1::digest(text.as_bytes())))
}

#[cfg(test)]
mod test {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_card_without_an_address_setting_is_left_out_of_the_network() {
        let config = config(&[
            ("net0", "virtio=BC:24:11:AA:00:01,bridge=vmbr0"),
            ("net1", "virtio=BC:24:11:AA:00:02,bridge=vmbr0"),
            ("ipconfig1", "ip=198.51.100.7/20,ip6=auto"),
        ]);
        let text = network(&config);
        assert!(!text.contains("eth0"), "{text}");
        assert!(text.contains("netmask: '255.255.240.0'") && text.contains("ipv6_slaac"), "{text}");
    }

    #[test]
    fn a_dotted_name_is_host_and_domain_at_once() {
        let guest = Guest::new(301, "pve1", Config::new());
        let text = user(&guest, &config(&[("name", "a.example.org"), ("ciupgrade", "0"), ("ciuser", "root")]));
        assert!(text.contains("hostname: a\n") && text.contains("fqdn: a.example.org\n"), "{text}");
        assert!(text.contains("package_upgrade: false") && !text.contains("users:"), "{text}");
    }

    #[test]
    fn another_address_is_another_instance() {
        let guest = Guest::new(301, "pve1", Config::new());
        let one = meta(&guest, &config(&[("net0", "virtio=BC:24:11:AA:00:01"), ("ipconfig0", "ip=192.0.2.4/24")]));
        let two = meta(&guest, &config(&[("net0", "virtio=BC:24:11:AA:00:01"), ("ipconfig0", "ip=192.0.2.5/24")]));
        assert_ne!(one, two);
    }
}
