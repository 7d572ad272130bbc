//! NodePublishVolume, NodeUnpublishVolume, NodeGetVolumeStats.

use std::path::Path;
use std::sync::Arc;

use csi_proto::csi;
use csi_proto::csi::volume_usage::Unit;
use plan::volume::{Kind, Refusal};

use super::{Inner, Mode, Use, identity, path, stage, told};
use crate::host::{self, Access, Host, Mount};
use crate::status::missing;

/// Makes a staged volume appear where a pod wants it.
pub(super) async fn publish<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodePublishVolumeRequest,
) -> Result<csi::NodePublishVolumeResponse, Refusal> {
    let done = csi::NodePublishVolumeResponse {};
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    let at = path("target_path", &request.target_path)?;
    let of = Use::read(&request.volume_id, request.volume_capability.as_ref(), &request.volume_context)?;
    let staged = path("staging_target_path", &request.staging_target_path)?;
    let access = if request.readonly || of.read_only { Access::ReadOnly } else { Access::Write };
    let _guard = node.guards.take(&request.volume_id)?;
    let doing = format!("publish `{}`", request.volume_id);
    let tell = |error: host::Error| told(&doing, &error);
    let device = node.host.device(&of.identity, 0).await.map_err(tell)?;
    let mounts = node.host.mounts().await.map_err(tell)?;
    let same = |mount: &Mount| match of.mode {
        Mode::Mount(..) => mount.number == device.number,
        Mode::Block => mount.disk == Some(device.number),
    };
    if let Some(mount) = mounts.iter().rfind(|mount| mount.at == at) {
        let as_wanted = same(mount) && mount.read_only() == (access == Access::ReadOnly);
        if as_wanted {
            return Ok(done);
        }
        let why = format!("target_path: something else, or with another `readonly`, is at `{}`", at.display());
        return Err(Refusal::new(Kind::AlreadyExists, why));
    }
    if of.single_writer
        && let Some(other) = mounts.iter().find(|mount| same(mount) && mount.at != staged)
    {
        let why = format!("volume_capability.access_mode: one pod only, and `{}` has it", other.at.display());
        return Err(Refusal::new(Kind::FailedPrecondition, why));
    }
    match of.mode {
        Mode::Block => {
            node.host.make_file(at).await.map_err(tell)?;
            node.host.bind(&device.path, at, access).await.map_err(tell)?;
        }
        Mode::Mount(..) => {
            if !mounts.iter().any(|mount| mount.at == staged && same(mount)) {
                let why = format!("staging_target_path: the volume is not mounted at `{}`", staged.display());
                return Err(Refusal::new(Kind::FailedPrecondition, why));
            }
            node.host.make_directory(at).await.map_err(tell)?;
            node.host.bind(staged, at, access).await.map_err(tell)?;
        }
    }
    Ok(done)
}

/// Takes a volume away from where a pod had it.
pub(super) async fn unpublish<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodeUnpublishVolumeRequest,
) -> Result<csi::NodeUnpublishVolumeResponse, Refusal> {
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    let at = path("target_path", &request.target_path)?;
    let _guard = node.guards.take(&request.volume_id)?;
    let doing = format!("unpublish `{}`", request.volume_id);
    stage::unmount_all(&node.host, at, &doing).await?;
    node.host.remove(at).await.map_err(|error| told(&doing, &error))?;
    Ok(csi::NodeUnpublishVolumeResponse {})
}

/// How full a volume is.
pub(super) async fn stats<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodeGetVolumeStatsRequest,
) -> Result<csi::NodeGetVolumeStatsResponse, Refusal> {
    for (field, text) in [("volume_id", &request.volume_id), ("volume_path", &request.volume_path)] {
        if text.is_empty() {
            return Err(missing(field));
        }
    }
    let at = Path::new(&request.volume_path);
    let doing = format!("measure `{}`", request.volume_id);
    let tell = |error: host::Error| told(&doing, &error);
    let mounts = node.host.mounts().await.map_err(tell)?;
    let Some(mount) = mounts.iter().rfind(|mount| mount.at == at) else {
        let why = format!("volume_path: no volume is mounted at `{}`", at.display());
        return Err(Refusal::new(Kind::NotFound, why));
    };
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let usage = |unit: Unit, total: u64, used: u64, available: u64| csi::VolumeUsage {
        available: number(available),
        total: number(total),
        used: number(used),
        unit: unit.into(),
    };
    let usage = if mount.disk.is_none() {
        let of = node.host.usage(at).await.map_err(tell)?;
        let inodes = of.inodes.saturating_sub(of.inodes_free);
        vec![
            usage(Unit::Bytes, of.bytes, of.bytes_used, of.bytes_free),
            usage(Unit::Inodes, of.inodes, inodes, of.inodes_free),
        ]
    } else {
        let device = node.host.device(&identity(&request.volume_id)?, 0).await.map_err(tell)?;
        vec![csi::VolumeUsage { total: number(device.size), unit: Unit::Bytes.into(), ..csi::VolumeUsage::default() }]
    };
    Ok(csi::NodeGetVolumeStatsResponse { usage, volume_condition: None })
}
