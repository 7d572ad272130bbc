//! ListVolumes, ControllerGetVolume, ValidateVolumeCapabilities.
//!
//! Listing costs Proxmox VE a twentieth of a second for each volume on storages of files, and the attacher lists every
//! minute: so the list is read every ten minutes, and what is made, grown and freed here is entered at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{CopyKind, Handle, Holder, Kind, Parameters, Refusal};
use pve_types::{DiskSize, NodeName, StorageId, VolumeId};

use super::request::{bytes, capabilities, page};
use super::{Regions, place, publish};
use crate::region::{How, Region};
use crate::status::{missing, refusal};

/// Every volume of ours, with the nodes that have it.
pub(super) async fn list(
    regions: Arc<Regions>,
    request: csi::ListVolumesRequest,
) -> Result<csi::ListVolumesResponse, Refusal> {
    let mut all = Vec::new();
    for region in regions.all() {
        all.extend(volumes(region).await?.into_iter().map(|(handle, size)| (region, handle, size)));
    }
    all.sort_by(|(_, a, _), (_, b, _)| a.cmp(b));
    let (range, next_token) = page(all.len(), &request.starting_token, request.max_entries)?;
    let mut entries = Vec::new();
    for (region, handle, size) in all.get(range).unwrap_or_default() {
        let published_node_ids = nodes(region, handle).await?;
        let status = csi::list_volumes_response::VolumeStatus { published_node_ids, volume_condition: None };
        entries.push(csi::list_volumes_response::Entry { volume: Some(print(handle, *size)), status: Some(status) });
    }
    Ok(csi::ListVolumesResponse { entries, next_token })
}

fn print(handle: &Handle, size: DiskSize) -> csi::Volume {
    csi::Volume { capacity_bytes: bytes(size.bytes()), volume_id: handle.to_string(), ..csi::Volume::default() }
}

/// What the nodes that have a volume call themselves.
async fn nodes(region: &Region, handle: &Handle) -> Result<Vec<String>, Refusal> {
    let users = publish::users(region, handle, None).await?;
    Ok(users.into_iter().filter_map(|at| region.node_id(at.vm)).collect())
}

/// Every volume of ours in a region.
async fn volumes(region: &Region) -> Result<Vec<(Handle, DiskSize)>, Refusal> {
    if let Some(known) = region.catalogue() {
        return Ok(known);
    }
    let view = region.view().await?;
    let holders = match region.holders(None, How::AsLastRead).await {
        Seen::Known(holders) => holders,
        Seen::Absent | Seen::Unasked => Vec::new(),
        Seen::Unread(why) => return Err(Refusal::new(Kind::Unavailable, format!("cannot read our holders: {why}"))),
    };
    let mut found = Vec::new();
    for holder in &holders {
        let node = &holder.at().node;
        let rows = view.resources().storages.iter();
        let here = rows.filter(|row| row.node == *node && row.available && row.content.contains("images"));
        for row in here {
            found.extend(on(region, holder, node, &row.storage, row.shared).await?);
        }
    }
    region.set_catalogue(found.clone());
    Ok(found)
}

async fn on(
    region: &Region,
    holder: &Holder,
    node: &NodeName,
    storage: &StorageId,
    shared: bool,
) -> Result<Vec<(Handle, DiskSize)>, Refusal> {
    let rows = region.client.storage_content(node, storage, Some("images"), Some(holder.vmid())).await;
    let rows = rows.map_err(|error| refusal(&format!("list what {} owns on `{storage}`", holder.at()), &error))?;
    let snapshots: BTreeSet<VolumeId> =
        holder.copies().into_iter().filter(|copy| copy.of.kind == CopyKind::Snapshot).map(|copy| copy.volume).collect();
    let ours = rows.into_iter().filter(|row| holder.owns(&row.volid) && !snapshots.contains(&row.volid));
    let zone = (!shared).then(|| node.clone());
    let handle = |row: pve::ContentRow| {
        let size = DiskSize::from_bytes(row.size.unwrap_or(0));
        (Handle::new(&region.name, zone.clone(), row.volid), size)
    };
    Ok(ours.map(handle).collect())
}

/// A volume that exists, and its size.
async fn existing(region: &Region, handle: &Handle) -> Result<DiskSize, Refusal> {
    let view = region.view().await?;
    let place = place::of_volume(handle, &view)?;
    match region.client.volume(&place.node, &handle.volume).await {
        Ok(info) => Ok(DiskSize::from_bytes(info.size)),
        Err(error) => Err(refusal(&format!("volume_id: look at `{handle}`"), &error)),
    }
}

/// One volume, with the nodes that have it.
pub(super) async fn get(
    regions: Arc<Regions>,
    request: csi::ControllerGetVolumeRequest,
) -> Result<csi::ControllerGetVolumeResponse, Refusal> {
    let (handle, region) = regions.handle("volume_id", &request.volume_id)?;
    let size = existing(&region, &handle).await?;
    let status = csi::controller_get_volume_response::VolumeStatus {
        published_node_ids: nodes(&region, &handle).await?,
        volume_condition: None,
    };
    Ok(csi::ControllerGetVolumeResponse { volume: Some(print(&handle, size)), status: Some(status) })
}

/// Whether a volume can be used like that.
pub(super) async fn validate(
    regions: Arc<Regions>,
    request: csi::ValidateVolumeCapabilitiesRequest,
) -> Result<csi::ValidateVolumeCapabilitiesResponse, Refusal> {
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    if request.volume_capabilities.is_empty() {
        return Err(missing("volume_capabilities"));
    }
    let (handle, region) = regions.handle("volume_id", &request.volume_id)?;
    existing(&region, &handle).await?;
    let can = capabilities("volume_capabilities", &request.volume_capabilities)
        .and_then(|()| Parameters::read("volume_context", &request.volume_context))
        .and_then(|_| Parameters::read("parameters", &request.parameters));
    Ok(match can {
        Ok(_) => csi::ValidateVolumeCapabilitiesResponse {
            confirmed: Some(csi::validate_volume_capabilities_response::Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: request.mutable_parameters,
            }),
            message: String::new(),
        },
        Err(refusal) => csi::ValidateVolumeCapabilitiesResponse { confirmed: None, message: refusal.why },
    })
}
