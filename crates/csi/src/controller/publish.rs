//! ControllerPublishVolume and ControllerUnpublishVolume.

use std::collections::BTreeSet;
use std::sync::Arc;

use csi_proto::csi;
use plan::Seen;
use plan::volume::{
    At, Attachment, Decision, Handle, Identity, Kind, Look, Parameters, Plugged, Publish, Qemu, Refusal, Step,
    Unpublish, publish as decide_publish, unpublish as decide_unpublish,
};
use pve_types::Vmid;

use super::place::NodeId;
use super::request::capability;
use super::{PASSES, Regions};
use crate::act::words;
use crate::region::{How, Region};
use crate::status::{missing, refusal};

/// How often a volume is plugged in anew when QEMU does not take it: each time costs a slot.
const ATTEMPTS: usize = 3;

/// Plugs a volume into a node's VM, and says by what the node finds it.
pub(super) async fn publish(
    regions: Arc<Regions>,
    request: csi::ControllerPublishVolumeRequest,
) -> Result<csi::ControllerPublishVolumeResponse, Refusal> {
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    if request.node_id.is_empty() {
        return Err(missing("node_id"));
    }
    let of = request.volume_capability.as_ref().ok_or_else(|| missing("volume_capability"))?;
    capability("volume_capability", of)?;
    let parameters = Parameters::read("volume_context", &request.volume_context)?;
    let (handle, region) = regions.handle("volume_id", &request.volume_id)?;
    let node = NodeId::read(&request.node_id)?;
    let _guard = region.guards.take(&request.volume_id)?;
    owned(&region, &handle).await?;
    let vm = match node.find(&region).await? {
        Seen::Known(at) => at,
        Seen::Absent => {
            let why = format!("node_id: no VM in region `{}` is `{}`", region.name, request.node_id);
            return Err(Refusal::new(Kind::NotFound, why));
        }
        Seen::Unread(why) => return Err(Refusal::new(Kind::Unavailable, format!("node_id: {why}"))),
        Seen::Unasked => return Err(Refusal::new(Kind::Internal, "node_id: was not looked for")),
    };
    if let Some(zone) = handle.zone.as_ref().filter(|zone| **zone != vm.node) {
        let why = format!("`{handle}` is on node `{zone}` only, and {vm} cannot reach it");
        return Err(Refusal::new(Kind::FailedPrecondition, why));
    }
    let identity = Identity::of(&handle);
    let disk = parameters.drive(&handle.volume, &identity, request.readonly);
    let plugged = plug(&region, &Publish { vm: vm.clone(), disk }).await?;
    region.remember_node(vm.vm, &request.node_id);
    let size = plugged.disk.size.map(|size| ("sizeBytes".to_owned(), size.bytes().to_string()));
    let context = [
        ("DevicePath".to_owned(), format!("/dev/disk/by-id/wwn-{}", identity.wwn)),
        ("lun".to_owned(), plugged.slot.number().to_string()),
        ("serial".to_owned(), identity.serial),
    ];
    Ok(csi::ControllerPublishVolumeResponse { publish_context: context.into_iter().chain(size).collect() })
}

/// Volumes that no holder of ours owns are somebody else's.
async fn owned(region: &Region, handle: &Handle) -> Result<(), Refusal> {
    match region.holder_of(&handle.volume, How::AsLastRead).await {
        Seen::Known(_) => Ok(()),
        Seen::Absent => {
            let why = format!("volume_id: there is no `{handle}`: the VM that would own it does not exist");
            Err(Refusal::new(Kind::NotFound, why))
        }
        Seen::Unread(why) => {
            let why = format!("volume_id: `{handle}` is not ours to attach: {why}");
            Err(Refusal::new(Kind::FailedPrecondition, why))
        }
        Seen::Unasked => Err(Refusal::new(Kind::Internal, "the volume's owner was not looked for")),
    }
}

/// What is known of a VM serves for a step, which its digest makes safe; for saying "done" it is read.
fn known(region: &Region, vm: Vmid) -> (Seen<plan::volume::VmConfig>, How) {
    match region.known(vm) {
        Some(read) => (Seen::Known((*read.config).clone()), How::AsLastRead),
        None => (Seen::Unasked, How::Now),
    }
}

async fn plug(region: &Arc<Region>, want: &Publish) -> Result<Plugged, Refusal> {
    let Publish { vm, disk } = want;
    let Some(volume) = disk.volume() else { return Err(Refusal::new(Kind::Internal, "a drive without a volume")) };
    let others = region.others(volume, Some(vm.vm)).await;
    let _vm = region.guards.vm(vm.vm).await;
    let (config, mut how) = known(region, vm.vm);
    let mut seen = Attachment { config, others, ..Attachment::unasked(region.spoiled(vm.vm)) };
    let (mut attached, mut last) = (0, None);
    for _ in 0..PASSES {
        let decision = decide_publish(want, &seen);
        if how == How::AsLastRead && !matches!(decision, Decision::Do(_) | Decision::Look(_)) {
            (seen.config, seen.qemu, how) = (Seen::Unasked, Seen::Unasked, How::Now);
            continue;
        }
        match decision {
            Decision::Look(Look::Qemu) => {
                if how == How::AsLastRead {
                    (seen.config, how) = (Seen::Unasked, How::Now);
                    continue;
                }
                seen.qemu = region.qemu(vm).await;
                if seen.qemu == Seen::Known(Qemu::Stopped) {
                    region.unspoil(vm.vm);
                }
            }
            Decision::Look(Look::Others) => seen.others = region.others(volume, Some(vm.vm)).await,
            Decision::Look(_) => (seen.config, how) = (region.read(vm).await, How::Now),
            Decision::Done(plugged) => return Ok(plugged),
            Decision::Refuse(refusal) => return Err(last.unwrap_or(refusal)),
            Decision::Do(step) => {
                attached += usize::from(matches!(*step, Step::Attach { .. }));
                if attached > ATTEMPTS {
                    let why = format!("{vm} does not take `{volume}`: {ATTEMPTS} slots were tried; stop and start it");
                    return Err(last.unwrap_or_else(|| Refusal::new(Kind::Unavailable, why)));
                }
                if attached > 0 && last.is_none() && matches!(*step, Step::Revert { .. }) {
                    let why = format!(
                        "{vm} does not take `{volume}` while it runs: its option `hotplug` has to name `disk` (and `scsihw` \
                         to be VirtIO SCSI)"
                    );
                    last = Some(Refusal::new(Kind::FailedPrecondition, why));
                    let _reverted = region.act(&step).await;
                    break;
                }
                if let Err(error) = region.act(&step).await {
                    match (error.refusal(), &*step) {
                        // It was changed by others, it moved, or it is gone: another look tells.
                        (Some(pve::Refusal::DigestConflict | pve::Refusal::NotFound), _) => {}
                        // QEMU did not take it there. What was written waits, and is taken back.
                        (Some(pve::Refusal::HotplugFailed), Step::Attach { slot, .. }) => {
                            region.spoil(vm.vm, *slot);
                            last = Some(refusal(&words(&step), &error));
                        }
                        _ => return Err(refusal(&words(&step), &error)),
                    }
                }
                (seen.config, seen.qemu, how) = (Seen::Unasked, Seen::Unasked, How::Now);
                seen.spoiled = region.spoiled(vm.vm);
            }
        }
    }
    let again =
        Refusal::new(Kind::Aborted, format!("`{volume}` was not attached to {vm} in {PASSES} passes: ask again"));
    Err(last.unwrap_or(again))
}

/// Takes a volume out of a node's VM; without a node, out of every VM that has it.
pub(super) async fn unpublish(
    regions: Arc<Regions>,
    request: csi::ControllerUnpublishVolumeRequest,
) -> Result<csi::ControllerUnpublishVolumeResponse, Refusal> {
    let done = csi::ControllerUnpublishVolumeResponse {};
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    // What is no volume of ours is attached nowhere.
    let Ok(handle) = request.volume_id.parse::<Handle>() else { return Ok(done) };
    let (handle, region) = regions.handle("volume_id", &handle.to_string())?;
    let _guard = region.guards.take(&request.volume_id)?;
    let volume = &handle.volume;
    if request.node_id.is_empty() {
        for vm in users(&region, &handle, None).await? {
            unplug(&region, &Unpublish { vm, volume: volume.clone() }).await?;
        }
        return Ok(done);
    }
    let Ok(node) = NodeId::read(&request.node_id) else { return Ok(done) };
    match node.find(&region).await? {
        Seen::Known(vm) => unplug(&region, &Unpublish { vm, volume: volume.clone() }).await?,
        // Its VM is gone, and what it had is free.
        Seen::Absent => {}
        Seen::Unread(why) => return Err(Refusal::new(Kind::Unavailable, format!("node_id: {why}"))),
        Seen::Unasked => return Err(Refusal::new(Kind::Internal, "node_id: was not looked for")),
    }
    Ok(done)
}

/// VMs that have the volume.
pub(super) async fn users(region: &Region, handle: &Handle, but: Option<Vmid>) -> Result<Vec<At>, Refusal> {
    let others = match region.others(&handle.volume, but).await {
        Seen::Known(others) => others,
        Seen::Absent => Vec::new(),
        Seen::Unread(why) => {
            return Err(Refusal::new(Kind::Unavailable, format!("cannot tell who has `{handle}`: {why}")));
        }
        Seen::Unasked => return Err(Refusal::new(Kind::Internal, "other VMs were not looked at")),
    };
    let vms: BTreeSet<Vmid> = others.into_iter().map(|(vm, _)| vm).collect();
    let view = region.view().await?;
    let at = |vm: Vmid| view.vm(vm).map(|row| At { vm, node: row.node.clone() });
    Ok(vms.into_iter().filter_map(at).collect())
}

async fn unplug(region: &Region, want: &Unpublish) -> Result<(), Refusal> {
    let Unpublish { vm, volume } = want;
    let _vm = region.guards.vm(vm.vm).await;
    let (mut config, mut how) = known(region, vm.vm);
    for _ in 0..PASSES {
        let decision = decide_unpublish(want, &config);
        if how == How::AsLastRead && !matches!(decision, Decision::Do(_)) {
            (config, how) = (region.read(vm).await, How::Now);
            continue;
        }
        match decision {
            Decision::Look(_) => (config, how) = (region.read(vm).await, How::Now),
            Decision::Done(()) => return Ok(()),
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::Do(step) => {
                match region.act(&step).await {
                    Ok(_) => {}
                    // It was changed by others, it moved, or it is gone: another look tells.
                    Err(error)
                        if matches!(error.refusal(), Some(pve::Refusal::DigestConflict | pve::Refusal::NotFound)) => {}
                    Err(error) => return Err(refusal(&words(&step), &error)),
                }
                (config, how) = (region.read(vm).await, How::Now);
            }
        }
    }
    Err(Refusal::new(Kind::Aborted, format!("`{volume}` did not leave {vm} in {PASSES} passes: ask again")))
}
