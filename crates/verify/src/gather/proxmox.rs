//! Reading Proxmox VE.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use pve::{BaseUrl, Client, GuestKind, GuestStatus};
use pve_types::{GuestConfig, NodeName, StorageId, Vmid};
use tokio::time::Instant;

use super::{Clock, Sources, door, of_proxmox};
use crate::evidence::{
    Bridge, Disk, Door, Guest, GuestSettings, Iso, MachineSeen, Management, NodeStorage, Proxmox, ProxmoxNode, Read,
    Storage, VersionSeen,
};
use crate::judge::{copies_of, holder_of, mark_line};

/// Reads at once: more would only wait for the client's own gate.
const AT_ONCE: usize = 8;

/// What one call for the whole cluster tells.
pub(super) async fn cluster(sources: &Sources, clock: Clock) -> Proxmox {
    let pve = &sources.pve;
    let version = async {
        let asked = Instant::now();
        let answer = of_proxmox(pve.version().await);
        let took_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        answer.map(|version| VersionSeen { version: version.version, took_ms })
    };
    let (doors, version) = tokio::join!(doors(&sources.urls, clock), version);
    let (permissions, nodes, resources, members) =
        tokio::join!(pve.permissions(), pve.nodes(), pve.resources(), pve.membership());
    let permissions = of_proxmox(permissions)
        .map(|all| all.iter().map(|(path, held)| (path.to_owned(), held.clone())).collect::<BTreeMap<_, _>>());
    let nodes = of_proxmox(nodes)
        .map(|all| all.into_iter().map(|node| ProxmoxNode { name: node.node, status: node.status }).collect());
    let (guests, storages) = match of_proxmox(resources) {
        Read::Known(resources) => (Read::Known(guests_of(&resources)), Read::Known(storages_of(&resources))),
        Read::Unread { cause, why } => (Read::unread(cause, why.clone()), Read::unread(cause, why)),
    };
    Proxmox {
        trust: sources.trust,
        doors,
        version,
        permissions,
        nodes,
        majority: of_proxmox(members).map(|members| members.quorate),
        guests,
        storages,
        node_storages: BTreeMap::new(),
        bridges: BTreeMap::new(),
        settings: BTreeMap::new(),
        states: BTreeMap::new(),
        isos: BTreeMap::new(),
        agents: BTreeMap::new(),
        agent_addresses: BTreeMap::new(),
        drives: BTreeMap::new(),
        listings: Vec::new(),
    }
}

async fn doors(urls: &[BaseUrl], clock: Clock) -> Vec<Door> {
    let look = |url: &BaseUrl| {
        let text = url.to_string();
        async move {
            let certificate = certificate(&text, clock).await;
            Door { url: text, certificate }
        }
    };
    futures::future::join_all(urls.iter().map(look)).await
}

async fn certificate(url: &str, clock: Clock) -> Read<crate::evidence::Certificate> {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return Read::not_asked("the URL does not parse");
    };
    if uri.scheme_str() != Some("https") {
        return Read::not_asked("plain http shows no certificate");
    }
    // The one call that asks for no login: Proxmox lets others wait for three seconds before it refuses them.
    let path = format!("{}/api2/json/access/domains", uri.path().trim_end_matches('/'));
    door::look(uri.host().unwrap_or(""), uri.port_u16().unwrap_or(443), Some(&path), clock).await
}

fn guests_of(resources: &pve::Resources) -> BTreeMap<Vmid, Guest> {
    let machines = resources.guests.values().filter(|row| row.kind == GuestKind::Qemu);
    let guest = |row: &pve::GuestRow| Guest {
        node: row.node.clone(),
        name: row.name.clone(),
        status: row.status.as_ref().map(|status| word(status).to_owned()),
        template: row.template,
        pool: row.pool.clone(),
        tags: row.tags.clone(),
        lock: row.lock.clone(),
    };
    machines.map(|row| (row.vmid, guest(row))).collect()
}

fn word(status: &GuestStatus) -> &str {
    match status {
        GuestStatus::Running => "running",
        GuestStatus::Stopped => "stopped",
        GuestStatus::Paused => "paused",
        GuestStatus::Prelaunch => "about to start",
        GuestStatus::Suspended => "suspended",
        GuestStatus::Unknown => "unknown",
        GuestStatus::Other(word) => word,
    }
}

fn storages_of(resources: &pve::Resources) -> Vec<Storage> {
    let storage = |row: &pve::StorageRow| Storage {
        storage: row.storage.clone(),
        node: row.node.clone(),
        shared: row.shared,
        content: row.content.clone(),
        available: row.available,
    };
    resources.storages.iter().map(storage).collect()
}

/// What each node tells, and each VM's settings.
pub(super) async fn nodes(pve: &Client, seen: &mut Proxmox) {
    let names: Vec<NodeName> = seen.nodes.known().into_iter().flatten().map(|node| node.name.clone()).collect();
    let by_node = stream::iter(names).map(async |node: NodeName| {
        let (storages, bridges) = tokio::join!(pve.node_storages(&node), pve.node_network(&node));
        (node, of_proxmox(storages), of_proxmox(bridges))
    });
    let by_node: Vec<_> = by_node.buffer_unordered(AT_ONCE).collect().await;
    for (node, storages, bridges) in by_node {
        seen.node_storages.insert(node.clone(), storages.map(|all| all.into_iter().map(storage_of).collect()));
        seen.bridges.insert(node, bridges.map(bridges_of));
    }
    let guests: Vec<(Vmid, NodeName)> =
        seen.guests.known().into_iter().flatten().map(|(vmid, guest)| (*vmid, guest.node.clone())).collect();
    let settings = stream::iter(guests).map(async |(vmid, node): (Vmid, NodeName)| {
        (vmid, of_proxmox(pve.guest_config(&node, vmid).await).map(|config| settings_of(&config)))
    });
    seen.settings = settings.buffer_unordered(AT_ONCE).collect().await;
}

fn storage_of(status: pve::StorageStatus) -> NodeStorage {
    NodeStorage {
        content: status.content(),
        storage: status.storage,
        shared: status.shared,
        active: status.active,
        enabled: status.enabled,
        total: status.total,
        free: status.avail,
    }
}

fn bridges_of(all: Vec<pve::NetworkInterface>) -> Vec<Bridge> {
    all.into_iter()
        .filter(pve::NetworkInterface::is_bridge)
        .map(|one| Bridge { name: one.iface, active: one.active, vlan_aware: one.bridge_vlan_aware })
        .collect()
}

fn settings_of(config: &GuestConfig) -> GuestSettings {
    let disk = |(key, disk): (&String, &pve_types::DiskSpec)| {
        (key.clone(), Disk { volume: disk.volume().cloned(), cdrom: disk.is_cdrom() })
    };
    let bridge = |(number, net): (&u8, &pve_types::NetDevice)| Some((format!("net{number}"), net.bridge.clone()?));
    GuestSettings {
        name: config.name.clone(),
        mark: config.description.as_deref().and_then(mark_line).map(str::to_owned),
        holder: config.description.as_deref().and_then(holder_of).map(str::to_owned),
        copies: config.description.as_deref().map(copies_of).unwrap_or_default(),
        uuid: config.smbios_uuid(),
        template: config.template,
        agent: config.agent_enabled(),
        lock: config.lock.clone(),
        disks: config.disks.iter().map(disk).collect(),
        boot: config.boot_disk().map(|(key, _)| key.to_owned()),
        bridges: config.nets.iter().filter_map(bridge).collect(),
    }
}

/// What the machines' VMs do and whether their agents answer, and bootstrap images on the storages that they may lie on.
pub(super) async fn guests(pve: &Client, management: &Management, seen: &mut Proxmox) {
    let machines: Vec<&MachineSeen> = management.machines.known().into_iter().flatten().collect();
    let guests = seen.guests.known();
    let vmid = |machine: &MachineSeen| Vmid::try_from(u32::try_from(machine.spec.virtual_machine_id?).ok()?).ok();
    let ours: BTreeMap<Vmid, NodeName> = machines
        .into_iter()
        .filter_map(|machine| guests?.get_key_value(&vmid(machine)?))
        .map(|(vmid, guest)| (*vmid, guest.node.clone()))
        .collect();
    let on: BTreeSet<NodeName> = ours.values().cloned().collect();
    let asked = stream::iter(ours).map(async |(vmid, node): (Vmid, NodeName)| {
        let state = of_proxmox(pve.guest_status(&node, vmid).await).map(|state| state_of(&state));
        let agent = match state.known().map(String::as_str) {
            Some("running") => of_proxmox(pve.agent_ping(&node, vmid).await),
            Some(_) => Read::not_asked("the VM does not run"),
            None => Read::not_asked("it is not known whether the VM runs"),
        };
        (vmid, state, agent)
    });
    let answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    for (vmid, state, agent) in answers {
        seen.states.insert(vmid, state);
        seen.agents.insert(vmid, agent);
    }
    let isos =
        stream::iter(iso_places(seen, &on)).map(async |(place, node, storage): (String, NodeName, StorageId)| {
            let all = of_proxmox(pve.storage_content(&node, &storage, Some("iso"), None).await);
            (place, all.map(isos_of))
        });
    seen.isos = isos.buffer_unordered(AT_ONCE).collect().await;
}

/// A VM may have a process and stand still all the same: then QEMU's own word is the better one.
fn state_of(state: &pve::GuestState) -> String {
    match (&state.status, state.qmpstatus.as_deref()) {
        (GuestStatus::Running, Some(own)) => own.to_owned(),
        (status, _) => word(status).to_owned(),
    }
}

/// Shared storages once, local ones on the nodes that machines are on.
fn iso_places(seen: &Proxmox, on: &BTreeSet<NodeName>) -> Vec<(String, NodeName, StorageId)> {
    let mut places: BTreeMap<String, (NodeName, StorageId)> = BTreeMap::new();
    let rows = seen.storages.known().into_iter().flatten();
    for row in rows.filter(|row| row.available && row.content.contains("iso") && !on.is_empty()) {
        let place = match (row.shared, on.contains(&row.node)) {
            (true, _) => row.storage.to_string(),
            (false, true) => format!("{}/{}", row.node, row.storage),
            (false, false) => continue,
        };
        places.entry(place).or_insert_with(|| (row.node.clone(), row.storage.clone()));
    }
    places.into_iter().map(|(place, (node, storage))| (place, node, storage)).collect()
}

fn isos_of(rows: Vec<pve::ContentRow>) -> Vec<Iso> {
    let seed = |row: &pve::ContentRow| row.volid.name.starts_with("iso/user-data-");
    rows.into_iter().filter(seed).map(|row| Iso { volume: row.volid, made: row.ctime }).collect()
}
