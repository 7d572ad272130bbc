//! Containers as their node sees them: cores, swap, addresses, features, statistics.

use serde_json::{Value, json};

use super::mountpoint::{self, is_mountpoint_key};
use super::the;
use crate::calls::qemu::rrd;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::lxc::disk;
use crate::state::World;
use crate::state::drive::{is_net_key, option_of};
use crate::state::guest::Guest;

pub(crate) fn directory(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "config",
        "pending",
        "status",
        "vncproxy",
        "termproxy",
        "vncwebsocket",
        "spiceproxy",
        "migrate",
        "clone",
        "initlog",
        "rrd",
        "rrddata",
        "firewall",
        "snapshot",
        "resize",
        "interfaces",
        "mtunnel",
        "mtunnelwebsocket",
    ];
    now(names("subdir", &of))
}

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["current", "start", "stop", "shutdown", "migrate"]))
}

/// The cores that a container may use: its own, or all of its node.
pub(crate) fn cpus(world: &World, guest: &Guest) -> Value {
    let number = |key: &str| guest.get(key).and_then(|v| v.parse::<f64>().ok()).filter(|n| *n > 0.0);
    let all = f64::from(world.node(&guest.node).map_or(1, |n| n.cores));
    let cores = number("cores").unwrap_or(all).min(all);
    let cpus = number("cpulimit").map_or(cores, |limit| limit.min(cores));
    #[expect(clippy::cast_possible_truncation, reason = "a number of cores")]
    if cpus.fract() == 0.0 { json!(cpus as i64) } else { json!(cpus) }
}

/// Bytes of swap.
pub(crate) fn swap(guest: &Guest) -> u64 {
    guest.get("swap").and_then(|s| s.parse::<u64>().ok()).unwrap_or(512) << 20
}

fn interface(name: &str, mac: &str, addresses: &[String]) -> Value {
    let mut row = json!({"name": name, "hwaddr": mac, "hardware-address": mac});
    let mut all = Vec::new();
    for cidr in addresses {
        let (address, prefix) = cidr.split_once('/').unwrap_or((cidr, "32"));
        let kind = if address.contains(':') { "inet6" } else { "inet" };
        row[kind] = json!(cidr);
        let prefix = prefix.parse::<u32>().unwrap_or_default();
        all.push(json!({"ip-address": address, "ip-address-type": kind, "prefix": prefix}));
    }
    row["ip-addresses"] = Value::Array(all);
    row
}

/// The addresses inside: what the configuration says; by DHCP one that follows from the number.
pub(crate) fn interfaces(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    if !guest.running() {
        return now(Value::Null);
    }
    let loopback = ["127.0.0.1/8".to_owned(), "::1/128".to_owned()];
    let mut rows = vec![interface("lo", "00:00:00:00:00:00", &loopback)];
    for (_, net) in guest.config.iter().filter(|(k, _)| is_net_key(k)) {
        let mac = option_of(net, "hwaddr").unwrap_or_default().to_lowercase();
        let mut addresses = Vec::new();
        match option_of(net, "ip") {
            Some("dhcp") => {
                let [_, _, high, low] = guest.vmid.to_be_bytes();
                addresses.push(format!("192.0.{high}.{low}/24"));
            }
            Some("manual") | None => {}
            Some(cidr) => addresses.push(cidr.to_owned()),
        }
        if let Some(cidr) = option_of(net, "ip6").filter(|c| c.contains('/')) {
            addresses.push(cidr.to_owned());
        }
        rows.push(interface(option_of(net, "name").unwrap_or("eth0"), &mac, &addresses));
    }
    now(Value::Array(rows))
}

pub(crate) fn feature(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let config = match call.get("snapname") {
        Some(name) => {
            let kept = guest.snapshots.get(name);
            &kept.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?.config
        }
        None => &guest.config,
    };
    let able = config
        .iter()
        .filter(|(k, _)| is_mountpoint_key(k))
        .all(|(_, v)| disk::able(world, call.str("feature"), v, call.get("snapname").is_some()));
    now(json!({"hasFeature": i32::from(able)}))
}

/// When the root file system was made.
fn made(world: &World, guest: &Guest) -> Option<i64> {
    let volid = mountpoint::volume(guest.get("rootfs")?);
    world.volumes.find(volid, &guest.node).map(|v| v.ctime)
}

/// Statistics over time.
pub(crate) fn rrddata(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let all = world.node(&guest.node).map_or(1, |n| n.cores);
    let cpus = Some(guest.cpus()).filter(|n| *n > 0).unwrap_or(all);
    now(rrd::rows(world, guest, call.str("timeframe"), made(world, guest), cpus))
}

/// A picture, of which only the name is known.
pub(crate) fn picture(world: &mut World, call: &Call<'_>) -> Outcome {
    the(world, call)?;
    let sources = call.str("ds").replace([',', ';', ' '], "_");
    let file = format!("/var/lib/rrdcached/db/pve-vm-9.0/{}_{}_{sources}.png", call.vmid(), call.str("timeframe"));
    now(json!({"filename": file}))
}
