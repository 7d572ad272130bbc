//! Reading what storages have of these volumes, and the drives of VMs that have or should have one.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use pve_types::{DiskSpec, NodeName, StorageId, Vmid, VolumeId};

use super::super::of_proxmox;
use crate::evidence::{
    AttachmentSeen, Drive, Handle, Listing, Named, NamedVm, NodePlugin, PersistentSeen, Proxmox, Read, StoredVolume,
};

/// Calls at once: more would only wait for the client's own gate.
const AT_ONCE: usize = 8;
/// Keys of a VM that are drives, without their numbers.
const DRIVES: [&str; 5] = ["scsi", "virtio", "sata", "ide", "unused"];

pub(super) async fn read(
    pve: &pve::Client,
    volumes: &Read<Vec<PersistentSeen>>,
    attachments: &Read<Vec<AttachmentSeen>>,
    nodes: &Read<Vec<NodePlugin>>,
    proxmox: &mut Proxmox,
) {
    let handles: Vec<Handle> =
        volumes.known().into_iter().flatten().filter_map(|one| Handle::read(&one.handle).ok()).collect();
    let listings = stream::iter(places(&handles, proxmox)).map(async |(node, storage, shared, owner)| {
        let all = of_proxmox(pve.storage_content(&node, &storage, Some("images"), Some(owner)).await);
        let volumes = all.map(|all| all.into_iter().map(stored).collect());
        Listing { node, storage, shared, owner, volumes }
    });
    proxmox.listings = listings.buffered(AT_ONCE).collect().await;
    let vms = involved(&handles, attachments, nodes, proxmox);
    let drives = stream::iter(vms).map(async |(vmid, node): (Vmid, NodeName)| {
        (vmid, of_proxmox(pve.guest_pending(&node, vmid).await).map(|rows| drives(&rows)))
    });
    proxmox.drives = drives.buffer_unordered(AT_ONCE).collect().await;
}

fn stored(row: pve::ContentRow) -> StoredVolume {
    StoredVolume { volume: row.volid, size: row.size, made: row.ctime }
}

/// Where to look for whose volumes: what holders own on their nodes, and what handles name.
fn places(handles: &[Handle], proxmox: &Proxmox) -> Vec<(NodeName, StorageId, bool, Vmid)> {
    let mut wanted: BTreeMap<(Option<NodeName>, StorageId, Vmid), NodeName> = BTreeMap::new();
    let rows: Vec<_> = proxmox.storages.known().into_iter().flatten().collect();
    let images = |row: &&&crate::evidence::Storage| row.content.contains("images") && row.available;
    for handle in handles {
        let Some(owner) = handle.volume.owner() else { continue };
        let here = rows.iter().filter(|row| row.storage == handle.volume.storage && row.available);
        for row in here.filter(|row| row.shared || handle.zone.as_ref().is_none_or(|zone| row.node == *zone)) {
            let place = (!row.shared).then(|| row.node.clone());
            wanted.entry((place, row.storage.clone(), owner)).or_insert_with(|| row.node.clone());
        }
    }
    for (vmid, guest) in proxmox.guests.known().into_iter().flatten() {
        let settings = proxmox.settings.get(vmid).and_then(Read::known);
        if settings.is_none_or(|settings| settings.holder.is_none()) {
            continue;
        }
        for row in rows.iter().filter(images).filter(|row| row.node == guest.node) {
            let place = (!row.shared).then(|| row.node.clone());
            wanted.entry((place, row.storage.clone(), *vmid)).or_insert_with(|| row.node.clone());
        }
    }
    wanted.into_iter().map(|((place, storage, owner), node)| (node, storage, place.is_none(), owner)).collect()
}

/// VMs of Nodes that something is attached to, and VMs that have one of the volumes.
fn involved(
    handles: &[Handle],
    attachments: &Read<Vec<AttachmentSeen>>,
    nodes: &Read<Vec<NodePlugin>>,
    proxmox: &Proxmox,
) -> BTreeMap<Vmid, NodeName> {
    let named: BTreeSet<&str> = attachments.known().into_iter().flatten().map(|one| one.node.as_str()).collect();
    let nodes = nodes.known().into_iter().flatten().filter(|node| named.contains(node.name.as_str()));
    let of_nodes = nodes.flat_map(|node| {
        let provider = node.provider_id.as_deref().and_then(NamedVm::read);
        let number = node.plugin.as_ref().and_then(|plugin| NamedVm::of_plugin(&plugin.node_id));
        provider.into_iter().chain(number)
    });
    let mut vms: BTreeSet<Vmid> = BTreeSet::new();
    for vm in of_nodes {
        if let Named::Are(vmids) = proxmox.named(vm) {
            vms.extend(vmids);
        }
    }
    let volumes: BTreeSet<&VolumeId> = handles.iter().map(|handle| &handle.volume).collect();
    // what its holder has it does not use
    let has = |settings: &crate::evidence::GuestSettings| {
        settings.holder.is_none()
            && settings.disks.values().any(|disk| disk.volume.as_ref().is_some_and(|volume| volumes.contains(volume)))
    };
    vms.extend(proxmox.settings.iter().filter(|(_, read)| read.known().is_some_and(has)).map(|(vmid, _)| *vmid));
    let guests = proxmox.guests.known();
    vms.into_iter().filter_map(|vmid| Some((vmid, guests?.get(&vmid)?.node.clone()))).collect()
}

fn drives(rows: &[pve::PendingRow]) -> BTreeMap<String, Drive> {
    let is_drive = |key: &str| {
        let number = key.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let kind = key.strip_suffix(number).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && DRIVES.contains(&kind)
    };
    let volume = |text: Option<&str>| text.and_then(|text| text.parse::<DiskSpec>().ok()?.volume().cloned());
    let drive = |row: &pve::PendingRow| Drive {
        now: volume(row.value.as_deref()),
        coming: volume(row.pending.as_deref()),
        leaving: row.delete,
    };
    rows.iter().filter(|row| is_drive(&row.key)).map(|row| (row.key.clone(), drive(row))).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn drives_are_told_from_other_keys_and_what_waits_from_what_is() {
        let row = |key: &str, value: Option<&str>, pending: Option<&str>, delete| pve::PendingRow {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            pending: pending.map(str::to_owned),
            delete,
        };
        let seen = drives(&[
            row("scsihw", Some("virtio-scsi-single"), None, false),
            row("scsi0", Some("data:101/vm-101-disk-0.raw,size=8G"), None, false),
            row("scsi1", Some("data:9100/vm-9100-pvc-1.raw"), None, true),
            row("scsi2", None, Some("data:9100/vm-9100-pvc-2.raw,wwn=0x5000c500a1b2c301"), false),
            row("memory", Some("2048"), None, false),
        ]);
        assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), ["scsi0", "scsi1", "scsi2"]);
        assert!(seen["scsi1"].leaving && seen["scsi1"].now.is_some());
        assert_eq!(seen["scsi2"].now, None);
        assert_eq!(seen["scsi2"].coming.as_ref().unwrap().to_string(), "data:9100/vm-9100-pvc-2.raw");
    }
}
