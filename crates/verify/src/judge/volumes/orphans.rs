//! Volumes that nobody knows any more.

use std::collections::{BTreeMap, BTreeSet};

use pve_types::{Vmid, VolumeId};

use super::{SETTLE, installed, since, younger};
use crate::evidence::{ClaimSeen, Evidence, Handle, Listing, PersistentSeen, Read, StoredVolume};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

/// How holders' names begin: their settings must be read before anything is said of their volumes.
const HOLDER: &str = "csi-holder-";

pub(super) fn no_orphans(evidence: &Evidence) -> Verdict {
    let all = installed(evidence).and_then(|seen| {
        let volumes = need("the PersistentVolumes", &seen.volumes)?;
        let claims = need("the PersistentVolumeClaims", &seen.claims)?;
        let guests = need("the list of virtual machines", &evidence.proxmox.guests)?;
        Ok((seen, volumes, claims, guests))
    });
    let (seen, volumes, claims, guests) = match all {
        Ok(all) => all,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut known: BTreeSet<VolumeId> = handles(volumes.iter().map(|volume| &volume.handle)).collect();
    let holders = holders(evidence);
    for (vmid, guest) in guests {
        let read = evidence.proxmox.settings.get(vmid).is_some_and(|read| read.known().is_some());
        if guest.name.as_deref().is_some_and(|name| name.starts_with(HOLDER)) && !read {
            tally.unread(format!("whose volumes VM {vmid} holds could not be read"));
        }
    }
    let ours = tenants(&holders, &known, &mut tally);
    known.extend(handles(seen.snapshots.known().into_iter().flatten()));
    let snapshots = seen.snapshots.known().map(|all| all.iter().filter_map(|handle| name(handle)).collect());
    let mut looked = 0;
    for listing in &evidence.proxmox.listings {
        let Some(tenant) = holders.get(&listing.owner).filter(|tenant| ours.contains(*tenant)) else { continue };
        match &listing.volumes {
            Read::Known(stored) => {
                looked += stored.len();
                let unknown = stored.iter().filter(|one| !known.contains(&one.volume));
                for one in unknown {
                    orphan(evidence, one, listing, tenant, claims, snapshots.as_ref(), &mut tally);
                }
            }
            Read::Unread { why, .. } => tally.unread(format!(
                "what holder VM {} has on `{}` of node `{}` could not be listed: {why}",
                listing.owner, listing.storage, listing.node
            )),
        }
    }
    for volume in volumes {
        released(evidence, volume, &mut tally);
    }
    let passed = format!("{} of our holders, each with its object", count(looked, "volume"));
    tally.verdict(passed, "make sure that no other cluster and no VM has it, then free it: docs/guide/storage.md")
}

fn handles<'a>(all: impl Iterator<Item = &'a String>) -> impl Iterator<Item = VolumeId> {
    all.filter_map(|handle| Handle::read(handle).ok()).map(|handle| handle.volume)
}

/// A snapshot's own name: it has one, `vm-HOLDER-NAME`, before its volume has.
fn name(handle: &str) -> Option<String> {
    let file = handle.rsplit('/').next()?;
    let (_, name) = file.strip_prefix("vm-")?.split_once('-')?;
    Some(name.to_owned())
}

/// The name of the snapshot that a volume is, by the notes of the holder that has it in a drive.
fn snapshot_in<'a>(evidence: &'a Evidence, holder: Vmid, volume: &VolumeId) -> Option<&'a String> {
    let settings = evidence.proxmox.settings.get(&holder)?.known()?;
    let (slot, _) = settings.disks.iter().find(|(_, disk)| disk.volume.as_ref() == Some(volume))?;
    settings.copies.get(slot)
}

/// Holders that we may see, and whose they say they are.
fn holders(evidence: &Evidence) -> BTreeMap<Vmid, &str> {
    let settings = evidence.proxmox.settings.iter();
    settings.filter_map(|(vmid, read)| Some((*vmid, read.known()?.holder.as_deref()?))).collect()
}

/// The tenants that are this cluster's: those of its volumes; where it has none, the only one there is.
fn tenants<'a>(holders: &BTreeMap<Vmid, &'a str>, known: &BTreeSet<VolumeId>, tally: &mut Tally) -> BTreeSet<&'a str> {
    let owners: BTreeSet<Vmid> = known.iter().filter_map(VolumeId::owner).collect();
    let proven: BTreeSet<&str> =
        holders.iter().filter(|(vmid, _)| owners.contains(vmid)).map(|(_, tenant)| *tenant).collect();
    let all: BTreeSet<&str> = holders.values().copied().collect();
    match (proven.is_empty(), all.len()) {
        (true, 2..) => {
            let all: Vec<&str> = all.into_iter().collect();
            let all = all.join(", ");
            tally
                .unread(format!("nothing says which of the tenants {all} this cluster is: it has no PersistentVolume"));
            proven
        }
        (true, _) => all,
        (false, _) => {
            for tenant in all.difference(&proven) {
                tally.fine(format!("holders of tenant `{tenant}` are another cluster's"));
            }
            proven
        }
    }
}

fn orphan(
    evidence: &Evidence,
    one: &StoredVolume,
    listing: &Listing,
    tenant: &str,
    claims: &[ClaimSeen],
    snapshots: Option<&BTreeSet<String>>,
    tally: &mut Tally,
) {
    let name = &one.volume;
    let made = one.made.and_then(|made| jiff::Timestamp::from_second(made).ok());
    let claimed = claims.iter().find(|claim| !claim.uid.is_empty() && name.name.contains(&claim.uid));
    if younger(evidence, made, SETTLE) {
        return tally.fine(format!("{name} is new"));
    }
    if let Some(claim) = claimed.filter(|claim| claim.phase == "Pending") {
        return tally.fine(format!("{name} is being made for claim {}", claim.name));
    }
    // Proxmox VE calls copies by number: snapshots, and volumes that were made of them.
    let copy = name.name.rsplit('/').next().is_some_and(|file| file.contains("-disk-"));
    match snapshots {
        None if copy => return tally.unread(format!("`{name}` may be a snapshot, and snapshots could not be read")),
        Some(snapshots) if snapshot_in(evidence, listing.owner, name).is_some_and(|one| snapshots.contains(one)) => {
            return tally.fine(format!("{name} is a snapshot"));
        }
        None | Some(_) => {}
    }
    let size = one.size.map(|size| format!(", {} MiB", size >> 20)).unwrap_or_default();
    tally.warning(format!(
        "`{name}` of holder VM {} (tenant `{tenant}`, node `{}`{size}) has no PersistentVolume, and no snapshot is that",
        listing.owner, listing.node
    ));
}

/// A volume that should be deleted and is not.
fn released(evidence: &Evidence, volume: &PersistentSeen, tally: &mut Tally) {
    let PersistentSeen { name, phase, since: at, reclaimed, .. } = volume;
    match phase.as_str() {
        "Released" if *reclaimed && !younger(evidence, *at, SETTLE) => {
            tally.warning(format!(
                "PersistentVolume `{name}` has been Released {} and is not deleted",
                since(evidence, *at)
            ));
        }
        "Failed" => tally.warning(format!("PersistentVolume `{name}` could not be deleted: it is Failed")),
        _ => {}
    }
}
