//! GetCapacity.

use std::sync::Arc;

use csi_proto::csi;
use plan::volume::{Kind, Parameters, Refusal};

use super::Regions;
use super::request::{REGION, ZONE, bytes, capability};
use crate::region::Region;

/// Bytes free for new volumes of these parameters, from there.
pub(super) async fn capacity(
    regions: Arc<Regions>,
    request: csi::GetCapacityRequest,
) -> Result<csi::GetCapacityResponse, Refusal> {
    for (index, of) in request.volume_capabilities.iter().enumerate() {
        capability(&format!("volume_capabilities[{index}]"), of)?;
    }
    let parameters = Parameters::read("parameters", &request.parameters)?;
    let segments = request.accessible_topology.as_ref().map(|term| &term.segments);
    let segment = |key: &str| segments.and_then(|all| all.get(key)).filter(|value| !value.is_empty());
    let (region, zone) = (segment(REGION), segment(ZONE));
    let mut room = 0_u64;
    for of in regions.all().filter(|of| region.is_none_or(|name| of.name == *name)) {
        room = room.saturating_add(in_region(of, &parameters, zone.map(String::as_str)).await?);
    }
    let available_capacity = bytes(room);
    Ok(csi::GetCapacityResponse { available_capacity, maximum_volume_size: None, minimum_volume_size: Some(1024) })
}

async fn in_region(region: &Region, parameters: &Parameters, zone: Option<&str>) -> Result<u64, Refusal> {
    let view = region.view().await?;
    let mut rows: Vec<_> = view
        .resources()
        .storages
        .iter()
        .filter(|row| row.available && row.content.contains("images"))
        .filter(|row| parameters.storage.as_ref().is_none_or(|storage| row.storage == *storage))
        .filter(|row| zone.is_none_or(|zone| row.node.as_str() == zone))
        .collect();
    // What all nodes see is there once.
    rows.sort_by_key(|row| (row.storage.clone(), row.node.clone()));
    rows.dedup_by(|next, first| next.shared && next.storage == first.storage);
    let mut room = 0_u64;
    for row in rows {
        // The list of resources knows what is used; how much may still be is asked for one storage only.
        let free = match &parameters.storage {
            Some(storage) => match region.room(&row.node, storage).await {
                Ok(free) => free,
                Err(refusal) if refusal.kind == Kind::FailedPrecondition => 0,
                Err(refusal) => return Err(refusal),
            },
            None => row.maxdisk.unwrap_or(0).saturating_sub(row.disk.unwrap_or(0)),
        };
        room = room.saturating_add(free);
    }
    Ok(room)
}
