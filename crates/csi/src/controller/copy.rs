//! Copies: into snapshots, and into volumes.

use std::sync::Arc;
use std::time::Duration;

use csi_proto::csi;
use csi_proto::csi::volume_content_source::Type;
use plan::Seen;
use plan::volume::{
    Copy, CopyKind, CopyOf, Copying, Decision, Handle, Kind, Look, MakeCopy, OrHolder, Place, Range, Refusal, State,
    Step, Task, copy as decide, plain,
};
use pve_types::{DiskSize, VolumeId};

use super::create::{holders, make};
use super::{PASSES, Regions, expand};
use crate::act::{Acted, words};
use crate::region::{How, Region};
use crate::status::{missing, refusal};

/// How long one request waits for a task that takes no time usually.
pub(super) const TASK: Duration = Duration::from_mins(1);

/// How long a request for a copy waits for it. Sidecars ask again.
const COPY: Duration = Duration::from_secs(20);

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The volume.
    pub(super) volume: VolumeId,
    /// Its size.
    pub(super) size: DiskSize,
    /// Where it is, if only one node sees it.
    zone: Option<pve_types::NodeName>,
}

/// What a request says is to be copied.
pub(super) async fn source(
    regions: &Regions,
    into: &Arc<Region>,
    of: &csi::VolumeContentSource,
) -> Result<Source, Refusal> {
    let (field, text) = match &of.r#type {
        Some(Type::Snapshot(of)) => ("volume_content_source.snapshot.snapshot_id", &of.snapshot_id),
        Some(Type::Volume(of)) => ("volume_content_source.volume.volume_id", &of.volume_id),
        None => return Err(missing("volume_content_source.type")),
    };
    let (handle, region) = regions.handle(field, text)?;
    if !Arc::ptr_eq(&region, into) {
        let why = format!("{field}: `{text}` is in another region than the new volume would be");
        return Err(Refusal::new(Kind::InvalidArgument, why));
    }
    let zone = handle.zone.clone();
    if let Some(Type::Snapshot(_)) = &of.r#type {
        let copy = snapshot(&region, &handle).await?;
        let copy =
            copy.ok_or_else(|| Refusal::new(Kind::NotFound, format!("{field}: there is no snapshot `{text}`")))?;
        let size = copy.size.ok_or_else(|| Refusal::new(Kind::Internal, format!("`{}` has no size", copy.volume)))?;
        return Ok(Source { volume: copy.volume, size, zone });
    }
    let view = region.view().await?;
    let place = super::place::of_volume(&handle, &view)?;
    match region.client.volume(&place.node, &handle.volume).await {
        Ok(info) => Ok(Source { volume: handle.volume, size: DiskSize::from_bytes(info.size), zone }),
        Err(error) => Err(refusal(&format!("{field}: look at `{text}`"), &error)),
    }
}

/// The copy that a snapshot is.
pub(super) async fn snapshot(region: &Region, handle: &Handle) -> Result<Option<Copy>, Refusal> {
    let Some(name) = snapshot_name(&handle.volume) else { return Ok(None) };
    match region.holders(None, How::Now).await {
        Seen::Known(holders) => Ok(holders.iter().find_map(|holder| holder.copy(CopyKind::Snapshot, &name))),
        Seen::Absent => Ok(None),
        Seen::Unread(why) => Err(Refusal::new(Kind::Unavailable, format!("cannot read our holders: {why}"))),
        Seen::Unasked => Err(Refusal::new(Kind::Internal, "holders were not read")),
    }
}

/// The name in `vm-HOLDER-NAME`.
fn snapshot_name(volume: &VolumeId) -> Option<String> {
    let owner = volume.owner()?;
    let name = volume.name.strip_prefix(&format!("vm-{owner}-"))?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Makes a volume that is a copy, as large as is wanted.
pub(super) async fn volume(
    region: &Arc<Region>,
    place: &Place,
    name: &str,
    range: Range,
    source: &Source,
) -> Result<(VolumeId, DiskSize), Refusal> {
    if source.zone.as_ref().is_some_and(|zone| *zone != place.node) {
        let zone = source.zone.as_ref().map(ToString::to_string).unwrap_or_default();
        let why = format!("accessibility_requirements: the source is on node `{zone}` only, and so must the copy be");
        return Err(Refusal::new(Kind::ResourceExhausted, why));
    }
    if range.limit > 0 && source.size.bytes() > range.limit {
        let why =
            format!("capacity_range.limit_bytes: the source has {}, more than {} bytes", source.size, range.limit);
        return Err(Refusal::new(Kind::OutOfRange, why));
    }
    let of = CopyOf { kind: CopyKind::Volume, name: plain(name), source: source.volume.clone() };
    let copy = match make_copy(region, place, of).await? {
        State::Ready(copy) => copy,
        State::UnderWay => {
            let why = format!("`{}` is still being copied: ask again", source.volume);
            return Err(Refusal::new(Kind::Aborted, why));
        }
    };
    let has = copy.size.unwrap_or(source.size);
    if range.required <= has.bytes() {
        return Ok((copy.volume, has));
    }
    let grown = expand::grow(region, &copy.volume, range).await?;
    Ok((copy.volume, grown.size))
}

/// Sees to a copy, as far as it comes within the time of one request.
pub(super) async fn make_copy(region: &Arc<Region>, place: &Place, of: CopyOf) -> Result<State, Refusal> {
    let serial = of.serial();
    let source = of.source.clone();
    let want = MakeCopy { of, place: place.clone(), format: None, now: now() };
    let mut seen = Copying { busy: Seen::Unasked, holders: Seen::Unasked, task: None, next: Seen::Unasked };
    let (mut how, mut copied) = (How::AsLastRead, false);
    for _ in 0..PASSES {
        match task(region, &serial, &source).await {
            Standing::None => seen.task = None,
            Standing::Told(task) => seen.task = Some(task),
            Standing::Done => {
                region.remember_copy(&serial, None);
                (seen.task, seen.holders, how, copied) = (None, Seen::Unasked, How::Now, true);
            }
            Standing::Overtaken => {
                region.remember_copy(&serial, None);
                (seen.task, seen.holders, how) = (None, Seen::Unasked, How::Now);
            }
        }
        let decision = match decide(&want, &seen, &region.tenant) {
            OrHolder::Make(order) => {
                make(region, &order).await?;
                (seen.holders, seen.next) = (Seen::Unasked, Seen::Unasked);
                continue;
            }
            OrHolder::Go(decision) => decision,
        };
        match decision {
            Decision::Look(Look::Others) => seen.busy = region.busy(&source).await,
            Decision::Look(_) if seen.holders == Seen::Unasked => {
                let node = (!place.shared).then_some(&place.node);
                seen.holders = region.holders(node, how).await;
            }
            Decision::Look(_) => holders(region, place, &mut seen.holders, &mut seen.next).await,
            Decision::Done(State::UnderWay) => return Ok(State::UnderWay),
            Decision::Done(state) => return Ok(state),
            Decision::Refuse(refusal) => {
                if seen.task.is_some() {
                    // Told once; the next request tries again.
                    region.remember_copy(&serial, None);
                }
                return Err(refusal);
            }
            Decision::Do(step) if copied => {
                // Never again and again: a copy that does not show would fill the storage.
                let why = format!("{} ended well, and the copy does not show", words(&step));
                return Err(Refusal::new(Kind::Internal, why));
            }
            Decision::Do(step) => {
                let Step::Copy { holder, .. } = &*step else {
                    return Err(Refusal::new(Kind::Internal, format!("{} is no copy", words(&step))));
                };
                let _vm = region.guards.vm(holder.vmid()).await;
                match region.act(&step).await {
                    Ok(Acted::Task(upid)) => region.remember_copy(&serial, Some(upid)),
                    Ok(Acted::Done | Acted::Allocated(_)) => {}
                    Err(error) if error.refusal() == Some(&pve::Refusal::DigestConflict) => {}
                    Err(error) => return Err(refusal(&words(&step), &error)),
                }
                (seen.holders, how) = (Seen::Unasked, How::Now);
            }
        }
    }
    Err(Refusal::new(Kind::Aborted, format!("`{source}` was not copied in {PASSES} passes: ask again")))
}

/// How the task of a copy stands.
enum Standing {
    /// There is none.
    None,
    /// It ended well.
    Done,
    /// It did nothing, for another change of the holder came between.
    Overtaken,
    /// It runs, or it failed.
    Told(Task),
}

/// How the task of a copy stands, after waiting for it a while.
async fn task(region: &Region, serial: &str, source: &VolumeId) -> Standing {
    let Some(upid) = region.copy_task(serial) else { return Standing::None };
    match region.finish(&upid, &format!("copy {serial} of volume {source}"), COPY).await {
        Some(Ok(())) => Standing::Done,
        Some(Err(error)) if error.refusal() == Some(&pve::Refusal::DigestConflict) => Standing::Overtaken,
        Some(Err(error)) => Standing::Told(Task::Failed(refusal("the task", &error).why)),
        None => Standing::Told(Task::Running),
    }
}

/// Now, in Unix seconds: a copy is stamped where it is ordered, and plans get the stamp.
pub(super) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}
