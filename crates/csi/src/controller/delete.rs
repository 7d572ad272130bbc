//! DeleteVolume, and the end of snapshots.

use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{Decision, Handle, Kind, Leftover, Look, Refusal, Step, delete as decide};
use pve_types::VolumeId;

use super::{PASSES, Regions};
use crate::act::words;
use crate::region::{How, Region};
use crate::status::{missing, refusal};

/// Frees a volume. One that cannot exist is gone already.
pub(super) async fn delete(
    regions: Arc<Regions>,
    request: csi::DeleteVolumeRequest,
) -> Result<csi::DeleteVolumeResponse, Refusal> {
    let text = &request.volume_id;
    if text.is_empty() {
        return Err(missing("volume_id"));
    }
    let gone = csi::DeleteVolumeResponse {};
    let Ok(handle) = text.parse::<Handle>() else { return Ok(gone) };
    let (handle, region) = regions.handle("volume_id", &handle.to_string())?;
    let _guard = region.guards.take(text)?;
    free(&region, &handle).await?;
    Ok(gone)
}

/// Frees a volume of ours that nobody has.
pub(super) async fn free(region: &Arc<Region>, handle: &Handle) -> Result<(), Refusal> {
    let volume: &VolumeId = &handle.volume;
    let Some(owner) = volume.owner() else {
        let why = format!("`{volume}` has no owner in its name, and is none of ours: delete it in Proxmox VE");
        return Err(Refusal::new(Kind::FailedPrecondition, why));
    };
    let _vm = region.guards.vm(owner).await;
    let unasked = || Leftover { others: Seen::Unasked, holder: Seen::Unasked, volume: Seen::Unasked, freed: false };
    let mut seen = unasked();
    for _ in 0..PASSES {
        match decide(volume, &seen, &region.tenant) {
            Decision::Look(Look::Others) => seen.others = region.others(volume, None).await,
            Decision::Look(Look::Volume) => {
                let view = region.view().await?;
                let place = super::place::of_volume(handle, &view)?;
                seen.volume = match region.client.volume(&place.node, volume).await {
                    Ok(_) => Seen::Known(()),
                    Err(error) if error.refusal() == Some(&pve::Refusal::NoSuchVolume) => Seen::Absent,
                    Err(error) => Seen::Unread(refusal("look", &error).why),
                };
            }
            Decision::Look(_) => seen.holder = region.holder_of(volume, How::Now).await,
            Decision::Done(()) => {
                region.enter(handle, None);
                return Ok(());
            }
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::Do(step) => {
                let is_last = matches!(*step, Step::Free { .. });
                match region.act(&step).await {
                    Ok(_) => seen.freed = is_last,
                    // Somebody else wrote to it: look again.
                    Err(error) if error.refusal() == Some(&pve::Refusal::DigestConflict) => {}
                    Err(error) => return Err(refusal(&words(&step), &error)),
                }
                seen.holder = Seen::Unasked;
            }
        }
    }
    Err(Refusal::new(Kind::Aborted, format!("`{volume}` was not freed in {PASSES} passes: ask again")))
}
