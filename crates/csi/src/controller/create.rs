//! CreateVolume.

use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{
    Create, Decision, Existing, Handle, Holder, Kind, Look, OrHolder, Parameters, Place, Refusal, Step,
    create as decide,
};
use pve_types::{DiskSize, VolumeId};

use super::place::{choose, topology, zone};
use super::request::{bytes, capabilities, name, range};
use super::{PASSES, Regions, copy};
use crate::act::{Acted, words};
use crate::region::{How, Region};
use crate::status::refusal;

/// Makes a volume: empty, or a copy of a snapshot or another volume.
pub(super) async fn create(
    regions: Arc<Regions>,
    request: csi::CreateVolumeRequest,
) -> Result<csi::CreateVolumeResponse, Refusal> {
    let name = name("name", &request.name)?;
    capabilities("volume_capabilities", &request.volume_capabilities)?;
    let parameters = Parameters::read("parameters", &request.parameters)?;
    let range = range(request.capacity_range.as_ref())?;
    if let Some(key) = request.mutable_parameters.keys().next() {
        let why = format!("mutable_parameters.{key}: this driver changes no volume that exists; leave it out");
        return Err(Refusal::new(Kind::InvalidArgument, why));
    }
    let _guard = regions.only().map_or_else(|| Ok(None), |region| region.guards.take(name).map(Some))?;
    let topology_wish = request.accessibility_requirements.as_ref();
    let (region, place) = choose(&regions, parameters.storage()?, topology_wish).await?;
    let _guard = if regions.only().is_some() { None } else { Some(region.guards.take(name)?) };
    let (volume, size) = match &request.volume_content_source {
        None => {
            let want = Create { name: name.to_owned(), place: place.clone(), range, format: parameters.format };
            empty(&region, &want).await?
        }
        Some(source) => {
            let source = copy::source(&regions, &region, source).await?;
            copy::volume(&region, &place, name, range, &source).await?
        }
    };
    let view = region.view().await?;
    let handle = Handle::new(&region.name, zone(&place), volume);
    region.enter(&handle, Some(size));
    Ok(csi::CreateVolumeResponse {
        volume: Some(csi::Volume {
            capacity_bytes: bytes(size.bytes()),
            volume_id: handle.to_string(),
            volume_context: Parameters::context(&request.parameters).into_iter().collect(),
            content_source: request.volume_content_source,
            accessible_topology: topology(&region, &view, &place),
        }),
    })
}

async fn empty(region: &Arc<Region>, want: &Create) -> Result<(VolumeId, DiskSize), Refusal> {
    let mut seen = Existing { holders: Seen::Unasked, volumes: Seen::Unasked, next: Seen::Unasked };
    for _ in 0..PASSES {
        let decision = match decide(want, &seen, &region.tenant) {
            OrHolder::Make(order) => {
                make(region, &order).await?;
                (seen.holders, seen.next) = (Seen::Unasked, Seen::Unasked);
                continue;
            }
            OrHolder::Go(decision) => decision,
        };
        match decision {
            Decision::Look(Look::Volume) => seen.volumes = volumes(region, want, &seen.holders).await,
            Decision::Look(_) => holders(region, &want.place, &mut seen.holders, &mut seen.next).await,
            Decision::Done(done) => return Ok(done),
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::Do(step) => match region.act(&step).await {
                Ok(Acted::Allocated(volume)) => {
                    let Step::Allocate { size, .. } = *step else {
                        return Err(Refusal::new(Kind::Internal, "a volume came of a step that makes none"));
                    };
                    seen.volumes = Seen::Known(vec![(volume, size)]);
                }
                Ok(Acted::Done | Acted::Task(_)) => {
                    return Err(Refusal::new(Kind::Internal, format!("{} made no volume", words(&step))));
                }
                // It is there: made by an earlier request, or by another of that name.
                Err(error) if error.refusal() == Some(&pve::Refusal::VolumeExists) => {
                    seen.volumes = volumes(region, want, &seen.holders).await;
                    if seen.volumes == Seen::Known(Vec::new()) {
                        return Err(refusal(&words(&step), &error));
                    }
                }
                Err(error) => return Err(refusal(&words(&step), &error)),
            },
        }
    }
    Err(Refusal::new(Kind::Aborted, format!("`{}` was not made in {PASSES} passes: ask again", want.name)))
}

/// Volumes of that name under any holder.
async fn volumes(region: &Region, want: &Create, holders: &Seen<Vec<Holder>>) -> Seen<Vec<(VolumeId, DiskSize)>> {
    let mut found = Vec::new();
    for holder in holders.known().into_iter().flatten() {
        let volume = match want.volume(holder.vmid()) {
            Ok(volume) => volume,
            Err(refusal) => return Seen::Unread(refusal.why),
        };
        match region.client.volume(&holder.at().node, &volume).await {
            Ok(info) => found.push((volume, DiskSize::from_bytes(info.size))),
            Err(error) if error.refusal() == Some(&pve::Refusal::NoSuchVolume) => {}
            Err(error) => return Seen::Unread(refusal(&format!("look at `{volume}`"), &error).why),
        }
    }
    Seen::Known(found)
}

/// Looks for holders, and where there is none with room, for a number for one.
pub(super) async fn holders(
    region: &Region,
    place: &Place,
    holders: &mut Seen<Vec<Holder>>,
    next: &mut Seen<pve_types::Vmid>,
) {
    if *holders == Seen::Unasked {
        let node = (!place.shared).then_some(&place.node);
        *holders = region.holders(node, How::AsLastRead).await;
        return;
    }
    *next = if region.make_holders {
        match region.client.next_vmid().await {
            Ok(vmid) => Seen::Known(vmid),
            Err(error) => Seen::Unread(refusal("ask for a free VM number", &error).why),
        }
    } else {
        Seen::Absent
    };
}

/// Makes a holder, unless another operation has just made one.
pub(super) async fn make(region: &Region, order: &plan::volume::MakeHolder) -> Result<(), Refusal> {
    let known: Vec<_> = match region.holders(Some(&order.node), How::AsLastRead).await {
        Seen::Known(holders) => holders.iter().map(Holder::vmid).collect(),
        Seen::Absent | Seen::Unread(_) | Seen::Unasked => Vec::new(),
    };
    let _one_at_a_time = region.making.lock().await;
    if let Seen::Known(now) = region.holders(Some(&order.node), How::AsLastRead).await
        && now.iter().any(|holder| !known.contains(&holder.vmid()))
    {
        return Ok(());
    }
    let doing = format!("make holder VM {} on {}", order.vmid, order.node);
    let upid = region.make_holder(order).await.map_err(|error| match error.refusal() {
        Some(pve::Refusal::VmidTaken) => {
            Refusal::new(Kind::Aborted, format!("{doing}: the number was taken: ask again"))
        }
        _ => refusal(&doing, &error),
    })?;
    match region.finish(&upid, &format!("holder {}", order.vmid), copy::TASK).await {
        Some(Ok(())) => {}
        Some(Err(error)) => return Err(refusal(&doing, &error)),
        None => return Err(Refusal::new(Kind::Aborted, format!("{doing} is still under way: ask again"))),
    }
    region.remember_made(order.vmid, &order.node);
    region.fresh_view().await.map(|_| ())
}
