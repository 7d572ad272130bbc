//! Whether what PersistentVolumes name is at Proxmox VE.

use std::collections::BTreeSet;

use super::installed;
use crate::evidence::{Evidence, Handle, PersistentSeen, Read, StoredVolume, VolumesSeen};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

/// The volume as Proxmox VE lists it.
enum Found<'a> {
    Is(&'a StoredVolume),
    Absent,
    Unread(String),
}

pub(super) fn volumes_exist(evidence: &Evidence) -> Verdict {
    let both = installed(evidence)
        .and_then(|seen| need("the PersistentVolumes", &seen.volumes).map(|volumes| (seen, volumes)));
    let (seen, volumes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let regions = regions(evidence, seen);
    let mut tally = Tally::default();
    for volume in volumes {
        let name = &volume.name;
        let handle = match Handle::read(&volume.handle) {
            Ok(handle) => handle,
            Err(why) => {
                tally.error(format!("PersistentVolume `{name}`: its handle `{}` is none: {why}", volume.handle));
                continue;
            }
        };
        if !regions.is_empty() && !regions.contains(handle.region.as_str()) {
            let ours: Vec<&str> = regions.iter().copied().collect();
            tally.unread(format!(
                "PersistentVolume `{name}` is in region `{}`; the Proxmox VE that was read is {}",
                handle.region,
                ours.join(", ")
            ));
            continue;
        }
        judge(evidence, volume, &handle, &mut tally);
    }
    let passed = format!("{}, each with its disk", count(volumes.len(), "PersistentVolume"));
    tally.verdict(passed, "look who removed or shrank it (task log of Proxmox VE), and restore it under the same name")
}

fn judge(evidence: &Evidence, volume: &PersistentSeen, handle: &Handle, tally: &mut Tally) {
    let (name, disk) = (&volume.name, &handle.volume);
    match find(evidence, handle) {
        Found::Is(StoredVolume { size, .. }) => match (size, volume.capacity) {
            (Some(size), Some(capacity)) if *size < capacity => {
                tally.error(format!("`{disk}` of PersistentVolume `{name}` has {size} bytes, {capacity} are promised"));
            }
            (Some(_), Some(_)) => tally.fine(format!("{name}: {disk}")),
            (None, _) => tally.unread(format!("the size of `{disk}` of PersistentVolume `{name}` is not listed")),
            (_, None) => tally.unread(format!("the capacity of PersistentVolume `{name}` does not read")),
        },
        Found::Absent if goes(volume) => tally.fine(format!("{name} is being deleted, its disk is gone")),
        Found::Absent => {
            let place = handle.zone.as_ref().map(|zone| format!(" on node `{zone}`")).unwrap_or_default();
            tally.error(format!("Proxmox VE has no `{disk}`{place}, which PersistentVolume `{name}` names"));
        }
        Found::Unread(why) => tally.unread(format!("PersistentVolume `{name}`: {why}")),
    }
}

/// Whether the disk may go before the object does.
fn goes(volume: &PersistentSeen) -> bool {
    volume.deleting || (volume.phase == "Released" && volume.reclaimed)
}

fn find<'a>(evidence: &'a Evidence, handle: &Handle) -> Found<'a> {
    let disk = &handle.volume;
    let Some(owner) = disk.owner() else {
        return Found::Unread(format!("the name `{disk}` does not say which VM owns it, so nobody looked for it"));
    };
    let mut unread = None;
    let mut listed = false;
    let here = evidence.proxmox.listings.iter().filter(|listing| {
        listing.storage == disk.storage
            && listing.owner == owner
            && handle.zone.as_ref().is_none_or(|zone| listing.shared || listing.node == *zone)
    });
    for listing in here {
        match &listing.volumes {
            Read::Known(all) => match all.iter().find(|one| one.volume == *disk) {
                Some(found) => return Found::Is(found),
                None => listed = true,
            },
            Read::Unread { why, .. } => unread = Some(why),
        }
    }
    match (unread, listed) {
        (Some(why), _) => Found::Unread(format!("what `{}` has could not be listed: {why}", disk.storage)),
        (None, false) => Found::Unread(format!("no node that we may see has storage `{}`", disk.storage)),
        // Proxmox VE leaves out what we may not see, without a word.
        (None, true) if !sees(evidence, owner) => {
            Found::Unread(format!("`{disk}` is not listed, and VM {owner}, which owns it, is not to be seen"))
        }
        (None, true) => Found::Absent,
    }
}

/// Whether what that VM owns is shown to us.
fn sees(evidence: &Evidence, owner: pve_types::Vmid) -> bool {
    let there = evidence.proxmox.guests.known().is_some_and(|guests| guests.contains_key(&owner));
    let all = evidence.proxmox.permissions.known().is_some_and(|held| {
        let audits =
            |path| held.get(path).is_some_and(|on: &std::collections::BTreeMap<_, _>| on.contains_key("VM.Audit"));
        audits("/") || audits("/vms")
    });
    there || all
}

/// The regions of Nodes whose VMs are on the Proxmox VE that was read.
fn regions<'a>(evidence: &Evidence, seen: &'a VolumesSeen) -> BTreeSet<&'a str> {
    let nodes = seen.nodes.known().into_iter().flatten();
    nodes
        .filter(|node| matches!(super::driver::vm_of(evidence, node), Some(Ok(_))))
        .filter_map(|node| node.region.as_deref())
        .collect()
}
