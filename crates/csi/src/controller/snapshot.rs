//! CreateSnapshot, DeleteSnapshot, ListSnapshots.
//!
//! A snapshot is a copy. Its id is made of its source's place and its own name, so that it has one before it is done:
//! `REGION/ZONE/STORAGE/vm-HOLDER-NAME`.

use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{Copy, CopyKind, CopyOf, Handle, Kind, Refusal, State, plain, snapshot_volume};
use pve_types::{NodeName, Vmid};

use super::request::{bytes, name, page};
use super::{Regions, copy, place};
use crate::region::{How, Region};
use crate::status::missing;

/// Copies a volume, and says how far it is.
pub(super) async fn create(
    regions: Arc<Regions>,
    request: csi::CreateSnapshotRequest,
) -> Result<csi::CreateSnapshotResponse, Refusal> {
    let name = name("name", &request.name)?;
    let (source, region) = regions.handle("source_volume_id", &request.source_volume_id)?;
    if let Some(key) = request.parameters.keys().find(|key| !key.starts_with("csi.storage.k8s.io/")) {
        let why = format!("parameters.{key}: a snapshot class has no parameters here; leave it out");
        return Err(Refusal::new(Kind::InvalidArgument, why));
    }
    let _guard = region.guards.take(name)?;
    let _source = region.guards.take(&request.source_volume_id)?;
    let owner = owner(&region, &source).await?;
    let of = CopyOf { kind: CopyKind::Snapshot, name: plain(name), source: source.volume.clone() };
    let view = region.view().await?;
    let at = place::of_volume(&source, &view)?;
    let snapshot = match copy::make_copy(&region, &at, of.clone()).await? {
        State::Ready(copy) => print(&region, source.zone.clone(), owner, &copy),
        State::UnderWay => csi::Snapshot {
            snapshot_id: id(&region, source.zone.clone(), owner, &of),
            source_volume_id: request.source_volume_id.clone(),
            creation_time: Some(prost_types::Timestamp { seconds: copy::now(), nanos: 0 }),
            ready_to_use: false,
            ..csi::Snapshot::default()
        },
    };
    Ok(csi::CreateSnapshotResponse { snapshot: Some(snapshot) })
}

/// The holder that owns a volume of ours.
async fn owner(region: &Region, handle: &Handle) -> Result<Vmid, Refusal> {
    match region.holder_of(&handle.volume, How::AsLastRead).await {
        Seen::Known(holder) => Ok(holder.vmid()),
        Seen::Absent => Err(Refusal::new(Kind::NotFound, format!("source_volume_id: there is no `{handle}`"))),
        Seen::Unread(why) => {
            let why = format!("source_volume_id: `{handle}` is not ours to copy: {why}");
            Err(Refusal::new(Kind::FailedPrecondition, why))
        }
        Seen::Unasked => Err(missing("source_volume_id")),
    }
}

fn id(region: &Region, zone: Option<NodeName>, owner: Vmid, of: &CopyOf) -> String {
    let volume = snapshot_volume(owner, &of.name, &of.source.storage);
    Handle::new(&region.name, zone, volume).to_string()
}

fn print(region: &Region, zone: Option<NodeName>, owner: Vmid, copy: &Copy) -> csi::Snapshot {
    csi::Snapshot {
        size_bytes: copy.size.map_or(0, |size| bytes(size.bytes())),
        snapshot_id: id(region, zone.clone(), owner, &copy.of),
        source_volume_id: Handle::new(&region.name, zone, copy.of.source.clone()).to_string(),
        creation_time: Some(prost_types::Timestamp { seconds: copy.created, nanos: 0 }),
        ready_to_use: true,
        group_snapshot_id: String::new(),
    }
}

/// Frees a snapshot. One that does not exist is gone already.
pub(super) async fn delete(
    regions: Arc<Regions>,
    request: csi::DeleteSnapshotRequest,
) -> Result<csi::DeleteSnapshotResponse, Refusal> {
    let gone = csi::DeleteSnapshotResponse {};
    let text = &request.snapshot_id;
    if text.is_empty() {
        return Err(missing("snapshot_id"));
    }
    let Ok(handle) = text.parse::<Handle>() else { return Ok(gone) };
    let (handle, region) = regions.handle("snapshot_id", &handle.to_string())?;
    let _guard = region.guards.take(text)?;
    if let Some(copy) = copy::snapshot(&region, &handle).await? {
        super::delete::free(&region, &Handle { volume: copy.volume, ..handle }).await?;
    }
    Ok(gone)
}

/// Every snapshot, or one, or those of a volume.
pub(super) async fn list(
    regions: Arc<Regions>,
    request: csi::ListSnapshotsRequest,
) -> Result<csi::ListSnapshotsResponse, Refusal> {
    let mut all = Vec::new();
    for region in regions.all() {
        all.extend(in_region(region).await?);
    }
    let of = |filter: &str, id: &str| filter.is_empty() || filter == id;
    all.retain(|snapshot| {
        of(&request.snapshot_id, &snapshot.snapshot_id) && of(&request.source_volume_id, &snapshot.source_volume_id)
    });
    all.sort_by(|a, b| a.snapshot_id.cmp(&b.snapshot_id));
    let (range, next_token) = page(all.len(), &request.starting_token, request.max_entries)?;
    let entry = |snapshot: &csi::Snapshot| csi::list_snapshots_response::Entry { snapshot: Some(snapshot.clone()) };
    let entries = all.get(range).unwrap_or_default().iter().map(entry).collect();
    Ok(csi::ListSnapshotsResponse { entries, next_token })
}

async fn in_region(region: &Region) -> Result<Vec<csi::Snapshot>, Refusal> {
    let view = region.view().await?;
    let holders = match region.holders(None, How::Now).await {
        Seen::Known(holders) => holders,
        Seen::Absent | Seen::Unasked => Vec::new(),
        Seen::Unread(why) => return Err(Refusal::new(Kind::Unavailable, format!("cannot read our holders: {why}"))),
    };
    let mut found = Vec::new();
    for holder in &holders {
        for copy in holder.copies().into_iter().filter(|copy| copy.of.kind == CopyKind::Snapshot) {
            let source = &copy.of.source;
            let shared = view.resources().storages.iter().any(|row| row.storage == source.storage && row.shared);
            let zone = (!shared).then(|| holder.at().node.clone());
            found.push(print(region, zone, source.owner().unwrap_or_else(|| holder.vmid()), &copy));
        }
    }
    Ok(found)
}
