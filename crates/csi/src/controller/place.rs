//! Where a volume is to go, and where a node is.

use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{At, Handle, Kind, Place, Refusal};
use pve::StorageRow;
use pve_types::{NodeName, SmbiosUuid, StorageId, Vmid};

use super::Regions;
use super::request::{REGION, ZONE};
use crate::region::{Region, View};
use crate::status::refusal;

/// A region and perhaps a zone that the CO would have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    region: Option<String>,
    zone: Option<String>,
}

fn wishes(of: Option<&csi::TopologyRequirement>) -> Vec<Wish> {
    let terms = of.into_iter().flat_map(|of| of.preferred.iter().chain(&of.requisite));
    let wish = |term: &csi::Topology| {
        let get = |key: &str| term.segments.get(key).filter(|value| !value.is_empty()).cloned();
        Wish { region: get(REGION), zone: get(ZONE) }
    };
    terms.map(wish).collect()
}

fn holds_images(row: &StorageRow) -> bool {
    row.content.contains("images") && row.available
}

/// Where a new volume goes: the first wish that has the storage; without a wish, the node with the most room.
pub(super) async fn choose(
    regions: &Regions,
    storage: &StorageId,
    topology: Option<&csi::TopologyRequirement>,
) -> Result<(Arc<Region>, Place), Refusal> {
    let mut wishes = wishes(topology);
    let wanted = !wishes.is_empty();
    if !wanted {
        wishes.push(Wish { region: None, zone: None });
    }
    let mut last = None;
    for Wish { region, zone } in wishes {
        let found = match &region {
            Some(name) => regions.named(name),
            None => regions.only(),
        };
        let Some(found) = found else {
            let which = region.unwrap_or_else(|| "(none)".to_owned());
            let why = format!("accessibility_requirements: region `{which}` is not one of {}", regions.names());
            last = Some(Refusal::new(Kind::InvalidArgument, why));
            continue;
        };
        let view = found.view().await?;
        match in_region(found, &view, storage, zone.as_deref()) {
            Ok(place) => return Ok((found.clone(), place)),
            Err(refusal) => last = Some(refusal),
        }
    }
    Err(last.unwrap_or_else(|| crate::status::missing("accessibility_requirements")))
}

fn in_region(region: &Region, view: &View, storage: &StorageId, zone: Option<&str>) -> Result<Place, Refusal> {
    let rows: Vec<&StorageRow> = view.resources().storages.iter().filter(|row| row.storage == *storage).collect();
    if rows.is_empty() {
        let why = format!(
            "parameters.storage: region `{}` has no storage `{storage}` that our token may see (Datastore.Audit)",
            region.name
        );
        // Not the claim is wrong, for all we know: csi-provisioner goes on asking, and soon.
        return Err(Refusal::new(Kind::FailedPrecondition, why));
    }
    if !rows.iter().any(|row| row.content.contains("images")) {
        let why = format!("parameters.storage: `{storage}` takes no `images`; add that to its content in Proxmox VE");
        return Err(Refusal::new(Kind::FailedPrecondition, why));
    }
    let here = |row: &&&StorageRow| zone.is_none_or(|zone| row.shared || row.node.as_str() == zone);
    let room = |row: &&StorageRow| row.maxdisk.unwrap_or(0).saturating_sub(row.disk.unwrap_or(0));
    let rows = rows.iter().filter(|row| holds_images(row)).filter(here);
    // In the wished zone if the storage is there, though all nodes see it: its holder's node is asked then.
    let best = rows.max_by_key(|row| (zone == Some(row.node.as_str()), room(row), std::cmp::Reverse(row.node.clone())));
    let Some(row) = best else {
        let zone = zone.map(|zone| format!(" in zone `{zone}`")).unwrap_or_default();
        let why = format!("parameters.storage: `{storage}` is not available{zone} in region `{}`", region.name);
        return Err(Refusal::new(Kind::ResourceExhausted, why));
    };
    Ok(Place {
        storage: storage.clone(),
        kind: row.plugintype.clone().unwrap_or_default(),
        node: row.node.clone(),
        shared: row.shared,
    })
}

/// The storage that a volume is on, as its zone sees it, or any node that has it.
pub(super) fn of_volume(handle: &Handle, view: &View) -> Result<Place, Refusal> {
    let storage = &handle.volume.storage;
    let here = |row: &&StorageRow| {
        row.storage == *storage && handle.zone.as_ref().is_none_or(|zone| row.node == *zone) && row.available
    };
    match view.resources().storages.iter().find(here) {
        Some(row) => Ok(Place {
            storage: storage.clone(),
            kind: row.plugintype.clone().unwrap_or_default(),
            node: row.node.clone(),
            shared: row.shared,
        }),
        None => Err(Refusal::new(Kind::Unavailable, format!("`{storage}`, where `{handle}` is, is not available"))),
    }
}

/// The zone of a volume that goes there.
pub(super) fn zone(place: &Place) -> Option<NodeName> {
    (!place.shared).then(|| place.node.clone())
}

/// From where a volume can be reached.
pub(super) fn topology(region: &Region, view: &View, place: &Place) -> Vec<csi::Topology> {
    let term = |zone: Option<&NodeName>| csi::Topology {
        segments: [(REGION.to_owned(), region.name.clone())]
            .into_iter()
            .chain(zone.map(|zone| (ZONE.to_owned(), zone.to_string())))
            .collect(),
    };
    if !place.shared {
        return vec![term(Some(&place.node))];
    }
    let resources = view.resources();
    let has: Vec<&NodeName> =
        resources.storages.iter().filter(|row| row.storage == place.storage).map(|row| &row.node).collect();
    if resources.nodes.keys().all(|node| has.contains(&node)) {
        return vec![term(None)];
    }
    has.into_iter().map(|node| term(Some(node))).collect()
}

/// A node as it calls itself: `NAME`, `NAME/VMID` or `NAME/UUID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeId {
    name: String,
    proof: Proof,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    Name,
    Vmid(Vmid),
    Uuid(SmbiosUuid),
}

impl NodeId {
    /// Reads it.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let bad = || {
            let why = format!("node_id: `{text}` is no node of ours: it should read NAME, NAME/VMID or NAME/UUID");
            Refusal::new(Kind::NotFound, why)
        };
        let (name, proof) = match text.split_once('/') {
            None => (text, Proof::Name),
            Some((name, proof)) => match (proof.parse(), proof.parse()) {
                (Ok(vmid), _) => (name, Proof::Vmid(vmid)),
                (_, Ok(uuid)) => (name, Proof::Uuid(uuid)),
                _ => return Err(bad()),
            },
        };
        if name.is_empty() { Err(bad()) } else { Ok(Self { name: name.to_owned(), proof }) }
    }

    /// The VM that the node is, if there is one that we may see.
    async fn find_in(&self, region: &Region, view: &View) -> Result<Seen<At>, Refusal> {
        // A VM may have the node's whole name or its first label.
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let named = |name: Option<&str>| name.is_some_and(|name| label(name) == label(&self.name));
        let at = |row: &pve::GuestRow| At { vm: row.vmid, node: row.node.clone() };
        match &self.proof {
            Proof::Vmid(vmid) => match view.vm(*vmid) {
                Some(row) if named(row.name.as_deref()) || row.name.is_none() => Ok(Seen::Known(at(row))),
                Some(row) => {
                    let is = row.name.as_deref().unwrap_or_default();
                    Ok(Seen::Unread(format!("VM {vmid} is called `{is}`, not `{}`: it is another one now", self.name)))
                }
                None => Ok(Seen::Absent),
            },
            Proof::Name => {
                let rows: Vec<&pve::GuestRow> = view.vms().filter(|row| named(row.name.as_deref())).collect();
                match rows[..] {
                    [] => Ok(Seen::Absent),
                    [row] => Ok(Seen::Known(at(row))),
                    _ => Ok(Seen::Unread(format!("{} VMs are called `{}`", rows.len(), self.name))),
                }
            }
            Proof::Uuid(uuid) => {
                let has = |row: &&pve::GuestRow| region.uuid(row.vmid) == Seen::Known(Some(*uuid));
                if let Some(row) = view.vms().find(has) {
                    return Ok(Seen::Known(at(row)));
                }
                region.fill(view, None).await.map_err(|why| Refusal::new(Kind::Unavailable, why))?;
                if let Some(row) = view.vms().find(has) {
                    return Ok(Seen::Known(at(row)));
                }
                // One that was not read may be it.
                match view.vms().find(|row| region.uuid(row.vmid) == Seen::Unasked) {
                    Some(row) => Ok(Seen::Unread(format!("VM {} was not read: ask again", row.vmid))),
                    None => Ok(Seen::Absent),
                }
            }
        }
    }

    /// The VM that the node is. Absent is proven: the number is free, or all VMs were looked at.
    pub(super) async fn find(&self, region: &Region) -> Result<Seen<At>, Refusal> {
        let seen = self.find_in(region, &region.view().await?).await?;
        if let Seen::Known(_) = seen {
            return Ok(seen);
        }
        // It may have come, moved or been renamed since.
        match (self.find_in(region, &region.fresh_view().await?).await?, &self.proof) {
            (Seen::Absent, Proof::Vmid(vmid)) => match region.client.vmid_is_free(*vmid).await {
                Ok(true) => Ok(Seen::Absent),
                Ok(false) => Ok(Seen::Unread(format!("VM {vmid} is not one that we may see (VM.Audit)"))),
                Err(error) => Err(refusal(&format!("ask whether VM {vmid} exists"), &error)),
            },
            (seen, _) => Ok(seen),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_node_calls_itself_by_name_number_or_uuid() {
        let read = |text: &str| NodeId::read(text).map(|id| id.proof);
        assert_eq!(read("w-0"), Ok(Proof::Name));
        assert_eq!(read("w-0/101"), Ok(Proof::Vmid("101".parse().unwrap())));
        let uuid = "46ff6553-ec42-4180-b651-d71617da3e0b";
        assert_eq!(read(&format!("w-0/{uuid}")), Ok(Proof::Uuid(uuid.parse().unwrap())));
        for text in ["", "/101", "w-0/", "w-0/x", "w-0/101/2"] {
            assert_eq!(read(text).unwrap_err().kind, Kind::NotFound, "{text}");
        }
    }

    #[test]
    fn wishes_are_tried_in_the_order_of_preference() {
        let term = |zone: &str| csi::Topology {
            segments: [(REGION.to_owned(), "eu".to_owned()), (ZONE.to_owned(), zone.to_owned())].into(),
        };
        let of = csi::TopologyRequirement { requisite: vec![term("a"), term("b")], preferred: vec![term("b")] };
        let zones: Vec<Option<String>> = wishes(Some(&of)).into_iter().map(|wish| wish.zone).collect();
        assert_eq!(zones, [Some("b".to_owned()), Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(wishes(None), []);
    }
}
