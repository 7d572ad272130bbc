//! Packages: what is installed, what could be updated, from where.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::state::World;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("id", &["changelog", "repositories", "update", "versions"]))
}

/// The packages of a release.
fn packages(world: &World) -> Vec<(&'static str, String)> {
    let own = world.version.clone();
    if world.at_least(9, 0) {
        let of = |v: &str| v.to_owned();
        vec![
            ("proxmox-ve", format!("{}.0", own.rsplit_once('.').map_or(own.as_str(), |(r, _)| r))),
            ("pve-manager", own.clone()),
            ("corosync", of("3.1.9-pve2")),
            ("libpve-access-control", of("9.0.4")),
            ("libpve-storage-perl", of("9.1.0")),
            ("lxc-pve", of("6.0.5-3")),
            ("proxmox-backup-client", of("4.1.0-1")),
            ("pve-cluster", of("9.0.7")),
            ("pve-container", of("6.0.18")),
            ("pve-firewall", of("6.0.4")),
            ("pve-ha-manager", of("5.0.8")),
            ("pve-qemu-kvm", of("10.1.2-4")),
            ("qemu-server", of("9.1.1")),
        ]
    } else {
        let of = |v: &str| v.to_owned();
        vec![
            ("proxmox-ve", of("8.4.0")),
            ("pve-manager", own.clone()),
            ("corosync", of("3.1.9-pve1")),
            ("libpve-access-control", of("8.2.2")),
            ("libpve-storage-perl", of("8.3.6")),
            ("lxc-pve", of("6.0.0-1")),
            ("proxmox-backup-client", of("3.4.1-1")),
            ("pve-cluster", of("8.1.0")),
            ("pve-container", of("5.2.6")),
            ("pve-firewall", of("5.1.1")),
            ("pve-ha-manager", of("4.0.7")),
            ("pve-qemu-kvm", of("9.2.0-5")),
            ("qemu-server", of("8.3.12")),
        ]
    }
}

pub(crate) fn versions(world: &mut World, _: &Call<'_>) -> Outcome {
    let kernel = if world.at_least(9, 0) { "6.17.4-1-pve" } else { "6.8.12-10-pve" };
    let rows = packages(world).into_iter().map(|(name, version)| {
        let mut row = json!({
            "Package": name, "Title": name, "Description": name, "Version": version, "OldVersion": version,
            "CurrentState": "Installed", "Arch": "amd64", "Origin": "Proxmox", "Priority": "optional",
            "Section": "admin",
        });
        match name {
            "proxmox-ve" => row["RunningKernel"] = json!(kernel),
            "pve-manager" => row["ManagerVersion"] = json!(format!("{version}/5151515151515151")),
            _ => {}
        }
        row
    });
    now(rows.collect())
}

/// A simulated node is up to date.
pub(crate) fn updates(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([]))
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let job = Job::Nothing { log: vec!["starting apt-get update".to_owned()] };
    now(json!(world.spawn(call.node(), "aptupdate", "", call.who, job, 0.2)))
}

pub(crate) fn changelog(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("name");
    match packages(world).into_iter().find(|(known, _)| *known == name) {
        Some((name, version)) => now(json!(format!("{name} ({version}) stable; urgency=medium\n"))),
        None => Err(Fail::die(format!("fetching changelog for '{name}' failed")).into()),
    }
}

const FILE: &str = "/etc/apt/sources.list.d/debian.sources";

fn digest(world: &World, node: &str) -> String {
    let enabled = world.node(node).map_or("", |n| n.setting("repositories", ""));
    hex::encode(Sha256::digest(format!("{node}{enabled}").as_bytes()))
}

pub(crate) fn repositories(world: &mut World, call: &Call<'_>) -> Outcome {
    let suite = if world.at_least(9, 0) { "trixie" } else { "bookworm" };
    let added = world.node(call.node()).map_or("", |n| n.setting("repositories", "")).to_owned();
    let repository = |uri: &str, suites: &[String], components: &[&str]| {
        json!({
            "Types": ["deb"], "URIs": [uri], "Suites": suites, "Components": components, "Enabled": 1,
            "FileType": "sources",
        })
    };
    let suites = [suite.to_owned(), format!("{suite}-updates")];
    let mut list = vec![repository("http://deb.debian.org/debian", &suites, &["main", "contrib"])];
    for handle in added.split(',').filter(|h| !h.is_empty()) {
        let component = format!("pve-{handle}");
        list.push(repository("http://download.proxmox.com/debian/pve", &[suite.to_owned()], &[&component]));
    }
    let standard: Vec<Value> = ["enterprise", "no-subscription", "test"]
        .iter()
        .map(|handle| {
            let mut row = json!({"handle": handle, "name": handle});
            if added.split(',').any(|a| a == *handle) {
                row["status"] = json!(1);
            }
            row
        })
        .collect();
    now(json!({
        "digest": digest(world, call.node()), "errors": [], "infos": [], "standard-repos": standard,
        "files": [{"path": FILE, "file-type": "sources", "digest": [], "repositories": list}],
    }))
}

fn guard(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    if call.get("digest").is_some_and(|d| d != digest(world, call.node())) {
        return Err(Fail::die("detected modified configuration - file changed by other user? Try again."));
    }
    Ok(())
}

pub(crate) fn add_repository(world: &mut World, call: &Call<'_>) -> Outcome {
    guard(world, call)?;
    let handle = call.str("handle");
    if !["enterprise", "no-subscription", "test"].contains(&handle) {
        return Err(Fail::die(format!("unknown repository handle '{handle}'")).into());
    }
    if let Some(node) = world.node_mut(call.node()) {
        let mut all: Vec<&str> = node.setting("repositories", "").split(',').filter(|h| !h.is_empty()).collect();
        if !all.contains(&handle) {
            all.push(handle);
        }
        let text = all.join(",");
        node.settings.insert("repositories".to_owned(), text);
    }
    now(Value::Null)
}

pub(crate) fn change_repository(world: &mut World, call: &Call<'_>) -> Outcome {
    guard(world, call)?;
    now(Value::Null)
}
