//! A guest's network, set up from inside as its seed says.
//!
//! Promises: what cannot be done is noted and the rest is done, as on a real machine. Assumes that the cards are there
//! under their kernel names.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Boot;
use crate::network::{config, setup};
use crate::tool;

/// Settings of the guest's own network namespace; one that the kernel lacks is no loss.
pub(super) fn settings() {
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/accept_ra", "2"),
        ("bridge/bridge-nf-call-iptables", "1"),
        ("bridge/bridge-nf-call-ip6tables", "1"),
    ] {
        let _ = fs::write(Path::new("/proc/sys/net").join(name), value);
    }
}

/// Sets up the cards as the seed's network configuration says.
pub(super) fn set_up(boot: &Boot, note: &impl Fn(&str)) -> Result<()> {
    tool::ip(&["link", "set", "lo", "up"])?;
    let Some(text) = configuration()? else {
        note("network: neither a seed nor an earlier boot has configured it");
        return Ok(());
    };
    let config = config::parse(&text)?;
    let cards: Vec<_> = boot
        .guest
        .nics
        .iter()
        .map(|nic| setup::Card { name: crate::machine::nic::guest_name(nic), mac: nic.mac.clone() })
        .collect();
    let setup = setup::plan(&config, &cards);
    for unmatched in &setup.unmatched {
        note(&format!("network: no card matches `{unmatched}`"));
    }
    for card in &setup.no_ra {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{card}/accept_ra"), "0");
    }
    for words in &setup.ip {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(err) = tool::ip(&words) {
            note(&format!("network: {err:#}"));
        }
    }
    fs::write("/etc/resolv.conf", &setup.resolv_conf)?;
    for card in &setup.dhcp6 {
        note(&format!("network: `{card}` wants dhcp6: router advertisements only"));
    }
    for card in &setup.dhcp4 {
        match dhcp(card) {
            Ok(()) => note(&format!("network: `{card}` has a lease")),
            Err(err) => note(&format!("network: {err:#}")),
        }
    }
    // Without a server, programs ask 127.0.0.1, and CoreDNS would find itself there.
    if fs::read_to_string("/etc/resolv.conf").unwrap_or_default().is_empty()
        && let Some(gateway) = default_gateway()
    {
        fs::write("/etc/resolv.conf", format!("nameserver {gateway}\n"))?;
        note(&format!("network: no DNS server is configured; names are asked of the gateway `{gateway}`"));
    }
    Ok(())
}

/// The seed's configuration, which is kept where cloud-init keeps it; without a seed, what an earlier boot kept.
fn configuration() -> Result<Option<String>> {
    let kept = Path::new("/etc/netplan/50-cloud-init.yaml");
    if let Ok(text) = fs::read_to_string("/var/lib/cloud/seed/nocloud/network-config") {
        fs::create_dir_all("/etc/netplan")?;
        fs::write(kept, &text)?;
        return Ok(Some(text));
    }
    Ok(fs::read_to_string(kept).ok())
}

fn default_gateway() -> Option<String> {
    let said = tool::ip(&["route", "show", "default"]).ok()?;
    let mut words = said.split_whitespace().skip_while(|word| *word != "via");
    words.nth(1).map(str::to_owned)
}

/// A lease by a real DHCP client, which stays to renew it.
fn dhcp(card: &str) -> Result<()> {
    let script = "/run/guest-node/udhcpc.sh";
    fs::write(script, include_str!("files/udhcpc.sh"))?;
    rustix::fs::chmod(script, rustix::fs::Mode::from_raw_mode(0o755))?;
    let mut command = super::inside("busybox");
    command.args(["udhcpc", "-b", "-i", card, "-s", script, "-t", "20", "-T", "1"]);
    tool::run(&mut command).map(drop)
}
