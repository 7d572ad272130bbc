//! Step 2: room for disks and bootstrap images.

use std::collections::BTreeSet;

use pve_types::{NodeName, StorageId};

use super::verdict::{Tally, Verdict};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Evidence, NodeStorage};
use crate::step::StepId;

/// Below this share of free space somebody should act.
const LOW_PERCENT: u64 = 20;
/// Below this share the next clone may not fit.
const FULL_PERCENT: u64 = 5;

pub(super) const ISO_STORAGE: CheckInfo = CheckInfo {
    id: "network-storage.iso-storage",
    step: StepId::NetworkStorage,
    title: "Each node has a storage for bootstrap images",
    looks_at: "On each node that machines may be placed on: a storage that is enabled, active and takes `iso`.",
    matters: "A machine gets its bootstrap data as an ISO image. Without such a storage its VM is never started.",
    fix: "Add `iso` to the content of a storage that the node has (Datacenter, Storage, Edit), e.g. \
          `pvesm set local --content iso,vztmpl,backup`.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: iso_storage,
};

fn iso_storage(evidence: &Evidence) -> Verdict {
    let nodes = match scope::all_nodes(evidence) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &nodes {
        let storages = match scope::of(&evidence.proxmox.node_storages, node) {
            Ok(storages) => storages,
            Err(why) => {
                tally.unread(format!("storages of node `{node}` could not be read: {why}"));
                continue;
            }
        };
        if storages.is_empty() {
            tally.unread(unseen(node));
            continue;
        }
        let isos: Vec<&NodeStorage> = storages.iter().filter(|one| one.content.contains("iso")).collect();
        let good: Vec<&str> =
            isos.iter().filter(|one| one.active && one.enabled).map(|one| one.storage.as_str()).collect();
        match (&good[..], &isos[..]) {
            ([], []) => {
                let all: Vec<&str> = storages.iter().map(|one| one.storage.as_str()).collect();
                tally.error(format!("no storage of node `{node}` takes `iso`; it has {}", all.join(", ")));
            }
            ([], [first, ..]) => {
                tally.error(format!("`{}` on node `{node}` takes `iso`, but is {}", first.storage, state(first)));
            }
            ([..], _) => tally.fine(format!("{node}: {}", good.join(", "))),
        }
    }
    tally.verdict("each node has one", "add `iso` to the content of a storage that the node has")
}

/// Proxmox VE lists what we may see; each node has some storage.
fn unseen(node: &NodeName) -> String {
    format!("no storage of node `{node}` is to be seen: that needs Datastore.Audit on /storage/STORAGE")
}

fn state(storage: &NodeStorage) -> &'static str {
    match (storage.enabled, storage.active) {
        (false, _) => "not enabled",
        (true, false) => "not active",
        (true, true) => "active",
    }
}

/// The storages that disks of the cluster's machines lie on, with the nodes that need them and who says so.
fn of_images(evidence: &Evidence) -> Result<Vec<(StorageId, NodeName, String)>, Verdict> {
    let mut wanted = BTreeSet::new();
    for (who, spec) in scope::specs(evidence)? {
        let nodes = scope::nodes(evidence, spec)?;
        let (vmid, template) = scope::known_template(evidence, spec)?;
        let settings = scope::of(&evidence.proxmox.settings, &vmid)
            .map_err(|why| Verdict::unread(format!("settings of template {vmid} could not be read: {why}")))?;
        let disks = settings.disks.values().filter(|disk| !disk.cdrom).filter_map(|disk| disk.volume.as_ref());
        for volume in disks {
            wanted.insert((volume.storage.clone(), template.node.clone(), format!("template {vmid}")));
            if spec.storage.is_none() {
                let who = format!("template {vmid}, whose clones keep its storage");
                wanted.extend(nodes.iter().map(|node| (volume.storage.clone(), node.clone(), who.clone())));
            }
        }
        if let Some(name) = &spec.storage {
            let storage: StorageId = name
                .parse()
                .map_err(|_| Verdict::failed(format!("{who}: `{name}` in `storage` is no name of a storage")))?;
            wanted.extend(nodes.iter().map(|node| (storage.clone(), node.clone(), format!("{who}, `storage`"))));
        }
    }
    Ok(wanted.into_iter().collect())
}

pub(super) const IMAGE_STORAGE: CheckInfo = CheckInfo {
    id: "network-storage.image-storage",
    step: StepId::NetworkStorage,
    title: "Disks of machines have a storage on each node",
    looks_at: "The template's storage and the one that `storage` names: enabled, active, takes `images`, and there on \
               each node that machines may be placed on. A template on a local storage, with several nodes allowed, \
               is a warning: its clones cannot leave its node.",
    matters: "A clone fails where its storage is not, does not work, or takes no disks.",
    fix: "Name a storage that all allowed nodes have, add `images` to its content, or narrow `allowedNodes`.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: image_storage,
};

fn image_storage(evidence: &Evidence) -> Verdict {
    let wanted = match of_images(evidence) {
        Ok(wanted) => wanted,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for (storage, node, who) in &wanted {
        let storages = match scope::of(&evidence.proxmox.node_storages, node) {
            Ok(storages) => storages,
            Err(why) => {
                tally.unread(format!("storages of node `{node}` could not be read: {why}"));
                continue;
            }
        };
        match storages.iter().find(|one| one.storage == *storage) {
            None => {
                let all: Vec<&str> = storages.iter().map(|one| one.storage.as_str()).collect();
                tally.error(format!("node `{node}` has no storage `{storage}` ({who}); it has {}", all.join(", ")));
            }
            Some(one) if !one.content.contains("images") => {
                tally.error(format!("storage `{storage}` on node `{node}` takes no `images` ({who})"));
            }
            Some(one) if !(one.active && one.enabled) => {
                tally.error(format!("storage `{storage}` on node `{node}` is {} ({who})", state(one)));
            }
            Some(_) => tally.fine(format!("{node}: {storage} ({who})")),
        }
    }
    for line in tied(evidence) {
        tally.warning(line);
    }
    tally.verdict(
        "each node has what its machines need",
        "name a storage that all allowed nodes have, or narrow `allowedNodes`",
    )
}

/// Templates whose clones cannot go to all the nodes that they are allowed.
fn tied(evidence: &Evidence) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (_, spec) in scope::specs(evidence).unwrap_or_default() {
        let (Ok(nodes), Ok((vmid, guest))) = (scope::nodes(evidence, spec), scope::template(evidence, spec)) else {
            continue;
        };
        let Ok(settings) = scope::of(&evidence.proxmox.settings, &vmid) else { continue };
        let Ok(storages) = scope::of(&evidence.proxmox.node_storages, &guest.node) else { continue };
        let volumes = settings.disks.values().filter(|disk| !disk.cdrom).filter_map(|disk| disk.volume.as_ref());
        for volume in volumes {
            let local = storages.iter().any(|one| one.storage == volume.storage && !one.shared);
            if local && nodes.iter().any(|node| *node != guest.node) {
                lines.insert(format!(
                    "template {vmid} lies on local storage `{}` of node `{}`: its clones cannot go to other nodes",
                    volume.storage, guest.node
                ));
            }
        }
    }
    lines
}

pub(super) const FREE_SPACE: CheckInfo = CheckInfo {
    id: "network-storage.free-space",
    step: StepId::NetworkStorage,
    title: "Storages have free space",
    looks_at: "Free space of the storages that machines' disks and bootstrap images lie on; without a cluster of all \
               that take them. Less than 20 % is a warning, less than 5 % an error.",
    matters: "A full storage stops guests that write to it, not only new machines.",
    fix: "Remove what is not needed (unused disks, old images, snapshots), grow the storage, or name another.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: free_space,
};

fn free_space(evidence: &Evidence) -> Verdict {
    let nodes = match scope::all_nodes(evidence) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let named: Option<BTreeSet<StorageId>> =
        of_images(evidence).ok().map(|all| all.into_iter().map(|(storage, ..)| storage).collect());
    let mut tally = Tally::default();
    let mut unread = false;
    let mut looked: BTreeSet<(Option<&NodeName>, &StorageId)> = BTreeSet::new();
    for node in &nodes {
        let storages = match scope::of(&evidence.proxmox.node_storages, node) {
            Ok(storages) => storages,
            Err(why) => {
                tally.unread(format!("storages of node `{node}` could not be read: {why}"));
                unread = true;
                continue;
            }
        };
        for one in storages.iter().filter(|one| one.active && one.enabled) {
            let images =
                one.content.contains("images") && named.as_ref().is_none_or(|named| named.contains(&one.storage));
            let place = (!one.shared).then_some(node);
            if (images || one.content.contains("iso")) && looked.insert((place, &one.storage)) {
                space(one, node, &mut tally);
            }
        }
    }
    if looked.is_empty() && !unread {
        tally.unread("no active storage that takes `images` or `iso` is to be seen");
    }
    tally.verdict(format!("at least {LOW_PERCENT} % free everywhere"), "free space, grow the storage, or name another")
}

fn space(storage: &NodeStorage, node: &NodeName, tally: &mut Tally) {
    let name =
        if storage.shared { format!("`{}`", storage.storage) } else { format!("`{}` on {node}", storage.storage) };
    let (Some(total @ 1..), Some(free)) = (storage.total, storage.free) else {
        tally.unread(format!("storage {name} does not tell its size"));
        return;
    };
    let percent = u64::try_from(u128::from(free) * 100 / u128::from(total)).unwrap_or(100);
    let line = format!("storage {name} has {percent} % free ({} of {})", size(free), size(total));
    match percent {
        ..FULL_PERCENT => tally.error(line),
        FULL_PERCENT..LOW_PERCENT => tally.warning(line),
        LOW_PERCENT.. => tally.fine(line),
    }
}

/// `12.3 GiB`.
fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut scale: u64 = 1;
    for (next, name) in [(1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB"), (1 << 40, "TiB")] {
        if bytes >= next {
            (scale, unit) = (next, name);
        }
    }
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod test {
    use super::size;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(size(512), "512.0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
    }
}
