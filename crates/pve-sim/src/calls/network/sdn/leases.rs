//! Addresses that are handed out: `/cluster/sdn/vnets/{vnet}/ips`, and the list of all of them.

use serde_json::{Value, json};

use super::subnets::{cidr, contains, parts};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::sdn::Lease;

/// The running subnet of a vnet that an address is of: its zone and network.
fn home(world: &World, vnet: &str, ip: &str) -> Result<(String, String), Fail> {
    let subnets = world.sdn.running.subnets.iter().filter(|(_, s)| s.get("vnet").is_some_and(|v| v == vnet));
    let found = subnets.map(|(id, _)| id).find(|id| contains(&cidr(id), ip));
    found.map(|id| (parts(id).0.to_owned(), cidr(id))).ok_or_else(|| {
        let at = "/usr/share/perl5/PVE/Network/SDN/Subnets.pm line 131.";
        Fail::die(format!("can't find any subnet for ip {ip} at {at}"))
    })
}

fn add(world: &mut World, vnet: &str, ip: &str, lease: Lease) -> Result<(), Fail> {
    let (zone, network) = home(world, vnet, ip)?;
    let Some(networks) = world.sdn.leases.get_mut(&zone) else { return Ok(()) };
    let Some(leases) = networks.get_mut(&network) else {
        return Err(Fail::die(format!("subnet '{network}' doesn't exist in IPAM DB")));
    };
    if leases.contains_key(ip) {
        return Err(Fail::die(format!("IP '{ip}' already exist")));
    }
    leases.insert(ip.to_owned(), lease);
    Ok(())
}

fn remove(world: &mut World, vnet: &str, ip: &str) -> Result<(), Fail> {
    let (zone, network) = home(world, vnet, ip)?;
    let leases = world.sdn.leases.get_mut(&zone).and_then(|networks| networks.get_mut(&network));
    match leases.and_then(|leases| leases.remove(ip)) {
        Some(_) => Ok(()),
        None => Err(Fail::die(format!("IP '{ip}' does not exist in IPAM DB"))),
    }
}

fn said(call: &Call<'_>) -> Lease {
    let vmid = call.get("vmid").and_then(|v| v.parse().ok());
    Lease { gateway: false, mac: call.get("mac").map(str::to_owned), vmid }
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    add(world, call.str("vnet"), call.str("ip"), said(call))?;
    now(Value::Null)
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let (vnet, ip) = (call.str("vnet"), call.str("ip"));
    let (zone, _) = home(world, vnet, ip)?;
    let mac = call.get("mac");
    let has = |lease: &Lease| lease.mac.as_deref().is_some_and(|m| Some(m) == mac);
    let networks = world.sdn.leases.get(&zone).into_iter().flatten();
    let mut old: Vec<String> = Vec::new();
    for (_, leases) in networks {
        old.extend(
            leases
                .iter()
                .filter(|(other, l)| has(l) && other.contains(':') == ip.contains(':'))
                .map(|(o, _)| o.clone()),
        );
    }
    for other in old {
        remove(world, vnet, &other)?;
    }
    add(world, vnet, ip, said(call))?;
    now(Value::Null)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    remove(world, call.str("vnet"), call.str("ip"))?;
    now(Value::Null)
}

/// What the built-in address management knows of zones that hand out addresses.
pub(super) fn status(world: &mut World, call: &Call<'_>) -> Outcome {
    if call.str("ipam") != "pve" {
        let at = "/usr/share/perl5/PVE/API2/Network/SDN/Ipams.pm line 294.";
        return Err(Fail::die(format!("Currently only PVE IPAM is supported! at {at}")).into());
    }
    let mut rows = Vec::new();
    for (zone, networks) in &world.sdn.leases {
        let running = world.sdn.running.zones.get(zone);
        if running.is_none_or(|z| z.get("ipam").is_none_or(|i| i != "pve") || !z.contains_key("dhcp")) {
            continue;
        }
        for (network, leases) in networks {
            let subnet = world.sdn.running.subnets.iter().find(|(id, _)| parts(id).0 == zone && cidr(id) == *network);
            let Some(vnet) = subnet.and_then(|(_, s)| s.get("vnet")) else { continue };
            let path = format!("/sdn/zones/{zone}/{vnet}");
            if world.need_any(call.who, &path, &["SDN.Audit", "SDN.Allocate"]).is_err() {
                continue;
            }
            for (ip, lease) in leases {
                let mut row = json!({"zone": zone, "subnet": network, "ip": ip, "vnet": vnet});
                if lease.gateway {
                    row["gateway"] = json!(1);
                }
                if let Some(mac) = &lease.mac {
                    row["mac"] = json!(mac);
                }
                if let Some(vmid) = lease.vmid {
                    row["vmid"] = json!(vmid.to_string());
                }
                rows.push(row);
            }
        }
    }
    now(Value::Array(rows))
}
