//! ControllerExpandVolume.

use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{At, Decision, Grown, Growth, Kind, Look, Range, Refusal, Step, grow as decide};
use pve_types::{DiskSize, Vmid, VolumeId};

use super::request::{bytes, capability, range};
use super::{PASSES, Regions, copy};
use crate::act::{Acted, words};
use crate::region::{How, Region};
use crate::status::{missing, refusal};

/// Grows a volume, attached or not.
pub(super) async fn expand(
    regions: Arc<Regions>,
    request: csi::ControllerExpandVolumeRequest,
) -> Result<csi::ControllerExpandVolumeResponse, Refusal> {
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    let wanted = request.capacity_range.as_ref().ok_or_else(|| missing("capacity_range"))?;
    let range = range(Some(wanted))?;
    if range == Range::default() {
        return Err(missing("capacity_range.required_bytes"));
    }
    if let Some(of) = &request.volume_capability {
        capability("volume_capability", of)?;
    }
    let (handle, region) = regions.handle("volume_id", &request.volume_id)?;
    let _guard = region.guards.take(&request.volume_id)?;
    let Grown { size, plugged: _ } = grow(&region, &handle.volume, range).await?;
    region.enter(&handle, Some(size));
    // A file system that nobody has mounted grows when it is staged next.
    let is_block = request
        .volume_capability
        .and_then(|of| of.access_type)
        .is_some_and(|access| matches!(access, csi::volume_capability::AccessType::Block(_)));
    Ok(csi::ControllerExpandVolumeResponse { capacity_bytes: bytes(size.bytes()), node_expansion_required: !is_block })
}

/// Grows a volume of ours.
pub(super) async fn grow(region: &Arc<Region>, volume: &VolumeId, range: Range) -> Result<Grown, Refusal> {
    let mut seen = Growth { others: Seen::Unasked, vm: Seen::Unasked, holder: Seen::Unasked, size: Seen::Unasked };
    let mut guard = None;
    // What was last read serves for a step, which its digest makes safe; for saying "done" it is read.
    let mut how = How::AsLastRead;
    for _ in 0..PASSES {
        let decision = decide(volume, range, &seen);
        if how == How::AsLastRead && matches!(decision, Decision::Done(_) | Decision::Refuse(_)) {
            (seen.vm, seen.holder, how) = (Seen::Unasked, Seen::Unasked, How::Now);
            continue;
        }
        match decision {
            Decision::Look(Look::Others) => seen.others = region.others(volume, None).await,
            Decision::Look(Look::Config) => {
                let user = seen.others.known().and_then(|others| others.first()).map(|(vm, _)| *vm);
                seen.vm = in_use(region, user, how, &mut guard).await?;
            }
            Decision::Look(_) => {
                if let Some(owner) = volume.owner()
                    && guard.is_none()
                {
                    guard = Some(region.guards.vm(owner).await);
                }
                seen.holder = region.holder_of(volume, how).await;
            }
            Decision::Done(grown) => return Ok(grown),
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::Do(step) => {
                match region.act(&step).await {
                    Ok(Acted::Task(upid)) => {
                        match region.finish(&upid, &format!("volume {volume}"), copy::TASK).await {
                            Some(Ok(())) => {}
                            Some(Err(error)) => failed(region, volume, &step, &error, &mut seen).await?,
                            None => {
                                let why = format!("{} is still under way: ask again", words(&step));
                                return Err(Refusal::new(Kind::Aborted, why));
                            }
                        }
                    }
                    Ok(Acted::Done | Acted::Allocated(_)) => {}
                    Err(error) => failed(region, volume, &step, &error, &mut seen).await?,
                }
                (seen.vm, seen.holder, how) = (Seen::Unasked, Seen::Unasked, How::Now);
            }
        }
    }
    Err(Refusal::new(Kind::Aborted, format!("`{volume}` was not grown in {PASSES} passes: ask again")))
}

/// Errors that another look at the world explains.
async fn failed(
    region: &Region,
    volume: &VolumeId,
    step: &Step,
    error: &pve::Error,
    seen: &mut Growth,
) -> Result<(), Refusal> {
    match error.refusal() {
        Some(pve::Refusal::DigestConflict | pve::Refusal::NotFound) => Ok(()),
        // The configuration is behind: the volume was grown elsewhere. The storage knows.
        Some(pve::Refusal::InvalidSize) if seen.size == Seen::Unasked => {
            let Step::Grow { vm, .. } = step else { return Err(refusal(&words(step), error)) };
            let info = region.client.volume(&vm.node, volume).await;
            let info = info.map_err(|error| refusal(&format!("look at `{volume}`"), &error))?;
            seen.size = Seen::Known(DiskSize::from_bytes(info.size));
            Ok(())
        }
        _ => Err(refusal(&words(step), error)),
    }
}

async fn in_use(
    region: &Arc<Region>,
    user: Option<Vmid>,
    how: How,
    guard: &mut Option<tokio::sync::OwnedMutexGuard<()>>,
) -> Result<Seen<(At, plan::volume::VmConfig)>, Refusal> {
    let Some(vm) = user else { return Ok(Seen::Absent) };
    let view = region.view().await?;
    let Some(row) = view.vm(vm) else { return Ok(Seen::Absent) };
    if guard.is_none() {
        *guard = Some(region.guards.vm(vm).await);
    }
    let at = At { vm, node: row.node.clone() };
    if let (How::AsLastRead, Some(read)) = (how, region.known(vm)) {
        return Ok(Seen::Known((at, (*read.config).clone())));
    }
    Ok(match region.read(&at).await {
        Seen::Known(config) => Seen::Known((at, config)),
        Seen::Absent => Seen::Absent,
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    })
}
